import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as clock from '/console/static/session/replay.js';

const plain = { shiftKey: false, ctrlKey: false, metaKey: false, altKey: false };

test('it advances at its speed while it plays, and stops at the end', () => {
  const at = clock.setSpeed(clock.play(clock.createClock(10), 1000, 60), 4, 1000, 60);
  assert.equal(clock.positionAt(at, 1000, 60), 10);
  assert.equal(clock.positionAt(at, 3500, 60), 20);
  assert.equal(clock.positionAt(at, 99_000, 60), 60);
});

test('a change of speed keeps the position', () => {
  const fast = clock.setSpeed(clock.play(clock.createClock(0), 0, 600), 16, 0, 600);
  const slow = clock.setSpeed(fast, 1, 2000, 600);
  assert.equal(clock.positionAt(slow, 2000, 600), 32);
  assert.equal(clock.positionAt(slow, 3000, 600), 33);
});

test('a pause keeps the position, playing at the end starts over', () => {
  const paused = clock.pause(clock.play(clock.createClock(5), 0, 60), 2500, 60);
  assert.equal(clock.positionAt(paused, 50_000, 60), 7.5);
  assert.equal(clock.positionAt(clock.play(clock.createClock(60), 0, 60), 0, 60), 0);
});

test('seeking stays within the session, and keeps playing', () => {
  const playing = clock.play(clock.createClock(0), 0, 60);
  assert.equal(clock.positionAt(clock.seek(playing, 99, 0, 60), 0, 60), 60);
  assert.equal(clock.positionAt(clock.seek(playing, -5, 0, 60), 1000, 60), 1);
});

test('following keeps it at the end; pausing leaves it there', () => {
  const live = clock.follow(clock.createClock());
  assert.equal(clock.positionAt(live, 0, 12), 12);
  assert.equal(clock.positionAt(live, 0, 14), 14);
  const paused = clock.pause(live, 0, 14);
  assert.equal(clock.positionAt(paused, 9000, 20), 14);
  assert.equal(paused.following, false);
});

test('the position is in the address', () => {
  assert.equal(clock.parseHash('#t=83.2'), 83.2);
  assert.equal(clock.parseHash('#t=7'), 7);
  assert.equal(clock.parseHash('#x=1&t=7&y'), 7);
  for (const hash of ['', '#', '#t=', '#t=-1', '#t=1e9', '#t=a', '#at=3', '#t=1.2.3']) assert.equal(clock.parseHash(hash), null);
  assert.equal(clock.formatHash(83.2), '#t=83.2');
  assert.equal(clock.formatHash(83.249), '#t=83.2');
  assert.equal(clock.formatHash(0), '#t=0');
  assert.equal(clock.parseHash(clock.formatHash(3599.96)), 3600);
});

test('positions have a text for eyes and one for ears', () => {
  assert.deepEqual([0, 9.94, 83.25, 3599.99, 3725].map(clock.formatTenths), ['0:00.0', '0:09.9', '1:23.2', '59:59.9', '1:02:05.0']);
  assert.equal(clock.formatTenths(83.2), '1:23.2', 'a tenth is not lost to binary fractions');
  assert.equal(clock.speakPosition(3661), '1 hour 1 minute 1 second');
  assert.equal(clock.speakPosition(0.4), '0 seconds');
});

test('keys have their commands, within the session', () => {
  const press = (key, more = {}) => clock.commandOf({ key, ...plain, ...more }, 30, 60);
  assert.deepEqual(press(' '), { do: 'toggle' });
  assert.deepEqual(press('ArrowRight'), { do: 'seek', position: 35 });
  assert.deepEqual(press('ArrowLeft', { shiftKey: true }), { do: 'seek', position: 29 });
  assert.deepEqual(press('PageUp'), { do: 'seek', position: 60 }, 'forward, as on any slider');
  assert.deepEqual(press('PageDown'), { do: 'seek', position: 0 });
  assert.deepEqual(press('Home'), { do: 'seek', position: 0 });
  assert.deepEqual(press('End'), { do: 'seek', position: 60 });
  assert.equal(press('a'), null);
  assert.equal(press('ArrowRight', { altKey: true }), null, 'the browser’s own');
});
