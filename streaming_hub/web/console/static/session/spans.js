/**
 * Spans of time in the order of their starts, found by binary search. Pure.
 *
 * @module
 */

/**
 * @typedef {object} Span
 * @property {number} from Seconds from the session's start.
 * @property {number | null} to Null while it lasts.
 * @property {string} kind What it is drawn as.
 * @property {string} label
 * @property {string | null} [turn_id]
 * @property {number} [row] Its place in a lane where spans overlap.
 */

/** Spans of one lane. `reach` holds, for each span, the latest end of it and all before it. */
export class Spans {
  /** @type {Span[]} */
  items = [];
  /** @type {number[]} */
  #reach = [];
  /** Spans whose reach is known. */
  #known = 0;

  /**
   * Add a span; mostly it is the latest.
   *
   * @param {Span} span
   */
  add(span) {
    const place = upperBound(this.items, span.from, ({ from }) => from);
    this.items.splice(place, 0, span);
    this.#known = Math.min(this.#known, place);
    return span;
  }

  /**
   * End a span.
   *
   * @param {Span} span
   * @param {number} to
   */
  end(span, to) {
    span.to = Math.max(span.from, to);
    this.#known = Math.min(this.#known, Math.max(0, this.items.lastIndexOf(span)));
  }

  /**
   * The places of the first span that may touch a range, and of the first one after it.
   *
   * @param {number} from
   * @param {number} to
   * @returns {[first: number, end: number]}
   */
  within(from, to) {
    for (; this.#known < this.items.length; this.#known++) {
      const span = /** @type {Span} */ (this.items[this.#known]);
      this.#reach[this.#known] = Math.max(this.#reach[this.#known - 1] ?? -Infinity, span.to ?? Infinity);
    }
    this.#reach.length = this.#known;
    const end = upperBound(this.items, to, (span) => span.from);
    return [Math.min(end, lowerBound(this.#reach, from, (reach) => reach)), end];
  }

  /**
   * The span at a time; of several the one that began last.
   *
   * @param {number} at
   * @returns {Span | null}
   */
  at(at) {
    const [first, end] = this.within(at, at);
    for (let place = end - 1; place >= first; place--) {
      const span = this.items[place];
      if (span && (span.to ?? Infinity) >= at) return span;
    }
    return null;
  }
}

/**
 * How many rows at most lie over each other where spans overlap.
 */
const MOST_ROWS = 4;

/**
 * Give each span the first row that is free at its start.
 *
 * @param {readonly Span[]} spans In the order of their starts.
 * @returns {number} The number of rows, 1 or more.
 */
export function stack(spans) {
  /** @type {number[]} */
  const ends = [];
  for (const span of spans) {
    const free = ends.findIndex((end) => end <= span.from);
    span.row = free >= 0 ? free : Math.min(ends.length, MOST_ROWS - 1);
    ends[span.row] = Math.max(ends[span.row] ?? 0, span.to ?? Infinity);
  }
  return Math.max(1, ends.length);
}

/**
 * The place of the first item whose value is above `value`.
 *
 * @template T
 * @param {ArrayLike<T>} items In ascending order of their values.
 * @param {number} value
 * @param {(item: T) => number} valueOf
 */
export function upperBound(items, value, valueOf) {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (valueOf(/** @type {T} */ (items[middle])) <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The place of the first item whose value is at least `value`.
 *
 * @template T
 * @param {ArrayLike<T>} items In ascending order of their values.
 * @param {number} value
 * @param {(item: T) => number} valueOf
 */
export function lowerBound(items, value, valueOf) {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (valueOf(/** @type {T} */ (items[middle])) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
