/**
 * The tables: turns with their waterfall, tools, errors, figures and usage.
 *
 * @module
 */

import { byId, make, makeSvg, setAttribute, setChildren, setText } from '../dom.js';
import { NONE, count, duration, seconds } from '../format.js';
import { LIMITS } from '../live/trouble.js';
import { FIGURES, formatFigure } from './formulas.js';
import { MeasuredRows } from './measured-rows.js';
import { formatHash } from './replay.js';
import { firstWhere } from './spans.js';
import { STAGES, extentOf, partsOf, scaleOf } from './waterfall.js';

/** @typedef {Record<string, any>} Turn */
/** @typedef {import('../../../../../packages/js/src/figures.js').SessionDetail} SessionDetail */

const COLUMNS = [...STAGES.map(({ field }) => field), 'heard_latency', 'e2e_latency'];
/** The size of a waterfall, in its own units. */
const [WIDE, HIGH] = [1000, 20];

export class Tables {
  #rows;
  #started = 0;
  #scale = 1;
  /** @type {Turn[]} */
  #turns = [];
  /** Turn's id -> its row's item, which stays the same when turns are computed again. @type {Map<string, { turn: Turn }>} */
  #known = new Map();
  #current = -1;

  constructor() {
    /** @type {MeasuredRows<{ turn: Turn }>} */
    this.#rows = new MeasuredRows('turns', {
      guess: 37,
      make: makeTurn,
      update: (element, { turn }, place) => this.#update(element, turn, place),
    });
    const entries = [...STAGES.map(({ label }, stage) => [`stage-${stage + 1}`, label]), ['heard', 'Heard']];
    byId('legend').replaceChildren(...entries.map(([name, label]) =>
      make('li', {}, make('i', { class: name ?? '', 'aria-hidden': 'true' }), label ?? '')));
  }

  /**
   * @param {SessionDetail} detail
   * @param {boolean} isViewer
   */
  show(detail, isViewer) {
    const { session, turns, tools, errors } = detail;
    this.#started = session.started;
    this.#turns = turns;
    this.#scale = scaleOf(turns);
    for (const id of ['tools-panel', 'errors-panel', 'usage-panel', 'legend']) byId(id).hidden = isViewer;
    setAttribute(byId('turns-table'), 'aria-rowcount', turns.length + 1);
    setText(byId('turns-count'), count(turns.length));
    byId('turns-empty').hidden = turns.length > 0;
    this.#rows.show(turns.map((turn) => {
      const known = this.#known.get(turn.turn_id) ?? { turn };
      known.turn = turn;
      this.#known.set(turn.turn_id, known);
      return known;
    }));
    setText(byId('tools-count'), count(tools.length));
    fill('tools', tools.map(({ name, arguments: given, output, status, started, duration: took }) => [
      this.#link(started), make('code', {}, name ?? NONE), toJson(given), toJson(output),
      make('span', { class: 'chip', 'data-tone': toneOf(status, session.state) }, status ?? (session.state === 'live' ? 'running' : 'unfinished')),
      seconds(took),
    ]));
    setText(byId('errors-count'), count(errors.length));
    fill('errors', errors.map(({ at, source, message, recoverable }) => [
      this.#link(at), source ?? NONE, make('span', { class: 'said' }, message ?? NONE),
      recoverable === null ? NONE : recoverable ? 'yes' : 'no',
    ]));
    const figures = FIGURES.filter(({ operator }) => !(operator && isViewer));
    fill('figures', figures.map((figure) => [
      make('code', {}, figure.field),
      make('span', { class: 'values' }, ...formatFigure(figure, session).flatMap((part, index) => [index ? ' · ' : '', make('span', {}, part)])),
      figure.formula,
    ]));
    const usage = Array.isArray(session.usage) ? session.usage : [];
    fill('usage', usage.map(({ type, provider, model, ...amounts }) => [
      [provider, model].filter(Boolean).join(' · ') || NONE, String(type ?? NONE).replace(/_usage$/, ''),
      Object.entries(amounts).filter(([, value]) => typeof value === 'number' && value !== 0)
        .map(([name, value]) => `${name.replaceAll('_', ' ')} ${count(value)}`).join(' · ') || NONE,
    ]));
  }

  /** The starts of the turns, seconds from the session's start. */
  get starts() {
    return this.#turns.map(({ started, user_started }) => Math.max(0, Math.min(started, user_started ?? started) - this.#started));
  }

  /**
   * @param {number} position
   * @param {boolean} isShown Whether there is a turn at the clock.
   */
  move(position, isShown) {
    const at = position + this.#started;
    const current = isShown ? firstWhere(this.#turns, ({ started }) => started > at) - 1 : -1;
    if (current === this.#current) return;
    this.#current = current;
    this.#rows.place();
    if (current >= 0) this.#rows.reveal(current);
  }

  /**
   * @param {HTMLElement} row
   * @param {Turn} turn
   * @param {number} place
   */
  #update(row, turn, place) {
    const at = Math.max(0, turn.started - this.#started);
    const [first, ...cells] = /** @type {HTMLElement[]} */ ([...row.children]);
    const link = first?.firstElementChild;
    if (link) {
      setText(link, duration(at));
      setAttribute(link, 'href', formatHash(at));
    }
    if (first) setAttribute(first, 'title', [turn.user_text, turn.agent_text].filter(Boolean).join('\n— '));
    for (const [index, field] of COLUMNS.entries()) {
      const cell = cells[index + 1];
      if (cell) setText(cell, seconds(turn[field]));
      if (cell && index >= STAGES.length) setAttribute(cell, 'data-tone', turn[field] > LIMITS.latency ? 'bad' : null);
    }
    setAttribute(row, 'aria-rowindex', place + 2);
    setAttribute(row, 'aria-current', place === this.#current ? 'true' : null);
    const drawing = cells[0]?.firstElementChild;
    if (drawing) this.#draw(drawing, turn);
  }

  /**
   * @param {Element} drawing
   * @param {Turn} turn
   */
  #draw(drawing, turn) {
    const x = (/** @type {number} */ time) => Math.round((WIDE * Math.min(time, this.#scale)) / this.#scale);
    const parts = partsOf(turn).map(({ stage, from, to }) => [x(from), Math.max(2, x(to) - x(from)), stage + 1]);
    const key = JSON.stringify([parts, x(extentOf(turn)), turn.heard_latency]);
    if (drawing.getAttribute('data-key') === key) return;
    setAttribute(drawing, 'data-key', key);
    const heard = turn.heard_latency;
    drawing.replaceChildren(
      ...(heard === null ? [] : [makeSvg('rect', { class: heard > LIMITS.latency ? 'heard long' : 'heard', x: 0, y: HIGH - 4, width: Math.max(2, x(heard)), height: 3 })]),
      ...parts.map(([from, width, stage]) => makeSvg('rect', { class: `stage-${stage}`, x: from, y: 3, width, height: HIGH - 9 })),
    );
  }

  /** @param {number | null} at Seconds since 1970. */
  #link(at) {
    return at === null ? NONE : timeLink(at - this.#started);
  }
}

/** A link to a moment. @param {number} position Seconds from the session's start. */
export const timeLink = (position) =>
  make('a', { class: 'number', href: formatHash(Math.max(0, position)) }, duration(position));

function makeTurn() {
  const bars = makeSvg('svg', { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  return make('tr', {},
    make('th', { scope: 'row' }, make('a', { class: 'number', href: '#' })),
    make('td', {}, bars),
    ...COLUMNS.map(() => make('td')));
}

/**
 * Fill a table's body, keeping rows whose texts stay the same.
 *
 * @param {string} id `ID-empty` is shown if there are none.
 * @param {(Node | string)[][]} rows
 */
function fill(id, rows) {
  const body = byId(id);
  byId(`${id}-empty`).hidden = rows.length > 0;
  const old = /** @type {HTMLTableRowElement[]} */ ([...body.children]);
  setChildren(body, rows.map((cells, index) => {
    const row = old[index];
    const texts = cells.map((cell) => (typeof cell === 'string' ? cell : (cell.textContent ?? '')));
    if (row && texts.every((text, place) => row.cells[place]?.textContent === text)) return row;
    return make('tr', {}, ...cells.map((cell, place) => make(place ? 'td' : 'th', place ? {} : { scope: 'row' }, cell)));
  }));
}

/**
 * @param {unknown} value
 * @returns {HTMLElement}
 */
function toJson(value) {
  if (value === null || value === undefined) return make('span', {}, NONE);
  return make('pre', {}, typeof value === 'string' ? value : JSON.stringify(value));
}

/**
 * @param {string | null} status
 * @param {string} state
 */
const toneOf = (status, state) => (status === 'done' ? 'ok' : status === null && state === 'live' ? 'busy' : 'bad');
