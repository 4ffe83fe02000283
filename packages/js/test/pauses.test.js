// Alone in its file: it replaces the timers that all streams use.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStream } from '../src/stream.js';

test('pauses double, with jitter, from at most 3 s to at most 30 s', async (context) => {
  for (const [random, factor] of [[0, 0.5], [0.999999, 1]]) {
    const pauses = [];
    const original = globalThis.setTimeout;
    context.mock.method(globalThis, 'fetch', async () => {
      throw new TypeError('fetch failed');
    });
    context.mock.method(globalThis, 'setTimeout', (fn, delay, ...rest) => {
      if (delay === 1000 && !String(fn).includes('native code')) return original(fn, delay, ...rest);
      pauses.push(delay);
      return original(fn, 0, ...rest);
    });
    const opened = createStream({ url: 'http://127.0.0.1:1' }, () => random);
    while (pauses.length < 9) await new Promise((resolve) => setImmediate(resolve));
    opened.close();
    context.mock.restoreAll();
    const wanted = [1, 2, 4, 8, 16, 30, 30, 30, 30].map((seconds) => seconds * 1000 * factor);
    assert.deepEqual(pauses.slice(0, 9).map(Math.round), wanted);
  }
});
