import assert from 'node:assert/strict';
import test from 'node:test';

import { reduceConversation } from '/console/client/conversation.js';
import { Calls } from '/console/static/live/calls.js';
import { arrange, finishedRooms, rowsOf, totalsOf } from '/console/static/live/rows.js';

function wall(events, now) {
  const calls = new Calls();
  let conversation;
  events.forEach((fields, index) => {
    const event = { id: `e-${index + 1}`, ...fields };
    calls.take(event, event.timestamp);
    conversation = reduceConversation(conversation, event);
  });
  return rowsOf(conversation?.rooms ?? {}, calls, now);
}

const start = (room, session_id = 's', timestamp = 100) => ({ type: 'session_started', room, session_id, timestamp });
const end = (room, reason, timestamp, session_id = 's') => ({ type: 'session_ended', room, session_id, reason, timestamp });
const rooms = (rows) => rows.map(({ room }) => room);
const found = (rows) => rows.map(({ room, troubles }) => [room, troubles.map(({ name }) => name)]);

test('every live session has a row, even if a room has several', () => {
  const rows = wall([start('a'), start('a', 't'), start('b'), end('b', 'completed', 110)], 111);
  assert.deepEqual(rows.map(({ room, session }) => [room, session]), [['a', 's'], ['a', 't']]);
});

test('a room is forgotten ten minutes after its last event, unless a session in it is live', () => {
  const events = [start('a'), end('a', 'completed', 200), start('b'), { type: 'note', room: 'c', timestamp: 100 }];
  const conversation = events.reduce((state, fields, index) => reduceConversation(state, { id: `e-${index + 1}`, ...fields }), undefined);
  assert.deepEqual(finishedRooms(conversation.rooms, 700), []);
  assert.deepEqual(finishedRooms(conversation.rooms, 701), ['c']);
  assert.deepEqual(finishedRooms(conversation.rooms, 801), ['a', 'c']);
});

test('a lost session stays for 60 s, any other leaves at once', () => {
  const events = [start('a'), end('a', 'worker_lost', 200), start('b'), end('b', 'participant_disconnected', 200)];
  assert.deepEqual(found(wall(events, 201)), [['a', ['Agent lost']]]);
  assert.equal(wall(events, 201)[0]?.state, 'ended');
  assert.equal(wall(events, 201)[0]?.ended, 200);
  assert.deepEqual(found(wall(events, 259.9)), [['a', ['Agent lost']]]);
  assert.deepEqual(wall(events, 260), []);
  assert.deepEqual(found(wall([start('a'), end('a', 'error', 200)], 201)), [['a', ['Error']]]);
  assert.deepEqual(found(wall([start('a'), end('a', 'lease_expired', 200)], 201)), [['a', ['Agent lost']]]);
});

test('a session that replaces a lost one is marked', () => {
  const again = [start('a'), end('a', 'worker_lost', 200), start('a', 't', 203)];
  assert.deepEqual(found(wall(again, 204)), [['a', ['Agent lost']], ['a', ['Agent restarted']]]);
  const other = [start('a'), end('a', 'completed', 200), start('a', 't', 203)];
  assert.deepEqual(found(wall(other, 204)), [['a', []]]);
});

test('a session without an event for a day is dropped', () => {
  assert.equal(wall([start('a')], 100 + 86_399).length, 1);
  assert.equal(wall([start('a')], 100 + 86_400).length, 0);
});

test('a session without an event for a day is dropped, whatever else happens in its room', () => {
  const rows = wall([start('a'), start('a', 't', 90_000)], 90_001);
  assert.deepEqual(rows.map(({ session }) => session), ['t']);
});

test('a session whose end only the archive has is dropped until it starts again', () => {
  const late = { type: 'usage', room: 'a', session_id: 's', timestamp: 100 };
  const calls = new Calls();
  const rooms = () => reduceConversation(undefined, { id: 'e-1', ...late }).rooms;
  assert.equal(rowsOf(rooms(), calls, 101).length, 1);
  calls.noteEnd('a', 's');
  assert.equal(rowsOf(rooms(), calls, 101).length, 0);
  calls.take(start('a'), 102);
  assert.equal(rowsOf(rooms(), calls, 103).length, 1);
});

