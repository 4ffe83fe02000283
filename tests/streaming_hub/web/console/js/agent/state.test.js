import assert from 'node:assert/strict';
import test from 'node:test';

import { facts, headline, newLines } from '/console/static/agent/state.js';

const status = (changes) => ({
  state: 'stopped',
  pid: null,
  mode: null,
  room: null,
  uptime: 0,
  restarts: 0,
  sessions: 0,
  last_error: null,
  trouble: null,
  log: [],
  auto: { mode: 'rehearsal', why: '' },
  ...changes,
});
const said = (changes) => headline(status(changes));

test('buttons are enabled for what the state allows', () => {
  const may = ['stopped', 'starting', 'ready', 'running', 'draining', 'failed'].map((state) => {
    const { mayStart, mayStop } = said({ state });
    return [state, mayStart, mayStop];
  });
  assert.deepEqual(may, [
    ['stopped', true, false],
    ['starting', false, true],
    ['ready', false, true],
    ['running', false, true],
    ['draining', false, false],
    ['failed', true, true],
  ]);
});

test('the status has words and a tone', () => {
  assert.deepEqual([said({ state: 'running', sessions: 1 }).text, said({ state: 'running', sessions: 2 }).text], [
    'Running, 1 live session',
    'Running, 2 live sessions',
  ]);
  assert.equal(said({ state: 'ready', trouble: 'LiveKit is away' }).tone, 'warn');
  assert.equal(said({ state: 'failed', trouble: 'x' }).tone, 'bad');
  assert.equal(said({ state: 'unheard-of' }).text, 'unheard-of');
});

test('unknown facts are left out', () => {
  assert.deepEqual(facts(status({})), []);
  assert.deepEqual(facts(status({ mode: 'rehearsal', room: 'r', pid: 7, uptime: 65, restarts: 2 })), [
    ['Mode', 'rehearsal'],
    ['Room', 'r'],
    ['Process', '7'],
    ['Running for', '1:05'],
    ['Restarts', '2'],
  ]);
});

test('a watcher is one of the facts', () => {
  const watcher = { state: 'running', rooms: 2, sessions: 1, trouble: null };
  assert.deepEqual(facts(status({ watcher })), [['Watcher', 'Running: 2 rooms, 1 session']]);
  assert.deepEqual(facts(status({ watcher: { ...watcher, state: 'failed', trouble: 'x' } })), [['Watcher', 'Failed: x']]);
  assert.deepEqual(facts(status({ watcher: null })), []);
});

test('only new lines are added to the log', () => {
  assert.deepEqual(newLines([], ['a']), { isSame: true, added: ['a'] });
  assert.deepEqual(newLines(['a', 'b'], ['a', 'b']), { isSame: true, added: [] });
  assert.deepEqual(newLines(['a', 'b'], ['b', 'c', 'd']), { isSame: true, added: ['c', 'd'] });
  assert.deepEqual(newLines(['a', 'a'], ['a', 'a', 'a']), { isSame: true, added: ['a'] });
  assert.deepEqual(newLines(['a', 'b'], ['x']), { isSame: false, added: ['x'] });
  assert.deepEqual(newLines(['a'], []), { isSame: false, added: [] });
});
