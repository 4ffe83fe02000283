/**
 * What the archive knows of live calls that began before the page was opened.
 *
 * @module
 */

import { Problem, askJson } from '../api.js';

/** @typedef {import('./calls.js').Calls} Calls */
/** Pages of 200 sessions that are read at most. */
const PAGES = 5;
/** Calls whose turns are read: the newest, and two at a time. */
const WITH_TURNS = 60;
/** Calls whose end is looked up. */
const DOUBTED = 60;

/** @typedef {import('./rows.js').Row} Row */

/**
 * Add interruptions, errors, failed tools and latencies from before the stream's beginning, and the ends that the
 * stream no longer has. Without an archive nothing is added.
 *
 * @param {Calls} calls
 * @param {import('../api.js').Me} me
 * @param {readonly Row[]} rows What is shown.
 * @throws {Problem} The hub refuses.
 */
export async function fillIn(calls, me, rows) {
  let isLate = 0;
  /** @type {any[]} */
  const sessions = [];
  try {
    let cursor = null;
    for (let page = 0; page < PAGES; page++) {
      const query = new URLSearchParams({ state: 'live', limit: '200', ...(cursor && { cursor }) });
      const answer = await askJson(`/api/sessions?${query}`);
      sessions.push(...answer.sessions);
      cursor = answer.next;
      if (!cursor) break;
    }
  } catch (error) {
    // Off, or away: the stream alone has to do.
    if (error instanceof Problem && (error.status === 404 || error.status >= 500 || error.status === 0)) return;
    throw error;
  }
  const wanted = sessions.filter((session) => {
    const call = calls.get(session.room ?? '', session.session_id);
    if (call.isWhole) return false;
    const until = session.started + session.duration;
    call.archived = { interruptions: session.interruptions, until };
    if (me.view === 'operator') {
      if (session.errors) call.error ??= { at: until, text: 'before this page was opened' };
      if (session.tool_failures) call.failedTool ??= { at: until, text: 'before this page was opened' };
    }
    return session.heard_latency !== null;
  });
  const reader = async () => {
    for (;;) {
      const session = wanted[isLate++];
      if (!session || isLate > WITH_TURNS) return;
      await addTurns(calls, session);
    }
  };
  await Promise.all([reader(), reader(), noteEnds(calls, rows, sessions)]);
}

/**
 * Note which of the calls that look live have ended: the history may have forgotten their end, and not what came late.
 *
 * @param {Calls} calls
 * @param {readonly Row[]} rows
 * @param {readonly any[]} live What the archive has as live.
 */
async function noteEnds(calls, rows, live) {
  /** @param {string} room @param {string} session */
  const keyOf = (room, session) => JSON.stringify([room, session]);
  const known = new Set(live.map(({ room, session_id }) => keyOf(room ?? '', session_id)));
  const doubted = rows.filter((row) => row.ended === null && !known.has(keyOf(row.room, row.session)));
  for (const { room, session, started } of doubted.slice(0, DOUBTED)) {
    // Its beginning is on the stream, and so its end would be.
    if (calls.get(room, session).isWhole) continue;
    try {
      const { ended } = (await askJson(addressOf(session, room))).session;
      // One that began again after its end is live, though the archive keeps to the first end.
      if (ended !== null && !(started !== null && started > ended)) calls.noteEnd(room, session);
    } catch (error) {
      // Not archived yet, or away: what the stream says counts.
      if (!(error instanceof Problem)) throw error;
    }
  }
}

/**
 * @param {string} session
 * @param {string | null} room
 */
const addressOf = (session, room) =>
  `/api/sessions/${encodeURIComponent(session)}?room=${encodeURIComponent(room ?? '')}`;

/**
 * @param {Calls} calls
 * @param {any} session
 */
async function addTurns(calls, session) {
  let turns;
  try {
    ({ turns } = await askJson(addressOf(session.session_id, session.room)));
  } catch (error) {
    // It ended, or was erased, meanwhile.
    if (error instanceof Problem) return;
    throw error;
  }
  const call = calls.get(session.room ?? '', session.session_id);
  const seen = call.turns;
  call.turns = new Map();
  for (const { turn_id, heard_latency } of turns) call.turn(turn_id).known = heard_latency;
  for (const [id, turn] of seen) {
    const known = call.turns.get(id)?.known ?? null;
    Object.assign(call.turn(id), turn, { known });
  }
}
