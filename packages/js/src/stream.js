/**
 * A stream that reconnects and resumes automatically until it is closed or refused.
 *
 * Follows the hub's docs/reference/http.md and docs/reference/events.md. `run` is the only loop; `createStream` holds all
 * of a stream's state.
 *
 * @module
 */

import { addFilters, bearer, streamUrl } from './address.js';
import { Gap, Refused } from './gap.js';
import { before, hasReached } from './ids.js';
import { createInbox } from './inbox.js';
import { failureOf, isStream, request, retryAfter } from './request.js';
import { createParser } from './sse.js';
import { createStore, initialSnapshot } from './store.js';

/** @typedef {import('./types.js').HubEvent} HubEvent */
/** @typedef {import('./types.js').Secret} Secret */
/** @typedef {import('./types.js').Snapshot} Snapshot */
/** @typedef {import('./types.js').StreamOptions} StreamOptions */

/**
 * @typedef {object} Stream
 * @property {() => AsyncIterableIterator<HubEvent | Gap, undefined>} [Symbol.asyncIterator] Leaving the loop closes the stream.
 * @property {(fn: () => void) => () => void} subscribe Calls `fn` after changes, at most once per 50 ms (a changed
 *   `status` at once). Returns the unsubscribe.
 * @property {() => Snapshot} getSnapshot
 * @property {Snapshot['status']} status As in the snapshot, without computing the conversation.
 * @property {(rooms: readonly string[]) => void} forget Removes rooms from the conversation, which otherwise grows with
 *   every new room. A room with a later event starts over. Does not notify subscribers.
 * @property {() => void} close
 */

/** ms. The first pause before reconnecting is half of FIRST_PAUSE to all of it; it doubles up to LONGEST_PAUSE. */
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 30_000;
/** ms; the longest wait that a server may ask for. */
const LONGEST_WAIT = 24 * 3600 * 1000;
/** Heartbeats without a byte; then the connection counts as dead. */
const SILENCE = 2.5;
/** s, until the hub sends its own value. */
const HEARTBEAT = 15;
/** ms; a connection that lived this long worked, even if it received nothing. */
const WORKED = 10_000;

/**
 * Open a stream of the hub's events.
 *
 * @param {StreamOptions} [options]
 * @returns {Stream & AsyncIterable<HubEvent | Gap>}
 * @throws {TypeError} The URL or a filter cannot be used.
 */
export const openStream = (options) => createStream(options);

/**
 * @param {StreamOptions} [options]
 * @param {() => number} [random] From 0 to below 1.
 * @param {(seconds: number) => void} [onServerTime] Called with the hub's clock, seconds since 1970, whenever it says it.
 * @returns {Stream & AsyncIterable<HubEvent | Gap>}
 */
