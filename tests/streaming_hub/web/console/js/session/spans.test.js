import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Spans, stack } from '/console/static/session/spans.js';

const span = (from, to) => ({ from, to, kind: 'user', label: '' });
/** The same question, asked of every span. */
const touching = (spans, from, to) => spans.filter((one) => one.from <= to && (one.to ?? Infinity) >= from);

test('a range finds all spans that touch it, even long ones that began far before', () => {
  const spans = new Spans();
  for (const one of [span(0, 100), span(1, 2), span(3, 4), span(50, 51), span(60, null)]) spans.add(one);
  const [first, end] = spans.within(49, 52);
  assert.deepEqual(touching(spans.items.slice(first, end), 49, 52), [spans.items[0], spans.items[3]]);
});

test('it equals a search of all spans, in any order of adding and ending', () => {
  let seed = 7;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let round = 0; round < 40; round++) {
    const spans = new Spans();
    for (let count = 0; count < 60; count++) {
      const from = Math.floor(random() * 100);
      spans.add(span(from, random() < 0.2 ? null : from + Math.floor(random() * random() * 40)));
      const open = spans.items.filter((one) => one.to === null);
      if (open.length && random() < 0.3) spans.end(open[0], open[0].from + random() * 50);
      const from2 = random() * 100;
      const to2 = from2 + random() * 10;
      const [first, end] = spans.within(from2, to2);
      assert.deepEqual(touching(spans.items.slice(first, end), from2, to2), touching(spans.items, from2, to2));
    }
    assert.deepEqual(spans.items.map(({ from }) => from), spans.items.map(({ from }) => from).sort((a, b) => a - b));
  }
});

test('a range far from the start looks at few spans', () => {
  const spans = new Spans();
  for (let at = 0; at < 10_000; at++) spans.add(span(at, at + 0.5));
  const [first, end] = spans.within(9000, 9010);
  assert.ok(end - first <= 12, `${first} to ${end}`);
});

test('overlapping spans have rows of their own', () => {
  const all = [span(0, 10), span(1, 3), span(2, 4), span(3, 5), span(20, 21)];
  assert.equal(stack(all), 3);
  assert.deepEqual(all.map(({ row }) => row), [0, 1, 2, 1, 0]);
  assert.equal(stack([]), 1);
  assert.equal(stack(Array.from({ length: 9 }, () => span(0, 9))), 4, 'however many there are');
});
