import assert from 'node:assert/strict';
import test from 'node:test';

import { fromFirstMark, markParts } from '../../../../../streaming_hub/web/console/static/marks.js';

/** The text with its marks in brackets. */
const marked = (/** @type {string} */ text, /** @type {string} */ query) =>
  markParts(text, query).map((part) => (part.isMarked ? `[${part.text}]` : part.text)).join('');

test('words match whole, whatever their case', () => {
  assert.equal(marked('A Refund, or two refunds; REFUND!', 'refund'), 'A [Refund], or two refunds; [REFUND]!');
  assert.equal(marked('nothing', 'else'), 'nothing');
  assert.equal(marked('one two three', 'three one'), '[one] two [three]');
});

test('an apostrophe and a number belong to their words', () => {
  assert.equal(marked('I don’t. Don\'t! don t', 'don\'t'), 'I [don’t]. [Don\'t]! don t');
  assert.equal(marked('3.5, 3 and 5', '3.5'), '[3.5], 3 and 5');
});

test('a query has no operators', () => {
  assert.equal(marked('a OR b', '"a" OR -c*'), '[a] [OR] b');
  assert.equal(marked('text', '..."'), 'text');
  assert.equal(marked('', 'a'), '');
});

test('in scripts without spaces any part matches', () => {
  assert.equal(marked('我想退款，请帮我查一下退款。', '退款'), '我想[退款]，请帮我查一下[退款]。');
  assert.equal(marked('返品したいのですが', 'したい'), '返品[したい]のですが');
  assert.equal(marked('ขอคืนเงินครับ', 'คืนเงิน'), 'ขอ[คืนเงิน]ครับ');
  assert.equal(marked('我我我', '我我'), '[我我我]');
  assert.equal(marked('用ABC退款', 'abc 款'), '用[ABC]退[款]');
});

test('the form in which a text was written does not matter, and it stays as it came', () => {
  assert.equal(marked('Cafe\u0301 caf\u00e9', 'CAFÉ'), '[Cafe\u0301] [caf\u00e9]');
  assert.equal(marked('Straße STRASSE', 'strasse'), '[Straße] [STRASSE]');
  assert.equal(marked('ὈΔΥΣΣΕΎΣ Ὀδυσσεύς', 'ὀδυσσεύς'), '[ὈΔΥΣΣΕΎΣ] [Ὀδυσσεύς]');
  assert.equal(marked('각 각', '각'), '[각] [각]');
  assert.equal(marked('أريد استرداد المبلغ', 'استرداد'), 'أريد [استرداد] المبلغ');
  assert.equal(marked('😀 refund 👩‍👩‍👧', 'refund'), '😀 [refund] 👩‍👩‍👧');
});

test('what comes from a person is text', () => {
  assert.equal(marked('<b>refund</b>', 'b'), '<[b]>refund</[b]>');
});

test('a long text begins shortly before its first mark', () => {
  const long = `${'word '.repeat(40)}refund ${'word '.repeat(40)}`;
  const parts = fromFirstMark(markParts(long, 'refund'));
  assert.ok((parts[0]?.text.length ?? 99) < 30);
  assert.deepEqual(parts[1], { text: 'refund', isMarked: true });
  assert.equal(parts.slice(1).map(({ text }) => text).join(''), long.slice(200));
  for (const short of ['refund', 'a refund', 'nothing at all']) {
    assert.deepEqual(fromFirstMark(markParts(short, 'refund')), markParts(short, 'refund'));
  }
});
