// The hooks in React itself, with jsdom as the page. Needs the development packages.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { JSDOM } from 'jsdom';
import { until } from './kit/hub.js';
import { Server, connected, event, frame, problem, stream } from './kit/server.js';

const { window } = new JSDOM('<!doctype html><div id="root"></div>', { url: 'http://localhost/' });
for (const [name, value] of Object.entries({ window, document: window.document, navigator: window.navigator })) {
  // Newer versions of Node have a navigator that cannot be assigned.
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}
const React = await import('react');
const { createRoot, hydrateRoot } = await import('react-dom/client');
const { renderToString } = await import('react-dom/server');
const { createElement, StrictMode } = React;
const { useConversation, useStream } = await import('../src/react.js');

/** Do something and let React finish what follows from it. */
async function act(fn) {
  await fn();
  await new Promise((resolve) => setTimeout(resolve, 20));
}

let server;
/** Open responses. */
let streams;
before(async () => {
  server = await Server.start((_, response) => {
    streams.add(response);
    response.on('close', () => streams.delete(response));
    stream(response, connected('e-0', { head: 'e-0' }));
  });
});
after(() => server.stop());

async function mount(Component, props, { strict = true } = {}) {
  streams = new Set();
  server.requests.length = 0;
  const root = createRoot(window.document.getElementById('root'));
  const render = (next) => {
    const element = createElement(Component, next);
    return act(async () => root.render(strict ? createElement(StrictMode, null, element) : element));
  };
  await render(props);
  return { render, unmount: () => act(async () => root.unmount()) };
}

const rest = () => new Promise((resolve) => setTimeout(resolve, 60));
const seen = [];
function Page({ options }) {
  const snapshot = useStream(options);
  seen.push(snapshot);
  return createElement('p', null, `${snapshot.status} ${snapshot.events.map(({ n }) => n).join(',')}`);
}
const shown = () => window.document.querySelector('p').textContent;
const say = (...numbers) => streams.forEach((response) => numbers.forEach((n) => response.write(event(n, { room: 'r' }))));

test('each hook has one connection, also under StrictMode; unmounting closes it', async () => {
  for (const strict of [false, true]) {
    const page = await mount(Page, { options: { url: server.url } }, { strict });
    await until(() => shown() === 'live ', 'a live page');
    say(1, 2);
    await until(() => shown() === 'live 1,2', 'two events');
    await rest();
    assert.equal(server.requests.length, 1);
    await page.unmount();
    await until(() => streams.size === 0, 'the stream to close');
    assert.equal(server.requests.length, 1);
  }
});

test('equal options and new functions keep the stream; the newest function is called', async () => {
  let answer = 'first';
  const asked = [];
  const options = () => {
    const now = answer;
    return { url: server.url, room: ['a', 'b'], types: 'x', key: () => (asked.push(now), now) };
  };
  const page = await mount(Page, { options: options() });
  await until(() => shown() === 'live ');
  answer = 'second';
  for (let count = 0; count < 3; count++) await page.render({ options: { ...options(), session_id: undefined, room: ['a', 'b'] } });
  await rest();
  assert.equal(server.requests.length, 1);
  streams.forEach((response) => response.destroy());
  await until(() => server.requests.length === 2, 'the reconnect');
  assert.deepEqual(asked, ['first', 'second']);
  assert.equal(server.requests[1].headers.authorization, 'Bearer second');
  await page.unmount();
});

test('other options open another stream with an empty snapshot', async () => {
  const page = await mount(Page, { options: { url: server.url, room: 'a' } });
  await until(() => shown() === 'live ');
  say(1);
  await until(() => shown() === 'live 1');
  seen.length = 0;
  await page.render({ options: { url: server.url, room: 'b' } });
  assert.ok(seen.every(({ events }) => events.length === 0));
  await until(() => shown() === 'live ');
  assert.deepEqual(server.requests.map(({ query }) => query.get('room')), ['a', 'b']);
  await until(() => streams.size === 1, 'the old stream to close');
  await page.unmount();
});

test('useConversation returns the same object until the rooms change', async () => {
  const given = [];
  let again;
  function Room() {
    [, again] = React.useState(0);
    const conversation = useConversation({ url: server.url });
    given.push(conversation);
    return createElement('p', null, `${conversation.status} ${Object.keys(conversation.rooms)}`);
  }
  const page = await mount(Room, {});
  await until(() => shown() === 'live ');
  say(1);
  await until(() => shown() === 'live r');
  assert.deepEqual(Object.keys(given.at(-1)).sort(), ['missed', 'rooms', 'status']);
  const last = given.at(-1);
  await act(async () => again(1));
  assert.equal(given.at(-1), last);
  streams.forEach((response) => response.write(frame({ type: 'stream_reset', reason: 'expired', missed: 3, oldest: 'e-5' }, '')));
  await until(() => given.at(-1).reason, 'the gap');
  assert.deepEqual([given.at(-1).missed, given.at(-1).reason], [3, 'expired']);
  await page.unmount();
});

test('server rendering opens no connection, and hydrates', async () => {
  streams = new Set();
  server.requests.length = 0;
  const options = { url: server.url, since: 'e-0' };
  const page = globalThis.document;
  delete globalThis.document;
  const html = renderToString(createElement(Page, { options }));
  const relative = renderToString(createElement(Page, { options: { url: '/api/hub' } }));
  globalThis.document = page;
  assert.equal(html, '<p>connecting </p>');
  assert.equal(relative, html);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(server.requests.length, 0);
  const container = window.document.getElementById('root');
  container.innerHTML = html;
  const complaints = [];
  let root;
  await act(async () => {
    root = hydrateRoot(container, createElement(Page, { options }), { onRecoverableError: (error) => complaints.push(error) });
  });
  await until(() => shown() === 'live ');
  assert.deepEqual(complaints, []);
  await act(async () => root.unmount());
});

test('useConversation says why it is refused', async () => {
  let found;
  function Room() {
    found = useConversation({ url: `${refusing.url}/api/stream` });
    return createElement('p', null, found.status);
  }
  const refusing = await Server.start((_, response) => problem(response, 403, 'Not your room.'));
  const page = await mount(Room, {});
  await until(() => found.status === 'refused');
  assert.equal(found.error.detail, 'Not your room.');
  await page.unmount();
  await refusing.stop();
});
