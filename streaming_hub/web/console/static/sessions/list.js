/**
 * A list of sessions of any length: loads the pages in view, and keeps those near them.
 *
 * Each page of the API has a cursor to the next one. Rows counted from the first page's cursor stay in place while new
 * sessions are added before it. A page whose predecessor is loaded continues from its cursor; any other uses `skip`.
 * Touches neither the document nor the network: `ask` is given.
 *
 * @module
 */

import { addressOf } from '../filters.js';

/** @typedef {import('../filters.js').Filters} Filters */
/** @typedef {Record<string, any>} Session As in the API. */
/** @typedef {{ sessions: Session[], next: string | null, total?: number }} Page */
/** @typedef {(path: string, how?: { signal: AbortSignal }) => Promise<Page>} Ask */

/** Sessions per page. */
export const PAGE = 100;
/** Rows that are loaded ahead of those in view. */
const AHEAD = 200;
/** Pages that stay in memory. */
const MOST_PAGES = 80;
/** ms that a place must be in view before it is loaded, unless a page next to it is. */
const REST = 100;

export class SessionList {
  /** Null until the first page is loaded. @type {number | null} */
  total = null;
  /** @type {Filters} */
  filters = {};
  #ask;
  #onChange;
  #onError;
  /** @type {readonly string[]} */
  #names = [];
  /** @type {Map<number, Page>} */
  #pages = new Map();
  /** The first page's cursor. @type {string | null} */
  #anchor = null;
  /** @type {Map<number, AbortController>} */
  #requests = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #view = { first: 0, end: 0 };
  /** Rises with each list. */
  #run = 0;

  /**
   * @param {Ask} ask
   * @param {() => unknown} onChange
   * @param {(error: unknown) => unknown} onError
   */
  constructor(ask, onChange, onError) {
    this.#ask = ask;
    this.#onChange = onChange;
    this.#onError = onError;
  }

  /**
   * Show another list. The rows of the last one stay until its first page is loaded.
   *
   * @param {Filters} filters
   * @param {readonly string[]} names The filters' order.
   * @returns {Promise<void>} When the first page is loaded, or refused.
   */
  async open(filters, names) {
    this.#stop();
    this.filters = filters;
    this.#names = names;
    await this.#load(0);
  }

  /** Show no list. */
  close() {
    this.#stop();
    this.#pages.clear();
  }

  /** @param {number} index @returns {Session | undefined} */
  get(index) {
    return this.#pages.get(Math.floor(index / PAGE))?.sessions[index % PAGE];
  }

  /** All that are loaded, in order. @returns {Session[]} */
  known() {
    return [...this.#pages].sort(([one], [other]) => one - other).flatMap(([, page]) => page.sessions);
  }

  /**
   * Set which rows are visible: they are loaded, and some ahead of them.
   *
   * @param {number} first
   * @param {number} end
   */
  look(first, end) {
    this.#view = { first, end };
    if (this.total === null) return;
    const wanted = this.#wanted();
    for (const [page, request] of this.#requests) {
      if (wanted.includes(page) || page === 0) continue;
      request.abort();
      this.#requests.delete(page);
    }
    clearTimeout(this.#timer);
    const missing = wanted.filter((page) => !this.#pages.has(page) && !this.#requests.has(page));
    const isNear = (/** @type {number} */ page) => this.#pages.has(page - 1) || this.#pages.has(page + 1);
    const far = missing.filter((page) => !isNear(page));
    for (const page of missing.filter(isNear)) void this.#load(page);
    if (far.length) this.#timer = setTimeout(() => far.forEach((page) => void this.#load(page)), REST);
    this.#forget(wanted);
  }

  /** The pages that are visible or soon will be, those in view first. @returns {number[]} */
  #wanted() {
    const { first, end } = this.#view;
    const last = Math.ceil((this.total ?? 0) / PAGE) - 1;
    /** @type {(row: number) => number} */
    const pageOf = (row) => Math.max(0, Math.min(last, Math.floor(row / PAGE)));
    const found = new Set([pageOf(first), pageOf(end - 1)]);
    for (let page = pageOf(end); page <= pageOf(end + AHEAD); page++) found.add(page);
    for (let page = pageOf(first); page >= pageOf(first - AHEAD); page--) found.add(page);
    return [...found].filter((page) => page <= last);
  }

  /**
   * Reload the pages in view, as their live sessions change.
   *
   * @param {boolean} isAtTop Whether the first row is in view: then new sessions may move the rows.
   * @returns {Promise<number>} How many sessions there are now; the list keeps its length unless `isAtTop`.
   */
  async refresh(isAtTop) {
    const run = this.#run;
    const top = await this.#ask(this.#pathOf(0, isAtTop ? PAGE : 1));
    if (run !== this.#run || this.total === null) return this.total ?? 0;
    const total = top.total ?? 0;
    if (isAtTop) {
      if (total !== this.total || top.next !== this.#anchor) this.#pages.clear();
      this.#add(0, top);
      return total;
    }
    for (const page of this.#wanted()) {
      if (this.#pages.get(page)?.sessions.some(({ state }) => state === 'live')) void this.#load(page);
    }
    return total;
  }

  /** Load again what failed. */
  retry() {
    if (this.total === null) void this.#load(0);
    else this.look(this.#view.first, this.#view.end);
  }

  /** @param {number} page */
  async #load(page) {
    if (this.#requests.has(page)) return;
    const run = this.#run;
    const request = new AbortController();
    this.#requests.set(page, request);
    try {
      const found = await this.#ask(this.#pathOf(page, PAGE), { signal: request.signal });
      if (run === this.#run && !request.signal.aborted) this.#add(page, found);
    } catch (error) {
      if (run === this.#run && !request.signal.aborted) this.#onError(error);
    } finally {
      if (this.#requests.get(page) === request) this.#requests.delete(page);
    }
  }

  /**
   * @param {number} page
   * @param {Page} found
   */
  #add(page, found) {
    if (page === 0) {
      // Another list may have been shown until now.
      if (this.total === null) this.#pages.clear();
      this.total = found.total ?? 0;
      this.#anchor = found.next;
    } else if (found.next === null) {
      // Some were added or erased meanwhile.
      this.total = page * PAGE + found.sessions.length;
    }
    this.#pages.set(page, found);
    this.#onChange();
  }

  /**
   * @param {number} page
   * @param {number} limit
   */
  #pathOf(page, limit) {
    const query = new URLSearchParams(addressOf(this.filters, this.#names));
    query.set('limit', String(limit));
    const before = this.#pages.get(page - 1)?.next;
    if (page === 0) query.set('total', '1');
    else if (before) query.set('cursor', before);
    else {
      query.set('cursor', this.#anchor ?? '');
      if (page > 1) query.set('skip', String((page - 1) * PAGE));
    }
    return `/api/sessions?${query}`;
  }

  #stop() {
    this.#run++;
    clearTimeout(this.#timer);
    for (const request of this.#requests.values()) request.abort();
    this.#requests.clear();
    this.total = null;
    this.#anchor = null;
  }

  /** Drop the pages farthest from the view. @param {readonly number[]} wanted */
  #forget(wanted) {
    if (this.#pages.size <= MOST_PAGES) return;
    const middle = wanted[0] ?? 0;
    const far = [...this.#pages.keys()].sort((one, other) => Math.abs(other - middle) - Math.abs(one - middle));
    for (const page of far.slice(0, this.#pages.size - MOST_PAGES)) this.#pages.delete(page);
  }
}
