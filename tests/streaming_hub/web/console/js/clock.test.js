import assert from 'node:assert/strict';
import test from 'node:test';

import { clockOffset } from '/console/static/clock.js';

test('a wrong clock of the browser is corrected', () => {
  assert.equal(clockOffset(null, 5000, 1000), 4000);
  assert.equal(clockOffset(null, 1000, 5000), -4000);
});

test('a delayed time does not move the clock back', () => {
  assert.equal(clockOffset(10, 1009, 1000), 10);
  assert.equal(clockOffset(10, 1010.5, 1000), 10.5);
});

test('a clock that was set is corrected', () => {
  assert.equal(clockOffset(10, 1000, 1000), 0);
  assert.equal(clockOffset(10, 4000, 1000), 3000);
});

test('without a time from the hub nothing changes', () => {
  assert.equal(clockOffset(7, NaN, 1000), 7);
  assert.equal(clockOffset(null, NaN, 1000), 0);
});
