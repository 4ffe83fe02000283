// The stream against a real hub.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Gap, openStream } from '../src/index.js';
import { createStream } from '../src/stream.js';
import { CuttingProxy } from './kit/cutting-proxy.js';
import { Hub, until } from './kit/hub.js';

/** How often the stream is cut off under load; more where there is time. */
const CUTS = Number(process.env.HUB_CUTS ?? 8);

let hub;
const cleanups = [];
before(async () => {
  hub = await Hub.start({ STREAM_HEARTBEAT: '0.5' });
});
after(async () => {
  await Promise.all(cleanups.map((clean) => clean()));
  await hub?.stop();
});

function open(options) {
  const opened = createStream(options, () => 0);
  cleanups.push(() => opened.close());
  return opened;
}

const status = (opened) => opened.getSnapshot().status;
const isLive = (opened) => until(() => status(opened) === 'live', 'a live stream');

test('filters apply, and the position resumes', async () => {
  const stream = open({ url: hub.url, room: ['a', 'b & c+d'], types: 'test' });
  await isLive(stream);
  const { position } = stream.getSnapshot();
  assert.match(position, /^\w+-\d+$/);
  await hub.post([
    { type: 'test', room: 'a', n: 1 },
    { type: 'other', room: 'a' },
    { type: 'test', room: 'elsewhere' },
    { type: 'test', room: 'b & c+d', n: 2, text: '\u2028 é 👋' },
  ]);
  const iterator = stream[Symbol.asyncIterator]();
  const [one, two] = [(await iterator.next()).value, (await iterator.next()).value];
  assert.deepEqual([one.n, two.n, two.text], [1, 2, '\u2028 é 👋']);
  assert.equal(stream.getSnapshot().position, two.id);
  const again = open({ url: hub.url, types: 'test', since: one.id });
  await until(() => again.getSnapshot().events.length === 2);
  assert.deepEqual(again.getSnapshot().events.map(({ room }) => room), ['elsewhere', 'b & c+d']);
});

test('replay begins with past events', async () => {
  await hub.post([1, 2, 3].map((n) => ({ type: 'replayed', n })));
  const stream = open({ url: hub.url, types: ['replayed'], replay: 2 });
  await until(() => stream.getSnapshot().events.length === 2);
  assert.deepEqual(stream.getSnapshot().events.map(({ n }) => n), [2, 3]);
});

test('a cursor of another history is a gap of unknown size, then what is stored follows', async () => {
  const { id } = await hub.post({ type: 'stored' });
  const stream = open({ url: hub.url, since: 'elsewhere-7', types: 'stored' });
  const iterator = stream[Symbol.asyncIterator]();
  assert.deepEqual((await iterator.next()).value, new Gap(null, 'foreign'));
  assert.equal((await iterator.next()).value.id, id);
  assert.equal(stream.getSnapshot().missed, null);
  await isLive(stream);
});

test('a room’s state equals the hub’s, from its first event and from a snapshot', async () => {
  const room = 'state';
  const tell = (type, more) => hub.post({ type, room, session_id: 's', ...more });
  const early = open({ url: hub.url, room });
  await isLive(early);
  await hub.post({ type: 'participant_joined', room, participant: 'ann', role: 'user' });
  await tell('session_started', {});
  await tell('agent_state', { state: 'thinking', role: 'agent', participant: 'bot' });
  await tell('transcript', { role: 'user', participant: 'ann', turn_id: 't', segment_id: 'g', text: 'Can you', is_final: false });
  await tell('tool_call_started', { call_id: 'c', name: 'f', arguments: {}, turn_id: 't' });
  await tell('user_speech_started', { participant: 'ann', turn_id: 't' });
  const late = open({ url: hub.url, room, snapshot: true });
  await isLive(late);
  await until(() => late.getSnapshot().conversation.rooms[room]);
  const same = async () => {
    const truth = await hub.ask(`/api/rooms/${room}`);
    for (const stream of [early, late]) {
      await until(() => stream.getSnapshot().conversation.rooms[room]?.last_seq === truth.last_seq, 'the last event');
      assert.deepEqual(stream.getSnapshot().conversation.rooms[room], truth);
    }
  };
  await same();
  await tell('transcript', { role: 'user', participant: 'ann', turn_id: 't', segment_id: 'g', text: 'Can you help?' });
  await tell('tool_call_finished', { call_id: 'c', name: 'f', status: 'done', output: 1 });
  await tell('user_speech_finished', { participant: 'ann', turn_id: 't' });
  await tell('agent_state', { state: 'speaking', role: 'agent', participant: 'bot' });
  await tell('agent_speech_started', { participant: 'bot', turn_id: 't' });
  await same();
  await tell('agent_speech_finished', { participant: 'bot', turn_id: 't' });
  await hub.post({ type: 'participant_left', room, participant: 'ann', role: 'user' });
  await tell('session_ended', { reason: 'participant_disconnected' });
  await same();
});

