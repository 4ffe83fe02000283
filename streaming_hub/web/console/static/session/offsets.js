/**
 * The positions of a list's rows of different heights, of which only those in view have been measured. Pure.
 *
 * @module
 */

/** A Fenwick tree of heights: measuring a row and finding a position cost O(log n). */
export class Offsets {
  /** @type {number[]} Heights, px. */
  #heights = [];
  /** @type {number[]} */
  #tree = [0];
  #guess;

  /** @param {number} guess px: the assumed height of rows that have not been measured. */
  constructor(guess) {
    this.#guess = guess;
  }

  get length() {
    return this.#heights.length;
  }

  /** The height of all rows, px. */
  get total() {
    return this.top(this.length);
  }

  /**
   * Set the number of rows.
   *
   * @param {number} length
   */
  resize(length) {
    if (length < this.length) {
      this.#heights.length = length;
      this.#tree.length = length + 1;
    }
    while (this.length < length) {
      this.#heights.push(this.#guess);
      const place = this.length;
      const below = place - (place & -place);
      this.#tree.push(this.top(place - 1) - this.top(below) + this.#guess);
    }
  }

  /**
   * @param {number} row
   * @param {number} height px
   * @returns {number} How much the height has changed.
   */
  measure(row, height) {
    const change = height - (this.#heights[row] ?? height);
    if (!change) return 0;
    this.#heights[row] = height;
    for (let place = row + 1; place <= this.length; place += place & -place) {
      this.#tree[place] = (this.#tree[place] ?? 0) + change;
    }
    return change;
  }

  /**
   * The top of a row, px.
   *
   * @param {number} row
   */
  top(row) {
    let sum = 0;
    for (let place = Math.min(row, this.length); place > 0; place -= place & -place) sum += this.#tree[place] ?? 0;
    return sum;
  }

  /**
   * The row at a height.
   *
   * @param {number} y px
   * @returns {number} Within the list; 0 of an empty one.
   */
  rowAt(y) {
    let place = 0;
    let left = y;
    for (let step = 2 ** Math.floor(Math.log2(this.length || 1)); step; step >>= 1) {
      const next = place + step;
      const sum = this.#tree[next];
      if (next <= this.length && sum !== undefined && sum <= left) {
        place = next;
        left -= sum;
      }
    }
    return Math.max(0, Math.min(place, this.length - 1));
  }

  /**
   * The rows that a window shows, and some around them.
   *
   * @param {number} y px: the window's top.
   * @param {number} height px
   * @param {number} around Rows.
   * @returns {[first: number, end: number]}
   */
  within(y, height, around) {
    if (!this.length) return [0, 0];
    return [Math.max(0, this.rowAt(y) - around), Math.min(this.length, this.rowAt(y + height) + 1 + around)];
  }
}
