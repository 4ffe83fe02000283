import assert from 'node:assert/strict';
import test from 'node:test';

import { linesIn, namesIn, outcomeOf, requestText, stateOf } from '/console/static/webhooks/texts.js';

const health = { failing_since: null, pending: 0, success_rate: null, oldest_pending: null, next_try: null };
const endpoint = {
  id: 'e', url: 'https://hook.example/', types: ['*'], rooms: null, view: 'operator', interims: false,
  description: null, enabled: true, reason: null, missed: 0, health,
};

test('an endpoint\'s state has its health, or why it is disabled', () => {
  assert.deepEqual(stateOf(endpoint), ['Enabled', 'ok']);
  assert.deepEqual(stateOf({ ...endpoint, health: { ...health, failing_since: 5 } }), ['Failing', 'warn']);
  assert.deepEqual(stateOf({ ...endpoint, enabled: false, reason: 'gone' }), ['Disabled: the receiver answered 410', 'bad']);
  assert.deepEqual(stateOf({ ...endpoint, enabled: false, reason: 'new one' }), ['Disabled: new one', 'bad']);
});

test('an attempt shows its status, or its error', () => {
  const attempt = { at: 1, status: 204, duration: 0.1, answer: '', error: null };
  assert.equal(outcomeOf(attempt), '204');
  assert.equal(outcomeOf({ ...attempt, status: null, error: 'refused' }), 'refused');
  assert.equal(outcomeOf(undefined), '');
});

test('types are separated by spaces or commas, rooms by lines', () => {
  assert.deepEqual(namesIn(' error, session_ended\nerror '), ['error', 'session_ended']);
  assert.deepEqual(linesIn('a room, with a comma\n\n another '), ['a room, with a comma', 'another']);
  assert.deepEqual([namesIn(' '), linesIn('')], [[], []]);
});

test('a request shows its first line and its headers', () => {
  const request = { url: 'https://hook.example/a', headers: { 'content-type': 'application/json', 'webhook-id': 'e-1' } };
  assert.equal(requestText(request), 'POST https://hook.example/a\ncontent-type: application/json\nwebhook-id: e-1');
  assert.match(requestText(null), /older version/);
});
