/**
 * The page Live: one stream, one row per live session.
 *
 * Events are processed as they arrive; the page is drawn at most every `FRAME` ms, and only what has changed.
 *
 * @module
 */

import { keyOf } from '/console/client/facts.js';
import { Gap } from '/console/client/gap.js';
import { Address } from '../address.js';
import { byId, make, setChildren, setText } from '../dom.js';
import { count, seconds, time } from '../format.js';
import { begin, handleError, openHub } from '../frame.js';
import { backfill } from './backfill.js';
import { Calls } from './calls.js';
import { createRow } from './row-view.js';
import { ORDERS, ROOMY, arrange, finishedRooms, rowsOf, totalsOf } from './rows.js';
import { LIMITS, RULES } from './trouble.js';

/** ms between two drawings. */
const FRAME = 250;
/** Least pause after a drawing, in times of what it took: a slow machine draws less often. */
const SHARE = 5;
/** Past events that the stream starts with: the latencies and troubles of the last minutes. */
const REPLAY = 2000;
/** Rows in the document; a filter finds the others. */
const MOST_ROWS = 500;
/** s that a notice that belongs to no call is shown. */
const NOTICE = 120;
const DEFAULT_ORDER = 'trouble';

const order = byId('sort', HTMLSelectElement);
const filter = byId('filter', HTMLInputElement);
const list = byId('sessions');
const address = new Address(['filter', 'sort'], showFilters);

begin((me) => {
  const calls = new Calls();
  const { stream, now } = openHub({ snapshot: true, replay: REPLAY });
  /** @type {Map<string, ReturnType<typeof createRow>>} */
  let views = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let last = -Infinity;
  let pause = FRAME;
  let problem = '';
  let isBackfilled = false;

  const draw = () => {
    timer = undefined;
    const begun = performance.now();
    const at = now();
    const { conversation, status } = stream.getSnapshot();
    // The page may be open for days, and every call may have a room of its own.
    const finished = finishedRooms(conversation.rooms, at);
    if (finished.length) stream.forget(finished);
    const rows = rowsOf(conversation.rooms, calls, at);
    const shown = new Set(rows.map(({ key }) => key));
    calls.keep((room, session) => shown.has(keyOf(room, session)));
    const arranged = arrange(rows, order.value, filter.value);
    /** @type {typeof views} */
    const next = new Map();
    for (const row of arranged.slice(0, MOST_ROWS)) {
      const view = views.get(row.key) ?? createRow(row);
      view.show(row, at);
      next.set(row.key, view);
    }
    views = next;
    place([...views.values()].map(({ element }) => element));
    list.dataset.density = rows.length <= ROOMY ? 'roomy' : 'dense';
    byId('columns').hidden = !rows.length;
    if (rows.length || status === 'live') showTotals(rows);
    showEmpty(rows.length, arranged.length, status);
    showNotice(problem || noticeText(calls.notice, at));
    if (status === 'live' && !isBackfilled) {
      isBackfilled = true;
      void backfill(calls, me, rows).then(schedule, fail);
    }
    last = performance.now();
    pause = Math.max(FRAME, SHARE * (last - begun));
  };

  const schedule = () => {
    if (timer !== undefined || document.hidden) return;
    timer = setTimeout(draw, Math.max(0, last + pause - performance.now()));
  };

  /** @param {unknown} error */
  const fail = (error) => {
    problem = handleError(error);
    schedule();
  };

  void (async () => {
    for await (const event of stream) {
      calls.take(event, now());
      if (event instanceof Gap) isBackfilled = false;
    }
  })().catch(fail);
  stream.subscribe(schedule);
  // Running times and silences grow without events.
  setInterval(schedule, 1000);
  document.addEventListener('visibilitychange', schedule);
  for (const control of [order, filter]) {
    control.addEventListener('input', () => {
      const sort = order.value === DEFAULT_ORDER ? [] : [order.value];
      address.set({ filter: filter.value ? [filter.value] : [], sort }, control === filter ? 'filter' : '');
      schedule();
    });
  }
  addEventListener('popstate', schedule);
});

showFilters(address.filters);
showHelp();

/** @param {import('../filters.js').Filters} filters */
function showFilters(filters) {
  const sort = filters.sort?.[0] ?? '';
  filter.value = filters.filter?.[0] ?? '';
  order.value = Object.hasOwn(ORDERS, sort) ? sort : DEFAULT_ORDER;
}

/** Put the rows in order; the focus stays where it is. @param {Element[]} elements */
function place(elements) {
  const focused = document.activeElement;
  setChildren(list, elements);
  if (focused instanceof HTMLElement && focused !== document.activeElement && list.contains(focused)) {
    focused.focus({ preventScroll: true });
  }
}

/** @param {readonly import('./rows.js').Row[]} rows */
function showTotals(rows) {
  const { latency, ...counts } = totalsOf(rows);
  for (const [name, value] of Object.entries(counts)) setText(byId(`total-${name}`), count(value));
  setText(byId('total-latency'), seconds(latency));
  byId('total-trouble').dataset.tone = counts.trouble ? 'bad' : '';
}

/**
 * @param {number} all
 * @param {number} fitting
 * @param {string} status
 */
function showEmpty(all, fitting, status) {
  let text = '';
  if (!all) text = status === 'live' ? 'No live sessions. A call appears here as soon as its agent starts a session.' : 'Loading…';
  else if (!fitting) text = `No session matches this filter; ${count(all)} are live.`;
  else if (fitting > MOST_ROWS) text = `${count(fitting - MOST_ROWS)} more: use the filter to find them.`;
  setText(byId('empty'), text);
  byId('empty').hidden = !text;
}

/**
 * @param {import('./trouble.js').Mark | null} notice
 * @param {number} at
 */
const noticeText = (notice, at) => (notice && at - notice.at < NOTICE ? `${time(notice.at)} ${notice.text}` : '');

/** @param {string} text Empty hides it. */
function showNotice(text) {
  setText(byId('notice'), text);
  byId('notice').hidden = !text;
}

function showHelp() {
  const help = byId('help', HTMLDialogElement);
  byId('help-rules').replaceChildren(
    ...RULES.map(({ name, tone, when, until }) =>
      make(
        'tr',
        {},
        make('th', { scope: 'row' }, make('span', { class: 'chip', 'data-tone': tone }, name)),
        make('td', {}, when),
        make('td', {}, until),
      ),
    ),
  );
  setText(byId('help-limit'), `A bar above ${LIMITS.latency} s is red.`);
  byId('open-help').addEventListener('click', () => help.showModal());
  byId('close-help').addEventListener('click', () => help.close());
}
