/**
 * Builds a stream's URL from the caller's options.
 *
 * @module
 */

/** @typedef {import('./types.js').StreamOptions} StreamOptions */
/** @typedef {import('./types.js').Filter} Filter */

/** Option -> query parameter. */
export const FILTERS = /** @type {const} */ ({
  room: 'room',
  types: 'type',
  participant: 'participant',
  session_id: 'session_id',
});

/**
 * The stream's URL. A URL without a path, or with `/`, is the hub's; any other is the stream's own.
 *
 * @param {string | URL | undefined} url A relative or omitted URL needs a page.
 * @throws {TypeError} It is not an http(s) URL, or contains a user name.
 */
export function streamUrl(url) {
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  /** @type {URL | undefined} */
  let address;
  try {
    address = new URL(url || '/', base);
  } catch {
    // Reported below.
  }
  if (!address?.host || !/^https?:$/.test(address.protocol)) {
    throw new TypeError(`url: ${JSON.stringify(url)} is not an address such as http://localhost:5000`);
  }
  if (address.username || address.password) {
    throw new TypeError('url: contains a user name or password; pass a key as `key`');
  }
  if (address.pathname === '/') address.pathname = '/api/stream';
  address.hash = '';
  return address;
}

/**
 * The `Authorization` header for a key: its UTF-8 with one character per byte, which is the form that `fetch` accepts.
 *
 * @param {string} key
 */
export const bearer = (key) => `Bearer ${String.fromCharCode(...new TextEncoder().encode(key))}`;

/**
 * @param {Filter | undefined} filter
 * @returns {readonly string[]}
 */
export const valuesOf = (filter) => [filter ?? []].flat();

/**
 * @param {URL} url Modified.
 * @param {StreamOptions} options
 * @throws {TypeError} A filter is neither a string nor a list of strings. An empty list is refused: without a filter,
 *   the stream would have every room.
 */
export function addFilters(url, options) {
  for (const [option, parameter] of Object.entries(FILTERS)) {
    const filter = options[/** @type {keyof typeof FILTERS} */ (option)];
    const values = valuesOf(filter);
    if (filter != null && !(values.length && values.every((one) => typeof one === 'string'))) {
      throw new TypeError(`${option}: ${JSON.stringify(filter)} is neither a string nor a list of at least one`);
    }
    for (const value of values) url.searchParams.append(parameter, value);
  }
}
