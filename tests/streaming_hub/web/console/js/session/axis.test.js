import assert from 'node:assert/strict';
import { test } from 'node:test';

import { firstView, fit, keepInView, pan, scaleOf, ticksOf, zoom } from '/console/static/session/axis.js';

test('the first view shows a short session whole, and a long one at its position', () => {
  assert.deepEqual(firstView(100, 50, 1200), { from: 0, to: 100 });
  assert.deepEqual(firstView(3600, 1000, 1200), { from: 994, to: 1054 });
  assert.deepEqual(firstView(3600, 3600, 1200), { from: 3540, to: 3600 });
  assert.deepEqual(firstView(0, 0, 1200), { from: 0, to: 2 });
  assert.deepEqual(firstView(3600, 0, 240), { from: 0, to: 12 }, 'words are as readable on a narrow screen');
});

test('zooming keeps the time under the pointer, and stays within the session', () => {
  const view = zoom({ from: 0, to: 100 }, 0.5, 80, 100);
  assert.deepEqual(view, { from: 40, to: 90 });
  assert.deepEqual(zoom(view, 10, 80, 100), { from: 0, to: 100 });
  const least = zoom({ from: 10, to: 12 }, 0.001, 11, 100);
  assert.equal(least.to - least.from, 2);
});

test('panning stops at the session\'s ends', () => {
  assert.deepEqual(pan({ from: 10, to: 20 }, -50, 100), { from: 0, to: 10 });
  assert.deepEqual(pan({ from: 10, to: 20 }, 500, 100), { from: 90, to: 100 });
  assert.deepEqual(fit({ from: -3, to: 7 }, 100), { from: 0, to: 10 });
});

test('the clock stays in view', () => {
  const view = { from: 0, to: 90 };
  assert.equal(keepInView(view, 45, 3600), view, 'nothing moves that need not');
  assert.deepEqual(keepInView(view, 100, 3600), { from: 91, to: 181 });
  assert.deepEqual(keepInView({ from: 200, to: 290 }, 3, 3600), { from: 0, to: 90 });
});

test('the view follows a live session\'s end', () => {
  const view = keepInView({ from: 0, to: 90 }, 100, 100, true);
  assert.equal(view.to - view.from, 90);
  assert.ok(view.to > 100);
  assert.deepEqual(keepInView({ from: 0, to: 90 }, 10, 10, true), { from: 0, to: 90 });
});

test('ticks are at round times, far enough apart', () => {
  assert.deepEqual(ticksOf({ from: 0, to: 90 }, 900), { step: 10, ticks: [0, 10, 20, 30, 40, 50, 60, 70, 80, 90] });
  assert.deepEqual(ticksOf({ from: 0.35, to: 2.4 }, 400).ticks, [0.5, 1, 1.5, 2]);
  for (const span of [2, 37, 600, 3600, 90_000, 900_000]) {
    for (const width of [200, 800, 1600]) {
      const { step } = ticksOf({ from: 3, to: 3 + span }, width);
      assert.ok((step / span) * width >= 79.9, `${span} s in ${width} px`);
    }
  }
});

test('px and seconds convert both ways', () => {
  const scale = scaleOf({ from: 10, to: 20 }, 500);
  assert.equal(scale.x(15), 250);
  assert.equal(scale.time(250), 15);
});
