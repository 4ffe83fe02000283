/**
 * One panel of the page Figures: a chart, a link at each of its points, and the table of the same values.
 *
 * To screen readers the drawing is one image. Tab reaches one of the links over it; the arrow keys move between them.
 *
 * @module
 */

import { make, makeSvg, setAttribute } from '../dom.js';
import { VirtualRows } from '../virtual-rows.js';
import { barsPath, groups, isolated, linePath } from './paths.js';
import { linear, timeTicks, valueTicks } from './scale.js';
import { bucketTime, offsetOf, shown, tickTime } from './values.js';

/** @typedef {import('./panels.js').Panel} Panel */
/** @typedef {import('./panels.js').Bucket} Bucket */

/**
 * @typedef {object} Figures
 * @property {readonly Bucket[]} buckets
 * @property {number} size Seconds of a bucket.
 * @property {(panel: Panel, start: number, end: number) => string} behind The address of a time's sessions.
 */

const HEIGHT = 188;
const EDGE = { top: 8, right: 10, bottom: 24, left: 48 };
/** Most links over a chart: with more buckets, neighbours share one. */
const MOST_POINTS = 300;
/** A table of at most this number of rows is complete in the document. */
const ALL_ROWS = 150;

export class ChartPanel {
  #panel;
  /** @type {Figures} */
  #figures = { buckets: [], size: 1, behind: () => '' };
  #legend;
  #drawing;
  #points;
  #tip;
  #summary;
  #figure;
  #head;
  #body;
  #table;
  #rows;

