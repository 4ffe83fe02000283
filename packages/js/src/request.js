/**
 * One request for a stream, up to the response.
 *
 * @module
 */

import { Refused } from './gap.js';

/** Limits for reading a refusal, in bytes and ms. */
const MOST_READ = 64 * 1024;
const READING = 5_000;
const REDIRECTS = 10;

/**
 * Request a stream. The key is not sent to another origin.
 *
 * @param {URL} url
 * @param {Record<string, string>} headers
 * @param {AbortSignal} signal
 * @returns {Promise<{ response: Response, moved: boolean }>} `moved`: a key was held back after a redirect.
 */
export async function request(url, headers, signal) {
  /** @type {RequestInit} */
  const how = { headers, signal };
  // Some runtimes other than browsers refuse the option.
  if (globalThis.document) how.cache = 'no-store';
  if (!headers.Authorization) return { response: await fetch(url, how), moved: false };
  for (let hop = 0; hop < REDIRECTS; hop++) {
    const response = await fetch(url, { ...how, redirect: 'manual' });
    const opaque = response.type === 'opaqueredirect';
    const location = response.headers.get('Location');
    if (!opaque && !(response.status > 300 && response.status < 400 && location)) return { response, moved: false };
    void response.body?.cancel();
    // A page can see a redirect's target only by following it. Follow it without the key, and read only the headers.
    const target = location
      ? new URL(location, url)
      : new URL((await fetch(url, { signal, method: 'HEAD', credentials: 'omit' })).url);
    if (target.origin !== url.origin) {
      const { Authorization: _, ...others } = headers;
      return { response: await fetch(target, { ...how, headers: others, credentials: 'omit' }), moved: true };
    }
    url = target;
  }
  throw new Error(`${shown(url)}: redirected more than ${REDIRECTS} times.`);
}

/**
 * Return whether the response is a stream of events.
 *
 * @param {Response} response
 */
export const isStream = (response) =>
  response.status === 200 && /^text\/event-stream\s*(;|$)/i.test(response.headers.get('Content-Type') ?? '');

/**
 * Return the error for a response that is not a stream.
 *
 * @param {Response} response
 * @param {URL} url
 * @param {boolean} moved
 * @returns {Promise<Error>} A `Refused`, or another error if the failure is temporary.
 */
export async function failureOf(response, url, moved) {
  const { status, headers } = response;
  const passes = status < 400 || status >= 500 || [408, 425, 429].includes(status);
  const text = await beginningOf(response);
  let detail = detailOf(status, headers, text);
  if (!detail) {
    const server = headers.get('Server');
    detail = `${shown(new URL(response.url || url))} answered ${status}, and not as a hub does`;
    detail += server ? ` (Server: ${server}).` : '.';
    if (/AirTunes/i.test(server ?? '')) detail += ' It is AirPlay: use http://127.0.0.1 instead of localhost.';
  }
  if (moved) detail += ' The key was not sent: the address redirects to another origin.';
  return passes ? new Error(detail) : new Refused(status, detail);
}

/**
 * The minimum wait in ms that a response asks for, or 0 (RFC 9110, section 10.2.3).
 *
 * @param {Headers} headers
 * @param {number} now In ms.
 */
export function retryAfter(headers, now) {
  const value = headers.get('Retry-After')?.trim() ?? '';
  if (/^[0-9]+$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  return at > now ? at - now : 0;
}

/**
 * @param {number} status
 * @param {Headers} headers
 * @param {string} text
 * @returns {string | undefined} The hub's explanation (RFC 9457); undefined if the response is not the hub's.
 */
function detailOf(status, headers, text) {
  if (!/^application\/problem\+json\b/i.test(headers.get('Content-Type') ?? '')) return undefined;
  try {
    const problem = JSON.parse(text);
    if (problem.status === status && typeof problem.detail === 'string') return problem.detail;
  } catch {
    // Cut short, or not JSON: not a response of the hub.
  }
  return undefined;
}

/**
 * Read the start of a body, as much as arrives in time.
 *
 * @param {Response} response
 */
async function beginningOf(response) {
  const reader = response.body?.getReader();
  if (!reader) return '';
  const decoder = new TextDecoder();
  const late = setTimeout(() => void reader.cancel().catch(() => {}), READING);
  let text = '';
  try {
    while (text.length < MOST_READ) {
      const { done, value } = await reader.read();
      if (done) break;
      text += decoder.decode(value, { stream: true });
    }
  } catch {
    // The status is enough.
  } finally {
    clearTimeout(late);
    void reader.cancel().catch(() => {});
  }
  return text;
}

/**
 * A URL without its query, which may contain a ticket.
 *
 * @param {URL} url
 */
const shown = (url) => url.origin + url.pathname;
