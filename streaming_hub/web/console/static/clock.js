/**
 * Estimates the hub's clock from the times that it sends. Pure.
 *
 * @module
 */

/** s: a larger difference means that a clock was set; a smaller one is delay of the network or the page. */
const SET = 2;

/**
 * Update how far the hub's clock is ahead of the browser's.
 *
 * A time arrives late, never early, so of close values the largest is the best.
 *
 * @param {number | null} known Seconds; null before the first time.
 * @param {number} hub Its time, seconds since 1970.
 * @param {number} own The browser's, when that arrived.
 * @returns {number}
 */
export function clockOffset(known, hub, own) {
  const seen = hub - own;
  if (!Number.isFinite(seen)) return known ?? 0;
  return known === null || seen > known || known - seen > SET ? seen : known;
}
