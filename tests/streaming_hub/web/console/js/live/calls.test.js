import assert from 'node:assert/strict';
import test from 'node:test';

import { Gap } from '/console/client/gap.js';
import { Calls } from '/console/static/live/calls.js';

const IN = { room: 'r', session_id: 's' };
const after = (...events) => {
  const calls = new Calls();
  for (const event of events) calls.take({ ...IN, ...event }, 5000);
  return calls;
};
const turn = (turn_id, stop, start) => [
  { type: 'user_speech_finished', turn_id, timestamp: stop + 0.5, stopped_at: stop },
  { type: 'agent_speech_started', turn_id, timestamp: start },
];

test('heard latency is the time from the user\'s last word to the agent\'s first sound after it', () => {
  const call = after(
    { type: 'user_speech_finished', turn_id: 't', timestamp: 10 },
    ...turn('t', 12, 13.25),
    { type: 'user_speech_finished', turn_id: 't', timestamp: 14 },
    { type: 'agent_speech_started', turn_id: 't', timestamp: 20 },
    ...turn('u', 30, 29),
    ...turn('v', 31, 31.5),
  ).get('r', 's');
  assert.deepEqual(call.latencies, [1.25, 0.5]);
});

test('the last ten latencies count, and old turns are forgotten', () => {
  const call = after(...Array.from({ length: 200 }, (_, n) => turn(`t${n}`, n * 10, n * 10 + n / 100)).flat()).get('r', 's');
  assert.deepEqual(call.latencies.length, 10);
  assert.equal(call.latencies.at(-1), 1.99);
  assert.ok(call.turns.size <= 30);
});

test('thinking starts with its first event', () => {
  const thinking = [
    { type: 'agent_state', state: 'thinking', timestamp: 10 },
    { type: 'agent_state', state: 'thinking', timestamp: 12 },
  ];
  assert.equal(after(...thinking).get('r', 's').thinkingSince, 10);
  assert.equal(after(...thinking, { type: 'agent_state', state: 'speaking', timestamp: 13 }).get('r', 's').thinkingSince, null);
});

test('voices and words end a silence, other events do not', () => {
  const events = [
    { type: 'user_speech_started', timestamp: 10, started_at: 9 },
    { type: 'user_speech_finished', timestamp: 12, stopped_at: 11 },
    { type: 'usage', timestamp: 50 },
    { type: 'agent_state', state: 'listening', timestamp: 60 },
  ];
  assert.equal(after(...events).get('r', 's').heard, 11);
  assert.equal(after(...events, { type: 'transcript', timestamp: 20 }).get('r', 's').heard, 20);
  assert.equal(after(...events.toReversed()).get('r', 's').heard, 11, 'also where events come late');
});

test('interruptions: what the archive has is not counted twice', () => {
  const call = after(...[10, 20, 30].map((timestamp) => ({ type: 'interruption', timestamp }))).get('r', 's');
  assert.equal(call.interruptionCount, 3);
  call.archived = { interruptions: 7, until: 20 };
  assert.equal(call.interruptionCount, 8);
});

test('errors, tools and dropped events are marked with their time', () => {
  const call = after(
    { type: 'error', source: 'llm', message: 'overloaded', timestamp: 1 },
    { type: 'tool_call_finished', status: 'done', name: 'a', timestamp: 2 },
    { type: 'tool_call_finished', status: 'error', name: 'b', output: 'late', timestamp: 3 },
    { type: 'events_dropped', count: 12, timestamp: 4 },
  ).get('r', 's');
  assert.deepEqual(call.error, { at: 1, text: 'llm: overloaded' });
  assert.deepEqual(call.failedTool, { at: 3, text: 'b: late' });
  assert.deepEqual(call.dropped, { at: 4, text: 'The agent could not deliver 12 events' });
});

test('an error of a room belongs to its calls, one without a room to the page', () => {
  const calls = after({ type: 'session_started', timestamp: 1 });
  calls.take({ type: 'error', room: 'r', message: 'of the room', timestamp: 2 }, 2);
  calls.take({ type: 'error', room: 'other', message: 'elsewhere', timestamp: 2 }, 2);
  assert.equal(calls.get('r', 's').error?.text, 'of the room');
  assert.equal(calls.notice, null);
  calls.take({ type: 'events_dropped', count: 3, reason: 'the spool is full', timestamp: 4 }, 4);
  assert.deepEqual(calls.notice, { at: 4, text: 'The agent could not deliver 3 events: the spool is full' });
});

test('a gap starts over, as stored events are sent again; a lost history does not', () => {
  const calls = after({ type: 'error', message: 'x', timestamp: 1 });
  calls.take(new Gap(null, 'history_lost'), 2);
  assert.equal(calls.rooms.size, 1);
  calls.take(new Gap(5, 'expired'), 2);
  assert.equal(calls.rooms.size, 0);
});

test('calls that are not shown are forgotten', () => {
  const calls = after({ type: 'session_started' }, { type: 'session_started', session_id: 'two' });
  calls.keep((_room, session) => session === 'two');
  assert.deepEqual([...(calls.rooms.get('r')?.keys() ?? [])], ['two']);
  calls.keep(() => false);
  assert.equal(calls.rooms.size, 0);
});

test('fields of wrong types do no harm', () => {
  const odd = [null, 7, '', [], {}];
  for (const type of ['error', 'transcript', 'agent_state', 'tool_call_finished', 'session_ended', 'events_dropped', 'toString']) {
    for (const value of odd) {
      after({ type, timestamp: value, room: value, session_id: value, turn_id: value, message: value, stopped_at: value });
      after({ type, timestamp: value, turn_id: value, started_at: value, state: value, output: value });
    }
  }
});
