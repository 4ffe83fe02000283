/**
 * Adds what the archive has of live calls that began before the page was opened.
 *
 * @module
 */

import { keyOf } from '/console/client/facts.js';
import { Problem, askJson, isTransient, sessionApi } from '../api.js';

/** @typedef {import('./calls.js').Calls} Calls */
/** @typedef {import('./rows.js').Row} Row */

/** Most pages of 200 sessions. */
const PAGES = 5;
/** Most calls whose turns are loaded, the newest. */
const WITH_TURNS = 60;
/** Most calls whose end is looked up. */
const DOUBTED = 60;
/** Requests at a time. */
const READERS = 2;
const BEFORE = 'before this page was opened';

/**
 * Add interruptions, errors, failed tools and latencies from before the start of the stream, and ends that the stream no
 * longer has. Without an archive nothing is added.
 *
 * @param {Calls} calls
 * @param {import('../api.js').Me} me
 * @param {readonly Row[]} rows The rows that are shown.
 * @throws {Problem} The hub refuses.
 */
export async function backfill(calls, me, rows) {
  const sessions = await liveSessions();
  const late = sessions.filter((session) => {
    const call = calls.get(session.room ?? '', session.session_id);
    if (call.isWhole) return false;
    const until = session.started + session.duration;
    call.archived = { interruptions: session.interruptions, until };
    if (me.view === 'operator') {
      if (session.errors) call.error ??= { at: until, text: BEFORE };
      if (session.tool_failures) call.failedTool ??= { at: until, text: BEFORE };
    }
    return session.heard_latency !== null;
  });
  const waiting = late.slice(0, WITH_TURNS).values();
  const readers = Array.from({ length: READERS }, async () => {
    for (const session of waiting) await addTurns(calls, session);
  });
  await Promise.all([...readers, noteEnds(calls, rows, sessions)]);
}

/** @returns {Promise<any[]>} None if the archive is off or away. */
async function liveSessions() {
  const sessions = [];
  let cursor = '';
  try {
    for (let page = 0; page < PAGES; page++) {
      const { sessions: found, next } = await askJson(`/api/sessions?${new URLSearchParams({ state: 'live', limit: '200', ...(cursor && { cursor }) })}`);
      sessions.push(...found);
      if (!next) break;
      cursor = next;
    }
  } catch (error) {
    if (isTransient(error) || (error instanceof Problem && error.status === 404)) return [];
    throw error;
  }
  return sessions;
}

/**
 * Note which of the calls that look live have ended: the history may have lost their end but not an event that arrived later.
 *
 * @param {Calls} calls
 * @param {readonly Row[]} rows
 * @param {readonly any[]} live The archive's live sessions.
 */
async function noteEnds(calls, rows, live) {
  const known = new Set(live.map(({ room, session_id }) => keyOf(room ?? '', session_id)));
  const doubted = rows.filter(({ key, ended }) => ended === null && !known.has(key));
  for (const { room, session, started } of doubted.slice(0, DOUBTED)) {
    // The stream has its start, so it would have its end.
    if (calls.get(room, session).isWhole) continue;
    const ended = (await detailOf(session, room))?.session.ended ?? null;
    // A session that started again after its end is live, though the archive keeps the first end.
    if (ended !== null && !(started !== null && started > ended)) calls.noteEnd(room, session);
  }
}

/**
 * @param {Calls} calls
 * @param {any} session
 */
async function addTurns(calls, session) {
  const detail = await detailOf(session.session_id, session.room);
  if (!detail) return;
  const call = calls.get(session.room ?? '', session.session_id);
  const seen = call.turns;
  call.turns = new Map();
  for (const { turn_id, heard_latency } of detail.turns) call.turn(turn_id).known = heard_latency;
  for (const [id, turn] of seen) {
    const known = call.turns.get(id)?.known ?? null;
    Object.assign(call.turn(id), turn, { known });
  }
}

/**
 * @param {string} session
 * @param {string | null} room
 * @returns {Promise<any>} Null if the archive does not have it, not yet or no longer, or is away.
 */
async function detailOf(session, room) {
  try {
    return await askJson(sessionApi(session, room));
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}
