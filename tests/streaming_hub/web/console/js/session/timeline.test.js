import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

import { figuresOf } from '/console/client/figures.js';
import { versionAt } from '/console/static/session/lines.js';
import { Timeline } from '/console/static/session/timeline.js';

const VECTORS = new URL('../../../../../vectors/figures/', import.meta.url);
const START = 1_795_430_000;

const timelineOf = (events) => {
  const timeline = new Timeline();
  for (const event of events) timeline.take(event);
  return timeline;
};
const event = (t, type, fields = {}) => ({ type, timestamp: START + t, room: 'r', session_id: 's', ...fields });
const user = { role: 'user', participant: 'alice' };
const agent = { role: 'agent', participant: 'bot' };
const words = (timeline, t = Infinity) => timeline.lines.items.map((line) => versionAt(line, t).text);
const spans = (timeline, kind) =>
  timeline.lanes.filter((lane) => lane.kind === kind).flatMap((lane) => lane.spans.items.map(({ from, to }) => [from, to]));

test('its length and talk times are those of the figures, for every vector', () => {
  let talks = 0;
  for (const name of readdirSync(VECTORS).filter((file) => file.endsWith('.json') && !file.startsWith('words-only'))) {
    const { events } = JSON.parse(readFileSync(new URL(name, VECTORS), 'utf8'));
    const timeline = timelineOf(events);
    const { session } = figuresOf(events);
    if (name !== 'late.json') assert.ok(Math.abs(timeline.length - session.duration) < 1e-5, name);
    for (const role of ['user', 'agent']) {
      const ends = (session.ended ?? timeline.newest) - timeline.started;
      const covered = union(spans(timeline, role).map(([from, to]) => [from, to ?? ends]));
      assert.ok(Math.abs(covered - session[`${role}_talk`]) < 1e-5, `${name}: ${role}_talk`);
      talks += covered;
    }
  }
  assert.ok(talks > 0);
});

test('interims and their final are one line that grows', () => {
  const timeline = timelineOf([
    event(0, 'session_started'),
    event(1, 'user_speech_started', user),
    event(2, 'transcript', { ...user, segment_id: 'a', is_final: false, text: 'What' }),
    event(3, 'transcript', { ...user, segment_id: 'a', is_final: false, text: 'What time' }),
  ]);
  assert.deepEqual(words(timeline), ['What time']);
  assert.equal(timeline.lines.items[0].is_final, false);
  assert.equal(timeline.lines.items[0].start, 1, 'from the start of the speech');
  timeline.take(event(4, 'transcript', { ...user, segment_id: 'a', is_final: true, text: 'What time is it?' }));
  assert.deepEqual(words(timeline), ['What time is it?']);
  assert.deepEqual([0, 1.5, 2.5, 3, 4].map((t) => words(timeline, t)[0]),
    ['What', 'What', 'What', 'What time', 'What time is it?']);
  assert.equal(timeline.lines.items[0].is_final, true);
});

test('an utterance that is given up keeps its words and its line', () => {
  const timeline = timelineOf([
    event(1, 'transcript', { ...user, segment_id: 'a', is_final: false, text: 'Please' }),
    event(2, 'transcript', { ...user, segment_id: 'a', is_final: false, text: '' }),
    event(3, 'transcript', { ...user, segment_id: 'a', is_final: true, text: '' }),
    event(4, 'transcript', { ...user, is_final: true, text: '' }),
  ]);
  assert.deepEqual(words(timeline), ['Please']);
});

test('the same segment id of two people makes two lines', () => {
  const timeline = timelineOf([
    event(1, 'transcript', { ...user, segment_id: 'a', text: 'One' }),
    event(2, 'transcript', { ...agent, segment_id: 'a', text: 'Two' }),
    event(3, 'transcript', { ...user, text: 'Three' }),
    event(4, 'transcript', { ...user, text: 'Three' }),
  ]);
  assert.deepEqual(words(timeline), ['One', 'Two', 'Three', 'Three']);
});

test('the line at a time is the last that has begun', () => {
  const timeline = timelineOf([
    event(0, 'session_started'),
    event(5, 'agent_speech_started', { ...agent, turn_id: 't1' }),
    event(9, 'transcript', { ...agent, turn_id: 't1', text: 'Hello.' }),
    event(10, 'agent_speech_finished', { ...agent, turn_id: 't1' }),
    event(12, 'user_speech_started', { ...user, turn_id: 't2', started_at: START + 11 }),
    event(14, 'transcript', { ...user, turn_id: 't2', text: 'Hi.' }),
  ]);
  assert.deepEqual([0, 4.9, 5, 10.9, 11, 500].map((t) => timeline.lines.at(t)), [-1, -1, 0, 0, 1, 1]);
});