  /**
   * @param {Panel} panel
   * @param {HTMLElement} [control] Stands beside the heading.
   */
  constructor(panel, control) {
    this.#panel = panel;
    const { name, id } = panel;
    this.#legend = make('ul', { class: 'legend' });
    this.#drawing = makeSvg('svg', { role: 'img', 'aria-label': name, 'aria-describedby': `${id}-summary` });
    this.#points = make('div', { class: 'points', role: 'group', 'aria-label': `${name}, points` });
    this.#tip = make('div', { class: 'tip', 'aria-hidden': 'true', hidden: true });
    this.#summary = make('p', { id: `${id}-summary`, class: 'hidden-text' });
    this.#figure = make('figure', { 'aria-label': name }, this.#drawing, this.#points, this.#tip, this.#summary);
    this.#head = make('tr', { role: 'row', 'aria-rowindex': 1 });
    this.#body = make('tbody', { role: 'rowgroup' });
    this.#table = make('table', { class: 'virtual', role: 'table', 'aria-label': name }, make('thead', { role: 'rowgroup' }, this.#head), this.#body);
    const scroller = make('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': `${name}, values` }, this.#table);
    const header = make('header', {}, make('h2', {}, name), this.#legend);
    if (control) header.append(control);
    this.element = make('section', { class: 'panel chart', id }, header, this.#figure, scroller);
    this.#rows = new VirtualRows({
      scroller, body: this.#body, make: () => this.#makeRow(), fill: (row, index) => this.#fillRow(row, index),
    });
    new ResizeObserver(() => this.#draw()).observe(this.#figure);
    this.#points.addEventListener('keydown', (event) => this.#onKey(event));
    for (const event of ['pointerover', 'focusin']) this.#points.addEventListener(event, ({ target }) => this.#point(target));
    for (const event of ['pointerleave', 'focusout']) {
      this.#points.addEventListener(event, () => {
        this.#tip.hidden = true;
      });
    }
  }

  /**
   * @param {Panel} panel The same, perhaps with another percentile.
   * @param {Figures} figures
   */
  show(panel, figures) {
    this.#panel = panel;
    this.#figures = figures;
    const { series, columns } = panel;
    this.#legend.hidden = series.length < 2;
    this.#legend.replaceChildren(
      ...series.map(({ name, color }) => make('li', {}, make('i', { class: color, 'aria-hidden': 'true' }), name)),
    );
    this.#head.replaceChildren(
      ...['Start', ...columns.map(({ name }) => name)].map((name, index) =>
        make('th', { role: 'columnheader', scope: 'col', class: index ? 'number' : '' }, name),
      ),
    );
    this.#table.style.setProperty('--cells', String(columns.length));
    this.#showPoints();
    this.#draw();
    const { length } = figures.buckets;
    setAttribute(this.#table, 'aria-rowcount', length + 1);
    this.#rows.overscan = length <= ALL_ROWS ? length : 30;
    this.#rows.setTotal(length);
    this.#summary.textContent = this.#summarise();
  }

  /** One sentence per series, for screen readers. */
  #summarise() {
    const { series, unit } = this.#panel;
    return series
      .map(({ name, of }) => {
        let most = null;
        for (const bucket of this.#figures.buckets) {
          const value = of(bucket);
          if (value !== null && (most === null || value > most.value)) most = { value, start: bucket.start };
        }
        return most ? `${name}: at most ${shown(most.value, unit)}, ${bucketTime(most.start, this.#figures.size)}.` : `${name}: no values.`;
      })
      .join(' ');
  }

  #draw() {
    const width = this.#figure.clientWidth;
    const { buckets, size } = this.#figures;
    const { series, unit, form } = this.#panel;
    const [first, last] = [buckets[0], buckets.at(-1)];
    this.#drawing.replaceChildren();
    if (!width || !first || !last) return;
    setAttribute(this.#drawing, 'viewBox', `0 0 ${width} ${HEIGHT}`);
    const values = series.map(({ of }) => buckets.map(of));
    const most = values.flat().reduce((/** @type {number} */ so, value) => Math.max(so, value ?? 0), 0);
    const ticks = valueTicks(most, 4, unit === 'count');
    const base = HEIGHT - EDGE.bottom;
    const y = linear([0, ticks.at(-1) ?? 1], [base, EDGE.top]);
    const x = linear([0, buckets.length], [EDGE.left, width - EDGE.right]);
    for (const tick of ticks) {
      this.#drawing.append(
        makeSvg('path', { class: tick ? 'grid' : 'axis', d: `M${EDGE.left} ${Math.round(y(tick)) + 0.5}H${width - EDGE.right}` }),
        makeSvg('text', { class: 'value', x: EDGE.left - 8, y: y(tick) + 4 }, shown(tick, unit)),
      );
    }
    const end = last.start + size;
    const at = linear([first.start, end], [EDGE.left, width - EDGE.right]);
    const { times, step } = timeTicks(first.start, end, Math.max(2, Math.floor(width / 90)), offsetOf(size));
    for (const time of times) {
      const place = at(time);
      if (place > width - EDGE.right - 16) continue;
      this.#drawing.append(makeSvg('text', { class: 'time', x: Math.max(place, 20), y: HEIGHT - 6 }, tickTime(time, step, size)));
    }
    for (const [index, { color }] of series.entries()) {
      const own = values[index] ?? [];
      if (form === 'bars') {
        this.#drawing.append(makeSvg('path', { class: `bars ${color}`, d: barsPath(own, { x, y, base, gap: 2 }) }));
        continue;
      }
      const middle = (/** @type {number} */ place) => x(place + 0.5);
      this.#drawing.append(makeSvg('path', { class: `line ${color}`, d: linePath(own, middle, y) }));
      for (const place of buckets.length > 60 ? isolated(own) : own.keys()) {
        const value = own[place] ?? null;
        if (value !== null) this.#drawing.append(makeSvg('circle', { class: `dot ${color}`, cx: middle(place), cy: y(value), r: 2.5 }));
      }
    }
  }

  #showPoints() {
    const { buckets, size, behind } = this.#figures;
    const focused = [...this.#points.children].indexOf(document.activeElement ?? this.#points);
    const links = groups(buckets.length, MOST_POINTS).map(([first, end], index) => {
      const [from, to] = [buckets[first]?.start ?? 0, (buckets[end - 1]?.start ?? 0) + size];
      const link = make('a', { href: behind(this.#panel, from, to), tabindex: index ? -1 : 0, 'data-first': first, 'data-end': end });
      link.setAttribute('aria-label', `${this.#textOf(first, end).join(', ')}: show sessions`);
      link.style.left = `${(100 * first) / buckets.length}%`;
      link.style.width = `${(100 * (end - first)) / buckets.length}%`;
      return link;
    });
    this.#points.replaceChildren(...links);
    links[focused]?.focus({ preventScroll: true });
  }

  /**
   * The text of a point: its time, and each series.
   *
   * @param {number} first
   * @param {number} end
   */
  #textOf(first, end) {
    const { buckets, size } = this.#figures;
    const { series, unit, form } = this.#panel;
    const chosen = buckets.slice(first, end);
    const time = bucketTime(chosen[0]?.start ?? 0, size, chosen.length);
    const values = series.map(({ name, of }) => {
      const all = chosen.map(of).filter((value) => value !== null);
      // Counts are added up; of latencies the worst is shown.
      const value = all.length ? (form === 'bars' ? all.reduce((one, other) => one + other, 0) : Math.max(...all)) : null;
      return `${name} ${shown(value, unit)}`;
    });
    return [time, ...values];
  }

  /** @param {EventTarget | null} target */
  #point(target) {
    if (!(target instanceof HTMLAnchorElement)) return;
    const [first, end] = [Number(target.dataset.first), Number(target.dataset.end)];
    const [time = '', ...values] = this.#textOf(first, end);
    this.#tip.replaceChildren(make('strong', {}, time), ...values.map((value) => make('span', {}, value)));
    this.#tip.hidden = false;
    const middle = EDGE.left + target.offsetLeft + target.offsetWidth / 2;
    const room = this.#figure.clientWidth - this.#tip.offsetWidth - 4;
    this.#tip.style.left = `${Math.max(4, Math.min(room, middle - this.#tip.offsetWidth / 2))}px`;
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const links = [...this.#points.querySelectorAll('a')];
    const at = links.findIndex((link) => link === event.target);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: links.length - 1 }[event.key];
    const link = to === undefined ? undefined : links[Math.max(0, Math.min(links.length - 1, to))];
    if (!link) return;
    event.preventDefault();
    for (const one of links) one.tabIndex = one === link ? 0 : -1;
    link.focus({ preventScroll: true });
  }

  #makeRow() {
    const cells = this.#panel.columns.map(() => make('td', { role: 'cell', class: 'number' }));
    return make('tr', { role: 'row' }, make('td', { role: 'cell' }, make('a')), ...cells);
  }

  /**
   * @param {HTMLElement} row
   * @param {number} index
   */
  #fillRow(row, index) {
    const { buckets, size, behind } = this.#figures;
    const bucket = buckets[index];
    if (!bucket) return;
    const link = row.querySelector('a');
    link?.setAttribute('href', behind(this.#panel, bucket.start, bucket.start + size));
    link?.replaceChildren(bucketTime(bucket.start, size));
    for (const [place, { of, unit }] of this.#panel.columns.entries()) {
      row.children[place + 1]?.replaceChildren(shown(of(bucket), unit));
    }
  }
}
