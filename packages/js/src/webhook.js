/**
 * Verifies requests of the hub's webhooks (Standard Webhooks 1.0.0) with WebCrypto.
 *
 * @module
 */

/** s */
const TOLERANCE = 300;
/** Where Node 18 has WebCrypto; a variable, so that bundlers for browsers leave it alone. */
const NODE_CRYPTO = 'node:crypto';

/** @typedef {{ type: string, timestamp: string, data: import('./types.js').HubEvent }} WebhookMessage */

/** A webhook's message that must not be trusted. */
export class InvalidWebhook extends Error {
  name = 'InvalidWebhook';
}

/**
 * Verify a webhook's signature and age, and return its message.
 *
 * @param {string | Uint8Array | ArrayBuffer} body Exactly as it was received.
 * @param {Headers | Record<string, string | string[] | undefined>} headers The request's, names in any case.
 * @param {string | readonly string[]} secret `whsec_` and base64; several while one replaces another.
 * @returns {Promise<WebhookMessage>}
 * @throws {InvalidWebhook} A header is missing, the message is too old or from the future, no signature matches, or the
 *   body is not a JSON object.
 * @throws {TypeError} The secret is malformed.
 */
export async function verifyWebhook(body, headers, secret) {
  const [id, timestamp, signatures] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => {
    const value = headerOf(headers, name);
    if (!value) throw new InvalidWebhook(`The header ${name} is missing.`);
    return value;
  });
  if (!/^[0-9]{1,15}$/.test(timestamp ?? '')) throw new InvalidWebhook('webhook-timestamp is not a time.');
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE) {
    throw new InvalidWebhook(`webhook-timestamp is more than ${TOLERANCE} s off.`);
  }
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : new Uint8Array(body);
  const head = new TextEncoder().encode(`${id}.${timestamp}.`);
  const signed = new Uint8Array(head.length + bytes.length);
  signed.set(head);
  signed.set(bytes, head.length);
  /** @type {Crypto} */
  const crypto =
    globalThis.crypto ?? (await import(/* webpackIgnore: true */ /* @vite-ignore */ NODE_CRYPTO)).webcrypto;
  const secrets = typeof secret === 'string' ? [secret] : secret;
  const keys = await Promise.all(secrets.map((one) => keyOf(one, crypto)));
  for (const signature of (signatures ?? '').split(' ')) {
    const raw = signature.startsWith('v1,') ? fromBase64(signature.slice(3)) : null;
    for (const key of raw ? keys : []) {
      // Compares in constant time.
      if (await crypto.subtle.verify('HMAC', key, /** @type {Uint8Array<ArrayBuffer>} */ (raw), signed)) {
        return messageOf(bytes);
      }
    }
  }
  throw new InvalidWebhook('No signature matches: another secret, or a changed body.');
}

/** @param {Uint8Array} bytes */
function messageOf(bytes) {
  try {
    const message = JSON.parse(new TextDecoder().decode(bytes));
    if (Object(message) === message) return message;
  } catch {
    // Not JSON at all.
  }
  throw new InvalidWebhook('The body is not a JSON object.');
}

/**
 * @param {Headers | Record<string, string | string[] | undefined>} headers
 * @param {string} name
 */
function headerOf(headers, name) {
  if (typeof headers.get === 'function') return /** @type {Headers} */ (headers).get(name);
  const found = Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  return Array.isArray(found) ? found.join(' ') : found;
}

/**
 * @param {string} secret
 * @param {Crypto} crypto
 */
async function keyOf(secret, crypto) {
  const bytes = fromBase64(String(secret).replace(/^whsec_/, ''));
  if (!bytes?.length) throw new TypeError('secret: expected whsec_ and base64');
  return crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']);
}

/** @param {string} text */
function fromBase64(text) {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}
