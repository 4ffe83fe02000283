import assert from 'node:assert/strict';
import test from 'node:test';

import { NONE, ago, count, duration, seconds } from '/console/static/format.js';

test('a running time has hours only if it is that long', () => {
  assert.deepEqual([0, 7.9, 65, 3599, 3600, 36_061].map(duration), ['0:00', '0:07', '1:05', '59:59', '1:00:00', '10:01:01']);
});

test('a clock that is behind shows no negative time', () => {
  assert.equal(duration(-3), '0:00');
  assert.equal(ago(-3), ago(0));
});

test('a missing value is not shown as zero', () => {
  for (const show of [duration, seconds, count]) {
    assert.deepEqual([null, undefined, NaN, Infinity].map(show), [NONE, NONE, NONE, NONE]);
    assert.notEqual(show(0), NONE);
  }
});

test('how long ago, in the largest fitting unit', () => {
  assert.match(ago(59), /59 sec/);
  assert.match(ago(61), /1 min/);
  assert.match(ago(3 * 3600 + 5), /3 hours/);
  assert.match(ago(2 * 86_400), /2 days/);
});
