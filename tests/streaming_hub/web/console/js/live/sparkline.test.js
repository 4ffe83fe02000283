import assert from 'node:assert/strict';
import test from 'node:test';

import { HEIGHT, WIDTH, sparkline } from '/console/static/live/sparkline.js';

const bars = (path) =>
  [...path.matchAll(/M(\d+) \d+v-([\d.]+)h(\d+)/g)].map(([, x, height, width]) => [Number(x), Number(height), Number(width)]);

test('the newest bar is at the right end', () => {
  const [[x, , width]] = bars(sparkline([1], 2, 10).within);
  assert.ok(x + width <= WIDTH && x + width > WIDTH - 2, `${x} + ${width}`);
});

test('only the newest bars that fit are drawn', () => {
  const { within, above } = sparkline([9, 9, 1, 1, 1], 2, 3);
  assert.equal(bars(within).length, 3);
  assert.equal(bars(above).length, 0);
});

test('heights can be compared between calls and stay within the drawing', () => {
  const [[, one], [, two]] = bars(sparkline([0.5, 1], 2, 10).within);
  assert.ok(Math.abs(two - 2 * one) < 0.2);
  const [[, most]] = bars(sparkline([60], 2, 10).above);
  assert.equal(most, HEIGHT);
  assert.ok(bars(sparkline([0], 2, 10).within)[0][1] > 0, 'a turn without latency is still a turn');
});