test('the state is who speaks, or that the agent thinks or listens', () => {
  const talk = { room: 'a', session_id: 's' };
  const state = (...events) => wall([start('a'), ...events.map((event) => ({ ...talk, timestamp: 101, ...event }))], 102)[0]?.state;
  const ann = { participant: 'ann', role: 'user' };
  assert.equal(state(), 'quiet');
  assert.equal(state({ type: 'agent_state', state: 'listening' }), 'listening');
  assert.equal(state({ type: 'agent_state', state: 'thinking' }), 'thinking');
  assert.equal(state({ type: 'user_speech_started', ...ann }), 'user');
  assert.equal(state({ type: 'agent_speech_started', participant: 'bot', role: 'agent' }), 'agent');
  assert.equal(state({ type: 'agent_speech_started' }, { type: 'user_speech_started', ...ann }), 'both');
  assert.equal(state({ type: 'user_speech_started', ...ann }, { type: 'user_speech_finished', ...ann }), 'quiet');
});

test('silence and thinking are measured in event time', () => {
  const talk = { room: 'a', session_id: 's' };
  const events = [start('a'), { ...talk, type: 'agent_state', state: 'thinking', timestamp: 110 }];
  assert.deepEqual(found(wall(events, 114.9)), [['a', []]]);
  assert.deepEqual(found(wall(events, 115.1)), [['a', ['Thinking', 'Silence']]]);
  assert.deepEqual(found(wall([...events, { ...talk, type: 'user_speech_started', timestamp: 112 }], 200)), [['a', []]]);
});

test('the words are the session\'s newest ones, interims included', () => {
  const rows = wall(
    [
      start('a'),
      start('a', 't'),
      { type: 'transcript', room: 'a', session_id: 's', text: 'Hello th', is_final: false, segment_id: '1', timestamp: 101 },
      { type: 'transcript', room: 'a', session_id: 't', text: 'other', segment_id: '2', timestamp: 102 },
    ],
    103,
  );
  assert.deepEqual(rows.map(({ line }) => [line?.text, line?.is_final]), [['Hello th', false], ['other', true]]);
});

test('earlier lines are shown while there are few rows', () => {
  const lines = ['One', 'Two', 'Three', 'Four', 'Five'].map((text, index) => ({ type: 'transcript', room: 'a', session_id: 's', text, timestamp: 101 + index }));
  const earlier = (...others) => wall([start('a'), ...others.map((room) => start(room)), ...lines], 110)[0]?.earlier.map(({ text }) => text);
  assert.deepEqual(earlier('b', 'c', 'd', 'e', 'f'), ['Two', 'Three', 'Four']);
  assert.deepEqual(earlier('b', 'c', 'd', 'e', 'f', 'g'), []);
});

test('rows are sorted by trouble, age, or room with its numbers', () => {
  const error = { type: 'error', room: 'c-10', session_id: 's', message: 'x', timestamp: 119 };
  const talk = ['a', 'b', 'c-9', 'c-10'].map((room) => ({ type: 'transcript', room, session_id: 's', text: 'x', timestamp: room === 'b' ? 100 : 119 }));
  const events = [start('c-9', 's', 101), start('c-10', 's', 104), start('b', 's', 102), start('a', 's', 103), ...talk, error];
  const rows = wall(events, 120);
  assert.deepEqual(rooms(arrange(rows, 'trouble', '')), ['c-10', 'b', 'a', 'c-9']);
  assert.deepEqual(rooms(arrange(rows, 'age', '')), ['c-9', 'b', 'a', 'c-10']);
  assert.deepEqual(rooms(arrange(rows, 'room', '')), ['a', 'b', 'c-9', 'c-10']);
  assert.deepEqual(rooms(arrange(rows, 'nonsense', '')), ['c-10', 'b', 'a', 'c-9']);
});

test('the filter matches rooms, people and troubles, in upper or lower case', () => {
  const people = { type: 'user_speech_started', room: 'a', session_id: 's', participant: 'Ünal', role: 'user', timestamp: 119 };
  const rows = wall([start('a'), start('Table-7', 's', 119), people], 120);
  assert.deepEqual(rooms(arrange(rows, 'room', 'table')), ['Table-7']);
  assert.deepEqual(rooms(arrange(rows, 'room', ' ünal ')), ['a']);
  assert.deepEqual(rooms(arrange(rows, 'room', 'table ünal')), []);
  assert.deepEqual(rooms(arrange(rows, 'room', '')), ['a', 'Table-7']);
});

test('totals count live calls, and ended ones that are still in trouble', () => {
  const events = [
    start('a'),
    { type: 'agent_speech_started', room: 'a', session_id: 's', timestamp: 119 },
    start('b', 's', 119),
    start('c'),
    end('c', 'worker_lost', 119),
  ];
  assert.deepEqual(totalsOf(wall(events, 120)), { live: 2, trouble: 1, agents: 1, callers: 0, thinking: 0, latency: null });
});
