/**
 * The rows of a long table: only those near what is visible are in the document.
 *
 * @module
 */

import { setAttribute, setChildren } from './dom.js';
import { heightOf, rowWindow, scrollTopOf, scrollTopToShow } from './row-window.js';

/** Rows beyond each edge of what is visible: as many as a second of quick scrolling. */
const OVERSCAN = 60;

export class VirtualRows {
  #scroller;
  #body;
  #make;
  #fill;
  #onWindow;
  #rows;
  #rowHeight = 0;

  /**
   * @param {object} how
   * @param {HTMLElement} how.scroller
   * @param {HTMLElement} how.body Holds the rows; its style sheet gives `--row`, the height of one in px.
   * @param {() => HTMLElement} how.make Makes a row.
   * @param {(row: HTMLElement, index: number) => unknown} how.fill Fills one, maybe one that showed another before.
   * @param {(first: number, end: number) => unknown} [how.onWindow] Called with the rows that are visible.
   * @param {number} [how.overscan]
   */
  constructor({ scroller, body, make, fill, onWindow, overscan = OVERSCAN }) {
    this.#scroller = scroller;
    this.#body = body;
    this.#make = make;
    this.#fill = fill;
    this.#onWindow = onWindow;
    this.overscan = overscan;
    this.total = 0;
    /** @type {Map<number, HTMLElement>} */
    this.#rows = new Map();
    scroller.addEventListener('scroll', () => this.#update(), { passive: true });
    new ResizeObserver(() => this.#refresh()).observe(scroller);
  }

  /** @returns {import('./row-window.js').Box} */
  get #box() {
    return { total: this.total, rowHeight: this.#rowHeight, viewport: Math.max(0, this.#scroller.clientHeight - this.#body.offsetTop) };
  }

  /** Show a list of this length. @param {number} total */
  setTotal(total) {
    this.total = total;
    this.#refresh();
  }

  /** Refill all rows. */
  #refresh() {
    const height = Number.parseFloat(getComputedStyle(this.#body).getPropertyValue('--row'));
    if (height !== this.#rowHeight) {
      const first = this.first;
      this.#rowHeight = height;
      if (first > 0) this.#scroller.scrollTop = scrollTopOf(first, this.#box);
    }
    this.#body.style.height = `${heightOf(this.#box)}px`;
    for (const [index, row] of this.#rows) if (index < this.total) this.#fill(row, index);
    this.#update();
  }

  /** The first row that is visible. */
  get first() {
    if (!this.#rowHeight) return 0;
    return rowWindow({ ...this.#box, scrollTop: this.#scroller.scrollTop, overscan: 0 }).first;
  }

  /** @param {number} index */
  scrollTo(index) {
    this.#scroller.scrollTop = scrollTopOf(index, this.#box);
    this.#update();
  }

  /**
   * Make a row visible.
   *
   * @param {number} index
   * @returns {HTMLElement | undefined}
   */
  reveal(index) {
    this.#scroller.scrollTop = scrollTopToShow(index, { ...this.#box, scrollTop: this.#scroller.scrollTop });
    this.#update();
    return this.#rows.get(index);
  }

  /** The index of the row that an element lies in, or -1. @param {Element} element */
  indexOf(element) {
    for (const [index, row] of this.#rows) if (row.contains(element)) return index;
    return -1;
  }

  /** Put the rows where the scrollbar stands. */
  #update() {
    if (!this.#rowHeight) return;
    const box = { ...this.#box, scrollTop: this.#scroller.scrollTop, overscan: this.overscan };
    const { first, end, offset, visibleFirst, visibleEnd } = rowWindow(box);
    const focused = document.activeElement;
    const hadFocus = focused !== null && this.#body.contains(focused);
    /** @type {HTMLElement[]} */
    const free = [];
    for (const [index, row] of this.#rows) {
      if (index >= first && index < end) continue;
      free.push(row);
      this.#rows.delete(index);
    }
    /** @type {HTMLElement[]} */
    const inOrder = [];
    for (let index = first; index < end; index++) {
      let row = this.#rows.get(index);
      if (!row) {
        row = free.pop() ?? this.#make();
        this.#rows.set(index, row);
        setAttribute(row, 'aria-rowindex', index + 2);
        this.#fill(row, index);
      }
      row.style.transform = `translateY(${offset + (index - first) * this.#rowHeight}px)`;
      inOrder.push(row);
    }
    setChildren(this.#body, inOrder);
    // A row that left takes the focus with it: keys still scroll the list.
    if (hadFocus && !this.#body.contains(document.activeElement)) this.#scroller.focus({ preventScroll: true });
    this.#onWindow?.(visibleFirst, visibleEnd);
  }
}
