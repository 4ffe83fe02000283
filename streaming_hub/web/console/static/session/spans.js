/**
 * Spans of time in the order of their starts, with binary search. Pure.
 *
 * @module
 */

/**
 * @typedef {object} Span
 * @property {number} from Seconds from the session's start.
 * @property {number | null} to Null while it is open.
 * @property {string} kind How it is drawn.
 * @property {string} label
 * @property {string | null} [turn_id]
 * @property {number} [row] Its row in a lane whose spans overlap.
 */

/** Spans of one lane. */
export class Spans {
  /** @type {Span[]} */
  items = [];
  /** For each span, the latest end of it and all before it. @type {number[]} */
  #reach = [];
  /** Spans whose reach is known. */
  #known = 0;

  /**
   * Add a span, mostly the latest.
   *
   * @param {Span} span
   */
  add(span) {
    const place = firstWhere(this.items, ({ from }) => from > span.from);
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
   * The indices of the first span that may touch a range, and of the first one after it.
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
    const end = firstWhere(this.items, (span) => span.from > to);
    return [Math.min(end, firstWhere(this.#reach, (reach) => reach >= from)), end];
  }
}

/** Most rows of overlapping spans. */
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
 * The index of the first item that passes a test, or the length.
 *
 * @template T
 * @param {readonly T[]} items Those that pass come after all others.
 * @param {(item: T) => boolean} passes
 */
export function firstWhere(items, passes) {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (passes(/** @type {T} */ (items[middle]))) high = middle;
    else low = middle + 1;
  }
  return low;
}
