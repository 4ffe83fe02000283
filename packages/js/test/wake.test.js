// What a page adds: events that say the machine may have slept, and addresses relative to the page.
import assert from 'node:assert/strict';
import { after, afterEach, test } from 'node:test';
import { createStream } from '../src/stream.js';
import { until } from './kit/hub.js';
import { Server, connected, stream } from './kit/server.js';

const page = new EventTarget();
const document = Object.assign(new EventTarget(), { baseURI: '' });
let listeners = 0;
for (const target of [page, document]) {
  for (const [name, change] of [['addEventListener', 1], ['removeEventListener', -1]]) {
    const original = target[name].bind(target);
    target[name] = (...args) => ((listeners += change), original(...args));
  }
}
Object.assign(globalThis, { document, addEventListener: page.addEventListener, removeEventListener: page.removeEventListener });

let opened;
const servers = [];
afterEach(() => opened.close());
after(() => Promise.all(servers.map((server) => server.stop())));

async function serve(answer) {
  const server = await Server.start(answer);
  servers.push(server);
  document.baseURI = `${server.url}/console/page.html`;
  return server;
}

for (const [name, target, type] of [
  ['the network is back', page, 'online'],
  ['the page is visible again', document, 'visibilitychange'],
  ['the page comes from the cache', page, 'pageshow'],
]) {
  test(`${name}: a long pause ends at once`, async () => {
    const server = await serve((_, response, nth) => {
      if (nth < 5) response.destroy();
      else stream(response, connected('e-0'));
    });
    opened = createStream({ url: '/' }, () => 0.999);
    for (let nth = 1; nth < 5; nth++) {
      await server.request(nth);
      await until(() => opened.getSnapshot().error);
      await new Promise((resolve) => setTimeout(resolve, 30));
      target.dispatchEvent(new Event(type));
    }
    // Without being woken these pauses last 1 + 2 + 4 + 8 s.
    await server.request(5, 2000);
  });

  test(`${name}: the server’s minimum wait still applies`, async () => {
    const server = await serve((_, response) => response.writeHead(503, { 'Retry-After': '1' }).end());
    opened = createStream({}, () => 0.999);
    const { at } = await server.request(1);
    await until(() => opened.getSnapshot().error);
    target.dispatchEvent(new Event(type));
    assert.ok((await server.request(2)).at - at >= 995);
  });

  test(`${name}: a silent connection is opened again`, async (context) => {
    const server = await serve((_, response) => stream(response, connected('e-0')));
    opened = createStream({ url: '' }, () => 0);
    await until(() => opened.getSnapshot().status === 'live');
    const late = Date.now() + 38_000;
    context.mock.method(globalThis, 'setTimeout', () => 0); // timers stand still
    context.mock.method(Date, 'now', () => late);
    target.dispatchEvent(new Event(type));
    context.mock.restoreAll();
    await server.request(2, 3000);
  });
}

test('addresses are relative to the page', async () => {
  const server = await serve((_, response) => stream(response, connected('e-0')));
  for (const url of [undefined, '/', '/api/hub?x=1', 'hub', '../hub']) {
    opened = createStream({ url });
    await until(() => opened.getSnapshot().status === 'live');
    opened.close();
  }
  const paths = server.requests.map(({ path }) => path);
  assert.deepEqual(paths, ['/api/stream', '/api/stream', '/api/hub', '/console/hub', '/hub']);
});

test('a closed stream removes its listeners', async () => {
  await serve((_, response) => stream(response, connected('e-0')));
  opened = createStream({});
  await until(() => opened.getSnapshot().status === 'live');
  assert.equal(listeners, 3);
  opened.close();
  assert.equal(listeners, 0);
});
