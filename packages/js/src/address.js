/**
 * Builds a stream's address from the caller's options.
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
 * The stream's address: a URL without a path, or with `/`, is the hub's; any other is the stream itself.
 *
 * @param {string | URL | undefined} url A relative or omitted URL needs a page.
 * @throws {TypeError} It is not an http(s) address, or contains a user name.
 */
export function streamUrl(url) {
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  let address;
  try {
    address = new URL(url || '/', base);
  } catch {
    throw new TypeError(`url: ${JSON.stringify(url)} is not an address such as http://localhost:5000`);
  }
  if (!/^https?:$/.test(address.protocol) || !address.host) {
    throw new TypeError(`url: ${JSON.stringify(String(url))} does not begin with http:// or https://`);
  }
  if (address.username || address.password) {
    throw new TypeError('url: holds a user name or password; pass a key as `key`');
  }
  if (address.pathname === '/') address.pathname = '/api/stream';
  address.hash = '';
  return address;
}

/**
 * @param {Filter | undefined} filter
 * @returns {string[]}
 */
export const valuesOf = (filter) => (filter == null ? [] : typeof filter === 'string' ? [filter] : [...filter]);

/**
 * @param {URL} url Modified.
 * @param {StreamOptions} options
 */
export function addFilters(url, options) {
  for (const [option, parameter] of Object.entries(FILTERS)) {
    for (const value of valuesOf(options[/** @type {keyof typeof FILTERS} */ (option)])) {
      url.searchParams.append(parameter, value);
    }
  }
}
