/**
 * The hub's API with the reader's key: one way to ask, one kind of error.
 *
 * The key lies in `sessionStorage` at most and goes into a header, never into an address.
 *
 * @module
 */

const KEY = 'access-key';

/** @typedef {{ scopes: string[], view: 'viewer' | 'operator', rooms: string[] | null }} Me */

/** An answer other than 2xx; `message` is the hub's own sentence where it gave one. */
export class Problem extends Error {
  /**
   * @param {number} status HTTP's; 0 where the hub did not answer.
   * @param {string} detail
   * @param {Record<string, any> | null} [body] The whole answer, where it is the hub's own.
   */
  constructor(status, detail, body = null) {
    super(detail);
    this.name = 'Problem';
    this.status = status;
    this.body = body;
  }
}

/**
 * Whether a failure passes by itself: the hub, or its archive, is away or being started.
 *
 * @param {unknown} error
 */
export const isPassing = (error) => error instanceof Problem && (error.status === 0 || error.status === 503);

/** After how many ms a page asks again then. */
export const AGAIN = 3000;

/** @returns {string | null} */
export const storedKey = () => sessionStorage.getItem(KEY);

/** @param {string | null} key Null forgets it. */
export function storeKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

/**
 * Ask the hub.
 *
 * @param {string} path With its query, such as `/api/sessions?state=live`.
 * @param {{ method?: string, body?: unknown, signal?: AbortSignal }} [how] `body` is sent as JSON.
 * @returns {Promise<Response>} A 2xx answer.
 * @throws {Problem} Any other answer, or none.
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
    throw new Problem(0, 'The hub does not answer.');
  }
  if (response.ok) return response;
  throw await problemOf(response);
}

/**
 * Ask the hub for JSON.
 *
 * @param {string} path
 * @param {Parameters<typeof ask>[1]} [how]
 * @returns {Promise<any>}
 * @throws {Problem} As `ask`.
 */
export const askJson = async (path, how) => (await ask(path, how)).json();

/**
 * The name of a session's page.
 *
 * @param {string} room Empty for none.
 * @param {string} session
 */
export const sessionPath = (room, session) =>
  `/console/sessions/${encodeURIComponent(session)}?room=${encodeURIComponent(room)}`;

/** @param {Response} response */
async function problemOf(response) {
  const { status, statusText } = response;
  const text = await response.text().catch(() => '');
  try {
    const body = JSON.parse(text);
    if (typeof body.detail === 'string') return new Problem(status, body.detail, body);
  } catch {
    // Not the hub's own answer: a proxy's, perhaps.
  }
  return new Problem(status, `The hub answered ${status} ${statusText}`.trim() + '.');
}
