import assert from 'node:assert/strict';
import test from 'node:test';

import { MOST_HEIGHT, heightOf, rowWindow, scrollTopOf, scrollTopToShow } from '/console/static/row-window.js';

const box = { total: 50_000, rowHeight: 48, viewport: 600 };

test('the visible rows are among those in the document', () => {
  for (const scrollTop of [0, 1, 47, 48, 1_000_000, 2_399_400, 9e9]) {
    const { first, end, visibleFirst, visibleEnd } = rowWindow({ ...box, scrollTop, overscan: 60 });
    assert.ok(first <= visibleFirst && visibleEnd <= end);
    assert.ok(end - first <= 14 + 120);
    assert.ok(visibleEnd - visibleFirst >= 12);
  }
});

test('rows are where the scrollbar expects them', () => {
  const { first, offset } = rowWindow({ ...box, scrollTop: 4810, overscan: 10 });
  assert.deepEqual([first, offset], [90, 90 * 48]);
  assert.equal(heightOf(box), 50_000 * 48);
});

test('the first and the last row can be reached, however long the list', () => {
  for (const total of [1, 5, 13, 50_000, 3_000_000, 100_000_000]) {
    const long = { ...box, total };
    assert.ok(heightOf(long) <= MOST_HEIGHT);
    assert.equal(rowWindow({ ...long, scrollTop: 0, overscan: 0 }).first, 0);
    const { end, offset, first } = rowWindow({ ...long, scrollTop: heightOf(long), overscan: 0 });
    assert.equal(end, total);
    const bottom = offset + (end - first) * long.rowHeight;
    assert.ok(Math.abs(bottom - heightOf(long)) < 1, `${bottom} of ${heightOf(long)}`);
  }
});

test('a row that is scrolled to is the first one', () => {
  for (const total of [50_000, 3_000_000]) {
    for (const row of [0, 1, 777, 49_000]) {
      const scrollTop = scrollTopOf(row, { ...box, total });
      const { visibleFirst } = rowWindow({ ...box, total, scrollTop: scrollTop + 0.01, overscan: 0 });
      assert.equal(visibleFirst, row);
    }
  }
  assert.equal(scrollTopOf(49_999, box), heightOf(box) - 600);
});

test('revealing a row scrolls as little as possible', () => {
  assert.equal(scrollTopToShow(3, { ...box, scrollTop: 100 }), 100);
  assert.equal(scrollTopToShow(0, { ...box, scrollTop: 100 }), 0);
  assert.equal(scrollTopToShow(20, { ...box, scrollTop: 100 }), 21 * 48 - 600);
});

test('an empty list has no rows', () => {
  const { first, end } = rowWindow({ total: 0, rowHeight: 48, viewport: 600, scrollTop: 0, overscan: 60 });
  assert.deepEqual([first, end], [0, 0]);
});
