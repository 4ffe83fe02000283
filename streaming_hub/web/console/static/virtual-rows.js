/**
 * The rows of a long table, all of the same height: only those in view, and some around them, are in the document.
 *
 * @module
 */

import { setAttribute, setChildren } from './dom.js';
import { heightOf, rowWindow, scrollTopOf, scrollTopToShow } from './row-window.js';

/** Rows beyond each edge of the view: as many as a second of quick scrolling passes. */
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
   * @param {HTMLElement} how.body Contains the rows; its style has `--row`, the height of one in px.
   * @param {() => HTMLElement} how.make Makes a row.
   * @param {(row: HTMLElement, index: number) => unknown} how.fill Fills a row, which may have shown another before.
   * @param {(first: number, end: number) => unknown} [how.onWindow] Called with the visible rows.
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

  /** Set the list's length. @param {number} total */
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
    this.#keepFocus(() => {
      for (const [index, row] of this.#rows) if (index < this.total) this.#fill(row, index);
      this.#place();
    });
  }

  /** The first visible row. */
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

  /** The index of the row that contains an element, or -1. @param {Element} element */
  indexOf(element) {
    for (const [index, row] of this.#rows) if (row.contains(element)) return index;
    return -1;
  }

  /** Place the rows in view, after scrolling. */
  #update() {
    this.#keepFocus(() => this.#place());
  }

  /**
   * Change the rows. If the link that has the focus goes, the same link in a new element gets it, or else the list,
   * which the keyboard can still scroll then.
   *
   * @param {() => void} change
   */
  #keepFocus(change) {
    const focused = document.activeElement;
    if (!focused || !this.#body.contains(focused)) return change();
    const href = focused.getAttribute('href');
    change();
    if (this.#body.contains(document.activeElement)) return;
    const same = [...this.#body.querySelectorAll('a')].find((link) => link.getAttribute('href') === href);
    (same ?? this.#scroller).focus({ preventScroll: true });
  }

  #place() {
    if (!this.#rowHeight) return;
    const box = { ...this.#box, scrollTop: this.#scroller.scrollTop, overscan: this.overscan };
    const { first, end, offset, visibleFirst, visibleEnd } = rowWindow(box);
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
    this.#onWindow?.(visibleFirst, visibleEnd);
  }
}
