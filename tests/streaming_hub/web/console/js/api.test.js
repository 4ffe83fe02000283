import assert from 'node:assert/strict';
import test from 'node:test';

import { Problem, isTransient, sessionApi, sessionPage } from '/console/static/api.js';

test('a hub that is away or busy is asked again, a refusal is not', () => {
  const repeated = [0, 400, 401, 403, 404, 429, 500, 503].filter((status) => isTransient(new Problem(status, 'x')));
  assert.deepEqual(repeated, [0, 429, 500, 503]);
  assert.equal(isTransient(new TypeError('x')), false);
});

test('the addresses of a session encode its id and its room', () => {
  assert.equal(sessionPage('a/b', 'r & s'), '/console/sessions/a%2Fb?room=r%20%26%20s');
  assert.equal(sessionPage('a', null), '/console/sessions/a?room=');
  assert.equal(sessionApi('a/b', 'r', '/export'), '/api/sessions/a%2Fb/export?room=r');
  assert.equal(sessionApi('a', null), '/api/sessions/a?room=');
  assert.equal(sessionApi('a', undefined, '/events'), '/api/sessions/a/events');
});
