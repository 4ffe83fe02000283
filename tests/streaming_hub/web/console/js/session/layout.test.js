import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RULER, layoutOf, rowAt } from '/console/static/session/layout.js';
import { Spans } from '/console/static/session/spans.js';
import { Timeline } from '/console/static/session/timeline.js';

const timelineOf = (...events) => {
  const timeline = new Timeline();
  for (const [timestamp, type, fields] of events) timeline.take({ timestamp, type, session_id: 's', ...fields });
  return timeline;
};

test('lanes are in a fixed order and do not touch', () => {
  const timeline = timelineOf(
    [1, 'tool_call_started', { call_id: 'a' }], [2, 'agent_speech_started', { participant: 'bot' }], [3, 'error', {}],
    [4, 'agent_state', { state: 'thinking' }], [5, 'user_speech_started', { participant: 'bob' }], [6, 'user_speech_started', {}],
  );
  const waits = new Spans();
  waits.add({ from: 1, to: 2, kind: 'wait', label: '' });
  const { rows, height } = layoutOf(timeline, waits);
  assert.deepEqual(rows.map(({ label }) => label), ['bob', 'User', 'bot', 'Thinking', 'Latency', 'Tools', 'Events']);
  assert.ok(rows[0].y > RULER);
  for (const [index, row] of rows.entries()) {
    assert.ok(row.y + row.height < (rows[index + 1]?.y ?? height + 1));
    assert.equal(rowAt({ rows, height }, row.y), row);
    assert.equal(rowAt({ rows, height }, row.y + row.height), null);
  }
});

test('overlapping calls make the lane higher', () => {
  const one = layoutOf(timelineOf([1, 'tool_call_started', { call_id: 'a' }]), new Spans());
  const two = layoutOf(timelineOf([1, 'tool_call_started', { call_id: 'a' }], [2, 'tool_call_started', { call_id: 'b' }]), new Spans());
  assert.ok(two.height > one.height);
});

test('an empty session has no lanes', () => {
  assert.deepEqual(layoutOf(new Timeline(), new Spans()).rows, []);
});

test('uploads have their own lanes: sound on top, overlapping stages in rows', () => {
  const stages = new Spans();
  stages.add({ from: 0, to: 4, kind: 'stage', label: 'agent turn' });
  stages.add({ from: 1, to: 2, kind: 'stage', label: 'llm request' });
  const timeline = timelineOf([5, 'user_speech_started', { participant: 'bob' }]);
  const { rows } = layoutOf(timeline, new Spans(), { stages, hasSound: true });
  assert.deepEqual(rows.map(({ label }) => label), ['Sound', 'bob', 'Stages']);
  assert.deepEqual(stages.items.map(({ row }) => row), [0, 1]);
  assert.deepEqual(layoutOf(timeline, new Spans(), { stages: new Spans() }).rows.map(({ label }) => label), ['bob']);
});