test('close ends the hub’s stream', async () => {
  for (const clean of cleanups.splice(0)) await clean();
  await until(async () => (await hub.clients()) === 0, 'the other streams to close');
  const stream = openStream({ url: hub.url });
  await until(async () => (await hub.clients()) === 1);
  stream.close();
  await until(async () => (await hub.clients()) === 0);
});

test(`a client that is cut off ${CUTS} times at random under load has every event once`, { timeout: 600_000 }, async () => {
  const proxy = await CuttingProxy.start(hub.port);
  cleanups.push(() => proxy.stop());
  const stream = open({ url: proxy.url, types: 'load' });
  let posted = 0;
  let isPosting = true;
  const posting = (async () => {
    while (isPosting) {
      const batch = Array.from({ length: 20 }, () => ({ type: 'load', n: ++posted, fill: 'x'.repeat(posted % 700) }));
      await hub.post(batch);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  await isLive(stream);
  const seen = [];
  const reading = (async () => {
    for await (const item of stream) {
      seen.push(item instanceof Gap ? item : item.n);
      if (item.last) break;
      if (seen.length % 50 === 0) await new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
    }
  })();
  let cuts = 0;
  while (cuts < CUTS) {
    await until(() => status(stream) !== 'connecting', 'a connection');
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 120));
    cuts += proxy.cut() > 0 && status(stream) !== 'connecting' ? 1 : 0;
    await until(() => status(stream) === 'connecting' || status(stream) === 'closed', 'the cut to be noticed');
  }
  isPosting = false;
  await posting;
  posted++;
  await hub.post({ type: 'load', n: posted, last: true });
  await reading;
  const first = seen[0];
  assert.deepEqual(seen.filter((item) => item instanceof Gap), []);
  assert.deepEqual(seen, Array.from({ length: posted - first + 1 }, (_, at) => first + at));
  assert.ok(seen.length > CUTS * 20, `${seen.length} events`);
  assert.equal(stream.getSnapshot().missed, 0);
});

test('a hub that restarts with a new history is a gap, and the stream continues', async () => {
  const other = await Hub.start();
  try {
    const stream = open({ url: other.url });
    await isLive(stream);
    await other.post({ type: 'before', room: 'old' });
    await until(() => stream.getSnapshot().events.length === 1);
    await other.kill();
    await until(() => status(stream) === 'connecting');
    await other.run();
    await until(() => stream.getSnapshot().missed === null, 'the gap');
    await other.post({ type: 'after', room: 'new' });
    await until(() => stream.getSnapshot().events.at(-1).type === 'after');
    assert.deepEqual(Object.keys(stream.getSnapshot().conversation.rooms), ['new']);
    assert.equal(status(stream), 'live');
  } finally {
    await other.stop();
  }
});

test('a hub with keys refuses a stream without one; a ticket opens it', async () => {
  const keyed = await Hub.start({ STREAM_SUBSCRIBE_KEYS: 'reader', STREAM_PUBLISH_KEYS: 'writer', STREAM_OPERATOR_KEYS: 'boss' });
  try {
    await assert.rejects(openStream({ url: keyed.url })[Symbol.asyncIterator]().next(), { name: 'Refused', status: 401 });
    await assert.rejects(openStream({ url: keyed.url, key: 'writer' })[Symbol.asyncIterator]().next(), { status: 403 });
    const stream = open({ url: keyed.url, key: 'reader' });
    await isLive(stream);
    let tickets = 0;
    const ticketed = open({
      url: keyed.url,
      ticket: async () => {
        tickets++;
        return (await keyed.ask('/api/stream/ticket', { body: {}, key: 'reader' })).ticket;
      },
    });
    await isLive(ticketed);
    await keyed.post({ type: 'x' }, 'writer');
    await until(() => ticketed.getSnapshot().events.length === 1);
    assert.equal(tickets, 1);
  } finally {
    await keyed.stop();
  }
});
