import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { countWords, createSession, figuresOf, percentiles } from '../src/figures.js';

const VECTORS = new URL('../../../tests/vectors/figures/', import.meta.url);
const read = (file) => JSON.parse(readFileSync(new URL(file, VECTORS), 'utf8'));
const sessions = readdirSync(VECTORS).filter((file) => file.endsWith('.json') && file !== 'words-only.json');
assert.ok(sessions.length >= 9);

for (const file of sessions) {
  test(`vector ${file}`, () => {
    const { events, expect } = read(file);
    assert.deepEqual(figuresOf(events), expect);
    const live = createSession();
    for (const event of events) {
      live.take(event);
      live.detail();
    }
    assert.deepEqual(live.detail(), expect);
  });
}

for (const { text, words } of read('words-only.json')) {
  test(`words of ${JSON.stringify(text)}`, () => assert.equal(countWords(text), words));
}

test('percentiles are by nearest rank', () => {
  const values = Array.from({ length: 100 }, (_, at) => 100 - at);
  assert.deepEqual(percentiles(values), { count: 100, p50: 50, p90: 90, p95: 95, p99: 99, max: 100 });
  assert.deepEqual(percentiles([3, null, 1, 20]), { count: 3, p50: 3, p90: 20, p95: 20, p99: 20, max: 20 });
  assert.deepEqual(percentiles([7]), { count: 1, p50: 7, p90: 7, p95: 7, p99: 7, max: 7 });
  assert.equal(percentiles([null]), null);
});

test('a session without events has no figures', () => {
  const { session, turns } = createSession().detail();
  assert.deepEqual([session.state, session.duration, session.latency, turns], ['live', 0, null, []]);
});
