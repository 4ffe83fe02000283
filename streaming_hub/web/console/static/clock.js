/**
 * The hub's clock, as far as a browser can know it. Pure.
 *
 * @module
 */

/** s; a smaller difference is the network's or the page's own delay, a larger one a clock that was set. */
const SET = 2;

/**
 * How far the hub's clock is ahead of the browser's, after the hub said its time once more.
 *
 * What the hub says arrives late, never early: of close values the largest is the best.
 *
 * @param {number | null} known Seconds; null before the hub has said anything.
 * @param {number} hub Its time, seconds since 1970.
 * @param {number} own The browser's, when that arrived.
 * @returns {number}
 */
export function clockOffset(known, hub, own) {
  const seen = hub - own;
  if (!Number.isFinite(seen)) return known ?? 0;
  return known === null || seen > known || known - seen > SET ? seen : known;
}
