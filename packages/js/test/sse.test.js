import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createParser } from '../src/sse.js';

/** Parse bytes cut into pieces of `size`. */
function parse(text, size = Infinity) {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
  const found = [];
  const feed = createParser(
    (message) => found.push(message),
    (retry) => found.push({ retry }),
  );
  for (let at = 0; at < bytes.length; at += size) feed(bytes.subarray(at, at + size));
  return found;
}

const message = (data, id = '', type = 'message') => ({ type, data, id });

// From WHATWG HTML, "Interpreting an event stream", and its examples.
const CASES = [
  ['a message', 'data: a\n\n', [message('a')]],
  ['only one space goes', 'data:  a \n\ndata:b\n\n', [message(' a '), message('b')]],
  ['several lines', 'data: YHOO\ndata: +2\ndata: 10\n\n', [message('YHOO\n+2\n10')]],
  ['empty data', 'data\n\ndata\ndata\n\ndata:\n\n', [message(''), message('\n'), message('')]],
  ['no data, no event', 'event: x\n\n\ndata: a\n\n', [message('a')]],
  ['an id alone', 'id: 1\n\nid: 1\n\ndata: a\n\nid\n\n', [message(null, '1'), message('a', '1'), message(null)]],
  ['comments', ': hello\n\n:\ndata: a\n:b\ndata: c\n\n', [message('a\nc')]],
  ['types', 'event: add\ndata: 1\n\ndata: 2\n\n', [message('1', '', 'add'), message('2')]],
  ['ids last', 'id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n', [message('a', '1'), message('b', '1'), message('c')]],
  ['NUL in an id', 'id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n', [message('a', '1'), message('b', '1')]],
  ['retry', 'retry: 1500\nretry: 1e3\nretry: -1\nretry: 9999999999999999\nretry:\nretry: 7 \ndata: a\n\n', [{ retry: 1500 }, message('a')]],
  ['unknown fields', 'foo: 1\n data: a\nDATA: b\ndata: c\n\n', [message('c')]],
  ['CR', 'data: a\rdata: b\r\rdata: c\r\r', [message('a\nb'), message('c')]],
  ['CRLF', 'data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n', [message('a\nb'), message('c')]],
  ['a mixture', 'data: a\n\rdata: b\r\n\ndata: c\r\r\n', [message('a'), message('b'), message('c')]],
  ['BOM', '\ufeffdata: a\n\n', [message('a')]],
  ['only one BOM', '\ufeff\ufeffdata: a\n\ndata: \ufeffb\n\n', [message('\ufeffb')]],
  ['no other line ends', 'data: a\u2028b\u2029c\u0085d\u000be\u000cf\n\n', [message('a\u2028b\u2029c\u0085d\u000be\u000cf')]],
  ['incomplete events', 'data: a\n\ndata: b\n', [message('a')]],
  ['incomplete lines', 'data: a\n\ndata: b', [message('a')]],
  ['any script', 'data: 你好 👋🏽 é\n\n', [message('你好 👋🏽 é')]],
];

for (const [name, text, wanted] of CASES) {
  test(`${name}, at once and cut at every place`, () => {
    for (const size of [Infinity, 1, 2, 3, 5, 7]) assert.deepEqual(parse(text, size), wanted, `pieces of ${size}`);
  });
}

test('broken UTF-8 becomes U+FFFD', () => {
  assert.deepEqual(parse(Uint8Array.of(...Buffer.from('data: '), 0xc3, 0x28, 10, 10), 1), [message('\ufffd(')]);
});

test('a message is reported with the bytes that end it', () => {
  for (const end of ['\n\n', '\r\r', '\r\n\r\n']) assert.equal(parse(`data: a${end}`).length, 1);
});

test('an endless line is refused before it fills the memory', () => {
  const feed = createParser(() => {}, () => {});
  const piece = new Uint8Array(1024 * 1024).fill(97);
  assert.throws(() => {
    for (let count = 0; count < 20; count++) feed(piece);
  }, RangeError);
});

test('an event without an end is refused before it fills the memory', () => {
  for (const line of ['data: ' + 'x'.repeat(1000) + '\n', 'data\n']) {
    const feed = createParser(() => {}, () => {});
    const piece = Buffer.from(line.repeat(Math.ceil(300_000 / line.length)));
    assert.throws(() => {
      for (let count = 0; count < 80; count++) feed(piece);
    }, RangeError);
  }
});

test('many long events are not one endless event', () => {
  let count = 0;
  const feed = createParser(() => count++, () => {});
  const piece = Buffer.from(`data: ${'x'.repeat(4 * 1024 * 1024)}\n\n`);
  for (let round = 0; round < 8; round++) feed(piece);
  assert.equal(count, 8);
});

test('a long line costs no more a byte than a short one', () => {
  const cpu = (pieces) => {
    const feed = createParser(() => {}, () => {});
    const piece = new Uint8Array(8 * 1024).fill(97);
    const before = process.cpuUsage();
    for (let count = 0; count < pieces; count++) feed(piece);
    const { user, system } = process.cpuUsage(before);
    return user + system;
  };
  const least = (pieces) => Math.min(...Array.from({ length: 3 }, () => cpu(pieces)));
  const short = least(250);
  assert.ok(least(2000) < 24 * short); // eight times as long; searched from its beginning, 64 times
});
