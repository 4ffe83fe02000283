/**
 * The page Live: one stream, one row per live session.
 *
 * Events are taken in as they come; the page is drawn at most every `FRAME` ms, and only where something has changed.
 *
 * @module
 */

import { Gap } from '/console/client/gap.js';
import { byId, make, setChildren, setText } from '../dom.js';
import { count, seconds, time } from '../format.js';
import { begin, openHub, told } from '../frame.js';
import { Calls } from './calls.js';
import { fillIn } from './past.js';
import { createRow } from './row-view.js';
import { ORDERS, arrange, roomsThatAreOver, rowsOf, totalsOf } from './rows.js';
import { RULES } from './trouble.js';

/** ms between two drawings; longer where drawing takes long, so that it takes a fifth of the time at most. */
const FRAME = 250;
const SHARE = 5;
/** Past events that the stream begins with: the latencies and troubles of the last minutes. */
const REPLAY = 2000;
/** Rows in the document; a filter finds the others. */
const MOST_ROWS = 500;
/** Up to so many calls there is room for more of what is said. */
const ROOMY = 6;
/** s that a notice about no call in particular is shown. */
const NOTICE = 120;

const order = byId('sort', HTMLSelectElement);
const filter = byId('filter', HTMLInputElement);
const list = byId('sessions');

begin((me) => {
  const calls = new Calls();
  const { stream, now } = openHub({ snapshot: true, replay: REPLAY });
  /** @type {Map<string, ReturnType<typeof createRow>>} */
  let views = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let last = -Infinity;
  let pause = FRAME;
  let isFilledIn = false;

  const draw = () => {
    timer = undefined;
    const begun = performance.now();
    const at = now();
    const { conversation, status } = stream.getSnapshot();
    // The page may be open for days, and every call may have a room of its own.
    const over = roomsThatAreOver(conversation.rooms, at);
    if (over.length) stream.forget(over);
    const rows = rowsOf(conversation.rooms, calls, at, Object.keys(conversation.rooms).length <= ROOMY);
    const shown = new Set(rows.map(({ key }) => key));
    calls.keep((room, session) => shown.has(JSON.stringify([room, session])));
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
    showNotice(calls.notice, at);
    if (status === 'live' && !isFilledIn) {
      isFilledIn = true;
      void fillIn(calls, me, rows).then(schedule, told);
    }
    last = performance.now();
    pause = Math.max(FRAME, SHARE * (last - begun));
  };

  const schedule = () => {
    if (timer !== undefined || document.hidden) return;
    timer = setTimeout(draw, Math.max(0, last + pause - performance.now()));
  };

  void (async () => {
    for await (const event of stream) {
      calls.take(event, now());
      if (event instanceof Gap) isFilledIn = false;
    }
  })().catch(told);
  stream.subscribe(schedule);
  // Running times and silences go on without events.
  setInterval(schedule, 1000);
  document.addEventListener('visibilitychange', schedule);
  for (const control of [order, filter]) {
    control.addEventListener('input', () => {
      keepAddress();
      schedule();
    });
  }
});

restoreAddress();
showHelp();

/** Put the rows in order; the keyboard's focus stays where it is. @param {Element[]} elements */
function place(elements) {
  const focused = document.activeElement;
  setChildren(list, elements);
  if (focused instanceof HTMLElement && focused !== document.activeElement && list.contains(focused)) {
    focused.focus({ preventScroll: true });
  }
}

/** @param {readonly import('./rows.js').Row[]} rows */
function showTotals(rows) {
  const totals = totalsOf(rows);
  setText(byId('total-live'), count(totals.live));
  setText(byId('total-trouble'), count(totals.trouble));
  byId('total-trouble').dataset.tone = totals.trouble ? 'bad' : '';
  setText(byId('total-callers'), count(totals.callers));
  setText(byId('total-agents'), count(totals.agents));
  setText(byId('total-thinking'), count(totals.thinking));
  setText(byId('total-latency'), seconds(totals.latency));
}

/**
 * @param {number} all
 * @param {number} fitting
 * @param {string} status
 */
function showEmpty(all, fitting, status) {
  let text = '';
  if (!all) text = status === 'live' ? 'No live session. A call appears here as soon as its agent starts a session.' : 'Loading…';
  else if (!fitting) text = `No session fits this filter; ${count(all)} are live.`;
  else if (fitting > MOST_ROWS) text = `${count(fitting - MOST_ROWS)} more: use the filter to find them.`;
  setText(byId('empty'), text);
  byId('empty').hidden = !text;
}

/**
 * @param {import('./trouble.js').Mark | null} notice
 * @param {number} at
 */
function showNotice(notice, at) {
  const isShown = notice !== null && at - notice.at < NOTICE;
  byId('notice').hidden = !isShown;
  if (isShown) setText(byId('notice'), `${time(notice.at)} ${notice.text}`);
}

/** The address keeps what is chosen, so that it can be shared. */
function keepAddress() {
  const address = new URL(location.href);
  if (filter.value) address.searchParams.set('filter', filter.value);
  else address.searchParams.delete('filter');
  if (order.value === 'trouble') address.searchParams.delete('sort');
  else address.searchParams.set('sort', order.value);
  history.replaceState(null, '', address);
}

function restoreAddress() {
  const { searchParams } = new URL(location.href);
  filter.value = searchParams.get('filter') ?? '';
  const wanted = searchParams.get('sort') ?? '';
  order.value = Object.hasOwn(ORDERS, wanted) ? wanted : 'trouble';
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
  byId('open-help').addEventListener('click', () => help.showModal());
  byId('close-help').addEventListener('click', () => help.close());
}
