import assert from 'node:assert/strict';
import { test } from 'node:test';

import { NotARecording, readRecording } from '/console/static/session/recording.js';

const line = (fields) => JSON.stringify({ type: 'transcript', session_id: 's', room: 'r', ...fields });

test('events are in the file’s order, with any line ends', () => {
  const [one] = readRecording(`\ufeff${line({ text: 'a\u2028b' })}\r\n\n${line({ text: 'c' })}`);
  assert.deepEqual([one.room, one.session_id, one.events.map(({ text }) => text)], ['r', 's', ['a\u2028b', 'c']]);
});

test('sessions are told apart by room and id', () => {
  const all = readRecording([line({}), line({ room: 'q' }), line({ session_id: 'o' }), line({ room: undefined }), line({})].join('\n'));
  assert.deepEqual(all.map(({ room, session_id, events }) => [room, session_id, events.length]),
    [['r', 's', 2], ['q', 's', 1], ['r', 'o', 1], [null, 's', 1]]);
});

test('a file that is not a recording is refused with a reason', () => {
  for (const [text, reason] of [
    ['', /no event of a session/],
    ['{"type":"transcript"}', /no event of a session/],
    [`${line({})}\n{"broken`, /Line 2 is not JSON/],
    ['[1, 2]', /Line 1 is not an event/],
    ['null', /Line 1 is not an event/],
    ['WEBVTT\n\n00:01', /Line 1 is not JSON: WEBVTT/],
  ]) {
    assert.throws(() => readRecording(text), (error) => error instanceof NotARecording && reason.test(error.message), text);
  }
});
