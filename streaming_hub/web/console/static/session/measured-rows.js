/**
 * A long list whose rows differ in height: only those in view are in the document. Short lists are complete, so that the
 * browser's search finds all their words.
 *
 * @module
 */

import { byId, setChildren } from '../dom.js';
import { Offsets } from './offsets.js';

/** Rows: longer lists are virtual. */
const WHOLE = 250;
/** Rows beyond each edge. */
const AROUND = 12;

/** @template T What a row shows. */
export class MeasuredRows {
  /** @type {readonly T[]} */
  #items = [];
  /** @type {Map<T, HTMLElement>} */
  #elements = new Map();
  #offsets;
  #isQueued = false;
  #isPlacing = false;
  #list;
  #scroller;
  #before;
  #after;
  #make;
  #update;

  /**
   * @param {string} id The list's; `ID-scroll` scrolls it, and `ID-before` and `ID-after` fill the space of missing rows.
   * @param {object} how
   * @param {number} how.guess px: a row's usual height.
   * @param {(item: T) => HTMLElement} how.make
   * @param {(element: HTMLElement, item: T, place: number, isVirtual: boolean) => void} how.update
   */
  constructor(id, { guess, make, update }) {
    this.#list = byId(id);
    this.#scroller = byId(`${id}-scroll`);
    this.#before = byId(`${id}-before`);
    this.#after = byId(`${id}-after`);
    this.#make = make;
    this.#update = update;
    this.#offsets = new Offsets(guess);
    this.#scroller.addEventListener('scroll', () => this.#queue(), { passive: true });
    new ResizeObserver(() => this.#queue()).observe(this.#scroller);
  }

  /**
   * Show items; those that stay keep their elements.
   *
   * @param {readonly T[]} items
   */
  show(items) {
    this.#items = items;
    this.#offsets.resize(items.length);
    this.place();
  }

  #queue() {
    if (this.#isQueued) return;
    this.#isQueued = true;
    requestAnimationFrame(() => {
      this.#isQueued = false;
      this.place();
    });
  }

  /** Add the rows in view to the document, and update them. */
  place() {
    if (this.#isPlacing) return;
    this.#isPlacing = true;
    const items = this.#items;
    const isVirtual = items.length > WHOLE;
    // Measured heights may bring other rows into view.
    for (let round = 0; round < 3; round++) {
      const [first, end] = isVirtual
        ? this.#offsets.within(this.#scroller.scrollTop, this.#scroller.clientHeight, AROUND)
        : [0, items.length];
      const shown = items.slice(first, end);
      for (const item of this.#elements.keys()) if (!shown.includes(item)) this.#elements.delete(item);
      const elements = shown.map((item, index) => {
        let element = this.#elements.get(item);
        if (!element) this.#elements.set(item, (element = this.#make(item)));
        this.#update(element, item, first + index, isVirtual);
        return element;
      });
      setChildren(this.#list, elements);
      if (!isVirtual) break;
      let change = 0;
      for (const [index, element] of elements.entries()) {
        change += Math.abs(this.#offsets.measure(first + index, element.offsetHeight));
      }
      this.#before.style.height = `${this.#offsets.top(first)}px`;
      this.#after.style.height = `${this.#offsets.total - this.#offsets.top(end)}px`;
      if (!change) break;
    }
    if (!isVirtual) this.#before.style.height = this.#after.style.height = '0';
    this.#isPlacing = false;
  }

  /**
   * Scroll a row into view, if it is not.
   *
   * @param {number} place
   */
  reveal(place) {
    const item = this.#items[place];
    const scroller = this.#scroller;
    // Rows on the way are measured only once they are in the document.
    for (let round = 0; round < 4; round++) {
      const element = item === undefined ? undefined : this.#elements.get(item);
      const { scrollTop, clientHeight } = scroller;
      let top = this.#offsets.top(place);
      let height = this.#offsets.top(place + 1) - top;
      if (element) {
        height = element.offsetHeight;
        top = element.getBoundingClientRect().top - scroller.getBoundingClientRect().top - scroller.clientTop + scrollTop;
      }
      const margin = Math.min(48, clientHeight / 8);
      if (top - margin >= scrollTop && top + height + margin <= scrollTop + clientHeight && element) return;
      const wanted = Math.max(0, top - clientHeight / 3);
      scroller.scrollTop = wanted;
      if (element && Math.abs(scroller.scrollTop - scrollTop) < 1) return;
      this.place();
    }
  }
}
