/**
 * Formats values and times of charts. Pure, except for the reader's language and time zone.
 *
 * @module
 */

import { NONE, count, percent, seconds } from '../format.js';
import { DAY } from './scale.js';

const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
/** @type {Intl.DateTimeFormatOptions} */
const MINUTES = { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' };
const minutes = new Intl.DateTimeFormat(undefined, MINUTES);
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const date = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric' });
// Buckets of a day are days of UTC.
const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeZone: 'UTC' });
const utcDate = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', timeZone: 'UTC' });

/**
 * @param {number | null} value
 * @param {import('./panels.js').Unit} unit
 */
export function shown(value, unit) {
  if (value === null) return NONE;
  if (unit === 'seconds') return seconds(value);
  if (unit === 'share') return percent(value);
  return unit === 'count' ? count(value) : number.format(value);
}

/**
 * The time of consecutive buckets.
 *
 * @param {number} start Seconds since 1970.
 * @param {number} size Of a bucket, seconds.
 * @param {number} [many] How many.
 */
export function bucketTime(start, size, many = 1) {
  if (size >= DAY) {
    return many > 1 ? day.formatRange(start * 1000, (start + (many - 1) * DAY) * 1000) : day.format(start * 1000);
  }
  return many > 1 ? minutes.formatRange(start * 1000, (start + many * size) * 1000) : minutes.format(start * 1000);
}

/**
 * @param {number} at Seconds since 1970.
 * @param {number} step Seconds between the ticks.
 * @param {number} size Of a bucket, seconds.
 */
export function tickTime(at, step, size) {
  if (size >= DAY) return utcDate.format(at * 1000);
  const isMidnight = new Date(at * 1000).getHours() === 0 && new Date(at * 1000).getMinutes() === 0;
  return (step >= DAY || isMidnight ? date : clock).format(at * 1000);
}

/**
 * How far the time zone of buckets of a size is ahead of UTC.
 *
 * @param {number} size Seconds.
 * @returns {(at: number) => number} Seconds.
 */
export const offsetOf = (size) => (size >= DAY ? () => 0 : (at) => -60 * new Date(at * 1000).getTimezoneOffset());
