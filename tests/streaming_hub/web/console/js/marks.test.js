import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import { fold, fromFirstMark, markParts, piecesOf } from '/console/static/marks.js';

/** The text with its marks in brackets. */
const marked = (text, query) =>
  markParts(text, query).map((part) => (part.isMarked ? `[${part.text}]` : part.text)).join('');

const read = (name) =>
  JSON.parse(readFileSync(new URL(`../../../../vectors/search/${name}.json`, import.meta.url), 'utf8'));

for (const { text, query, marked: expected } of read('cases')) {
  test(`"${query}" in "${text}"`, () => assert.equal(marked(text, query), expected));
}

for (const { text, pieces } of read('pieces')) {
  test(`the pieces of "${text}"`, () => {
    const found = piecesOf(fold(text).map(({ character }) => character));
    assert.deepEqual(found.map((piece) => [piece.text, piece.isRun]), pieces);
  });
}

test('an empty text or query has no marks', () => {
  assert.equal(marked('', 'a'), '');
  assert.equal(marked('a', ''), 'a');
});

test('a long text is cut to begin shortly before its first mark', () => {
  const long = `${'word '.repeat(40)}refund ${'word '.repeat(40)}`;
  const parts = fromFirstMark(markParts(long, 'refund'));
  assert.ok((parts[0]?.text.length ?? 99) < 30);
  assert.deepEqual(parts[1], { text: 'refund', isMarked: true });
  assert.equal(parts.slice(1).map(({ text }) => text).join(''), long.slice(200));
  for (const short of ['refund', 'a refund', 'nothing at all']) {
    assert.deepEqual(fromFirstMark(markParts(short, 'refund')), markParts(short, 'refund'));
  }
});
