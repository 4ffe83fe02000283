import assert from 'node:assert/strict';
import test from 'node:test';

import { csvLine, percentileNames, percentiles } from '/console/static/csv.js';
import { CSV_HEAD, csvOf } from '/console/static/sessions/session-csv.js';

test('cells are quoted if necessary', () => {
  assert.equal(csvLine(['a', 'b,c', 'd"e', 'f\ng', '']), 'a,"b,c","d""e","f\ng",\r\n');
  assert.equal(csvLine([1.5, 0, true, null, undefined]), '1.5,0,true,,\r\n');
});

test('no cell is a formula, and numbers stay numbers', () => {
  assert.equal(csvLine(['=1+1', '+1', '-1', '@a', '\tb', '\rc', -1]), "'=1+1,'+1,'-1,'@a,'\tb,\"'\rc\",-1\r\n");
});

test('percentiles have a column each', () => {
  assert.deepEqual(percentileNames('latency').slice(0, 2), ['latency_count', 'latency_p50']);
  const value = { count: 2, p50: 1, p90: 2, p95: 3, p99: 4, max: 5 };
  assert.deepEqual(percentiles(value), [2, 1, 2, 3, 4, 5]);
  assert.deepEqual(percentiles(null), [null, null, null, null, null, null]);
});

test('a session is a line with as many cells as the first', () => {
  const line = csvOf({
    session_id: '=s', room: null, agent: 'helper', state: 'live', started: 1_795_430_000, ended: null, duration: 8.25,
    participants: [{ identity: 'alice', role: 'user' }, { identity: 'agent', role: 'agent' }], turns: 0, latency: null,
    heard_latency: { count: 1, p50: 1.5, p90: 1.5, p95: 1.5, p99: 1.5, max: 1.5 }, incomplete: false,
  });
  assert.ok(line.startsWith('\'=s,,helper,live,2026-11-23T10:33:20Z,,"alice, agent",8.25,,0,'));
  const cells = line.replace('"alice, agent"', 'people').split(',');
  const heads = CSV_HEAD.split(',');
  assert.equal(cells.length, heads.length);
  assert.equal(cells[heads.indexOf('heard_latency_p95')], '1.5');
});
