import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Offsets } from '/console/static/session/offsets.js';

test('a row\'s top is the sum of the heights before it, guessed or measured', () => {
  const offsets = new Offsets(20);
  offsets.resize(5);
  assert.equal(offsets.measure(1, 50), 30);
  assert.equal(offsets.measure(1, 50), 0);
  offsets.resize(7);
  assert.deepEqual([0, 1, 2, 3, 7].map((row) => offsets.top(row)), [0, 20, 70, 90, 170]);
  assert.equal(offsets.total, 170);
  assert.deepEqual([0, 19, 20, 69, 70, 169, 999].map((y) => offsets.rowAt(y)), [0, 0, 1, 1, 2, 6, 6]);
  offsets.resize(2);
  assert.equal(offsets.total, 70);
});

test('it equals plain sums, in any order of measuring', () => {
  let seed = 3;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  const offsets = new Offsets(30);
  const heights = [];
  for (let round = 0; round < 500; round++) {
    if (random() < 0.3) {
      heights.push(30);
      offsets.resize(heights.length);
    } else if (heights.length) {
      const row = Math.floor(random() * heights.length);
      heights[row] = Math.floor(random() * 100) + 1;
      offsets.measure(row, heights[row]);
    }
    const total = heights.reduce((sum, height) => sum + height, 0);
    assert.equal(offsets.total, total);
    const y = random() * total;
    let row = 0;
    for (let sum = heights[0] ?? 0; sum <= y && row < heights.length - 1; sum += heights[row]) row++;
    assert.equal(offsets.rowAt(y), row);
  }
});

test('an empty list has no rows in view', () => {
  assert.deepEqual(new Offsets(20).within(0, 100, 5), [0, 0]);
});
