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

/**
 * Add interruptions, errors, failed tools and latencies from before the stream's beginning. Without an archive nothing
 * is added.
 *
 * @param {Calls} calls
 * @param {import('../api.js').Me} me
 * @throws {Problem} The hub refuses.
 */
export async function fillIn(calls, me) {
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
  await Promise.all([reader(), reader()]);
}

/**
 * @param {Calls} calls
 * @param {any} session
 */
async function addTurns(calls, session) {
  const query = session.room ? `?room=${encodeURIComponent(session.room)}` : '?room=';
  let turns;
  try {
    ({ turns } = await askJson(`/api/sessions/${encodeURIComponent(session.session_id)}${query}`));
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
