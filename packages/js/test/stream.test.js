// The stream against a server that does what a test says.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Gap, Refused, openStream } from '../src/index.js';
import { createStream } from '../src/stream.js';
import { freePort, until } from './kit/hub.js';
import { Server, connected, event, frame, problem, stream } from './kit/server.js';

const cleanups = [];
after(() => Promise.all(cleanups.map((clean) => clean())));

async function serve(answer) {
  const server = await Server.start(answer);
  cleanups.push(() => server.stop());
  return server;
}

/** The shortest pauses that may be. */
function open(options) {
  const opened = createStream(options, () => 0);
  cleanups.push(() => opened.close());
  return opened;
}

/** Take `count` items. */
async function take(iterable, count) {
  const items = [];
  const iterator = iterable[Symbol.asyncIterator]();
  while (items.length < count) {
    const { done, value } = await iterator.next();
    if (done) break;
    items.push(value);
  }
  return items;
}

const status = (opened) => opened.getSnapshot().status;
const numbers = (items) => items.map((item) => item.n);

test('a hub’s address gets /api/stream, any other is the stream itself; filters repeat', async () => {
  const server = await serve((_, response) => stream(response, connected('e-1', { head: 'e-1' })));
  const filters = { room: ['a b+c', 'd'], types: 'transcript', participant: 'ann', session_id: ['s'], replay: 3, snapshot: true };
  for (const url of [server.url, `${server.url}/`, new URL(server.url), `${server.url}/own/path?tenant=7#x`, `${server.url}/own/`]) {
    const opened = open({ url, ...filters, key: 'k', ticket: 't' });
    await until(() => status(opened) === 'live');
    opened.close();
  }
  const paths = server.requests.map(({ path }) => path);
  assert.deepEqual(paths, ['/api/stream', '/api/stream', '/api/stream', '/own/path', '/own/']);
  const { query, headers } = server.requests[3];
  assert.deepEqual(
    [...query].map(([name, value]) => `${name}=${value}`),
    ['tenant=7', 'room=a b+c', 'room=d', 'type=transcript', 'participant=ann', 'session_id=s', 'ticket=t', 'replay=3', 'snapshot=1'],
  );
  assert.equal(headers.authorization, 'Bearer k');
  assert.equal(headers['accept-encoding'], 'identity');
  assert.match(headers.accept, /text\/event-stream/);
});

test('a key of any script is sent as UTF-8', async () => {
  const server = await serve((_, response) => stream(response, connected('e-1', { head: 'e-1' })));
  for (const key of ['sch\u00fcssel', '\u043a\u043b\u044e\u0447', '\u{1f511}']) {
    const opened = open({ url: server.url, key });
    await until(() => status(opened) === 'live');
    opened.close();
    assert.equal(Buffer.from(server.requests.at(-1).headers.authorization, 'latin1').toString('utf8'), `Bearer ${key}`);
  }
});

test('unusable addresses throw at once', () => {
  for (const url of [undefined, '', '/api/stream', 'localhost:5000', 'ftp://h', 'http://me:secret@h', 'http://', 7]) {
    assert.throws(() => openStream({ url }), TypeError, String(url));
  }
});

test('events and gaps are yielded, control events are not; the position follows', async () => {
  const server = await serve((_, response) =>
    stream(
      response,
      connected('e-4', { head: 'e-7' }),
      frame({ type: 'stream_reset', reason: 'expired', requested: 'e-1', oldest: 'e-5', missed: 3 }),
      frame({ type: 'snapshot', as_of: 'e-4', rooms: [] }),
      event(5),
      frame({ type: 'heartbeat', timestamp: 1 }, 'e-6'),
      event(7),
      frame({ type: 'heartbeat', timestamp: 1 }, 'e-9'),
    ),
  );
  const opened = open({ url: server.url, since: 'e-1', snapshot: true });
  assert.equal(opened.getSnapshot().position, 'e-1');
  const iterator = opened[Symbol.asyncIterator]();
  const seen = [];
  for (let count = 0; count < 4; count++) {
    const { value } = await iterator.next();
    seen.push([value instanceof Gap ? 'gap' : value.type, opened.getSnapshot().position]);
  }
  assert.deepEqual(seen, [['gap', 'e-4'], ['snapshot', 'e-4'], ['test', 'e-6'], ['test', 'e-9']]);
  assert.deepEqual(server.requests[0].query.get('last_event_id'), 'e-1');
  assert.equal(server.requests[0].headers['last-event-id'], 'e-1');
  const { missed, reason, events } = opened.getSnapshot();
  assert.deepEqual([missed, reason, numbers(events)], [3, 'expired', [5, 7]]);
});

