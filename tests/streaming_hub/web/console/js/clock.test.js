import assert from 'node:assert/strict';
import test from 'node:test';

import { clockOffset } from '/console/static/clock.js';

test('a browser whose clock is wrong knows the hub\'s', () => {
  assert.equal(clockOffset(null, 5000, 1000), 4000);
  assert.equal(clockOffset(null, 1000, 5000), -4000);
});

test('what arrives late does not move the clock back', () => {
  assert.equal(clockOffset(10, 1009, 1000), 10);
  assert.equal(clockOffset(10, 1010.5, 1000), 10.5);
});

test('a clock that was set is followed', () => {
  assert.equal(clockOffset(10, 1000, 1000), 0);
  assert.equal(clockOffset(10, 4000, 1000), 3000);
});

test('a hub that says no time changes nothing', () => {
  assert.equal(clockOffset(7, NaN, 1000), 7);
  assert.equal(clockOffset(null, NaN, 1000), 0);
});
