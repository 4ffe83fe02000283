/**
 * The filters of a page in its address: set by the page, shared as a link, walked with Back and Forward.
 *
 * @module
 */

import { addressOf, filtersOf, sameFilters } from './filters.js';

/** @typedef {import('./filters.js').Filters} Filters */

export class Address {
  /**
   * @param {readonly string[]} names The page's filters.
   * @param {(filters: Filters) => unknown} onMove Called when the reader went back or forward.
   */
  constructor(names, onMove) {
    this.names = names;
    this.filters = filtersOf(location.search, names);
    /** The filter that was changed last, by typing: typing on makes no new step for Back. */
    this.typing = '';
    addEventListener('popstate', () => {
      this.typing = '';
      this.filters = filtersOf(location.search, names);
      onMove(this.filters);
    });
  }

  /**
   * @param {Filters} filters
   * @param {string} [typing] The field that is being typed in; empty for a change that is whole.
   * @returns {boolean} Whether anything has changed.
   */
  set(filters, typing = '') {
    const isSame = sameFilters(filters, this.filters, this.names);
    const goesOn = typing !== '' && typing === this.typing;
    this.typing = typing;
    if (isSame) return false;
    this.filters = filters;
    const address = location.pathname + addressOf(filters, this.names);
    if (goesOn) history.replaceState(null, '', address);
    else history.pushState(null, '', address);
    return true;
  }
}
