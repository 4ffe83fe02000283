/**
 * Computes the rooms' current state from events: what `GET /api/rooms/NAME` returns after the same events. Pure.
 *
 * `facts.js` stores what is needed of the events; this module derives the state from it.
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
 * A conversation without events.
 *
 * @returns {Conversation}
 */
export const emptyConversation = () => ({
  rooms: Object.create(null),
  facts: { epoch: '', head: 0, as_of: 0, n: 0, rooms: Object.create(null) },
});

/**
 * Return the conversation after one more event. The given conversation is not modified.
 *
 * Events arrive in the stream's order; one that was already applied is skipped. A `snapshot` replaces all rooms. A
 * gap starts over, because every event that is still stored follows it.
 *
 * @param {Conversation | undefined} state
 * @param {HubEvent | Gap} event
 * @returns {Conversation}
 */
export const reduceConversation = (state, event) => reduceAll(state, [event]);

/**
 * Return the conversation after several more events. Each changed room's state is computed once.
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
      // Events that survived the loss of a history are not sent again.
      if (event.reason !== 'history_lost') restart();
    } else if (event.type === 'snapshot') {
      const [epoch, seq] = parseId(event.as_of) ?? ['', 0];
      // One state may be split into several snapshots.
      if (epoch !== facts.epoch || seq !== facts.as_of) restart();
      const n = facts.n + 1;
      facts = { ...facts, epoch, as_of: seq, head: Math.max(facts.head, seq), n };
      for (const room of event.rooms) changed.set(room.room, viewOf(room, epoch, n));
    } else {
      const name = textOf(event, 'room');
      const [epoch, seq] = parseId(event.id) ?? [facts.epoch, facts.head + 1];
      const view = changed.get(name ?? '') ?? (name === null ? undefined : facts.rooms[name]);
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
 * Return the conversation without some rooms.
 *
 * @param {Conversation} state
 * @param {readonly string[]} names
 * @returns {Conversation}
 */
export function withoutRooms({ rooms, facts }, names) {
  /** @template T @param {Readonly<Record<string, T>>} all @returns {Record<string, T>} */
  const rest = (all) => {
    const copy = Object.assign(Object.create(null), all);
    for (const name of names) delete copy[name];
    return copy;
  };
  return { rooms: rest(rooms), facts: { ...facts, rooms: rest(facts.rooms) } };
}

/**
 * @param {string} room
 * @param {View} view
 * @param {RoomState} [last] Its transcript is reused if nothing in it has changed.
 * @returns {RoomState}
 */
