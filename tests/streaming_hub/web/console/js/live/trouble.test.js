import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import { LIMITS, RULES, troubles } from '/console/static/live/trouble.js';

const NOW = 1000;
const call = (changes = {}) => ({
  error: null,
  failedTool: null,
  dropped: null,
  restarted: null,
  ended: null,
  reason: null,
  thinkingSince: null,
  quietSince: null,
  latencies: [],
  ...changes,
});
const names = (changes) => troubles(call(changes), NOW).map(({ name }) => name);

test('a call without trouble has none', () => {
  assert.deepEqual(names({ thinkingSince: NOW, quietSince: NOW, latencies: [0.8] }), []);
});

test('each rule finds its trouble', () => {
  const mark = { at: NOW, text: '' };
  assert.deepEqual(names({ ended: NOW, reason: 'worker_lost' }), ['Agent lost']);
  assert.deepEqual(names({ ended: NOW, reason: 'lease_expired' }), ['Agent lost']);
  assert.deepEqual(names({ ended: NOW, reason: 'error' }), ['Error']);
  assert.deepEqual(names({ error: mark }), ['Error']);
  assert.deepEqual(names({ failedTool: mark }), ['Failed tool']);
  assert.deepEqual(names({ dropped: mark }), ['Events dropped']);
  assert.deepEqual(names({ restarted: NOW }), ['Agent restarted']);
});

test('thresholds are exceeded, not reached', () => {
  assert.deepEqual(names({ thinkingSince: NOW - 5 }), []);
  assert.deepEqual(names({ thinkingSince: NOW - 5.01 }), ['Thinking']);
  assert.deepEqual(names({ quietSince: NOW - 15 }), []);
  assert.deepEqual(names({ quietSince: NOW - 15.01 }), ['Silence']);
  assert.deepEqual(names({ latencies: [2] }), []);
  assert.deepEqual(names({ latencies: [0.1, 2.01] }), ['High latency']);
});

test('of an ended call, only its end is trouble', () => {
  const mark = { at: 1, text: 'x' };
  const all = { error: mark, failedTool: mark, dropped: mark, restarted: 1, latencies: [9], ended: NOW };
  assert.deepEqual(names({ ...all, reason: 'worker_lost' }), ['Agent lost']);
  assert.deepEqual(names({ ...all, reason: 'error' }), ['Error']);
});

test('an ended call is neither silent nor thinking', () => {
  assert.deepEqual(names({ thinkingSince: 0, quietSince: 0, ended: NOW, reason: 'worker_lost' }), ['Agent lost']);
});

test('the worst comes first', () => {
  const tones = troubles(
    call({ error: { at: 1, text: '' }, quietSince: 0, thinkingSince: 0, dropped: { at: 1, text: '' } }),
    NOW,
  ).map(({ tone }) => tone);
  assert.deepEqual(tones, [...tones].sort());
  assert.deepEqual(new Set(tones), new Set(['bad', 'warn']));
});

test('the documentation has the same table', () => {
  const guide = readFileSync(new URL('../../../../../../docs/guides/console.md', import.meta.url), 'utf-8');
  const rows = [...guide.matchAll(/^\| (.+?) \| (.+?) \| (.+?) \|$/gm)].map(([, ...cells]) => cells);
  const rules = RULES.map(({ name, when, until }) => [name, when, until]);
  assert.deepEqual(rows.filter(([name]) => rules.some(([known]) => known === name)), rules);
  assert.deepEqual(rules.map(([name]) => name), [
    'Agent lost',
    'Error',
    'Failed tool',
    'Thinking',
    'Silence',
    'High latency',
    'Events dropped',
    'Agent restarted',
  ]);
  assert.deepEqual(LIMITS, { thinking: 5, silence: 15, latency: 2, turns: 10, lingering: 60 });
});
