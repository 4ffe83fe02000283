/**
 * Keeps a page's filters in its address, so that a view can be shared and Back and Forward work.
 *
 * @module
 */

import { addressOf, filtersOf, sameFilters } from './filters.js';

/** @typedef {import('./filters.js').Filters} Filters */

export class Address {
  #names;
  /** The field that was last typed in: more typing adds no step for Back. */
  #typing = '';

  /**
   * @param {readonly string[]} names The page's filters.
   * @param {(filters: Filters) => unknown} onMove Called after Back and Forward.
   */
  constructor(names, onMove) {
    this.#names = names;
    this.filters = filtersOf(location.search, names);
    addEventListener('popstate', () => {
      this.#typing = '';
      this.filters = filtersOf(location.search, names);
      onMove(this.filters);
    });
  }

  /**
   * @param {Filters} filters
   * @param {string} [typing] The field that is being typed in; empty if the change is complete.
   * @returns {boolean} Whether anything has changed.
   */
  set(filters, typing = '') {
    const isContinued = typing !== '' && typing === this.#typing;
    this.#typing = typing;
    if (sameFilters(filters, this.filters, this.#names)) return false;
    this.#write(filters, isContinued ? 'replaceState' : 'pushState');
    return true;
  }

  /**
   * Set the filters without a step for Back.
   *
   * @param {Filters} filters
   */
  replace(filters) {
    this.#write(filters, 'replaceState');
  }

  /**
   * @param {Filters} filters
   * @param {'replaceState' | 'pushState'} method
   */
  #write(filters, method) {
    this.filters = filters;
    history[method](null, '', location.pathname + addressOf(filters, this.#names));
  }
}
