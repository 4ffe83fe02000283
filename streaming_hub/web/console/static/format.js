/**
 * Formats numbers, times and dates with `Intl`. Pure, except for the reader's language and time zone.
 *
 * @module
 */

const whole = new Intl.NumberFormat();
const two = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const share = new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const zoned = new Intl.DateTimeFormat(undefined, { timeZoneName: 'short' });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });

/** Shown in place of a missing value. */
export const NONE = '–';

/** @param {number | null | undefined} value */
export const count = (value) => (isNumber(value) ? whole.format(value) : NONE);

/** @param {number | null | undefined} value 1 is 100 %. */
export const percent = (value) => (isNumber(value) ? share.format(value) : NONE);

/**
 * A short span, such as a latency.
 *
 * @param {number | null | undefined} value Seconds.
 */
export const seconds = (value) => (isNumber(value) ? `${two.format(value)} s` : NONE);

/**
 * A running time: `0:07`, `12:30`, `1:02:30`.
 *
 * @param {number | null | undefined} value Seconds; negative ones count as 0.
 */
export function duration(value) {
  if (!isNumber(value)) return NONE;
  const all = Math.max(0, Math.floor(value));
  const parts = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  if (!parts[0]) parts.shift();
  return parts.map((part, index) => (index ? String(part).padStart(2, '0') : String(part))).join(':');
}

/**
 * A time of day in the reader's zone.
 *
 * @param {number | null | undefined} at Seconds since 1970.
 */
export const time = (at) => (isNumber(at) ? clock.format(at * 1000) : NONE);

/**
 * A date and a time in the reader's zone.
 *
 * @param {number | null | undefined} at Seconds since 1970.
 */
export const dateTime = (at) => (isNumber(at) ? full.format(at * 1000) : NONE);

/** The reader's zone at `at` (seconds since 1970, now by default), such as `CET`. */
export const zone = (at = Date.now() / 1000) =>
  zoned.formatToParts(at * 1000).find(({ type }) => type === 'timeZoneName')?.value ?? 'UTC';

/**
 * How long ago: `now`, `12 seconds ago`, `3 minutes ago`.
 *
 * @param {number} span Seconds.
 */
export function ago(span) {
  const past = Math.max(0, Math.floor(span));
  if (past < 60) return relative.format(-past, 'second');
  if (past < 3600) return relative.format(-Math.floor(past / 60), 'minute');
  if (past < 86_400) return relative.format(-Math.floor(past / 3600), 'hour');
  return relative.format(-Math.floor(past / 86_400), 'day');
}

/**
 * @param {unknown} value
 * @returns {value is number}
 */
const isNumber = (value) => typeof value === 'number' && Number.isFinite(value);
