/**
 * What the page Live keeps of each call besides the conversation's state: latencies of its turns, interruptions, and
 * what went wrong. `Call`s are changed in place, as thousands of events arrive per second. No I/O; times are in seconds.
 *
 * @module
 */

import { keyOf, textOf } from '/console/client/facts.js';
import { Gap } from '/console/client/gap.js';
import { LIMITS } from './trouble.js';

/** @typedef {import('../../../../../packages/js/src/types.js').HubEvent} HubEvent */
/** @typedef {import('./trouble.js').Mark} Mark */
/** @typedef {{ stops: number[], started: number | null, known: number | null }} Turn `known`: the archive's latency. */

/** Turns that are kept: more than are shown, as a turn may get its latency late. */
const TURNS = 3 * LIMITS.turns;

/** One session of a room. */
export class Call {
  /** When its newest speech or transcript was. @type {number | null} */
  heard = null;
  /** @type {number | null} */
  thinkingSince = null;
  /** When it ended, if that was seen to happen. @type {number | null} */
  ended = null;
  /** @type {Mark | null} */
  error = null;
  /** @type {Mark | null} */
  failedTool = null;
  /** @type {Mark | null} */
  dropped = null;
  /** Times of the interruptions seen. @type {number[]} */
  interruptions = [];
  /** The archive's count, and up to when it counts. */
  archived = { interruptions: 0, until: -Infinity };
  /** @type {Map<string, Turn>} */
  turns = new Map();
  /** Whether its start was seen: then nothing is missing here. */
  isWhole = false;

  /** Interruptions so far. */
  get interruptionCount() {
    const { interruptions, until } = this.archived;
    return interruptions + this.interruptions.filter((at) => at > until).length;
  }

  /** Heard latency of the last turns that have one, oldest first. */
  get latencies() {
    const all = [...this.turns.values()].map(heardLatency);
    return all.filter((value) => value !== null).slice(-LIMITS.turns);
  }

  /** @param {string} id */
  turn(id) {
    let turn = this.turns.get(id);
    if (!turn) {
      turn = { stops: [], started: null, known: null };
      this.turns.set(id, turn);
      const oldest = this.turns.size > TURNS ? this.turns.keys().next().value : undefined;
      if (oldest !== undefined) this.turns.delete(oldest);
    }
    return turn;
  }
}

/**
 * How long the caller waited in a turn, by the formula of the figures (docs/guides/analytics.md).
 *
 * @param {Turn} turn
 */
function heardLatency({ stops, started, known }) {
  if (started === null) return known;
  const before = stops.filter((stop) => stop <= started);
  return before.length ? Math.round((started - Math.max(...before)) * 1e6) / 1e6 : known;
}

/** All calls, by room and session. */
export class Calls {
  /** @type {Map<string, Map<string, Call>>} */
  rooms = new Map();
  /** The newest trouble that belongs to no room. @type {Mark | null} */
  notice = null;
  /** Sessions that the archive says have ended, though the stream no longer has their end. @type {Set<string>} */
  #ended = new Set();

  /**
   * @param {string} room
   * @param {string} session
   * @returns {Call}
   */
  get(room, session) {
    let sessions = this.rooms.get(room);
    if (!sessions) this.rooms.set(room, (sessions = new Map()));
    let call = sessions.get(session);
    if (!call) sessions.set(session, (call = new Call()));
    return call;
  }

  /**
   * Note that the archive has the end of a session.
   *
   * @param {string} room
   * @param {string} session
   */
  noteEnd(room, session) {
    this.#ended.add(keyOf(room, session));
  }

  /**
   * Whether a session has ended, though the stream no longer has its end.
   *
   * @param {string} room
   * @param {string} session
   */
  hasEnded(room, session) {
    return this.#ended.has(keyOf(room, session));
  }

  /**
   * Process an event.
   *
   * @param {HubEvent | Gap} event
   * @param {number} arrived The hub's time when it arrived.
   */
  take(event, arrived) {
    if (event instanceof Gap) {
      // Stored events are sent again, unless the whole history is gone.
      if (event.reason !== 'history_lost') {
        this.rooms.clear();
        this.#ended.clear();
      }
      return;
    }
    const room = textOf(event, 'room');
    const session = textOf(event, 'session_id');
    const at = numberOf(event.timestamp) ?? arrived;
    const handle = HANDLERS[event.type];
    if (!handle) return;
    if (event.type === 'session_started') this.#ended.delete(keyOf(room ?? '', session ?? ''));
    if (room && session) handle(this.get(room, session), event, at, arrived);
    else if (event.type === 'error' || event.type === 'events_dropped') {
      if (room) for (const call of this.rooms.get(room)?.values() ?? []) handle(call, event, at, arrived);
      else this.notice = { at, text: event.type === 'error' ? errorText(event) : droppedText(event) };
    }
  }

  /**
   * Forget calls that are not shown.
   *
   * @param {(room: string, session: string) => boolean} isShown
   */
  keep(isShown) {
    for (const [room, sessions] of this.rooms) {
      for (const session of sessions.keys()) if (!isShown(room, session)) sessions.delete(session);
      if (!sessions.size) this.rooms.delete(room);
    }
  }
}

/** @typedef {(call: Call, event: HubEvent, at: number, arrived: number) => void} Handler */

/** @type {Handler} */
const startOfSpeech = (call, event, at) => {
  const start = numberOf(event.started_at) ?? at;
  hear(call, start);
  const id = textOf(event, 'turn_id');
  if (event.type !== 'agent_speech_started' || !id) return;
  const turn = call.turn(id);
  turn.started = Math.min(turn.started ?? start, start);
};

/** @type {Handler} */
const endOfSpeech = (call, event, at) => {
  const stop = numberOf(event.stopped_at) ?? at;
  hear(call, stop);
  const id = textOf(event, 'turn_id');
  if (event.type === 'user_speech_finished' && id) call.turn(id).stops.push(stop);
};

/** @type {Record<string, Handler>} */
const HANDLERS = {
  session_started: (call) => void (call.isWhole = true),
  session_ended: (call, _event, at, arrived) => void (call.ended = Math.max(at, arrived)),
  agent_state: (call, event, at) => {
    call.thinkingSince = event.state === 'thinking' ? (call.thinkingSince ?? at) : null;
  },
  agent_speech_started: startOfSpeech,
  user_speech_started: startOfSpeech,
  agent_speech_finished: endOfSpeech,
  user_speech_finished: endOfSpeech,
  transcript: (call, _event, at) => hear(call, at),
  interruption: (call, _event, at) => void call.interruptions.push(at),
  tool_call_finished: (call, event, at) => {
    if (event.status !== 'done') call.failedTool = { at, text: `${event.name ?? 'A tool'}: ${event.output ?? event.status}` };
  },
  error: (call, event, at) => void (call.error = { at, text: errorText(event) }),
  events_dropped: (call, event, at) => void (call.dropped = { at, text: droppedText(event) }),
};

/**
 * @param {Call} call
 * @param {number} at
 */
const hear = (call, at) => void (call.heard = Math.max(call.heard ?? at, at));

/** @param {HubEvent} event */
const errorText = (event) => [event.source, event.message].filter((part) => typeof part === 'string').join(': ');

/** @param {HubEvent} event */
const droppedText = ({ count, reason }) => [`The agent could not deliver ${count} events`, reason].filter(Boolean).join(': ');

/**
 * @param {unknown} value
 * @returns {number | null}
 */
const numberOf = (value) => (typeof value === 'number' ? value : null);
