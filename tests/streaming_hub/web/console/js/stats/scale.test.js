import assert from 'node:assert/strict';
import test from 'node:test';

import { linear, timeTicks, valueTicks } from '/console/static/stats/scale.js';

const utc = () => 0;

test('ticks are round, from zero to at least the largest value', () => {
  assert.deepEqual(valueTicks(21, 4, true), [0, 10, 20, 30]);
  assert.deepEqual(valueTicks(2.06, 4), [0, 1, 2, 3]);
  assert.deepEqual(valueTicks(0.3, 4), [0, 0.1, 0.2, 0.3]);
  assert.deepEqual(valueTicks(1, 4, true), [0, 1]);
  for (const most of [0.0004, 0.7, 3, 99, 12_345_678]) {
    const ticks = valueTicks(most, 4);
    assert.ok(ticks[0] === 0 && ticks.at(-1) >= most && ticks.length <= 6, String(ticks));
  }
});

test('there is an axis without values', () => {
  for (const most of [0, -1, NaN]) assert.deepEqual(valueTicks(most, 4, true), [0, 1]);
});

test('times are round', () => {
  const { times, step } = timeTicks(3600 * 10.5, 3600 * 14, 4, utc);
  assert.deepEqual([times, step], [[11, 12, 13].map((hour) => hour * 3600), 3600]);
  assert.ok(timeTicks(0, 10_000 * 86_400, 8, utc).times.length <= 40);
});

test('times are round in the reader\'s zone, even across a change of its offset', () => {
  const ahead = () => 5.5 * 3600;
  const { times } = timeTicks(0, 86_400, 4, ahead);
  assert.ok(times.length >= 3);
  for (const at of times) assert.equal((at + 5.5 * 3600) % (6 * 3600), 0);
  // Summer time begins at ten: six hours of the clock are five of time.
  const set = (at) => (at < 36_000 ? 0 : 3600);
  assert.deepEqual(timeTicks(0, 86_400, 4, set).times, [0, 6, 11, 17, 23].map((hour) => hour * 3600));
});

test('a scale without an extent returns its start', () => {
  assert.equal(linear([0, 10], [100, 0])(5), 50);
  assert.equal(linear([3, 3], [7, 9])(3), 7);
});
