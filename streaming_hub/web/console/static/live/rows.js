/**
 * The wall's rows: which calls it shows, in which order, and their totals. Pure; times are in seconds.
 *
 * @module
 */

import { keyOf } from '/console/client/facts.js';
import { percentiles } from '/console/client/figures.js';
import { BAD_ENDS, LIMITS, LOST, troubles } from './trouble.js';

/** @typedef {import('../../../../../packages/js/src/types.js').RoomState} RoomState */
/** @typedef {import('../../../../../packages/js/src/types.js').Session} Session */
/** @typedef {import('../../../../../packages/js/src/types.js').Line} Line */
/** @typedef {import('./calls.js').Calls} Calls */
/** @typedef {import('./trouble.js').Trouble} Trouble */
/** @typedef {'both' | 'agent' | 'user' | 'thinking' | 'listening' | 'quiet' | 'ended'} State */
/**
 * @typedef {object} Row
 * @property {string} key
 * @property {string} room
 * @property {string} session
 * @property {string[]} callers
 * @property {string[]} agents
 * @property {number | null} started
 * @property {number | null} ended
 * @property {State} state
 * @property {Line | null} line The newest words.
 * @property {readonly Line[]} earlier The lines before it, oldest first, if there is room for them.
 * @property {readonly number[]} latencies
 * @property {number} interruptions
 * @property {Trouble[]} troubles
 */

/** With at most this number of rows there is room for earlier lines. */
export const ROOMY = 6;
/** Lines before the newest one that are shown then. */
const EARLIER = 3;
/** Seconds without an event after which a session counts as abandoned. */
const ABANDONED = 24 * 3600;
/** Seconds without an event after which a room without a live session is forgotten: its next session may start until then. */
const KEPT = 600;

/**
 * @param {Readonly<Record<string, RoomState>>} rooms
 * @param {Calls} calls
 * @param {number} now The hub's time.
 * @returns {Row[]}
 */
export function rowsOf(rooms, calls, now) {
  /** @type {Row[]} */
  const rows = [];
  for (const room of Object.values(rooms)) {
    room.sessions.forEach((session, index) => {
      if (isShown(room, session, calls, now)) rows.push(rowOf(room, session, room.sessions[index - 1], calls, now));
    });
  }
  if (rows.length <= ROOMY) for (const row of rows) row.earlier = earlierLines(rooms[row.room], row.session);
  return rows;
}

/**
 * @param {RoomState} room
 * @param {Session} session
 * @param {Calls} calls
 * @param {number} now
 */
function isShown(room, session, calls, now) {
  if (session.ended === undefined) {
    return !calls.hasEnded(room.room, session.session_id) && now - (session.updated ?? room.updated ?? now) < ABANDONED;
  }
  if (!BAD_ENDS.includes(session.reason ?? '')) return false;
  const ended = calls.rooms.get(room.room)?.get(session.session_id)?.ended ?? session.ended;
  return ended !== null && now - ended < LIMITS.lingering;
}

/**
 * @param {RoomState} room
 * @param {Session} session
 * @param {Session | undefined} previous The room's session before it.
 * @param {Calls} calls
 * @param {number} now
 * @returns {Row}
 */
function rowOf(room, session, previous, calls, now) {
  const { session_id, started } = session;
  const call = calls.get(room.room, session_id);
  const isLive = session.ended === undefined;
  const ended = isLive ? null : (call.ended ?? session.ended ?? now);
  const line = room.transcript.findLast((one) => one.session_id === session_id) ?? null;
  const state = isLive ? stateOf(room) : 'ended';
  // Of a call that began before the page was opened only the present state is known.
  if (state === 'thinking') call.thinkingSince ??= room.updated;
  const heard = Math.max(call.heard ?? -Infinity, line?.timestamp ?? -Infinity, started ?? -Infinity);
  const isQuiet = isLive && !room.speaking.length;
  const { latencies } = call;
  const hasLost = previous?.ended !== undefined && LOST.includes(previous.reason ?? '');
  return {
    key: keyOf(room.room, session_id),
    room: room.room,
    session: session_id,
    callers: room.participants.filter(({ role }) => role !== 'agent').map(({ identity }) => identity),
    agents: room.participants.filter(({ role }) => role === 'agent').map(({ identity }) => identity),
    started,
    ended,
    state,
    line,
    earlier: [],
    latencies,
    interruptions: call.interruptionCount,
    troubles: troubles(
      {
        error: call.error,
        failedTool: call.failedTool,
        dropped: call.dropped,
        restarted: hasLost ? (started ?? now) : null,
        ended,
        reason: session.reason ?? null,
        thinkingSince: state === 'thinking' ? call.thinkingSince : null,
        quietSince: isQuiet && heard > -Infinity ? heard : null,
        latencies,
      },
      now,
    ),
  };
}