test('a late iteration gets what arrived since the opening', async () => {
  const server = await serve((_, response) =>
    stream(response, connected('e-0'), event(1), event(2), frame({ type: 'heartbeat' }, 'e-4')),
  );
  const opened = open({ url: server.url });
  await until(() => opened.getSnapshot().position === 'e-4');
  assert.deepEqual(numbers(await take(opened, 2)), [1, 2]);
  assert.equal(opened.getSnapshot().position, 'e-4');
});

test('unread items are bounded, and a too late iteration gets a gap', async () => {
  const frames = Array.from({ length: 1300 }, (_, at) => event(at + 1));
  const server = await serve((_, response) => stream(response, connected('e-0', { head: 'e-1300' }), frames.join('')));
  const opened = open({ url: server.url });
  await until(() => status(opened) === 'live');
  const { events, position, missed } = opened.getSnapshot();
  assert.deepEqual([events.length, events[0].n, position, missed], [500, 801, 'e-1300', 0]);
  const [gap, first] = await take(opened, 2);
  assert.deepEqual({ ...gap }, { missed: 800, reason: 'not_read' });
  assert.equal(first.n, 801);
});

test('a broken connection resumes after the newest received id', async () => {
  const server = await serve((_, response, nth) => {
    const from = (nth - 1) * 2;
    stream(response, connected(`e-${from}`), event(from + 1), event(from + 2), 'id: e-99\ndata: {"type":"cut');
    setTimeout(() => (nth < 4 ? response.destroy() : response), 20);
  });
  const opened = open({ url: server.url, replay: 5 });
  assert.deepEqual(numbers(await take(opened, 8)), [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(server.requests.map(({ query }) => [query.get('last_event_id'), query.get('replay')]), [
    [null, '5'],
    ['e-2', null],
    ['e-4', null],
    ['e-6', null],
  ]);
});

test('a reset that is cut off after connected is requested again', async () => {
  const reset = frame({ type: 'stream_reset', reason: 'foreign', requested: 'old-9', oldest: 'new-4', missed: null });
  const server = await serve((_, response, nth) => {
    if (nth === 1) stream(response, connected('new-3', { head: 'new-5' })).end();
    else stream(response, connected('new-3', { head: 'new-5' }), reset, frame({ type: 'x', id: 'new-4' }));
  });
  const opened = open({ url: server.url, since: 'old-9' });
  const [gap, first] = await take(opened, 2);
  assert.deepEqual([gap, first.id], [new Gap(null, 'foreign'), 'new-4']);
  assert.equal(server.requests[1].query.get('last_event_id'), 'old-9');
  assert.equal(opened.getSnapshot().missed, null);
});

test('the snapshot is requested until it has arrived', async () => {
  const room = { room: 'r', last_seq: 3, updated: 1, participants: [], agent_state: null, user_state: null, speaking: [], turn: null, transcript: [], sessions: [] };
  const server = await serve((_, response, nth) => {
    if (nth === 1) stream(response, connected('e-3')).end();
    else if (nth === 2) stream(response, connected('e-3'), frame({ type: 'snapshot', as_of: 'e-3', rooms: [room] }), frame({ type: 'heartbeat' }, 'e-3')).end();
    else stream(response, connected('e-3', { head: 'e-3' }));
  });
  const opened = open({ url: server.url, snapshot: true });
  await server.request(3);
  assert.deepEqual(server.requests.map(({ query }) => query.get('snapshot')), ['1', '1', null]);
  assert.equal(server.requests[1].query.get('last_event_id'), 'e-3');
  assert.equal(opened.getSnapshot().conversation.rooms.r.last_seq, 3);
});

test('each change of the status notifies at once', async () => {
  let response;
  const server = await serve((_, answer) => (response = answer));
  const opened = open({ url: server.url, since: 'e-1' });
  const seen = [];
  opened.subscribe(() => seen.at(-1) === status(opened) || seen.push(status(opened)));
  assert.equal(status(opened), 'connecting');
  await server.request(1);
  stream(response, connected('e-1', { head: 'e-4' }));
  await until(() => seen.at(-1) === 'catching-up');
  response.write(event(3));
  await until(() => opened.getSnapshot().events.length === 1);
  assert.equal(status(opened), 'catching-up');
  response.write(event(4));
  await until(() => seen.at(-1) === 'live');
  response.write(frame({ type: 'stream_reset', reason: 'expired', requested: 'e-4', oldest: 'e-9', missed: 4 }));
  await until(() => seen.at(-1) === 'gap');
  response.write(event(9));
  await until(() => seen.at(-1) === 'live');
  response.destroy();
  await until(() => seen.at(-1) === 'connecting');
  assert.ok(opened.getSnapshot().error);
  await server.request(2);
  assert.equal(server.requests[1].query.get('last_event_id'), 'e-9');
  stream(response, connected('e-9', { head: 'e-9' }));
  await until(() => seen.at(-1) === 'live');
  assert.equal(opened.getSnapshot().error, undefined);
  assert.equal('error' in opened.getSnapshot(), false);
  opened.close();
  assert.deepEqual(seen, ['catching-up', 'live', 'gap', 'live', 'connecting', 'live', 'closed']);
});

test('a gap lasts until the stream has caught up, also over a reconnect; a heartbeat at the head ends it', async () => {
  let response;
  const server = await serve((_, answer) => (response = answer));
  const opened = open({ url: server.url, since: 'x-1' });
  await server.request(1);
  stream(response, connected('e-4', { head: 'e-9' }), frame({ type: 'stream_reset', reason: 'foreign', oldest: 'e-5', missed: null }), event(5));
  await until(() => opened.getSnapshot().events.length === 1);
  assert.equal(status(opened), 'gap');
  response.destroy();
  await server.request(2);
  stream(response, connected('e-5', { head: 'e-9' }));
  await until(() => status(opened) === 'gap');
  response.write(frame({ type: 'heartbeat' }, 'e-9'));
  await until(() => status(opened) === 'live');
});

test('without a head the stream counts as caught up', async () => {
  const server = await serve((_, response) => stream(response, connected('e-1')));
  const opened = open({ url: server.url, since: 'e-1' });
  await until(() => status(opened) === 'live');
});

test('temporary failures are retried: statuses, proxies’ pages, responses that are not a stream, damaged bytes', async () => {
  const pages = [408, 425, 429, 500, 502, 504].map((code) => (response) => response.writeHead(code).end('<h1>proxy</h1>'));
  const troubles = [
    ...pages,
    (response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<h1>captive portal</h1>'),
    (response) => response.writeHead(204).end(),
    (response) => response.writeHead(304).end(),
    (response) => stream(response, 'data: not json\n\n'),
    (response) => stream(response, 'data: 7\n\n'),
    (response) => response.destroy(),
    (response) => stream(response, 'event: ping\ndata: {"type":"x"}\n\n').end(),
  ];
  const tryOne = async (page) => {
    const server = await serve((_, response, nth) => {
      if (nth === 1) page(response);
      else stream(response, connected('e-0'), event(1));
    });
    const opened = open({ url: server.url });
    await until(() => opened.getSnapshot().error, `trouble of ${page}`);
    assert.ok(!(opened.getSnapshot().error instanceof Refused));
    assert.deepEqual(numbers(await take(opened, 1)), [1]);
    opened.close();
  };
  await Promise.all(troubles.map(tryOne));
});

test('no server at all is a temporary failure', async () => {
  const port = await freePort();
  const opened = open({ url: `http://127.0.0.1:${port}` });
  await until(() => opened.getSnapshot().error);
  assert.equal(status(opened), 'connecting');
});

test('any other 4xx is a refusal: it rejects the iteration and is in the state', async () => {
  for (const code of [400, 401, 403, 404, 405, 410, 421, 422, 451]) {
    const server = await serve((_, response) => problem(response, code, `No: ${code}.`));
    const opened = open({ url: server.url, key: 'wrong' });
    await assert.rejects(take(opened, 1), (error) => {
      assert.ok(error instanceof Refused);
      assert.deepEqual([error.status, error.detail, error.message], [code, `No: ${code}.`, `No: ${code}.`]);
      return true;
    });
    assert.equal(status(opened), 'refused');
    assert.equal(opened.getSnapshot().error.status, code);
    await new Promise((resolve) => setTimeout(resolve, 30));
    // fetch itself repeats a request that was answered with 421.
    assert.equal(server.requests.length, code === 421 ? 2 : 1);
    await assert.rejects(take(opened, 1), Refused);
  }
});

test('a response that is not a hub’s is reported as such', async () => {
  const server = await serve((_, response) => response.writeHead(403, { Server: 'AirTunes/860.7.1' }).end());
  const opened = open({ url: server.url, key: 'secret', ticket: 'also secret' });
  await assert.rejects(take(opened, 1), ({ status: code, detail }) => {
    assert.equal(code, 403);
    assert.match(detail, /answered 403, and not as a hub does \(Server: AirTunes\/860\.7\.1\)/);
    assert.match(detail, /AirPlay/);
    assert.doesNotMatch(detail, /secret/);
    return true;
  });
});

test('a refusal with an endless body is a refusal, and is not read to the end', async () => {
  let sent = 0;
  const server = await serve((_, response) => {
    response.writeHead(403, { 'Content-Type': 'application/problem+json' });
    const { socket } = response;
    const timer = setInterval(() => response.write('x'.repeat(65536)), 1);
    response.on('close', () => clearInterval(timer));
    socket.on('close', () => (sent = socket.bytesWritten));
  });
  await assert.rejects(take(open({ url: server.url }), 1), Refused);
  await until(() => sent > 0, 'the connection to be closed');
  assert.ok(sent < 32e6, `${sent} bytes`);
});

test('what was received before a refusal is yielded first', async () => {
  const server = await serve((_, response, nth) => {
    if (nth === 1) stream(response, connected('e-0'), event(1), event(2)).end();
    else problem(response, 401, 'The key is no longer valid.');
  });
  const opened = open({ url: server.url });
  await until(() => status(opened) === 'refused');
  const seen = [];
  await assert.rejects(async () => {
    for await (const item of opened) seen.push(item.n);
  }, Refused);
  assert.deepEqual(seen, [1, 2]);
});

test('key and ticket functions are called before every connection; they may be async and may fail', async () => {
  const server = await serve((_, response, nth) => {
    if (nth === 2) stream(response, connected('e-0'), frame({ type: 'goodbye', reason: 'ticket_expired', retry_ms: 40 })).end();
    else stream(response, connected('e-0'), event(nth)).end();
  });
  let asked = 0;
  const opened = open({
    url: server.url,
    key: () => `k${asked}`,
    ticket: async () => {
      asked++;
      if (asked === 2) throw new Error('the ticket office is closed');
      return `t${asked}`;
    },
  });
  await server.request(3);
  assert.deepEqual(
    server.requests.slice(0, 3).map(({ query, headers }) => [headers.authorization, query.get('ticket'), query.get('last_event_id')]),
    [['Bearer k0', 't1', null], ['Bearer k2', 't3', 'e-1'], ['Bearer k3', 't4', 'e-1']],
  );
});

test('a function may refuse, and one that never resolves does not block closing', async () => {
  const server = await serve((_, response) => stream(response, connected('e-0')));
  const refused = open({
    url: server.url,
    ticket: () => {
      throw new Refused(401, 'Sign in first.');
    },
  });
  await assert.rejects(take(refused, 1), { status: 401 });
  const opened = open({ url: server.url, ticket: () => new Promise(() => {}) });
  await new Promise((resolve) => setTimeout(resolve, 10));
  opened.close();
  assert.deepEqual(await take(opened, 1), []);
  assert.equal(server.requests.length, 0);
});

test('an expired ticket given as a string is a refusal, not an endless loop', async () => {
  const server = await serve((_, response) => stream(response, frame({ type: 'goodbye', reason: 'ticket_expired', retry_ms: 1 })).end());
  await assert.rejects(take(open({ url: server.url, ticket: 'old' }), 1), /function/);
});

test('a key follows a redirect only within its origin', async () => {
  const other = await serve((_, response, nth) => (nth === 1 ? stream(response, connected('e-0'), event(1)) : problem(response, 401, 'No key.')));
  const server = await serve((request, response) => {
    if (request.url.startsWith('/new')) stream(response, connected('e-0'), event(request.headers.authorization === 'Bearer k' ? 2 : 3));
    else response.writeHead(307, { Location: request.url.startsWith('/home') ? '/new?x=1' : `${other.url}/there` }).end();
  });
  assert.deepEqual(numbers(await take(open({ url: `${server.url}/home`, key: 'k' }), 1)), [2]);
  assert.deepEqual(numbers(await take(open({ url: `${server.url}/away`, key: 'k', since: 'e-0' }), 1)), [1]);
  assert.equal(other.requests[0].headers.authorization, undefined);
  assert.equal(other.requests[0].headers['last-event-id'], 'e-0');
  await assert.rejects(take(open({ url: `${server.url}/away`, key: 'k' }), 1), /No key\. The key was not sent/);
});

test('a redirect loop is a temporary failure', async () => {
  const server = await serve((_, response) => response.writeHead(302, { Location: '/again' }).end());
  const opened = open({ url: server.url, key: 'k' });
  await until(() => /redirected more than/.test(opened.getSnapshot().error?.message));
});

test('the server’s waits are minimum waits: retry, goodbye, Retry-After in both forms', async () => {
  const inTwoSeconds = () => new Date(Date.now() + 2000).toUTCString();
  const cases = [
    [(response) => stream(response, 'retry: 900\n\n', connected('e-0')).end(), 900],
    [(response) => stream(response, frame({ type: 'goodbye', reason: 'draining', retry_ms: 900 })).end(), 900],
    [(response) => response.writeHead(503, { 'Retry-After': '1' }).end(), 1000],
    [(response) => response.writeHead(429, { 'Retry-After': inTwoSeconds() }).end(), 1000],
  ];
  await Promise.all(
    cases.map(async ([answer, least]) => {
      const server = await serve((_, response, nth) => (nth === 1 ? answer(response) : stream(response, connected('e-0'))));
      open({ url: server.url });
      const [first, second] = [await server.request(1), await server.request(2)];
      assert.ok(second.at - first.at >= least - 5, `${answer}: ${second.at - first.at}`);
    }),
  );
});

test('a wait longer than a timer can hold does not fire at once', async () => {
  const server = await serve((_, response) => response.writeHead(503, { 'Retry-After': '99999999999' }).end());
  const opened = open({ url: server.url });
  await until(() => opened.getSnapshot().error);
  await new Promise((resolve) => setTimeout(resolve, 600));
  assert.equal(server.requests.length, 1);
});

test('an id without data moves the position, and an empty one does not', async () => {
  const server = await serve((_, response, nth) => {
    if (nth === 1) stream(response, connected('e-0'), event(1), 'id: e-7\n\n', 'id\n\n').end();
    else stream(response, connected('e-7'));
  });
  const opened = open({ url: server.url });
  const { query } = await server.request(2);
  assert.equal(query.get('last_event_id'), 'e-7');
  assert.equal(opened.getSnapshot().position, 'e-7');
});

test('silence for 2.5 heartbeats reconnects; comments count', async () => {
  const server = await serve((_, response, nth) => {
    stream(response, connected('e-0', { heartbeat: 0.2 }));
    if (nth > 1) return;
    const timer = setInterval(() => response.write(':\n'), 100);
    setTimeout(() => clearInterval(timer), 1500);
  });
  const opened = open({ url: server.url });
  const [first, second] = [await server.request(1), await server.request(2)];
  const pause = 500; // the shortest one
  assert.ok(second.at - first.at >= 1400 + 500 + pause - 50, `${second.at - first.at}`);
  await until(() => server.closed >= 1, 'the silent connection to be closed');
});

test('a server that never responds is given up', async (context) => {
  let now = Date.now();
  const server = await serve(() => {});
  const opened = open({ url: server.url });
  await server.request(1);
  context.mock.method(Date, 'now', () => now);
  now += 38_000; // as after sleep
  await until(() => /silent for 37\.5 s/.test(opened.getSnapshot().error?.message), 'the silence', 5000);
});

test('subscribers are called at most once per 50 ms, and the snapshot is one object until something changes', async () => {
  const server = await serve((_, response) => {
    stream(response, connected('e-0'));
    let seq = 0;
    const timer = setInterval(() => response.write(event(++seq)), 2);
    response.on('close', () => clearInterval(timer));
  });
  const opened = open({ url: server.url });
  await until(() => status(opened) === 'live');
  const calls = [];
  const unsubscribe = opened.subscribe(() => calls.push(performance.now()));
  await until(() => calls.length === 12);
  unsubscribe();
  const gaps = calls.slice(1).map((at, index) => at - calls[index]);
  assert.ok(Math.min(...gaps) >= 50, `${gaps}`);
  opened.close();
  assert.equal(calls.length, 12);
  const last = opened.getSnapshot();
  assert.equal(opened.getSnapshot(), last);
  assert.ok(last.events.length > 20);
});

test('forget removes rooms from the conversation', async () => {
  const server = await serve((_, response) => {
    stream(response, connected('e-0') + event(1, { room: 'a' }) + event(2, { room: 'b' }));
  });
  const opened = open({ url: server.url });
  const rooms = () => Object.keys(opened.getSnapshot().conversation.rooms);
  await until(() => rooms().length === 2);
  opened.forget(['a']);
  assert.deepEqual(rooms(), ['b']);
  assert.equal(opened.getSnapshot().events.length, 2);
  opened.close();
});

test('the last change notifies, however soon it follows another', async () => {
  let response;
  const server = await serve((_, answer) => stream((response = answer), connected('e-0')));
  const opened = open({ url: server.url });
  await until(() => status(opened) === 'live');
  let seen = 0;
  opened.subscribe(() => (seen = opened.getSnapshot().events.length));
  for (let seq = 1; seq <= 5; seq++) {
    response.write(event(seq));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await until(() => seen === 5);
});

test('closing and aborting end the iteration without an error, and close the connection', async () => {
  const server = await serve((_, response) => stream(response, connected('e-0'), event(1)));
  const controller = new AbortController();
  for (const [options, end] of [[{}, (opened) => opened.close()], [{ signal: controller.signal }, () => controller.abort()]]) {
    const opened = open({ url: server.url, ...options });
    const seen = [];
    for await (const item of opened) {
      seen.push(item.n);
      setTimeout(() => end(opened), 10);
    }
    assert.deepEqual(seen, [1]);
    assert.equal(status(opened), 'closed');
    assert.equal('error' in opened.getSnapshot(), false);
    opened.close();
  }
  const aborted = open({ url: server.url, signal: AbortSignal.abort() });
  assert.deepEqual([await take(aborted, 1), status(aborted)], [[], 'closed']);
  await until(() => server.closed === 2);
  assert.equal(server.requests.length, 2);
});

test('leaving the loop closes the stream', async () => {
  const server = await serve((_, response) => stream(response, connected('e-0'), event(1), event(2)));
  const opened = open({ url: server.url });
  for await (const item of opened) if (item.n === 1) break;
  assert.equal(status(opened), 'closed');
  await until(() => server.closed === 1);
});

test('a stream that is closed at once never connects', async () => {
  const server = await serve((_, response) => stream(response, connected('e-0')));
  let asked = 0;
  openStream({ url: server.url, key: () => String(++asked) }).close();
  const kept = open({ url: server.url });
  await until(() => status(kept) === 'live');
  assert.equal(server.requests.length, 1);
  assert.equal(asked, 0);
});

test('the connection is closed after a goodbye and after damaged bytes, even if the server leaves it open', async () => {
  const server = await serve((_, response, nth) => {
    if (nth === 1) stream(response, connected('e-0'), frame({ type: 'goodbye', reason: 'draining', retry_ms: 1 }));
    else if (nth === 2) stream(response, 'data: not json\n\n');
    else stream(response, connected('e-0', { head: 'e-0' }));
  });
  const opened = open({ url: server.url });
  await server.request(3);
  await until(() => server.closed === 2, 'two closed connections');
  await until(() => status(opened) === 'live');
  assert.equal(server.closed, 2);
});

test('a slow reader holds the server back and misses nothing', async () => {
  const total = 60_000;
  let sent = 0;
  const server = await serve((_, response) => {
    // A silence of 5 s: a busy machine may well stand still for half a second.
    stream(response, connected('e-0', { heartbeat: 2 }));
    const more = () => {
      while (sent < total) if (!response.write(event(++sent, { fill: 'x'.repeat(1000) }))) return;
    };
    response.on('drain', more);
    more();
  });
  const opened = open({ url: server.url });
  let count = 0;
  for await (const item of opened) {
    count++;
    assert.equal(item.n, count);
    if (count === 1) {
      // Longer than the silence that would count as death, were the reader not the cause.
      await new Promise((resolve) => setTimeout(resolve, 6000));
      assert.ok(sent < total / 2, `${sent} sent`);
    }
    if (count === total) break;
  }
  assert.equal(server.requests.length, 1);
});

test('an error in a subscriber does not end the stream', async () => {
  const server = await serve((_, response) => stream(response, connected('e-0'), event(1)));
  const opened = open({ url: server.url });
  const faults = [];
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => faults.push(error.message));
  const unsubscribe = opened.subscribe(() => {
    throw new Error('mine');
  });
  await until(() => opened.getSnapshot().events.length === 1 && faults.length);
  process.removeAllListeners('uncaughtException');
  listeners.forEach((listener) => process.on('uncaughtException', listener));
  unsubscribe();
  assert.equal(status(opened), 'live');
  assert.equal(faults[0], 'mine');
});

test('filters that mean nothing throw at once', () => {
  for (const room of [[], 5, {}, [null], new Set(['a'])]) {
    assert.throws(() => openStream({ url: 'http://h', room }), /^TypeError: room: /, JSON.stringify(room));
  }
});

test('a key that a header cannot carry is refused, a line end behind it is not', async () => {
  const server = await serve((_, response) => stream(response, connected('e-1', { head: 'e-1' })));
  for (const key of ['two\nlines', 'a\0b']) {
    const opened = open({ url: server.url, key: () => key });
    await assert.rejects(take(opened, 1), /^Refused: The key holds a control character/);
    assert.equal(status(opened), 'refused');
  }
  const opened = open({ url: server.url, key: '€-from-a-file\n' });
  await until(() => status(opened) === 'live');
  const sent = server.requests.map(({ headers }) => Buffer.from(headers.authorization, 'latin1').toString());
  assert.deepEqual(sent, ['Bearer €-from-a-file']);
});

test('a position that a header cannot carry resumes', async () => {
  for (const id of ['€😀', ' a b']) {
    const server = await serve((_, response, nth) => {
      stream(response, connected('e-0', { head: 'e-0' }), frame({ type: 'note', n: nth }, nth === 1 ? id : 'e-2'));
      if (nth === 1) response.end();
    });
    assert.deepEqual(numbers(await take(open({ url: server.url }), 2)), [1, 2]);
    const { query, headers } = server.requests[1];
    assert.equal(query.get('last_event_id'), id);
    assert.equal(headers['last-event-id'], undefined);
  }
});

test('a heartbeat that cannot be is bounded', async () => {
  for (const [heartbeat, requests] of [['1e-9', 1], ['-5', 1], ['"x"', 1], ['[]', 1]]) {
    const server = await serve((_, response) => {
      stream(response, `data: {"type":"connected","cursor":"e-0","head":"e-0","heartbeat":${heartbeat}}\n\n`);
      setTimeout(() => response.write(event(1)), 100);
    });
    const opened = open({ url: server.url });
    await take(opened, 1);
    opened.close();
    assert.equal(server.requests.length, requests, heartbeat);
  }
});

test('a cursor and a gap’s size that cannot be count as unknown', async () => {
  const server = await serve((_, response) =>
    stream(
      response,
      frame({ type: 'connected', cursor: null, head: 7 }),
      ...[-3, 1.5, 'x', true, [2]].map((missed) => frame({ type: 'stream_reset', reason: 'expired', missed })),
    ),
  );
  const opened = open({ url: server.url });
  assert.deepEqual(await take(opened, 5), Array(5).fill(new Gap(null, 'expired')));
  assert.equal(opened.getSnapshot().missed, null);
  assert.equal(opened.getSnapshot().position, null);
});

test('the hub’s warnings about filters are shown', async (context) => {
  const warn = context.mock.method(console, 'warn', () => {});
  const server = await serve((_, response) => stream(response, connected('e-0', { head: 'e-0', warnings: ["type: 'a,b' ..."] })));
  const opened = open({ url: server.url, types: 'a,b' });
  await until(() => status(opened) === 'live');
  assert.deepEqual(warn.mock.calls[0].arguments, ["type: 'a,b' ..."]);
});

test('a damaged snapshot is a temporary failure, and the state stays readable', async () => {
  for (const rooms of [null, [null], [{}], [{ room: 'r', transcript: 'x', sessions: 5 }]]) {
    const server = await serve((_, response, nth) =>
      stream(response, connected('e-0', { head: 'e-0' }), frame({ type: 'snapshot', as_of: 'e-0', rooms: nth === 1 ? rooms : [] }), event(1)),
    );
    const opened = open({ url: server.url, snapshot: true });
    await until(() => opened.getSnapshot().events.length === 1);
    assert.equal(server.requests.length, 2);
  }
});