export function createStream(options = {}, random = Math.random, onServerTime = () => {}) {
  const url = streamUrl(options.url);
  addFilters(url, options);
  const store = createStore(initialSnapshot(options.since));
  const inbox = createInbox(
    (position) => store.set({ position: position ?? store.getSnapshot().position }),
    () => close(),
  );
  let isClosed = false;
  /** Where the next connection resumes: the newest id received. */
  let resume = options.since || '';
  /** Whether the requested state of the rooms has not arrived completely. */
  let wantsSnapshot = options.snapshot === true;
  /** ms: the minimum wait that the last stream requested. */
  let least = 0;
  /** Connections in a row that failed. */
  let failures = 0;
  let isGapOpen = false;
  /** Of the current connection: when the last byte arrived, the silence that ends it (both ms), ... */
  let heard = 0;
  let silence = 0;
  /** ... whether it waits for the reader, and whether it has received anything. */
  let isHeldBack = false;
  let hasWorked = false;
  /** Checks the current connection or pause; called at once when the machine may have slept. */
  let wake = () => {};
  /** Ends the current connection or pause. */
  let interrupt = () => {};

  async function run() {
    // A stream that is closed immediately, as in React's StrictMode, never connects.
    await undefined;
    while (!isClosed) {
      const { error, wait } = await connect();
      if (isClosed) return;
      if (error instanceof Refused) return finish('refused', error);
      store.set({ error });
      store.setStatus('connecting');
      store.flush();
      await pause(wait);
    }
  }

  /**
   * Connect once and process everything received.
   *
   * @returns {Promise<{ error: Error, wait: number }>} Why it ended, and the least wait in ms that its answer asked for.
   */
  async function connect() {
    const gone = new AbortController();
    const opened = Date.now();
    heard = opened;
    silence = SILENCE * HEARTBEAT * 1000;
    isHeldBack = hasWorked = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    wake = () => {
      clearTimeout(timer);
      const now = Date.now();
      // The clock may have been set back.
      if (isHeldBack || now < heard) heard = now;
      if (now - heard > silence) {
        gone.abort(new Error(`The stream was silent for ${silence / 1000} s.`));
      } else {
        // At short intervals, because timers stop while a machine sleeps.
        timer = setTimeout(wake, Math.min(1000, silence / 4));
      }
    };
    interrupt = () => gone.abort(new Error('The stream was closed.'));
    wake();
    let wait = 0;
    try {
      const secrets = Promise.all([ask(options.key), ask(options.ticket)]);
      const [key, ticket] = await unlessAborted(secrets, gone.signal);
      const target = targetOf(ticket);
      const { response, moved } = await unlessAborted(request(target, headersOf(key, target), gone.signal), gone.signal);
      if (!isStream(response) || !response.body) {
        wait = retryAfter(response.headers, Date.now());
        throw await failureOf(response, target, moved);
      }
      least = 0;
      return { error: await read(response.body.getReader()), wait };
    } catch (error) {
      return { error: gone.signal.aborted ? gone.signal.reason : asError(error), wait };
    } finally {
      clearTimeout(timer);
      gone.abort();
      if (hasWorked || Date.now() - opened > WORKED) failures = 0;
    }
  }

  /**
   * @param {string | null | undefined} ticket
   */
  function targetOf(ticket) {
    const target = new URL(url);
    const { searchParams } = target;
    if (ticket) searchParams.set('ticket', ticket);
    if (resume) searchParams.set('last_event_id', resume);
    else if (options.replay) searchParams.set('replay', String(options.replay));
    if (wantsSnapshot) searchParams.set('snapshot', '1');
    return target;
  }

  /**
   * @param {string | null | undefined} key
   * @param {URL} target
   */
  function headersOf(key, target) {
    // Pages may not set Accept-Encoding; browsers ignore it.
    /** @type {Record<string, string>} */
    const headers = { Accept: 'text/event-stream', 'Accept-Encoding': 'identity' };
    const secret = String(key ?? '').trim();
    if (/[\0-\x1f\x7f]/.test(secret)) throw new Refused(401, 'The key holds a control character, such as a line break.');
    if (secret) headers.Authorization = bearer(secret);
    // In the query, because a cross-origin header would need a CORS permission.
    const isForeign = globalThis.document && target.origin !== globalThis.location?.origin;
    if (/^[!-~]+$/.test(resume) && !isForeign) headers['Last-Event-ID'] = resume;
    return headers;
  }

  /**
   * Process a stream's bytes until it ends.
   *
   * @param {ReadableStreamDefaultReader<Uint8Array>} reader
   * @returns {Promise<Error>} Why it ended.
   */
  async function read(reader) {
    /** @type {Error | undefined} */
    let ending;
    /** @type {string | undefined} */
    let head;
    /** The position before the next event, where the hub has said so. @type {string | null} */
    let cursor = null;

    /** @param {string} id */
    const reached = (id) => {
      if (hasReached(id, head)) isGapOpen = false;
      store.setStatus(isGapOpen ? 'gap' : hasReached(id, head) ? 'live' : 'catching-up');
    };

    /** @param {string} id */
    const moveTo = (id) => {
      resume = id;
      cursor = null;
      inbox.move(id);
      reached(id);
    };

    const parse = createParser(
      ({ type, data, id }) => {
        if (ending || isClosed) return;
        if (data === null && id) return moveTo(id);
        if (data === null || type !== 'message') return;
        const event = eventOf(data);
        if (event.type === 'connected') {
          // The limits of the hub's setting.
          if (event.heartbeat > 0) silence = SILENCE * Math.min(Math.max(event.heartbeat, 0.1), 3600) * 1000;
          wake();
          cursor = typeof event.cursor === 'string' ? event.cursor : null;
          for (const warning of [event.warnings ?? []].flat()) console.warn(warning);
          head = event.head;
          onServerTime(event.server_time);
          store.set({ error: undefined });
          if (!resume && cursor) {
            // The response to a cursor may be a reset. Then the snapshot has to be requested again.
            resume = cursor;
            inbox.move(cursor);
          }
          reached(cursor ?? '');
          return;
        }
        if (event.type === 'goodbye') {
          least = Math.max(least, Number(event.retry_ms) || 0);
          ending = farewell(event.reason);
          return;
        }
        if (event.type === 'snapshot') {
          store.reduce(event);
          inbox.push(event, resume || null);
          return;
        }
        if (event.type === 'stream_reset') {
          const gap = new Gap(event.missed >= 0 && Number.isInteger(event.missed) ? event.missed : null, String(event.reason));
          resume = cursor ?? before(event.oldest) ?? resume;
          cursor = null;
          isGapOpen = true;
          const { missed } = store.getSnapshot();
          store.set({ missed: missed === null || gap.missed === null ? null : missed + gap.missed, reason: gap.reason });
          store.reduce(gap);
          store.setStatus('gap');
          inbox.push(gap, resume || null);
          return;
        }
        hasWorked = true;
        wantsSnapshot = false;
        cursor = null;
        if (id) resume = id;
        if (event.type === 'heartbeat') {
          onServerTime(Number(event.timestamp));
          if (id) inbox.move(id);
        } else {
          store.add(event);
          inbox.push(event, resume || null);
        }
        reached(resume);
      },
      (milliseconds) => (least = milliseconds),
    );

    for (;;) {
      const { done, value } = await reader.read();
      if (done) return new Error('The stream ended.');
      heard = Date.now();
      parse(value);
      store.flush();
      if (ending) return ending;
      const room = inbox.room();
      if (room) {
        isHeldBack = true;
        await room;
        isHeldBack = false;
        heard = Date.now();
      }
    }
  }

  /**
   * @param {string} reason
   * @returns {Error}
   */
  function farewell(reason) {
    if (reason === 'ticket_expired' && typeof options.ticket === 'string') {
      return new Refused(401, 'The ticket has expired: pass `ticket` as a function that gets a new one.');
    }
    return new Error(`The hub ended the stream: ${reason}.`);
  }

  /**
   * Wait before the next connection: longer after each failure, with jitter, and at least as long as the server asked.
   *
   * @param {number} wait ms, asked for by the last answer.
   */
  async function pause(wait) {
    const floor = Math.min(Math.max(wait, least), LONGEST_WAIT);
    const half = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** failures++) / 2;
    const began = Date.now();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    await new Promise((resolve) => {
      interrupt = () => resolve(undefined);
      wake = () => {
        clearTimeout(timer);
        timer = setTimeout(resolve, began + floor - Date.now());
      };
      timer = setTimeout(resolve, Math.max(floor, half) + random() * half);
    });
    clearTimeout(timer);
  }

  /**
   * @param {'refused' | 'closed'} status
   * @param {Refused} [error]
   */
  function finish(status, error) {
    isClosed = true;
    interrupt();
    inbox.end(error);
    options.signal?.removeEventListener('abort', close);
    for (const [target, type] of wakers()) target?.removeEventListener?.(type, onWake);
    store.set({ error });
    store.setStatus(status);
  }

  function close() {
    if (!isClosed) finish('closed');
  }

  const onWake = () => wake();
  for (const [target, type] of wakers()) target?.addEventListener?.(type, onWake);
  options.signal?.addEventListener('abort', close);
  if (options.signal?.aborted) close();
  void run();

  return {
    [Symbol.asyncIterator]: inbox.iterate,
    subscribe: store.subscribe,
    getSnapshot: store.getSnapshot,
    get status() {
      return store.status;
    },
    forget: store.forget,
    close,
  };
}

/**
 * Events that suggest that the machine slept or changed networks. Runtimes other than browsers may not have their targets.
 *
 * @returns {[Partial<EventTarget> | undefined, string][]}
 */
const wakers = () => [
  [globalThis.document, 'visibilitychange'],
  [globalThis, 'online'],
  [globalThis, 'pageshow'],
];

/**
 * @param {Secret | null | undefined} secret
 */
const ask = async (secret) => (typeof secret === 'function' ? secret() : secret);

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal} signal
 * @returns {Promise<T>}
 */
function unlessAborted(promise, signal) {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    promise.then(resolve, reject);
  });
}

/**
 * @param {string} data
 * @returns {HubEvent}
 * @throws {Error} It is not an event: the bytes were damaged, or the stream is not a hub's.
 */
function eventOf(data) {
  let event;
  try {
    event = JSON.parse(data);
  } catch {
    event = null;
  }
  if (typeof event?.type === 'string') return event;
  throw new Error(`The stream sent something that is not an event: ${data.slice(0, 80)}`);
}

/** @param {unknown} error */
const asError = (error) => (error instanceof Error ? error : new Error(String(error)));