function describe(room, view, last) {
  /**
   * @param {string} name
   * @returns {Map<string, { n: number, value: any }>} Oldest first.
   */
  const family = (name) => new Map((view.families[name] ?? []).map(([key, n, value]) => [key, { n, value }]));
  const ended = family('ended');
  const members = family('member');
  const roles = family('role');
  const started = family('started');
  const voices = family('voice');
  const calls = family('tool');
  const ends = family('tool_end');
  const segments = family('segment');
  const finished = at(family('finished'), '');

  /**
   * Whether the session (or all of them, or the room) has ended after `n`.
   *
   * @param {string | null} session
   * @param {number} n
   */
  const isOver = (session, n) => n < Math.max(finished, at(ended, keyOf(session)), at(ended, keyOf(null)));

  const present = [...members].filter(([, { n, value }]) => value && n > finished);
  const mentioned = [...family('mention')].filter(([key, { n, value }]) => !members.has(key) && !isOver(value, n));
  const participants = [...present, ...mentioned].map(([key]) => ({
    identity: /** @type {string} */ (JSON.parse(key)[0]),
    role: roles.get(key)?.value ?? null,
  }));

  const speaking = [...voices].flatMap(([key, { n, value: speaks }]) => {
    /** @type {[string, string | null, string | null]} */
    const [role, session, who] = JSON.parse(key);
    // An end without a participant ends the speech of everyone in that role.
    const hushed = [keyOf(role, session, null), keyOf(role, null, null)].some(
      (all) => at(voices, all) > n && !voices.get(all)?.value,
    );
    const left = at(members, keyOf(who)) > n && !members.get(keyOf(who))?.value;
    return speaks && !hushed && !left && !isOver(session, n) ? [who ?? role] : [];
  });

  /**
   * The newest state of a session that has not ended.
   *
   * @param {string} name
   * @returns {string | null}
   */
  const state = (name) =>
    [...family(name)].filter(([key, { n }]) => !isOver(JSON.parse(key)[0], n)).at(-1)?.[1].value ?? null;

  const began = new Map([...segments].map(([key, { n }]) => [key, n]));
  const [numbers, keys] = view.order;
  for (let index = keys.length; index--; ) {
    const key = keys[index] ?? '';
    if (began.has(key)) began.set(key, numbers[index] ?? 0);
  }
  /** @type {Line[]} */
  let transcript = [...began].sort((one, other) => one[1] - other[1]).map(([key]) => segments.get(key)?.value);
  const lines = last?.transcript;
  if (lines?.length === transcript.length && lines.every((line, index) => line === transcript[index])) transcript = lines;

  // The turn of the last speech. New speech reopens a turn; late words of the user do not.
  const [starts, heard, ends_of] = [family('turn_start'), family('turn_words'), family('turn_end')];
  /** @type {{ turn_id: string, session_id: string | null } | null} */
  let turn = null;
  let newest = 0;
  for (const key of [...starts.keys(), ...heard.keys()]) {
    const [began, said, end] = [at(starts, key), at(heard, key), at(ends_of, key)];
    const continues = began > end || !end;
    const n = !end || said < end ? Math.max(began, said) : began || end;
    if (n <= newest) continue;
    newest = n;
    /** @type {[string | null, string]} */
    const [session_id, turn_id] = JSON.parse(key);
    turn = continues && !isOver(session_id, n) ? { turn_id, session_id } : null;
  }
  /**
   * @param {{ turn_id: string, session_id: string | null }} of
   * @param {string} role
   */
  const words = (of, role) =>
    transcript
      .filter((line) => line.session_id === of.session_id && line.turn_id === of.turn_id && line.role === role)
      .map((line) => line.text)
      .join(' ');

  const sessions = [...family('session')].map(([key, { n, value: updated }]) => {
    /** @type {import('./types.js').Session} */
    const session = { session_id: JSON.parse(key)[0], started: started.get(key)?.value ?? null, updated };
    if (at(ended, key) > at(started, key)) [session.ended, session.reason] = ended.get(key)?.value;
    return { n: at(started, key) || n, is: session };
  });

  const tools = [...new Set([...calls.keys(), ...ends.keys()])].map((key) => {
    /** @type {[string | null, string]} */
    const [session_id, call_id] = JSON.parse(key);
    const n = at(calls, key);
    const call = calls.get(key)?.value ?? {};
    const end = at(ends, key) > n ? ends.get(key)?.value : null;
    // The start's value wins, even if it is null.
    const both = { ...end, ...call };
    const tool = {
      session_id,
      call_id,
      turn_id: both.turn_id ?? null,
      name: both.name ?? null,
      arguments: call.arguments ?? null,
      started: call.timestamp ?? null,
      status: end ? (end.status ?? null) : isOver(session_id, n) ? 'unfinished' : 'running',
      output: end?.output ?? null,
      duration: end?.duration ?? null,
      finished: end?.timestamp ?? null,
    };
    return { n: n || at(ends, key), is: tool };
  });

  return {
    room,
    last_seq: view.seq,
    updated: view.updated,
    participants: participants.sort((one, other) => byCodePoint(one.identity, other.identity)),
    agent_state: state('agent_state'),
    speaking: [...new Set(speaking)],
    user_state: state('user_state'),
    turn: turn && { ...turn, user: words(turn, 'user'), agent: words(turn, 'agent') },
    transcript,
    sessions: inOrder(sessions),
    ...(!view.viewer && { tools: inOrder(tools) }),
  };
}

/**
 * Position of a key's newest event; 0 if there is none.
 *
 * @param {Map<string, { n: number, value: any }>} family
 * @param {string} key
 */
const at = (family, key) => family.get(key)?.n ?? 0;

/**
 * @template T
 * @param {{ n: number, is: T }[]} found
 * @returns {T[]}
 */
const inOrder = (found) => found.sort((one, other) => one.n - other.n).map(({ is }) => is);

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
