/**
 * The page Sessions: all sessions, live and past, with filters, search and sorting.
 *
 * @module
 */

import { Address } from '../address.js';
import { RETRY, askJson, isTransient } from '../api.js';
import { byId, make, setAttribute, setText } from '../dom.js';
import { FilterForm } from '../filter-form.js';
import { OF_SESSIONS, operatorsOf } from '../filters.js';
import { count, zone } from '../format.js';
import { begin, handleError, showProblem } from '../frame.js';
import { VirtualRows } from '../virtual-rows.js';
import { columnsFor, fillRow, makeRow } from './columns.js';
import { exportSessions } from './export.js';
import { SessionList } from './list.js';

/** @typedef {import('../filters.js').Filters} Filters */

const SORT = '-started';
/** ms between updates. */
const REFRESH = 5000;
/** ms without scrolling until the position is saved. */
const SETTLED = 200;
/** Most values that a field suggests. */
const SUGGESTIONS = 50;

/** @param {Filters} filters */
const hasFilters = (filters) => OF_SESSIONS.some((name) => name !== 'sort' && filters[name]);

begin(({ view }) => {
  const isOperator = view === 'operator';
  const columns = columnsFor(isOperator);
  const scroller = byId('scroller');
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let retryTimer;
  const list = new SessionList(askJson, onList, onError);
  const rows = new VirtualRows({
    scroller,
    body: byId('rows'),
    make: () => makeRow(columns),
    fill: (row, index) => fillRow(row, columns, list.get(index), list.filters.q?.[0] ?? ''),
    onWindow,
  });
  const address = new Address(OF_SESSIONS, (filters) => {
    form.show(filters);
    void open();
  });
  const form = new FilterForm(byId('filters', HTMLFormElement), (filters, typing) => {
    if (address.set(filters, typing)) void open();
  });
  /** The first visible row when the reader left the page. @type {number} */
  let place = Number(history.state?.first ?? 0);
  /** @type {AbortController | null} */
  let exporting = null;
  let isRefreshing = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let placeTimer;

  byId('table').dataset.view = view;
  makeHead();
  form.show(address.filters);
  // On a narrow screen, filters that are not used are folded.
  const { q: _q, ...others } = address.filters;
  byId('more', HTMLDetailsElement).open = innerWidth > 700 || hasFilters(others);
  byId('zone-note').textContent = `Times in ${zone()}.`;
  for (const id of ['clear', 'clear-too']) {
    byId(id).addEventListener('click', () => {
      const { sort } = address.filters;
      change(sort ? { sort } : {});
      form.fields[0]?.focus();
    });
  }
  byId('retry').addEventListener('click', () => {
    showProblem('');
    list.retry();
  });
  byId('news').addEventListener('click', () => {
    scroller.focus();
    void open();
  });
  for (const format of /** @type {const} */ (['csv', 'json'])) {
    byId(`export-${format}`).addEventListener('click', () => void save(format));
  }
  byId('export-stop').addEventListener('click', () => exporting?.abort());
  scroller.addEventListener('keydown', onKey);
  scroller.addEventListener('click', keepPlace);
  setInterval(() => void refresh(), REFRESH);
  document.addEventListener('visibilitychange', () => void refresh());
  void open();

  /** @param {Filters} filters */
  function change(filters) {
    form.show(filters);
    if (address.set(filters)) void open();
  }

  async function open() {
    const { filters } = address;
    const refused = isOperator ? [] : operatorsOf(filters);
    showProblem(refused.length ? `${refused.join(', ')}: only operators can use this. Clear the filters, or change the key.` : '');
    showHead();
    byId('news').hidden = true;
    byId('clear').hidden = !hasFilters(filters);
    if (refused.length) {
      list.close();
      rows.setTotal(0);
      setText(byId('result'), '');
      return;
    }
    setAttribute(byId('table'), 'aria-busy', 'true');
    await list.open(filters, OF_SESSIONS);
    setAttribute(byId('table'), 'aria-busy', 'false');
    if (list.total === null || list.filters !== filters) return;
    rows.scrollTo(place);
    place = 0;
  }

  function onList() {
    showProblem('');
    const total = list.total ?? 0;
    setAttribute(byId('table'), 'aria-rowcount', total + 1);
    setAttribute(byId('table'), 'data-search', list.filters.q !== undefined);
    rows.setTotal(total);
    showEmpty();
    setText(byId('result'), total === 1 ? '1 session' : `${count(total)} sessions`);
    byId('export').hidden = total === 0;
    suggest();
  }

  function showEmpty() {
    const isEmpty = list.total === 0;
    const isFiltered = hasFilters(list.filters);
    byId('none').hidden = !isEmpty || isFiltered;
    byId('none-found').hidden = !isEmpty || !isFiltered;
    scroller.hidden = isEmpty;
  }

  /** @param {unknown} error */
  function onError(error) {
    showProblem(handleError(error));
    if (list.total === null) setText(byId('result'), '');
    clearTimeout(retryTimer);
    if (isTransient(error)) retryTimer = setTimeout(() => list.retry(), RETRY);
  }

  /**
   * @param {number} first
   * @param {number} end
   */
  function onWindow(first, end) {
    list.look(first, end);
    clearTimeout(placeTimer);
    placeTimer = setTimeout(keepPlace, SETTLED);
    if (list.total) setText(byId('shown'), `${count(first + 1)} – ${count(end)} of ${count(list.total)}`);
    else setText(byId('shown'), '');
  }

  /** Save the position, for when the reader comes back to this page. */
  function keepPlace() {
    if (list.total !== null) history.replaceState({ first: rows.first }, '');
  }

  async function refresh() {
    if (document.visibilityState !== 'visible' || list.total === null || isRefreshing) return;
    isRefreshing = true;
    try {
      const isAtTop = rows.first === 0;
      const total = await list.refresh(isAtTop);
      const news = total - (list.total ?? 0);
      byId('news').hidden = news <= 0;
      setText(byId('news'), news === 1 ? 'Show 1 new session' : `Show ${count(news)} new sessions`);
    } catch (error) {
      // The rows stay; the next update shows whether the hub is back.
      handleError(error);
    } finally {
      isRefreshing = false;
    }
  }

  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const { target, key } = event;
    if (!(target instanceof HTMLElement) || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[key];
    const at = rows.indexOf(target);
    if (at >= 0 && step) {
      event.preventDefault();
      focusRow(Math.max(0, Math.min(rows.total - 1, at + step)));
    } else if (target === scroller && key === 'Enter') focusRow(rows.first);
    else if (at >= 0 && key === 'Escape') scroller.focus();
  }

  /** @param {number} index */
  function focusRow(index) {
    const link = rows.reveal(index)?.querySelector('a');
    link?.focus({ preventScroll: true });
  }

  /** The present order, as in the API. */
  function sorted() {
    return address.filters.sort?.[0] ?? SORT;
  }

  function makeHead() {
    for (const { name, kind, sort, isNumber } of columns) {
      const heading = make('th', { role: 'columnheader', scope: 'col', class: isNumber ? `${kind} number` : kind });
      if (sort) {
        const button = make('button', { class: 'sort', 'data-sort': sort }, name);
        button.addEventListener('click', () => {
          const now = sorted();
          change({ ...address.filters, sort: [now === `-${sort}` ? sort : `-${sort}`] });
        });
        heading.append(button);
      } else heading.append(name);
      byId('head').append(heading);
    }
  }

  function showHead() {
    const now = sorted();
    for (const button of byId('head').querySelectorAll('button')) {
      const isSorted = button.dataset.sort === now.replace(/^-/, '');
      const order = now.startsWith('-') ? 'descending' : 'ascending';
      if (button.parentElement) setAttribute(button.parentElement, 'aria-sort', isSorted ? order : 'none');
    }
  }

  function suggest() {
    /** @type {Record<string, Set<string>>} */
    const found = { room: new Set(), agent: new Set(), participant: new Set(), reason: new Set() };
    for (const { room, agent, reason, participants } of list.known()) {
      for (const [name, value] of Object.entries({ room, agent, reason })) if (value) found[name]?.add(value);
      for (const { identity } of participants) if (identity) found.participant?.add(identity);
    }
    for (const [name, values] of Object.entries(found)) {
      const options = [...values].sort().slice(0, SUGGESTIONS);
      const place = byId(`${name}-options`, HTMLDataListElement);
      if (place.children.length !== options.length) place.replaceChildren(...options.map((value) => make('option', { value })));
    }
  }

  /** @param {'csv' | 'json'} format */
  async function save(format) {
    exporting?.abort();
    const mine = (exporting = new AbortController());
    byId('export-state').hidden = false;
    setText(byId('export-progress'), 'Exporting');
    try {
      await exportSessions(address.filters, OF_SESSIONS, format, mine.signal, (done, total) => {
        setText(byId('export-progress'), `${count(done)} of ${count(total)}`);
      });
    } catch (error) {
      if (!mine.signal.aborted) showProblem(handleError(error));
    } finally {
      if (exporting === mine) byId('export-state').hidden = true;
    }
  }
});
