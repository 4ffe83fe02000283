/**
 * A list of sessions that can be of any length: pages are asked for where the reader looks, and kept near there.
 *
 * The API's pages follow one another by cursors. What is counted from the first page's cursor stays where it is while
 * new sessions come in before it. A page whose predecessor is loaded continues from its cursor; any other uses `skip`.
 * Nothing here touches the document; the asking is given.
 *
 * @module
 */

import { addressOf } from '../filters.js';

/** @typedef {import('../filters.js').Filters} Filters */
/** @typedef {Record<string, any>} Session As in the API. */
/** @typedef {{ sessions: Session[], next: string | null, total?: number }} Page */
/** @typedef {(path: string, how: { signal: AbortSignal }) => Promise<Page>} Ask */

/** Sessions a page. */
export const PAGE = 100;
/** Rows beyond what is visible that are asked for ahead. */
const AHEAD = 200;
/** Pages that stay in memory. */
const MOST_PAGES = 80;
/** ms that a place must be looked at until it is asked for, where the pages around it are not here. */
const REST = 100;

export class SessionList {
  /**
   * @param {Ask} ask
   * @param {() => unknown} onChange
   * @param {(error: unknown) => unknown} onError
   */
  constructor(ask, onChange, onError) {
    this.ask = ask;
    this.onChange = onChange;
    this.onError = onError;
    /** @type {readonly string[]} */
    this.names = [];
    /** @type {Filters} */
    this.filters = {};
    /** Null until the first page is here. @type {number | null} */
    this.total = null;
    /** @type {Map<number, Page>} */
    this.pages = new Map();
    /** Of the first page. @type {string | null} */
    this.anchor = null;
    /** @type {Map<number, AbortController>} */
    this.asked = new Map();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.visible = { first: 0, end: 0 };
    this.run = 0;
  }

  /**
   * Show another list.
   *
   * @param {Filters} filters
   * @param {readonly string[]} names The filters' order.
   * @returns {Promise<void>} When its first page is here, or was refused.
   */
  async open(filters, names) {
    this.run++;
    this.filters = filters;
    this.names = names;
    this.stop();
    await this.load(0);
  }

  /** @param {number} index @returns {Session | undefined} */
  get(index) {
    return this.pages.get(Math.floor(index / PAGE))?.sessions[index % PAGE];
  }

  /** All that are here, in order. @returns {Session[]} */
  known() {
    return [...this.pages].sort(([one], [other]) => one - other).flatMap(([, page]) => page.sessions);
  }

  /**
   * Say which rows are visible: theirs are asked for, and some ahead.
   *
   * @param {number} first
   * @param {number} end
   */
  look(first, end) {
    this.visible = { first, end };
    if (this.total === null) return;
    const wanted = this.wanted();
    for (const [page, request] of this.asked) {
      if (wanted.includes(page) || page === 0) continue;
      request.abort();
      this.asked.delete(page);
    }
    clearTimeout(this.timer);
    const missing = wanted.filter((page) => !this.pages.has(page) && !this.asked.has(page));
    const isNear = (/** @type {number} */ page) => this.pages.has(page - 1) || this.pages.has(page + 1);
    for (const page of missing) if (isNear(page)) void this.load(page);
    const far = missing.filter((page) => !this.asked.has(page));
    if (far.length) this.timer = setTimeout(() => far.forEach((page) => void this.load(page)), REST);
    this.forget(wanted);
  }

  /** The pages that are visible or soon will be, those in view first. @returns {number[]} */
  wanted() {
    const { first, end } = this.visible;
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
   * @param {boolean} isAtTop Whether the reader sees the beginning: new sessions may move the rows.
   * @returns {Promise<number>} How many sessions there are now; the list keeps its length unless `isAtTop`.
   */
  async refresh(isAtTop) {
    const { run } = this;
    const top = await this.ask(this.pathOf(0, isAtTop ? PAGE : 1), { signal: new AbortController().signal });
    if (run !== this.run || this.total === null) return this.total ?? 0;
    const total = top.total ?? 0;
    if (isAtTop) {
      if (total !== this.total || top.next !== this.anchor) this.pages.clear();
      this.take(0, top);
      return total;
    }
    for (const page of this.wanted()) {
      const here = this.pages.get(page)?.sessions ?? [];
      if (here.some(({ state }) => state === 'live') && !this.asked.has(page)) void this.load(page);
    }
    return total;
  }

  /** Ask again for what was refused. */
  retry() {
    if (this.total === null) void this.load(0);
    else this.look(this.visible.first, this.visible.end);
  }

  /** @param {number} page */
  async load(page) {
    if (this.asked.has(page)) return;
    const { run } = this;
    const request = new AbortController();
    this.asked.set(page, request);
    try {
      const found = await this.ask(this.pathOf(page, PAGE), { signal: request.signal });
      if (run === this.run && !request.signal.aborted) this.take(page, found);
    } catch (error) {
      if (run === this.run && !request.signal.aborted) this.onError(error);
    } finally {
      if (this.asked.get(page) === request) this.asked.delete(page);
    }
  }

  /**
   * @param {number} page
   * @param {Page} found
   */
  take(page, found) {
    if (page === 0) {
      // Another list may have been shown until now.
      if (this.total === null) this.pages.clear();
      this.total = found.total ?? 0;
      this.anchor = found.next;
    } else if (found.next === null) {
      // Some were erased meanwhile, or came.
      this.total = page * PAGE + found.sessions.length;
    }
    this.pages.set(page, found);
    this.onChange();
  }

  /**
   * @param {number} page
   * @param {number} limit
   */
  pathOf(page, limit) {
    const query = new URLSearchParams(addressOf(this.filters, this.names));
    query.set('limit', String(limit));
    const before = this.pages.get(page - 1)?.next;
    if (page === 0) query.set('total', '1');
    else if (before) query.set('cursor', before);
    else {
      query.set('cursor', this.anchor ?? '');
      if (page > 1) query.set('skip', String((page - 1) * PAGE));
    }
    return `/api/sessions?${query}`;
  }

  stop() {
    clearTimeout(this.timer);
    for (const request of this.asked.values()) request.abort();
    this.asked.clear();
    this.total = null;
    this.anchor = null;
  }

  /** Drop the pages farthest from what is visible. @param {readonly number[]} wanted */
  forget(wanted) {
    if (this.pages.size <= MOST_PAGES) return;
    const middle = wanted[0] ?? 0;
    const far = [...this.pages.keys()].sort((one, other) => Math.abs(other - middle) - Math.abs(one - middle));
    for (const page of far.slice(0, this.pages.size - MOST_PAGES)) this.pages.delete(page);
  }
}