/**
 * @param {RoomState | undefined} room
 * @param {string} session
 */
const earlierLines = (room, session) =>
  (room?.transcript ?? []).filter(({ session_id }) => session_id === session).slice(-1 - EARLIER, -1);

/**
 * Who speaks in a room now, or what its agent does.
 *
 * @param {RoomState} room
 * @returns {State}
 */
function stateOf({ speaking, participants, agent_state }) {
  const roles = new Set(
    speaking.map((voice) => {
      const role = participants.find(({ identity }) => identity === voice)?.role ?? voice;
      return role === 'agent' ? 'agent' : 'user';
    }),
  );
  if (roles.size > 1) return 'both';
  for (const role of roles) return role;
  if (agent_state === 'thinking') return 'thinking';
  return agent_state === 'listening' ? 'listening' : 'quiet';
}

const names = new Intl.Collator(undefined, { numeric: true });

/** @param {Row} row */
const severity = ({ troubles: found }) => (found.some(({ tone }) => tone === 'bad') ? 2 : Number(found.length > 0));

/** @param {Row} one @param {Row} other */
const byRoom = (one, other) => names.compare(one.room, other.room) || names.compare(one.session, other.session);

/** The values of "Sort by". @type {Record<string, (one: Row, other: Row) => number>} */
export const ORDERS = {
  trouble: (one, other) =>
    severity(other) - severity(one) || other.troubles.length - one.troubles.length || byRoom(one, other),
  age: (one, other) => (one.started ?? Infinity) - (other.started ?? Infinity) || byRoom(one, other),
  room: byRoom,
};

/**
 * The rows that fit a filter, in order.
 *
 * @param {readonly Row[]} rows
 * @param {string} order A key of `ORDERS`.
 * @param {string} filter Part of a room's, person's, session's or trouble's name; several words must all be found.
 */
export function arrange(rows, order, filter) {
  const wanted = filter.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const found = rows.filter(({ room, session, callers, agents, troubles: signs }) => {
    if (!wanted.length) return true;
    const text = [room, session, ...callers, ...agents, ...signs.map(({ name }) => name)].join('\n').toLocaleLowerCase();
    return wanted.every((word) => text.includes(word));
  });
  return found.sort(ORDERS[order] ?? ORDERS.trouble);
}

/**
 * The rooms that can be forgotten: all their sessions ended long ago.
 *
 * @param {Readonly<Record<string, RoomState>>} rooms
 * @param {number} now
 */
export const finishedRooms = (rooms, now) =>
  Object.values(rooms)
    .filter(({ sessions, updated }) => now - (updated ?? now) > KEPT && sessions.every(({ ended }) => ended !== undefined))
    .map(({ room }) => room);

/** @param {readonly Row[]} rows */
export function totalsOf(rows) {
  const live = rows.filter(({ ended }) => ended === null);
  /** @param {...State} states */
  const count = (...states) => live.filter(({ state }) => states.includes(state)).length;
  return {
    live: live.length,
    trouble: rows.filter(({ troubles: found }) => found.length).length,
    agents: count('agent', 'both'),
    callers: count('user', 'both'),
    thinking: count('thinking'),
    latency: percentiles(live.flatMap(({ latencies }) => latencies))?.p95 ?? null,
  };
}
