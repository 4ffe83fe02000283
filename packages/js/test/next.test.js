// The route behind Node's own HTTP server, in front of a real hub.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { openStream } from '../src/index.js';
import { streamRoute } from '../src/next.js';
import { Hub, freePort, until } from './kit/hub.js';
import { Server, connected, event, problem, stream } from './kit/server.js';

let hub;
const cleanups = [];
before(async () => {
  hub = await Hub.start({ STREAM_SUBSCRIBE_KEYS: 'reader', STREAM_PUBLISH_KEYS: 'writer', STREAM_OPERATOR_KEYS: 'boss', STREAM_HEARTBEAT: '0.5' });
});
after(async () => {
  for (const clean of cleanups.reverse()) await clean();
  await hub?.stop();
});

/** Serve a handler as Next.js does: aborts the request's signal and cancels the body when the browser leaves. */
async function site(handler) {
  const server = createServer(async (incoming, outgoing) => {
    const gone = new AbortController();
    outgoing.on('close', () => gone.abort());
    const request = new Request(`http://localhost${incoming.url}`, { method: incoming.method, headers: incoming.headers, signal: gone.signal });
    const answer = await handler(request);
    outgoing.writeHead(answer.status, Object.fromEntries(answer.headers));
    if (!answer.body) return outgoing.end();
    outgoing.flushHeaders();
    await pipeline(Readable.fromWeb(answer.body), outgoing).catch(() => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return `http://127.0.0.1:${server.address().port}`;
}

const route = (options) => streamRoute({ url: hub.url, key: 'reader', authorize: () => true, ...options });
const ask = (handler, path = '/', init) => handler(new Request(`http://localhost${path}`, init));
const opened = (url, more) => {
  const found = openStream({ url, ...more });
  cleanups.push(() => found.close());
  return found;
};

test('authorize and url are required when the module loads', () => {
  for (const authorize of [undefined, null, true, 'Public', {}]) {
    assert.throws(() => streamRoute({ url: 'http://h', authorize }), /authorize/);
  }
  assert.throws(() => streamRoute({ authorize: 'public' }), /url/);
  assert.throws(() => streamRoute({ url: 'h:5000', authorize: 'public' }), TypeError);
});

test('a client follows and resumes through it, with the route’s key', async () => {
  const base = await site(route());
  const following = opened(`${base}/api/events`, { types: 'test', room: 'r' });
  await until(() => following.getSnapshot().status === 'live');
  const { id } = await hub.post({ type: 'test', room: 'r', text: '\u2028 é 👋' }, 'writer');
  await hub.post({ type: 'other', room: 'r' }, 'writer');
  await hub.post({ type: 'test', room: 'r', n: 2 }, 'writer');
  await until(() => following.getSnapshot().events.length === 2);
  assert.equal(following.getSnapshot().events[0].text, '\u2028 é 👋');
  const resumed = opened(`${base}/api/events`, { since: id });
  await until(() => resumed.getSnapshot().events.length === 2);
  assert.deepEqual(resumed.getSnapshot().events.map(({ type }) => type), ['other', 'test']);
});

test('filters and positions are passed on; tickets, cookies and credentials are not', async () => {
  const upstream = await Server.start((_, response) => stream(response, connected('e-0')).end());
  cleanups.push(() => upstream.stop());
  const handler = streamRoute({ url: `${upstream.url}/own?tenant=7`, key: async () => 'secret', authorize: 'public' });
  const query = 'room=a&room=b%20c&type=t&participant=p&session_id=s&last_event_id=e-1&replay=3&snapshot=1&ticket=stolen&x=1';
  const headers = { 'Last-Event-ID': 'e-2', Cookie: 'session=1', Authorization: 'Bearer mine', 'X-API-Key': 'mine', 'Accept-Encoding': 'gzip' };
  await (await ask(handler, `/?${query}`, { headers })).text();
  const [request] = upstream.requests;
  assert.deepEqual(
    [...request.query].map(([name, value]) => `${name}=${value}`),
    ['tenant=7', 'room=a', 'room=b c', 'type=t', 'participant=p', 'session_id=s', 'last_event_id=e-1', 'replay=3', 'snapshot=1'],
  );
  assert.equal(request.path, '/own');
  assert.equal(request.headers['last-event-id'], 'e-2');
  assert.equal(request.headers.authorization, 'Bearer secret');
  assert.equal(request.headers['accept-encoding'], 'identity');
  assert.equal(request.headers.cookie, undefined);
  assert.equal(request.headers['x-api-key'], undefined);
});

test('the answer’s bytes and headers are a stream’s, unchanged', async () => {
  const bytes = `retry: 5\r\n\r\n\ufeff: odd\rdata: {"type":"x"}\n\n`;
  const kind = { 'Content-Type': 'Text/Event-Stream;charset=utf-8' };
  const upstream = await Server.start((_, response) => response.writeHead(200, kind).end(bytes));
  cleanups.push(() => upstream.stop());
  const answer = await ask(streamRoute({ url: upstream.url, authorize: 'public' }));
  assert.equal(answer.headers.get('content-type'), kind['Content-Type']);
  assert.equal(answer.headers.get('cache-control'), 'no-store, no-transform');
  assert.equal(answer.headers.get('x-accel-buffering'), 'no');
  assert.equal(answer.headers.get('content-encoding'), null);
  assert.deepEqual(Buffer.from(await answer.arrayBuffer()), Buffer.from(bytes));
});

test('authorize returns a Response or filters; anything else is refused', async () => {
  const upstream = await Server.start((_, response) => stream(response, connected('e-0')).end());
  cleanups.push(() => upstream.stop());
  const decide = (verdict) => streamRoute({ url: upstream.url, authorize: async () => verdict });
  const redirect = new Response(null, { status: 302, headers: { Location: '/login' } });
  assert.equal(await ask(decide(redirect)), redirect);
  const complain = console.error;
  console.error = () => {};
  const refusals = [false, undefined, null, 'public', 1, {}, [], { room: '' }, { room: [] }, { room: undefined }, { room: ['a', null] }, { rooms: 'a' }, { room: 'a', ticket: 't' }];
  for (const verdict of refusals) {
    const answer = await ask(decide(verdict), '/?room=everything');
    assert.deepEqual([answer.status, answer.headers.get('content-type')], [403, 'application/problem+json'], JSON.stringify(verdict));
  }
  console.error = complain;
  assert.equal(upstream.requests.length, 0);
  await (await ask(decide({ room: ['mine', 'ours'], types: 'transcript' }), '/?room=theirs&type=error&participant=p')).text();
  assert.equal(String(upstream.requests[0].query), 'room=mine&room=ours&type=transcript&participant=p');
  await assert.rejects(ask(streamRoute({ url: upstream.url, authorize: () => { throw new Error('mine'); } })), /mine/);
});

test('authorize sees the request, and the viewer sees its rooms only', async () => {
  const handler = route({ authorize: (request) => ({ room: request.headers.get('x-room') }) });
  const answer = await ask(handler, '/?replay=9&room=secret', { headers: { 'x-room': 'mine' } });
  await hub.post([{ type: 't', room: 'secret' }, { type: 't', room: 'mine' }], 'writer');
  const reader = answer.body.getReader();
  let text = '';
  while (!text.includes('"mine"')) text += new TextDecoder().decode((await reader.read()).value);
  assert.doesNotMatch(text, /secret/);
  await reader.cancel();
});

test('a slow reader holds the hub back', async () => {
  const total = 50_000;
  let sent = 0;
  const upstream = await Server.start((_, response) => {
    stream(response, connected('e-0'));
    const more = () => {
      while (sent < total) if (!response.write(event(++sent, { fill: 'x'.repeat(1000) }))) return;
      response.end();
    };
    response.on('drain', more);
    more();
  });
  cleanups.push(() => upstream.stop());
  const base = await site(streamRoute({ url: upstream.url, authorize: 'public' }));
  const memory = process.memoryUsage().arrayBuffers;
  const socket = connect(Number(new URL(base).port), '127.0.0.1');
  cleanups.push(() => socket.destroy());
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  let stopped = -1;
  await until(async () => {
    const before = sent;
    await new Promise((resolve) => setTimeout(resolve, 300));
    stopped = sent;
    return sent > 0 && sent === before;
  }, 'the hub to be held back');
  assert.ok(stopped < total / 2, `${stopped} of ${total} sent`);
  assert.ok(process.memoryUsage().arrayBuffers - memory < 16e6);
  socket.resume();
  await until(() => sent === total, 'the rest');
});

test('the hub’s stream closes when the browser leaves, and when the answer is cancelled', async () => {
  const base = await site(route());
  const before = await hub.clients();
  const gone = new AbortController();
  const answer = await fetch(base, { signal: gone.signal });
  await answer.body.getReader().read();
  assert.equal(await hub.clients(), before + 1);
  gone.abort();
  await until(async () => (await hub.clients()) === before, 'the hub to notice', 8000);
  const direct = await ask(route());
  await direct.body.cancel();
  await until(async () => (await hub.clients()) === before, 'the hub to notice', 8000);
  const leaving = new AbortController();
  const left = await ask(route(), '/', { signal: leaving.signal });
  await left.body.getReader().read();
  leaving.abort();
  await until(async () => (await hub.clients()) === before, 'the hub to notice', 8000);
});

test('if the hub is unreachable or breaks off, the browser is asked to retry', async () => {
  const away = streamRoute({ url: `http://127.0.0.1:${await freePort()}`, authorize: 'public' });
  const goodbye = /^retry: 3000\ndata: \{"type":"goodbye","reason":"hub_\w+","retry_ms":3000\}\n\n$/;
  const answer = await ask(away);
  assert.equal(answer.status, 200);
  assert.match(await answer.text(), goodbye);
  const broken = await Server.start((_, response, nth) => {
    if (nth === 1) stream(response, connected('e-0')) && setTimeout(() => response.destroy(), 20);
    else response.writeHead(502, { 'Content-Type': 'text/html' }).end('<h1>Bad Gateway</h1>');
  });
  cleanups.push(() => broken.stop());
  const handler = streamRoute({ url: broken.url, authorize: 'public' });
  assert.match(await (await ask(handler)).text(), /connected/);
  assert.match(await (await ask(handler)).text(), goodbye);
});

test('a wrong key is the server’s fault, a bad query the browser’s', async () => {
  const complaints = [];
  const complain = console.error;
  console.error = (text) => complaints.push(text);
  const wrong = await ask(route({ key: 'wrong' }));
  console.error = complain;
  assert.equal(wrong.status, 502);
  assert.doesNotMatch(await wrong.text(), /wrong/);
  assert.match(complaints[0], /answered 401/);
  const bad = await ask(route(), '/?replay=many');
  assert.equal(bad.status, 400);
  assert.match((await bad.json()).detail, /replay/);
  const full = await Server.start((_, response) => problem(response, 429, 'Later.', { 'Retry-After': '7' }));
  cleanups.push(() => full.stop());
  const later = await ask(streamRoute({ url: full.url, authorize: 'public' }));
  assert.deepEqual([later.status, later.headers.get('retry-after')], [429, '7']);
});

test('HEAD opens no stream', async () => {
  const before = await hub.clients();
  const answer = await ask(route(), '/', { method: 'HEAD' });
  assert.deepEqual([answer.status, answer.body, await hub.clients()], [200, null, before]);
});

test('a hub that cannot be reached is named in this server’s log', async (context) => {
  const told = context.mock.method(console, 'error', () => {});
  const url = `http://127.0.0.1:${await freePort()}`;
  const answer = await ask(route({ url }));
  assert.match(await answer.text(), /hub_unreachable/);
  assert.equal(told.mock.calls.length, 1);
  assert.match(String(told.mock.calls[0].arguments[0]), new RegExp(`${url} cannot be reached`));
});

test('a refusal that stalls is given up like no answer', async (context) => {
  context.mock.method(console, 'error', () => {});
  context.mock.timers.enable({ apis: ['setTimeout'] });
  let isAsked = false;
  const server = await Server.start((_, response) => {
    response.writeHead(429, { 'Content-Type': 'application/problem+json' });
    response.write('{');
    isAsked = true;
  });
  cleanups.push(() => server.stop());
  const answering = ask(route({ url: server.url }));
  while (!isAsked) await new Promise(setImmediate);
  for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
  context.mock.timers.tick(10_000);
  assert.match(await (await answering).text(), /hub_unreachable/);
});
