/**
 * Filters in the address, named as in the API. Pure, except for the reader's time zone.
 *
 * @module
 */

/** Name -> values, as in the API; a name without values is absent. @typedef {Record<string, string[]>} Filters */

/** In the order of the address. */
export const OF_SESSIONS = [
  'q', 'room', 'participant', 'agent', 'reason', 'state', 'from', 'to', 'latency_over', 'failed_tools', 'errors', 'sort',
];
export const OF_STATS = ['from', 'to', 'bucket', 'room', 'agent'];
/** Filters and sorts that need the operator's view. */
const OPERATORS_ONLY = ['latency_over', 'failed_tools', 'errors'];
const OPERATORS_SORTS = ['latency', 'errors'];
/** Filters that may have several values. */
const REPEATABLE = new Set(['room', 'participant', 'agent', 'reason', 'state']);
const SECONDS = /^\d{1,11}(\.\d+)?$/;
const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+\- ]\d\d:\d\d)$/;

/**
 * Read an address.
 *
 * @param {string} search Its query, with or without `?`.
 * @param {readonly string[]} names The page's filters; others are ignored.
 * @returns {Filters}
 */
export function filtersOf(search, names) {
  const given = new URLSearchParams(search);
  /** @type {Filters} */
  const filters = {};
  for (const name of names) {
    let values = [...new Set(given.getAll(name))];
    // An empty room stands for sessions without a room. Any other empty filter is absent.
    if (name !== 'room') values = values.filter((value) => value !== '');
    if (!REPEATABLE.has(name)) values = values.slice(0, 1);
    if (values.length) filters[name] = values;
  }
  return filters;
}

/**
 * Write filters as a query.
 *
 * @param {Filters} filters
 * @param {readonly string[]} names Their order.
 * @returns {string} With a `?`, or empty.
 */
export function addressOf(filters, names) {
  const query = new URLSearchParams();
  for (const name of names) for (const value of filters[name] ?? []) query.append(name, value);
  const text = query.toString();
  return text ? `?${text}` : '';
}

/**
 * Whether two sets of filters ask for the same.
 *
 * @param {Filters} one
 * @param {Filters} other
 * @param {readonly string[]} names
 */
export const sameFilters = (one, other, names) => addressOf(one, names) === addressOf(other, names);

/**
 * Which of the filters need the operator's view.
 *
 * @param {Filters} filters
 */
export function operatorsOf(filters) {
  const sort = filters.sort?.[0] ?? '';
  const found = OPERATORS_ONLY.filter((name) => filters[name]);
  if (OPERATORS_SORTS.includes(sort.replace(/^-/, ''))) found.push('sort');
  return found;
}

/**
 * A time of the API in seconds since 1970; null if it is not a time.
 *
 * @param {string | undefined} text Seconds, or RFC 3339.
 */
export function secondsOf(text) {
  if (text === undefined) return null;
  if (SECONDS.test(text)) return Number(text);
  if (!RFC_3339.test(text)) return null;
  // A + that was not encoded becomes a space.
  const at = Date.parse(text.replace(/ (?=\d\d:\d\d$)/, '+').replace(' ', 'T')) / 1000;
  return Number.isNaN(at) ? null : at;
}

/**
 * A time for the address: RFC 3339, UTC.
 *
 * @param {number} at Seconds since 1970.
 */
export const timeText = (at) => new Date(at * 1000).toISOString().replace('.000Z', 'Z');

/**
 * A time as the value of `<input type="datetime-local">`, in the reader's zone; empty if it is not a time.
 *
 * @param {string | undefined} text As in the API.
 */
export function toLocal(text) {
  const at = secondsOf(text);
  if (at === null) return '';
  const local = new Date(at * 1000);
  /** @type {(value: number, digits?: number) => string} */
  const pad = (value, digits = 2) => String(value).padStart(digits, '0');
  const day = `${pad(local.getFullYear(), 4)}-${pad(local.getMonth() + 1)}-${pad(local.getDate())}`;
  const clock = `${pad(local.getHours())}:${pad(local.getMinutes())}`;
  return `${day}T${clock}${local.getSeconds() ? `:${pad(local.getSeconds())}` : ''}`;
}

/**
 * The time of such an input's value, for the address; empty if it is not a time.
 *
 * @param {string} value
 */
export function fromLocal(value) {
  const at = value ? new Date(value).getTime() : NaN;
  return Number.isNaN(at) ? '' : timeText(at / 1000);
}
