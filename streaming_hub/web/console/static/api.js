/**
 * Requests to the hub's API with the reader's key, and the addresses of its sessions.
 *
 * The key is kept in `sessionStorage` at most and sent in a header, never in an address.
 *
 * @module
 */

const KEY = 'access-key';

/** @typedef {{ scopes: string[], view: 'viewer' | 'operator', rooms: string[] | null }} Me */

/** A response other than 2xx; `message` is the hub's own sentence if it sent one. */
export class Problem extends Error {
  /**
   * @param {number} status HTTP's; 0 if the hub did not answer.
   * @param {string} detail
   * @param {Record<string, any> | null} [body] The whole response, if it is the hub's own.
   */
  constructor(status, detail, body = null) {
    super(detail);
    this.name = 'Problem';
    this.status = status;
    this.body = body;
  }
}

/**
 * Whether a request is worth repeating: the hub, or its archive, is away, starting or busy.
 *
 * @param {unknown} error
 */
export const isTransient = (error) =>
  error instanceof Problem && (error.status === 0 || error.status === 429 || error.status >= 500);

/**
 * Whether the hub refuses the key.
 *
 * @param {{ status: number }} answer
 */
export const isRefusal = ({ status }) => status === 401 || status === 403;

/** ms until a request is repeated. */
export const RETRY = 3000;

/** The percentiles that the API gives of each latency. */
export const PERCENTILES = ['p50', 'p90', 'p95', 'p99', 'max'];

/** @type {(hasAnswered: boolean) => void} */
let report = () => {};

/** @param {typeof report} listener Called after each request with whether the hub answered; not after a refusal. */
export const onRequest = (listener) => void (report = listener);

/** @returns {string | null} */
export const storedKey = () => sessionStorage.getItem(KEY);

/** @param {string | null} key Null forgets it. */
export function storeKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

/**
 * Send a request.
 *
 * @param {string} path With its query, such as `/api/sessions?state=live`.
 * @param {{ method?: string, body?: unknown, signal?: AbortSignal }} [how] `body` is sent as JSON.
 * @returns {Promise<Response>} A 2xx response.
 * @throws {Problem} Any other response, or none.
 */
export async function ask(path, { method = 'GET', body, signal } = {}) {
  const key = storedKey();
  /** @type {Record<string, string>} */
  const headers = {};
  // Its UTF-8, one character a byte: a header takes no others.
  if (key) headers.Authorization = `Bearer ${String.fromCharCode(...new TextEncoder().encode(key))}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  /** @type {Response} */
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      signal: signal ?? null,
      body: body === undefined ? null : JSON.stringify(body),
      cache: 'no-store',
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    report(false);
    throw new Problem(0, 'The hub does not answer.');
  }
  if (!isRefusal(response)) report(true);
  if (response.ok) return response;
  throw await problemOf(response);
}

/**
 * Send a request whose response is JSON.
 *
 * @param {string} path
 * @param {Parameters<typeof ask>[1]} [how]
 * @returns {Promise<any>}
 * @throws {Problem} As `ask`.
 */
export const askJson = async (path, how) => (await ask(path, how)).json();

/** @param {string | null} room */
const roomQuery = (room) => `?room=${encodeURIComponent(room ?? '')}`;

/**
 * The address of a session's page.
 *
 * @param {string} session
 * @param {string | null} room
 */
export const sessionPage = (session, room) => `/console/sessions/${encodeURIComponent(session)}${roomQuery(room)}`;

/**
 * A session's path in the API.
 *
 * @param {string} session
 * @param {string | null | undefined} room Null and empty: the session without a room; undefined: in any room.
 * @param {string} [endpoint] Such as `/events`.
 */
export const sessionApi = (session, room, endpoint = '') =>
  `/api/sessions/${encodeURIComponent(session)}${endpoint}${room === undefined ? '' : roomQuery(room)}`;

/** @param {Response} response */
async function problemOf(response) {
  const { status, statusText } = response;
  const text = await response.text().catch(() => '');
  try {
    const body = JSON.parse(text);
    if (typeof body.detail === 'string') return new Problem(status, body.detail, body);
  } catch {
    // Not the hub's own response; perhaps a proxy's.
  }
  return new Problem(status, `The hub answered ${status} ${statusText}`.trim() + '.');
}
