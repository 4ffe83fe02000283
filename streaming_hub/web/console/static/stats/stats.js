/**
 * The page Figures: figures of all sessions over time, bucket by bucket.
 *
 * @module
 */

import { Address } from '../address.js';
import { PERCENTILES, RETRY, askJson, isTransient } from '../api.js';
import { byId, make, setAttribute, setText } from '../dom.js';
import { download, stamp } from '../download.js';
import { FilterForm } from '../filter-form.js';
import { OF_SESSIONS, OF_STATS, addressOf, timeText } from '../filters.js';
import { zone } from '../format.js';
import { begin, handleError, showProblem } from '../frame.js';
import { ChartPanel } from './chart-panel.js';
import { SIZES, behindOf, csvOf, panelsFor, totalsOf } from './panels.js';
import { shown } from './values.js';

/** @typedef {import('./panels.js').Bucket} Bucket */

/** The address also has the percentile of the stages; the API returns all of them. */
const NAMES = [...OF_STATS, 'percentile'];
const PERCENTILE = 'p50';
/** Hours that are shown by the minute when the page opens. */
const FEW = 3;
/** ms between updates. */
const REFRESH = 30_000;
/** Name -> seconds back, bucket. @type {Record<string, [number, string]>} */
const RANGES = { hour: [3600, 'minute'], day: [86_400, 'hour'], week: [7 * 86_400, 'hour'], month: [30 * 86_400, 'day'] };

begin(({ view }) => {
  const isOperator = view === 'operator';
  /** @type {readonly Bucket[]} */
  let buckets = [];
  let run = 0;
  const percentile = make('select', { id: 'percentile', 'aria-label': 'Percentile' }, ...PERCENTILES.map((one) => make('option', {}, one)));
  const panels = panelsFor(PERCENTILE, isOperator).map((panel) => new ChartPanel(panel, panel.id === 'stages' ? percentile : undefined));
  byId('panels').replaceChildren(...panels.map(({ element }) => element));

  const address = new Address(NAMES, (filters) => {
    form.show(filters);
    void open();
  });
  const form = new FilterForm(byId('filters', HTMLFormElement), (filters, typing) => {
    if (address.set(filters, typing)) void open();
  });
  form.show(address.filters);
  percentile.addEventListener('change', () => {
    change({ ...address.filters, percentile: percentile.value === PERCENTILE ? [] : [percentile.value] });
  });
  byId('ranges').addEventListener('click', ({ target }) => {
    const name = target instanceof HTMLElement ? target.dataset.range : undefined;
    if (name === undefined) return;
    const { from: _from, to: _to, bucket: _bucket, ...rest } = address.filters;
    const [back, bucket] = RANGES[name] ?? [0, 'hour'];
    const size = SIZES[bucket] ?? 1;
    const from = Math.ceil((Date.now() / 1000 - back) / size) * size;
    change(back ? { ...rest, from: [timeText(from)], bucket: [bucket] } : rest);
  });
  byId('csv').addEventListener('click', () => download(`figures-${stamp()}.csv`, 'text/csv;charset=utf-8', csvOf(buckets)));
  byId('retry').addEventListener('click', () => void open());
  setInterval(() => {
    if (document.visibilityState === 'visible' && !address.filters.to) void open();
  }, REFRESH);
  void open();

  /** @param {import('../filters.js').Filters} filters */
  function change(filters) {
    form.show(filters);
    if (address.set(filters)) void open();
  }

  async function open() {
    const mine = ++run;
    const { filters } = address;
    setAttribute(byId('panels'), 'aria-busy', 'true');
    try {
      const found = await askJson(`/api/stats${addressOf(filters, OF_STATS)}`);
      if (mine !== run) return;
      buckets = found.buckets;
      showProblem('');
      // In the first hours of a hub, hours make too few bars.
      if (mine === 1 && buckets.length && buckets.length <= FEW && !filters.from && !filters.to && !filters.bucket) {
        address.replace({ ...filters, bucket: ['minute'] });
        form.show(address.filters);
        return void open();
      }
      show();
    } catch (error) {
      if (mine !== run) return;
      showProblem(handleError(error));
      if (isTransient(error)) setTimeout(() => void (mine === run && open()), RETRY);
    } finally {
      if (mine === run) setAttribute(byId('panels'), 'aria-busy', 'false');
    }
  }

  function show() {
    const { filters } = address;
    const size = SIZES[filters.bucket?.[0] ?? 'hour'] ?? 3600;
    const asked = filters.percentile?.[0] ?? PERCENTILE;
    percentile.value = PERCENTILES.includes(asked) ? asked : PERCENTILE;
    /** @type {import('./chart-panel.js').Figures['behind']} */
    const behind = (panel, start, end) => behindOf(filters, panel, start, end, OF_SESSIONS);
    const figures = { buckets, size, behind };
    byId('none').hidden = buckets.length > 0;
    byId('panels').hidden = buckets.length === 0;
    byId('csv').hidden = buckets.length === 0;
    for (const [index, panel] of panelsFor(percentile.value, isOperator).entries()) panels[index]?.show(panel, figures);
    setText(byId('zone-note'), size >= 86_400 ? 'Days are days of UTC.' : `Times in ${zone(buckets[0]?.start)}.`);
    showTotals();
  }

  function showTotals() {
    const totals = totalsOf(buckets);
    const each = (/** @type {number} */ some, /** @type {number} */ all) => shown(all ? some / all : null, 'share');
    /** @type {[string, string, string][]} */
    const tiles = [
      ['Sessions', shown(totals.sessions, 'count'), ''],
      ['Minutes', shown(totals.minutes, 'number'), ''],
      ['Turns', shown(totals.turns, 'count'), ''],
      ['Interruptions', shown(totals.interruptions, 'count'), `${each(totals.interruptions, totals.turns)} of turns`],
    ];
    if (isOperator) {
      tiles.push(['Tool failures', shown(totals.tool_failures, 'count'), `${each(totals.tool_failures, totals.tool_calls)} of calls`]);
      tiles.push(['Errors', shown(totals.errors, 'count'), '']);
    }
    byId('totals').replaceChildren(
      ...tiles.map(([name, value, note]) =>
        make('div', {}, make('dt', {}, name), make('dd', {}, value, ' ', make('small', { class: 'muted' }, note))),
      ),
    );
  }
});
