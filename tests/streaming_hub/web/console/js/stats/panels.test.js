import assert from 'node:assert/strict';
import test from 'node:test';

import { OF_SESSIONS } from '/console/static/filters.js';
import { behindOf, csvOf, panelsFor, totalsOf } from '/console/static/stats/panels.js';

const latency = { count: 2, p50: 1, p90: 2, p95: 2, p99: 2, max: 2 };
const bucket = {
  start: 1_795_428_000, sessions: 3, minutes: 1.5, turns: 8, heard_latency: latency, latency, transcription_delay: null,
  end_of_turn_delay: null, llm_node_ttft: latency, tts_node_ttfb: null, interruptions: 2, tool_calls: 4, tool_failures: 1, errors: 0,
};
const hidden = { ...bucket, start: bucket.start + 3600, latency: null, tool_calls: null, tool_failures: null, errors: null };

const panel = (id) => panelsFor('p50', true).find((one) => one.id === id) ?? assert.fail(id);

test('viewers have fewer panels', () => {
  const names = (isOperator) => panelsFor('p50', isOperator).map(({ name }) => name);
  assert.deepEqual(names(true), [
    'Sessions', 'Minutes', 'Heard latency', 'Stages of latency', 'Interruptions', 'Tool failures', 'Errors',
  ]);
  assert.deepEqual(names(false), ['Sessions', 'Minutes', 'Heard latency', 'Interruptions']);
});

test('missing values are null, as is a share of none', () => {
  assert.deepEqual(panel('stages').series.map(({ of }) => of(bucket)), [null, null, 1, null, 1]);
  assert.deepEqual(panel('tool_failures').columns.map(({ of }) => of(bucket)), [1, 4, 0.25]);
  assert.deepEqual(panel('tool_failures').columns.map(({ of }) => of(hidden)), [null, null, null]);
});

test('a point links to the sessions of its time, with the page\'s filters', () => {
  const filters = { room: ['a', 'b c'], from: ['1795428600'], to: ['2026-11-23T10:50:00Z'], bucket: ['hour'] };
  const [start, end] = [1_795_428_000, 1_795_431_600];
  assert.equal(
    behindOf(filters, panel('errors'), start, end, OF_SESSIONS),
    '/console/sessions?room=a&room=b+c&from=2026-11-23T10%3A10%3A00Z&to=2026-11-23T10%3A50%3A00Z&errors=1&sort=-errors',
  );
  assert.equal(
    behindOf({}, panel('sessions'), start, end, OF_SESSIONS),
    '/console/sessions?from=2026-11-23T10%3A00%3A00Z&to=2026-11-23T11%3A00%3A00Z',
  );
});

test('sums skip hidden values', () => {
  const totals = totalsOf([bucket, hidden]);
  assert.deepEqual([totals.sessions, totals.minutes, totals.errors, totals.tool_calls], [6, 3, 0, 4]);
});

test('every figure has a column', () => {
  const [head = '', first = ''] = csvOf([bucket]);
  assert.equal(head.split(',').length, 4 + 6 * 6 + 4);
  assert.equal(first.split(',').length, head.split(',').length);
  assert.ok(first.startsWith('2026-11-23T10:00:00Z,3,1.5,8,2,1,2,2,2,2,2,1,2,2,2,2,,'));
});
