import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { Gap, emptyConversation, reduceConversation } from '../src/index.js';
import { reduceAll, withoutRooms } from '../src/conversation.js';

const VECTORS = new URL('../../../tests/vectors/conversation/', import.meta.url);
const reduce = (events, state) => events.reduce(reduceConversation, state);
const vector = (name) => JSON.parse(readFileSync(new URL(`${name}.json`, VECTORS), 'utf8'));
/** Without prototypes, which `rooms` has none of. */
const plain = (value) => JSON.parse(JSON.stringify(value));
const freeze = (value) => {
  if (value && typeof value === 'object' && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
};

const files = readdirSync(VECTORS);
assert.ok(files.length >= 10);
for (const file of files) {
  test(`vector ${file}`, () => {
    const { events, rooms } = vector(file.replace('.json', ''));
    assert.deepEqual(plain(reduce(events, undefined).rooms), rooms);
    assert.deepEqual(plain(reduceAll(undefined, events).rooms), rooms);
  });
}

test('the state given is never changed', () => {
  let state = freeze(emptyConversation());
  for (const event of vector('whole_call').events) state = freeze(reduceConversation(state, freeze(event)));
  assert.deepEqual(plain(state.rooms), vector('whole_call').rooms);
});

test('what did not change is the same object', () => {
  const state = reduce([{ type: 'transcript', room: 'a', text: 'hi' }, { type: 'x', room: 'b' }], undefined);
  const next = reduceConversation(state, { type: 'y', room: 'b' });
  assert.equal(next.rooms.a, state.rooms.a);
  assert.notEqual(next.rooms.b, state.rooms.b);
  assert.equal(reduceConversation(state, { type: 'z', room: 'a' }).rooms.a.transcript, state.rooms.a.transcript);
  assert.equal(reduceConversation(state, { type: 'heartbeat', timestamp: 1, id: 'e-1' }).rooms, state.rooms);
  assert.equal(reduceConversation(state, { type: 'snapshot', as_of: 'e-9', rooms: [] }).rooms.a, undefined);
});

test('a conversation survives JSON', () => {
  const { events, rooms } = vector('whole_call');
  const half = plain(reduce(events.slice(0, 13), undefined));
  assert.deepEqual(plain(reduce(events.slice(13), half).rooms), rooms);
});

test('an event that was already applied is skipped', () => {
  const { events, rooms } = vector('whole_call');
  const twice = events.flatMap((event, at) => [event, ...events.slice(Math.max(0, at - 3), at + 1)]);
  assert.deepEqual(plain(reduce(twice, undefined).rooms), rooms);
});

test('removed rooms are gone, and start over with a later event', () => {
  const say = (n, room, text) => ({ id: `e-${n}`, type: 'transcript', room, session_id: 's', segment_id: `${n}`, text });
  const before = [say(1, 'a', 'one'), say(2, 'b', 'two'), say(3, 'constructor', 'three')].reduce(reduceConversation, undefined);
  const after = withoutRooms(before, ['a', 'constructor', 'unknown']);
  assert.deepEqual(Object.keys(after.rooms), ['b']);
  assert.deepEqual(Object.keys(after.facts.rooms), ['b']);
  assert.deepEqual(Object.keys(before.rooms), ['a', 'b', 'constructor']);
  assert.equal(after.rooms.b, before.rooms.b);
  const { rooms } = reduceConversation(after, say(4, 'a', 'four'));
  assert.deepEqual(rooms.a.transcript.map(({ text }) => text), ['four']);
});

test('a gap starts over; a lost history continues under other numbers', () => {
  const { events, rooms } = vector('in_the_middle');
  const stale = reduce([{ type: 'agent_speech_started', room: 'gone', id: 'e-1' }], undefined);
  for (const gap of [new Gap(3, 'expired'), { type: 'stream_reset', reason: 'foreign', missed: null }]) {
    assert.deepEqual(plain(reduce([gap, ...events], stale).rooms), rooms);
  }
  const lost = reduce(events.slice(0, 10), undefined);
  const renumbered = events.slice(10).map((event, at) => ({ ...event, id: `other-${at + 1}` }));
  const state = reduce([new Gap(null, 'history_lost'), ...renumbered], lost).rooms['support-7'];
  assert.deepEqual(plain({ ...state, last_seq: 20 }), { ...rooms['support-7'], last_seq: 20 });
});

// A snapshot tells the newest state of all sessions in a room, so with several of them what was open may differ later.
for (const name of ['whole_call', 'in_the_middle', 'interrupted_answer', 'tools', 'interims_are_replaced']) {
  test(`a snapshot anywhere in ${name} gives the room's state, and the same lines and turns at the end`, () => {
    const { events, rooms } = vector(name);
    for (let at = 1; at <= events.length; at++) {
      const there = plain(reduce(events.slice(0, at), undefined).rooms);
      const snapshot = { type: 'snapshot', as_of: events[at - 1].id, rooms: Object.values(there) };
      const opened = reduceConversation(undefined, snapshot);
      assert.deepEqual(plain(opened.rooms), there, `after ${at}`);
      // Events that the snapshot includes may follow it on a stream that resumes.
      const end = plain(reduce(events.slice(Math.max(0, at - 2)), opened).rooms);
      for (const field of ['transcript', 'sessions', 'turn', 'speaking', 'agent_state', 'user_state', 'tools', 'last_seq']) {
        assert.deepEqual(end['support-7'][field], rooms['support-7'][field], `${field}, opened after ${at}`);
      }
    }
  });
}

test('a snapshot anywhere leaves a turn that has ended closed to late words', () => {
  const { events, rooms } = vector('late_words');
  for (let at = 1; at <= events.length; at++) {
    const there = reduce(events.slice(0, at), undefined).rooms;
    const opened = reduceConversation(undefined, { type: 'snapshot', as_of: events[at - 1].id, rooms: Object.values(there) });
    const end = reduce(events.slice(at), opened).rooms;
    for (const [name, { turn }] of Object.entries(rooms)) assert.deepEqual(plain(end[name].turn), turn, `${name}, opened after ${at}`);
  }
});

test('a state in several snapshots is one state; the next one replaces it', () => {
  const { rooms } = vector('rooms');
  const parts = Object.values(rooms).map((room) => ({ type: 'snapshot', as_of: '4fdd2f42-9', rooms: [room] }));
  const state = reduce(parts, undefined);
  assert.deepEqual(plain(state.rooms), rooms);
  assert.deepEqual(Object.keys(reduceConversation(state, { ...parts[0], as_of: '4fdd2f42-10' }).rooms), [parts[0].rooms[0].room]);
});

test('a viewer’s snapshot has no tools, and neither has what follows', () => {
  const { tools, ...viewer } = vector('in_the_middle').rooms['support-7'];
  assert.ok(tools);
  const state = reduceConversation(undefined, { type: 'snapshot', as_of: '4fdd2f42-20', rooms: [viewer] });
  assert.deepEqual(plain(state.rooms['support-7']), viewer);
  const next = reduceConversation(state, { type: 'x', room: 'support-7', id: '4fdd2f42-21' });
  assert.equal('tools' in next.rooms['support-7'], false);
});

test('after a snapshot, the end of speech applies whatever session it names', () => {
  const speaking = vector('in_the_middle').rooms['support-7'];
  assert.deepEqual(speaking.speaking, ['agent']);
  const opened = reduceConversation(undefined, { type: 'snapshot', as_of: 'e-30', rooms: [{ ...speaking, turn: null, sessions: [] }] });
  const end = { type: 'agent_speech_finished', room: 'support-7', session_id: 'd74c', participant: 'agent', id: 'e-31' };
  assert.deepEqual(reduceConversation(opened, end).rooms['support-7'].speaking, []);
});
