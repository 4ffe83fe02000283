/**
 * A route that forwards a hub's stream, so that the key stays on the server. Made for Next.js's app router; works with
 * anything that takes a `Request` and returns a `Response`.
 *
 * @module
 */

import { FILTERS, addFilters, bearer, streamUrl } from './address.js';
import { isStream } from './request.js';

/** Milliseconds within which the hub must respond. */
const PATIENCE = 10_000;
/** Milliseconds until a browser reconnects while the hub is unavailable. */
const RETRY = 3_000;
/** Parameters that are forwarded from the browser's query, besides the filters. */
const PASSED = ['last_event_id', 'replay', 'snapshot'];
const STREAM_HEADERS = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'Cache-Control': 'no-store, no-transform',
  'X-Accel-Buffering': 'no',
};

/**
 * Filters that replace the browser's filters of the same names; each must have a value.
 *
 * @typedef {{ room?: string | string[], types?: string | string[], participant?: string | string[], session_id?: string | string[] }} Filters
 */

/**
 * Make a route handler: `export const GET = streamRoute({...})`.
 *
 * @param {object} options
 * @param {string | URL} options.url The hub, or the stream itself, as for `openStream`.
 * @param {import('./types.js').Secret | null} [options.key] A key with the scope `subscribe`.
 * @param {'public' | ((request: Request) => true | Response | Filters | Promise<true | Response | Filters>)} options.authorize
 *   Decides for each request: `true` passes the browser's filters, filters replace them, a `Response` is sent as it is,
 *   and anything else gets 403. The word `'public'` opens the route to everyone.
 * @returns {(request: Request) => Promise<Response>}
 * @throws {TypeError} At once, if `authorize` is missing or the URL cannot be used.
 */
export function streamRoute({ url, key, authorize }) {
  if (typeof authorize !== 'function' && authorize !== 'public') {
    throw new TypeError("streamRoute: `authorize` is required: a function, or 'public' to open the route to everybody");
  }
  if (!url) throw new TypeError('streamRoute: `url` is required');
  const base = streamUrl(url);

  return async (request) => {
    const verdict = authorize === 'public' ? true : await authorize(request);
    if (verdict instanceof Response) return verdict;
    const target = targetOf(base, new URL(request.url).searchParams, verdict);
    if (!target) return problem(403, 'Forbidden', 'You may not read this stream.');
    if (request.method === 'HEAD') return new Response(null, { headers: STREAM_HEADERS });

    const gone = new AbortController();
    const leave = () => gone.abort();
    request.signal?.addEventListener('abort', leave);
    if (request.signal?.aborted) leave();
    const late = setTimeout(leave, PATIENCE);
    try {
      const secret = typeof key === 'function' ? await key() : key;
      const upstream = await fetch(target, {
        headers: headersOf(request, secret),
        signal: gone.signal,
        redirect: 'manual',
        cache: 'no-store',
      });
      return await answer(upstream, gone);
    } catch (error) {
      // Logged here, because the browser shows nothing and keeps reconnecting.
      if (!request.signal?.aborted) console.error(`streamRoute: ${base.origin} cannot be reached:`, error);
      return away('hub_unreachable');
    } finally {
      clearTimeout(late);
    }
  };
}

/**
 * @param {URL} base
 * @param {URLSearchParams} asked
 * @param {unknown} verdict
 * @returns {URL | null} Null if the browser may not read the stream.
 */
function targetOf(base, asked, verdict) {
  /** @type {Filters} */
  const own = verdict === true ? {} : /** @type {Filters} */ (verdict);
  if (typeof own !== 'object' || own === null) return null;
  // A filter without a value, or none at all, is a mistake and must not open every room.
  const given = Object.entries(own);
  const isWhole = given.every(
    ([name, value]) =>
      Object.hasOwn(FILTERS, name) &&
      [value].flat().length > 0 &&
      [value].flat().every((one) => typeof one === 'string' && one !== ''),
  );
  if (verdict !== true && !(given.length && isWhole)) {
    console.error('streamRoute: `authorize` returned neither true, nor a Response, nor filters with values.');
    return null;
  }
  const target = new URL(base);
  addFilters(target, own);
  for (const [option, parameter] of Object.entries(FILTERS)) {
    if (Object.hasOwn(own, option)) continue;
    for (const value of asked.getAll(parameter)) target.searchParams.append(parameter, value);
  }
  for (const name of PASSED) {
    for (const value of asked.getAll(name)) target.searchParams.append(name, value);
  }
  return target;
}

/**
 * @param {Request} request
 * @param {string | null | undefined} key
 */
function headersOf(request, key) {
  /** @type {Record<string, string>} */
  const headers = { Accept: 'text/event-stream', 'Accept-Encoding': 'identity' };
  if (key) headers.Authorization = bearer(key);
  const last = request.headers.get('Last-Event-ID');
  if (last) headers['Last-Event-ID'] = last;
  return headers;
}

/**
 * @param {Response} upstream
 * @param {AbortController} gone
 */
async function answer(upstream, gone) {
  const { status, headers } = upstream;
  const type = headers.get('Content-Type') ?? '';
  if (isStream(upstream) && upstream.body) {
    return new Response(passOn(upstream.body, gone), { headers: { ...STREAM_HEADERS, 'Content-Type': type } });
  }
  if (status === 400 || status === 429) {
    // The browser's mistake: a malformed query, or too many streams.
    const retry = headers.get('Retry-After');
    const kept = { 'Content-Type': type, 'Cache-Control': 'no-store', ...(retry && { 'Retry-After': retry }) };
    return new Response(await upstream.text(), { status, headers: kept });
  }
  gone.abort();
  if (status >= 500) return away('hub_unavailable');
  // A wrong key or URL is this server's mistake, so the browser must not be refused.
  const where = headers.get('Location');
  console.error(`streamRoute: ${upstream.url} answered ${status}${where ? ` and redirects to ${where}` : ''}.`);
  return problem(502, 'Bad Gateway', `The hub answered ${status} to this server.`);
}

/**
 * Forward bytes as the reader takes them, and disconnect from the hub when the reader leaves.
 *
 * @param {ReadableStream<Uint8Array>} body
 * @param {AbortController} gone
 * @returns {ReadableStream<Uint8Array>}
 */
function passOn(body, gone) {
  const reader = body.getReader();
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch {
          // The browser reconnects and resumes, after an error just as after an end.
          controller.close();
        }
      },
      cancel() {
        gone.abort();
      },
    },
    // Read from the hub only as fast as the browser reads.
    { highWaterMark: 0 },
  );
}

/**
 * Return a stream that ends immediately, because a status other than 200 would make a browser's EventSource give up.
 *
 * @param {string} reason
 */
function away(reason) {
  const goodbye = JSON.stringify({ type: 'goodbye', reason, retry_ms: RETRY });
  return new Response(`retry: ${RETRY}\ndata: ${goodbye}\n\n`, { headers: STREAM_HEADERS });
}

/**
 * @param {number} status
 * @param {string} title
 * @param {string} detail
 */
const problem = (status, title, detail) =>
  new Response(JSON.stringify({ type: 'about:blank', title, status, detail }), {
    status,
    headers: { 'Content-Type': 'application/problem+json', 'Cache-Control': 'no-store' },
  });
