import assert from 'node:assert/strict';
import test from 'node:test';

import { PAGE, SessionList } from '/console/static/sessions/list.js';

/** A hub with `total` sessions, each named by its place; cursors name the place where they go on. */
function hub(total) {
  const asked = [];
  const hub = { total, asked, first: 0, wrong: null };
  hub.ask = async (path) => {
    asked.push(path);
    if (hub.wrong) throw hub.wrong;
    const query = new URL(path, 'http://hub').searchParams;
    const cursor = query.get('cursor');
    const begin = (cursor ? Number(cursor) : hub.first) + Number(query.get('skip') ?? 0);
    const end = Math.min(hub.total, begin + Number(query.get('limit')));
    const sessions = [];
    for (let place = begin; place < end; place++) sessions.push({ session_id: `s${place}`, state: 'ended' });
    const page = { sessions, next: end < hub.total ? String(end) : null };
    return query.get('total') ? { ...page, total: hub.total - hub.first } : page;
  };
  return hub;
}

function listOf(hub) {
  const errors = [];
  const list = new SessionList(hub.ask, () => {}, (error) => errors.push(error));
  return { list, errors };
}

/** Wait until rows are loaded. */
const loaded = async (list, first, end) => {
  // Longer than a place has to be in view after a jump.
  for (let look = 0; look < 200; look++) {
    await new Promise((done) => setTimeout(done, 20));
    if (list.get(first) && list.get(end - 1)) return;
  }
  throw new Error('the rows were not loaded');
};

test('visible rows are loaded, and some ahead of them', async () => {
  const server = hub(50_000);
  const { list } = listOf(server);
  await list.open({ room: ['a'] }, ['room']);
  assert.equal(list.total, 50_000);
  assert.equal(server.asked[0], `/api/sessions?room=a&limit=${PAGE}&total=1`);
  list.look(0, 20);
  await loaded(list, 0, 211);
  assert.equal(list.get(210).session_id, 's210');
  assert.equal(list.get(500), undefined);
});

test('a jump loads only the rows there', async () => {
  const server = hub(50_000);
  const { list } = listOf(server);
  await list.open({}, []);
  list.look(30_010, 30_030);
  assert.equal(list.get(30_010), undefined);
  await loaded(list, 30_010, 30_030);
  assert.equal(list.get(30_010)?.session_id, 's30010');
  assert.ok(server.asked.length < 10, server.asked.join('\n'));
  list.look(49_980, 50_000);
  await loaded(list, 49_980, 50_000);
  assert.equal(list.get(49_999)?.session_id, 's49999');
});

test('rows that are only passed are not loaded', async () => {
  const server = hub(50_000);
  const { list } = listOf(server);
  await list.open({}, []);
  for (let row = 1000; row < 40_000; row += 1000) list.look(row, row + 20);
  await loaded(list, 39_000, 39_020);
  assert.ok(server.asked.length < 10, String(server.asked.length));
  assert.equal(list.get(39_000)?.session_id, 's39000');
});

test('new sessions do not move the visible rows', async () => {
  const server = hub(1000);
  const { list } = listOf(server);
  await list.open({}, []);
  // Cursors stay where they are: only a list from its beginning has the new ones.
  server.first = -5;
  list.look(500, 520);
  await loaded(list, 500, 520);
  assert.equal(list.get(500)?.session_id, 's500');
  assert.equal(await list.refresh(false), 1005);
  assert.equal(list.total, 1000);
  assert.equal(list.get(500)?.session_id, 's500');
  assert.equal(await list.refresh(true), 1005);
  assert.equal(list.get(0)?.session_id, 's-5');
  assert.equal(list.total, 1005);
});

test('scrolling far does not fill the memory', async () => {
  const server = hub(50_000);
  const { list } = listOf(server);
  await list.open({}, []);
  for (let row = 0; row < 30_000; row += 100) {
    list.look(row, row + 20);
    await new Promise((done) => setImmediate(done));
  }
  await loaded(list, 29_900, 29_920);
  assert.ok(list.known().length <= 90 * PAGE, String(list.known().length));
  list.look(0, 20);
  await loaded(list, 0, 20);
  assert.equal(list.get(0)?.session_id, 's0');
});

test('a failure is reported, and the request repeated on demand', async () => {
  const server = hub(1000);
  const { list, errors } = listOf(server);
  server.wrong = new Error('away');
  await list.open({}, []);
  assert.deepEqual(errors, [server.wrong]);
  assert.equal(list.total, null);
  server.wrong = null;
  list.look(0, 20);
  list.retry();
  await loaded(list, 0, 20);
  assert.equal(list.total, 1000);
});

test('a late response for another list is ignored', async () => {
  const server = hub(1000);
  const held = [];
  const list = new SessionList(async (path) => {
    const answer = await server.ask(path);
    if (path.includes('q=slow')) await new Promise((done) => held.push(done));
    return answer;
  }, () => {}, () => {});
  const slow = list.open({ q: ['slow'] }, ['q']);
  server.total = 7;
  await list.open({ q: ['quick'] }, ['q']);
  held.forEach((go) => go());
  await slow;
  assert.equal(list.total, 7);
});

test('a list that has become shorter has its new length', async () => {
  const server = hub(1000);
  const { list } = listOf(server);
  await list.open({}, []);
  server.total = 950;
  list.look(900, 920);
  await loaded(list, 900, 920);
  assert.equal(list.total, 950);
});
