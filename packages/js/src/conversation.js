/**
 * Events in, the rooms' present state out: what `GET /api/rooms/NAME` answers after the same events. Pure.
 *
 * `facts.js` keeps what is needed of the events; here it is read.
 *
 * @module
 */

import { apply, copyView, keyOf, textOf, viewOf } from './facts.js';
import { Gap } from './gap.js';
import { parseId } from './ids.js';

/** @typedef {import('./types.js').Conversation} Conversation */
/** @typedef {import('./types.js').HubEvent} HubEvent */
/** @typedef {import('./types.js').RoomState} RoomState */
/** @typedef {import('./types.js').Line} Line */
/** @typedef {import('./facts.js').View} View */

/**
 * A conversation of no events.
 *
 * @returns {Conversation}
 */
export const emptyConversation = () => ({
  rooms: Object.create(null),
  facts: { epoch: '', head: 0, as_of: 0, n: 0, rooms: Object.create(null) },
});

/**
 * The conversation after one more event. The one given is not changed.
 *
 * Events come in the stream's order; one that is already in is skipped. A `snapshot` puts its rooms in place of
 * all others. A gap starts over, as all events that are still stored follow it.
 *
 * @param {Conversation | undefined} state
 * @param {HubEvent | Gap} event
 * @returns {Conversation}
 */
export const reduceConversation = (state, event) => reduceAll(state, [event]);

/**
 * The conversation after several more events; each changed room's state is worked out once.
 *
 * @param {Conversation | undefined} state
 * @param {readonly (HubEvent | Gap)[]} events
 * @returns {Conversation}
 */
export function reduceAll(state, events) {
  let { rooms, facts } = state ?? emptyConversation();
  /** @type {Map<string, View>} */
  const changed = new Map();
  const restart = () => {
    const empty = emptyConversation();
    rooms = empty.rooms;
    facts = { ...empty.facts, n: facts.n };
    changed.clear();
  };
  for (const event of events) {
    if (event instanceof Gap || event.type === 'stream_reset') {
      // What survives a lost history is not sent again.
      if (event.reason !== 'history_lost') restart();
    } else if (event.type === 'snapshot') {
      const [epoch, seq] = parseId(event.as_of) ?? ['', 0];
      // One state may come in several snapshots.
      if (epoch !== facts.epoch || seq !== facts.as_of) restart();
      const n = facts.n + 1;
      facts = { ...facts, epoch, as_of: seq, head: Math.max(facts.head, seq), n };
      for (const room of event.rooms) changed.set(room.room, viewOf(room, epoch, n));
    } else {
      const name = textOf(event, 'room');
      const [epoch, seq] = parseId(event.id) ?? [facts.epoch, facts.head + 1];
      const view = changed.get(name ?? '') ?? (name === null ? undefined : facts.rooms[name]);
      if (epoch === facts.epoch && seq <= facts.as_of) continue;
      if (view && epoch === view.epoch && seq <= view.seq) continue;
      const renewed = epoch === facts.epoch ? facts : { ...facts, as_of: 0, head: 0 };
      facts = { ...renewed, epoch, head: Math.max(renewed.head, seq), n: facts.n + 1 };
      if (name === null) continue;
      const copy = changed.get(name) ?? copyView(view);
      copy.epoch = epoch;
      copy.seq = seq;
      apply(copy, event, facts.n);
      changed.set(name, copy);
    }
  }
  if (changed.size) {
    const views = Object.assign(Object.create(null), facts.rooms);
    const states = Object.assign(Object.create(null), rooms);
    for (const [name, view] of changed) {
      views[name] = view;
      states[name] = describe(name, view, states[name]);
    }
    facts = { ...facts, rooms: views };
    rooms = states;
  }
  return state && rooms === state.rooms && facts === state.facts ? state : { rooms, facts };
}

/**
 * @param {string} room
 * @param {View} view
 * @param {RoomState | undefined} last
 * @returns {RoomState}
 */
function describe(room, view, last) {
  const reading = read(view);
  const transcript = reading.transcript(last?.transcript);
  /** @type {RoomState} */
  const state = {
    room,
    last_seq: view.seq,
    updated: view.updated,
    participants: reading.participants(),
    agent_state: reading.state('agent_state'),
    speaking: reading.speaking(),
    user_state: reading.state('user_state'),
    turn: reading.turn(transcript),
    transcript,
    sessions: reading.sessions(),
  };
  if (!view.viewer) state.tools = reading.tools();
  return state;
}

