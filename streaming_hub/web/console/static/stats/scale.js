/**
 * A chart's scales, and the round values of its axes. Pure: the time zone is an argument.
 *
 * @module
 */

/** Seconds between ticks of time, ascending. */
const STEPS = [60, 300, 600, 1800, 3600, 2 * 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400, 2 * 86_400, 7 * 86_400, 14 * 86_400, 28 * 86_400, 91 * 86_400, 364 * 86_400];
/** Seconds. */
export const DAY = 86_400;

/**
 * Round values from 0 up to at least a value.
 *
 * @param {number} most The largest value; 0 or less counts as 1.
 * @param {number} count The approximate number of steps.
 * @param {boolean} [isWhole] Whether the values are whole numbers.
 * @returns {number[]} The first is 0, the last at least `most`.
 */
export function valueTicks(most, count, isWhole = false) {
  const top = most > 0 ? most : 1;
  const rough = top / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const nice = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9)) ?? 10;
  const step = isWhole ? Math.max(1, Math.ceil(nice * power)) : nice * power;
  const steps = Math.max(1, Math.ceil(top / step - 1e-9));
  return Array.from({ length: steps + 1 }, (_, index) => Number((index * step).toPrecision(12)));
}

/**
 * Round times within a range.
 *
 * @param {number} from Seconds since 1970.
 * @param {number} to Not included.
 * @param {number} count The approximate most.
 * @param {(at: number) => number} offset Seconds by which the reader's clock is ahead of UTC at a time.
 * @returns {{ times: number[], step: number }} `step` in seconds.
 */
export function timeTicks(from, to, count, offset) {
  const step = STEPS.find((one) => (to - from) / one <= count) ?? STEPS.at(-1) ?? DAY;
  /** @type {number[]} */
  const times = [];
  // Round in the reader's time zone, whose offset may change between two ticks.
  for (let local = Math.ceil((from + offset(from)) / step) * step; times.length <= 2 * count; local += step) {
    const guess = local - offset(local);
    const at = local - offset(guess);
    if (at >= to) break;
    if (at >= from && at !== times.at(-1)) times.push(at);
  }
  return { times, step };
}

/**
 * Make a linear scale.
 *
 * @param {[number, number]} domain
 * @param {[number, number]} range
 * @returns {(value: number) => number}
 */
export function linear([low, high], [start, end]) {
  const factor = high > low ? (end - start) / (high - low) : 0;
  return (value) => start + (value - low) * factor;
}
