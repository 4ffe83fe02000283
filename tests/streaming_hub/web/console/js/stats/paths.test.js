import assert from 'node:assert/strict';
import test from 'node:test';

import { barsPath, groups, isolated, linePath } from '/console/static/stats/paths.js';

const x = (index) => index * 10;
const y = (value) => 100 - value;

test('every value but 0 has a visible bar', () => {
  assert.equal(barsPath([50, 0, null, 0.001], { x, y, base: 100, gap: 2 }), 'M1 100V50H9V100ZM31 100V99H39V100Z');
});

test('narrow bars have narrow gaps', () => {
  const narrow = (index) => index * 3;
  assert.equal(barsPath([50], { x: narrow, y, base: 100, gap: 2 }), 'M0.5 100V50H2.5V100Z');
});

test('a line has gaps at missing values', () => {
  assert.equal(linePath([1, 2, null, 3], x, y), 'M0 99L10 98M30 97');
  assert.equal(linePath([null, null], x, y), '');
  assert.equal(linePath([0], x, y), 'M0 100');
});

test('a value between missing ones is shown as a point', () => {
  assert.deepEqual(isolated([1, null, 0, null, 3, 4]), [0, 2]);
});

test('places are grouped, and none is left out', () => {
  assert.deepEqual(groups(3, 300), [[0, 1], [1, 2], [2, 3]]);
  assert.deepEqual(groups(0, 300), []);
  for (const count of [299, 300, 301, 10_000]) {
    const found = groups(count, 300);
    assert.ok(found.length <= 300);
    assert.equal(found.reduce((sum, [first, end]) => sum + end - first, 0), count);
    assert.equal(found.at(-1)?.[1], count);
  }
});