/** @param {View} view */
function read(view) {
  /** @param {string} name */
  const family = (name) => new Map((view.families[name] ?? []).map(([key, n, value]) => [key, { n, value }]));
  const ended = family('ended');
  const members = family('member');
  const finished = family('finished').get('')?.n ?? 0;

  /**
   * Whether the session (or all of them, or the room) has ended after `n`.
   *
   * @param {string | null} session
   * @param {number} n
   */
  const isOver = (session, n) =>
    n < Math.max(finished, ended.get(keyOf(session))?.n ?? 0, ended.get(keyOf(null))?.n ?? 0);

  return {
    participants() {
      const roles = family('role');
      /** @type {string[]} */
      const present = [];
      for (const [key, { n, value: here }] of members) {
        if (here && n > finished) present.push(key);
      }
      for (const [key, { n, value: session }] of family('mention')) {
        if (!members.has(key) && !isOver(session, n)) present.push(key);
      }
      const people = present.map((key) => ({
        identity: /** @type {string} */ (JSON.parse(key)[0]),
        role: /** @type {string | null} */ (roles.get(key)?.value ?? null),
      }));
      return people.sort((one, other) => byCodePoint(one.identity, other.identity));
    },

    speaking() {
      const voices = family('voice');
      /** @type {Set<string>} */
      const speaking = new Set();
      for (const [key, { n, value: speaks }] of voices) {
        /** @type {[string, string | null, string | null]} */
        const [role, session, who] = JSON.parse(key);
        // An end that names nobody ends the speech of everybody in that role.
        const hushed = [keyOf(role, session, null), keyOf(role, null, null)].some((all) => {
          const end = voices.get(all);
          return end && !end.value && end.n > n;
        });
        const stay = members.get(keyOf(who));
        const left = stay && !stay.value && n < stay.n;
        if (speaks && !hushed && !isOver(session, n) && !left) speaking.add(who ?? role);
      }
      return [...speaking];
    },

    /**
     * @param {string} name
     * @returns {string | null}
     */
    state(name) {
      const told = [...family(name)].filter(([key, { n }]) => !isOver(JSON.parse(key)[0], n));
      return told.at(-1)?.[1].value ?? null;
    },

    /**
     * The last lines, in the order in which they began.
     *
     * @param {Line[] | undefined} last Returned again where nothing has changed.
     * @returns {Line[]}
     */
    transcript(last) {
      const segments = family('segment');
      const began = new Map([...segments].map(([key, { n }]) => [key, n]));
      const [numbers, keys] = view.order;
      for (let index = keys.length - 1; index >= 0; index--) {
        const key = /** @type {string} */ (keys[index]);
        if (began.has(key)) began.set(key, /** @type {number} */ (numbers[index]));
      }
      const order = [...began].sort((one, other) => one[1] - other[1]);
      const lines = order.map(([key]) => segments.get(key)?.value);
      return last?.length === lines.length && lines.every((line, at) => line === last[at]) ? last : lines;
    },

    /** @param {Line[]} transcript */
    turn(transcript) {
      const open = family('turn').get('');
      if (!open) return null;
      /** @type {[string | null, string]} */
      const [session, turn] = open.value;
      const end = family('turn_end').get(keyOf(session, turn))?.n ?? 0;
      if (open.n <= end || isOver(session, open.n)) return null;
      /** @param {string} role */
      const words = (role) =>
        transcript
          .filter((line) => line.session_id === session && line.turn_id === turn && line.role === role)
          .map((line) => line.text)
          .join(' ');
      return { turn_id: turn, session_id: session, user: words('user'), agent: words('agent') };
    },

    sessions() {
      const started = family('started');
      const found = [...family('session')].map(([key, { n }]) => {
        const start = started.get(key);
        /** @type {import('./types.js').Session} */
        const session = { session_id: JSON.parse(key)[0], started: start?.value ?? null };
        const end = ended.get(key);
        if (end && end.n > (start?.n ?? 0)) [session.ended, session.reason] = end.value;
        return { began: start?.n ?? n, session };
      });
      return found.sort((one, other) => one.began - other.began).map(({ session }) => session);
    },

    tools() {
      const calls = family('tool');
      const ends = family('tool_end');
      const found = [...new Set([...calls.keys(), ...ends.keys()])].map((key) => {
        /** @type {[string | null, string]} */
        const [session, call_id] = JSON.parse(key);
        const began = calls.get(key)?.n ?? 0;
        const over = ends.get(key)?.n ?? 0;
        const call = calls.get(key)?.value ?? {};
        const end = over > began ? ends.get(key)?.value : {};
        /** @param {string} field */
        const first = (field) => (Object.hasOwn(call, field) ? call : end)[field] ?? null;
        const open = isOver(session, began) ? 'unfinished' : 'running';
        const known = {
          session_id: session,
          call_id,
          turn_id: first('turn_id'),
          name: first('name'),
          arguments: call.arguments ?? null,
          started: call.timestamp ?? null,
          status: over > began ? (end.status ?? null) : open,
          output: end.output ?? null,
          duration: end.duration ?? null,
          finished: end.timestamp ?? null,
        };
        return { began: began || over, known };
      });
      return found.sort((one, other) => one.began - other.began).map(({ known }) => known);
    },
  };
}

/**
 * Compare as Python does, not by UTF-16 units.
 *
 * @param {string} one
 * @param {string} other
 */
function byCodePoint(one, other) {
  const [left, right] = [[...one], [...other]];
  for (const [index, character] of left.entries()) {
    const difference = (character.codePointAt(0) ?? 0) - (right[index]?.codePointAt(0) ?? -1);
    if (difference) return difference;
  }
  return left.length - right.length;
}