test('lines are in the order of their starts, even if their words arrive later', () => {
  const timeline = timelineOf([
    event(0, 'agent_speech_started', agent),
    event(1, 'user_speech_started', user),
    event(2, 'transcript', { ...user, text: 'Stop!' }),
    event(3, 'transcript', { ...agent, text: 'Our opening hours', interrupted: true }),
  ]);
  assert.deepEqual(words(timeline), ['Our opening hours', 'Stop!']);
  assert.equal(timeline.lines.items[0].interrupted, true);
});

test('thinking lasts until the next state, or the session\'s end', () => {
  const timeline = timelineOf([
    event(0, 'session_started'),
    event(1, 'agent_state', { state: 'thinking' }),
    event(2, 'agent_state', { state: 'thinking' }),
    event(3, 'agent_state', { state: 'speaking' }),
    event(5, 'agent_state', { state: 'thinking' }),
    event(6, 'session_ended', { reason: 'x' }),
  ]);
  assert.deepEqual(spans(timeline, 'thinking'), [[1, 3], [5, 6]]);
  assert.equal(timeline.ended, 6);
});

test('tool calls last until their end, and failures have their own kind', () => {
  const timeline = timelineOf([
    event(0, 'session_started'),
    event(1, 'tool_call_started', { call_id: 'a', name: 'look_up' }),
    event(2, 'tool_call_started', { call_id: 'b', name: 'book' }),
    event(3, 'tool_call_finished', { call_id: 'a', status: 'error' }),
    event(9, 'tool_call_finished', { call_id: 'c', name: 'late', status: 'done', duration: 4 }),
  ]);
  const [lane] = timeline.lanes;
  assert.deepEqual(lane.spans.items.map(({ from, to, kind, label }) => [from, to, kind, label]), [
    [1, 3, 'tool-failed', 'look_up'], [2, null, 'tool', 'book'], [5, 9, 'tool', 'late'],
  ]);
});

test('notable events have marks; a report is not part of the session', () => {
  const timeline = timelineOf([
    event(0, 'session_started'),
    event(4, 'interruption'),
    event(5, 'error', { message: 'no model', source: 'llm' }),
    event(6, 'session_ended', { reason: 'done' }),
    event(90, 'session_report', { session: {} }),
  ]);
  assert.deepEqual(timeline.marks.items.map(({ from, kind }) => [from, kind]), [[4, 'interruption'], [5, 'error'], [6, 'end']]);
  assert.equal(timeline.length, 6);
  assert.equal(timeline.count, 4);
});

test('fields of wrong types do no harm', () => {
  const timeline = timelineOf([
    { type: 'transcript', text: ['a'], timestamp: 'now', is_final: 'no' },
    { type: 'agent_speech_finished', timestamp: -1 },
    { type: 'tool_call_finished', timestamp: 1e300, duration: 'long' },
    { type: 'agent_speech_started', participant: 7, started_at: null },
    { type: 'agent_state', state: {} },
  ]);
  assert.equal(timeline.length, 0);
  assert.deepEqual(words(timeline), []);
});

test('an hour of events makes a line for each utterance', () => {
  const events = [];
  for (let at = 0; at < 1000; at++) {
    events.push(event(at * 3, 'user_speech_started', user));
    for (let count = 1; count < 7; count++) {
      events.push(event(at * 3 + count / 10, 'transcript', { ...user, segment_id: `s${at}`, is_final: false, text: 'a '.repeat(count) }));
    }
    events.push(event(at * 3 + 1, 'transcript', { ...user, segment_id: `s${at}`, text: 'done' }));
    events.push(event(at * 3 + 1, 'user_speech_finished', user));
  }
  const timeline = timelineOf(events);
  assert.equal(timeline.lines.items.length, 1000);
  assert.equal(timeline.lines.at(2999), 999);
});

/** The length of intervals' union. */
function union(intervals) {
  let [total, reach] = [0, -Infinity];
  for (const [from, to] of intervals.filter(([start, stop]) => start < stop).sort((a, b) => a[0] - b[0])) {
    total += Math.max(0, to - Math.max(from, reach));
    reach = Math.max(reach, to);
  }
  return total;
}
