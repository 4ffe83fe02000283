// Against the reference library of Standard Webhooks. Needs the development packages.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { verifyWebhook as loadedOnDemand } from '../src/index.js';
import { InvalidWebhook, verifyWebhook } from '../src/webhook.js';

const secret = () => `whsec_${randomBytes(24 + Math.floor(Math.random() * 41)).toString('base64')}`;
const message = { type: 'session_ended', timestamp: '2026-11-28T03:00:00.000Z', data: { room: 'r', text: 'é 👋 \u2028' } };
const body = JSON.stringify(message);

function signed(by, { at = new Date(), content = body } = {}) {
  return {
    'webhook-id': '4fdd2f42-12',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(by).sign('4fdd2f42-12', at, content),
  };
}

test('what the reference library signs is verified, in every form of body and headers', async () => {
  for (let count = 0; count < 30; count++) {
    const key = secret();
    const headers = signed(key);
    const upper = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), value]));
    const bytes = new TextEncoder().encode(body);
    for (const form of [headers, upper, new Headers(headers)]) {
      for (const content of [body, bytes, bytes.buffer, Buffer.from(body)]) {
        assert.deepEqual(await verifyWebhook(content, form, key), message);
      }
    }
    assert.deepEqual(await verifyWebhook(body, headers, key.replace('whsec_', '')), message);
  }
});

test('the core loads it on demand', async () => {
  const key = secret();
  assert.deepEqual(await loadedOnDemand(body, signed(key), key), message);
  await assert.rejects(loadedOnDemand(body, signed(key), secret()), InvalidWebhook);
});

test('during a rotation either secret verifies', async () => {
  const [old, next] = [secret(), secret()];
  const both = signed(next);
  both['webhook-signature'] = `v1a,AAAA v1,!! v1,${'A'.repeat(43)}= ${signed(old)['webhook-signature']} ${both['webhook-signature']}`;
  for (const known of [old, next, [secret(), next]]) assert.deepEqual(await verifyWebhook(body, both, known), message);
});

test('untrusted messages are refused with the reason', async () => {
  const key = secret();
  const good = signed(key);
  const minutes = (count) => signed(key, { at: new Date(Date.now() + count * 60_000) });
  const cases = [
    [`${body} `, good, /No signature matches/],
    [body, signed(secret()), /No signature matches/],
    [body, { ...good, 'webhook-id': 'other' }, /No signature matches/],
    [body, { ...good, 'webhook-signature': good['webhook-signature'].replace('v1,', 'v1a,') }, /No signature matches/],
    [body, { ...good, 'webhook-signature': good['webhook-signature'].slice(0, -6) }, /No signature matches/],
    [body, minutes(-6), /300 s off/],
    [body, minutes(6), /300 s off/],
    [body, { ...good, 'webhook-timestamp': 'soon' }, /not a time/],
    [body, { ...good, 'webhook-id': undefined }, /webhook-id is missing/],
    [body, {}, /webhook-id is missing/],
    ['not json', signed(key, { content: 'not json' }), /not a JSON object/],
    ['null', signed(key, { content: 'null' }), /not a JSON object/],
  ];
  for (const [content, headers, reason] of cases) {
    await assert.rejects(verifyWebhook(content, headers, key), (error) => {
      assert.ok(error instanceof InvalidWebhook, String(error));
      assert.match(error.message, reason);
      return true;
    });
  }
  for (const bad of ['', 'whsec_', 'whsec_***', []]) {
    await assert.rejects(verifyWebhook(body, good, bad), bad.length === 0 && typeof bad === 'object' ? InvalidWebhook : TypeError);
  }
});
