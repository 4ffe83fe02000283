import assert from 'node:assert/strict';
import test from 'node:test';

import {
  OF_SESSIONS, OF_STATS, addressOf, filtersOf, fromLocal, operatorsOf, sameFilters, secondsOf, timeText, toLocal,
} from '/console/static/filters.js';

test('an address has the API\'s filters', () => {
  const address = '?q=%22a+b%26c%22&room=x%2By&room=%E6%88%BF&state=live&from=5&sort=-duration';
  const filters = filtersOf(address, OF_SESSIONS);
  assert.deepEqual(filters, { q: ['"a b&c"'], room: ['x+y', '房'], state: ['live'], from: ['5'], sort: ['-duration'] });
  assert.deepEqual(filtersOf(addressOf(filters, OF_SESSIONS), OF_SESSIONS), filters);
});

test('an empty filter is absent; an empty room is a room', () => {
  assert.deepEqual(filtersOf('?q=&room=&agent=&from=', OF_SESSIONS), { room: [''] });
  assert.equal(addressOf({ room: [''] }, OF_SESSIONS), '?room=');
  assert.equal(addressOf({}, OF_SESSIONS), '');
});

test('unknown filters and repeated values are ignored', () => {
  assert.deepEqual(filtersOf('?q=a&utm_source=x&cursor=abc&bucket=day', OF_STATS), { bucket: ['day'] });
  assert.deepEqual(filtersOf('?from=1&from=2&room=a&room=a', OF_STATS), { from: ['1'], room: ['a'] });
});

test('the order of an address does not matter', () => {
  const one = filtersOf('?to=2&from=1', OF_STATS);
  assert.ok(sameFilters(one, filtersOf('?from=1&to=2', OF_STATS), OF_STATS));
  assert.ok(!sameFilters(one, {}, OF_STATS));
});

test('times are parsed as by the API', () => {
  assert.equal(secondsOf('1795430000.5'), 1_795_430_000.5);
  assert.equal(secondsOf('2026-11-23T10:33:20Z'), 1_795_430_000);
  assert.equal(secondsOf('2026-11-23T11:33:20 01:00'), 1_795_430_000);
  assert.equal(secondsOf('2026-11-23T11:33:20.250+01:00'), 1_795_430_000.25);
  for (const wrong of [undefined, '', 'yesterday', '-1', '2026-11-23', '2026-11-23T10:33:20', '1e9']) assert.equal(secondsOf(wrong), null);
});

test('a time survives a field', () => {
  for (const at of [1_795_430_000, 1_795_429_980, 0, 1_711_846_800]) {
    assert.equal(secondsOf(fromLocal(toLocal(timeText(at)))), at);
  }
  assert.equal(fromLocal(''), '');
  assert.equal(toLocal('yesterday'), '');
  assert.equal(timeText(1_795_430_000.25), '2026-11-23T10:33:20.250Z');
});

test('filters and sorts for operators only are named', () => {
  assert.deepEqual(operatorsOf(filtersOf('?errors=1&sort=-latency&q=a', OF_SESSIONS)), ['errors', 'sort']);
  assert.deepEqual(operatorsOf(filtersOf('?sort=-heard_latency&state=live', OF_SESSIONS)), []);
});
