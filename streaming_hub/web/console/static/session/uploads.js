/**
 * What the agent uploaded of the session: the stages of its turns, its log, and whether the transcript is whole. The API
 * gives it to operators only.
 *
 * @module
 */

import { askJson } from '../api.js';
import { byId, make, setAttribute, setText } from '../dom.js';
import { NONE, count, duration, seconds } from '../format.js';
import { formatHash } from './replay.js';
import { Rows } from './rows.js';
import { Spans, upperBound } from './spans.js';

/**
 * @typedef {object} Stage As in the API, with its turn.
 * @property {string | null} turn_id
 * @property {string} name
 * @property {number} started
 * @property {number} duration
 * @property {string | null} model
 * @property {string | null} provider
 * @property {number | null} input_tokens
 * @property {number | null} output_tokens
 * @property {number | null} retries
 * @property {string | null} error
 */
/** @typedef {{ at: number, level: string | null, logger: string, message: string }} LogLine As in the API. */
/** @typedef {{ role: string, text: string, at: number | null }} Message */
/** @typedef {{ complete: boolean, missing: Message[], unexpected: Message[] }} Reconciliation */
/** @typedef {import('../../../../../packages/js/src/figures.js').SessionDetail['turns']} Turns */

/** Lines of the log a page. */
const PAGE = 1000;
const TONES = /** @type {Record<string, string>} */ ({ warning: 'warn', error: 'bad', critical: 'bad' });

export class Uploads {
  /** @type {Stage[]} */
  #stages = [];
  /** Lines of the pages that will not change, and where the next one begins. */
  #lines = /** @type {LogLine[]} */ ([]);
  #cursor = '';
  #started = 0;
  /** Rises with each session. */
  #run = 0;
  /** @type {Map<string | null, number>} */
  #turns = new Map();
  #stageTable = new LongTable('Stages', ['At', 'Turn', 'Stage', 'Model', 'Duration', 'Tokens', 'Retries', 'Error'],
    (/** @type {Stage} */ stage) => {
      const { name, started, model, provider, input_tokens: given, output_tokens: made, retries, error } = stage;
      const turn = this.#turns.get(stage.turn_id);
      const tokens = [given === null ? '' : `${count(given)} in`, made === null ? '' : `${count(made)} out`].filter(Boolean);
      return [
        linkTo(started - this.#started), turn === undefined ? NONE : count(turn), named(name),
        [provider, model].filter(Boolean).join(' · ') || NONE, seconds(stage.duration), tokens.join(', ') || NONE,
        retries ? count(retries) : NONE, error === null ? NONE : make('span', { class: 'said', 'data-tone': 'bad' }, error),
      ];
    });
  #log = new LongTable('Log', ['At', 'Level', 'Logger', 'Message'], (/** @type {LogLine} */ { at, level, logger, message }) => [
    linkTo(at - this.#started), make('span', { class: 'chip', 'data-tone': TONES[level ?? ''] ?? '' }, level ?? NONE),
    make('span', { class: 'said' }, logger), make('pre', {}, message),
  ]);

  /** Begin with another session. @param {number} started Seconds since 1970. */
  begin(started) {
    [this.#started, this.#stages, this.#lines, this.#cursor] = [started, [], [], ''];
    this.#run++;
    for (const table of [this.#stageTable, this.#log]) table.show([], 0);
    this.showReconciliation(null);
  }

  /**
   * Ask for what there is by now.
   *
   * @param {string} path The session's in the API.
   * @param {string} room
   * @param {Turns} turns
   * @returns {Promise<Spans | null>} The turns' stages as spans of the session's clock; null where another session is shown by now.
   * @throws {import('../api.js').Problem}
   */
  async ask(path, room, turns) {
    const run = this.#run;
    const query = new URLSearchParams({ room });
    const trace = await askJson(`${path}/trace?${query}`);
    query.set('limit', String(PAGE));
    /** @type {LogLine[]} */
    let last = [];
    let dropped = 0;
    for (let isMore = true; isMore; ) {
      if (this.#cursor) query.set('cursor', this.#cursor);
      const page = await askJson(`${path}/logs?${query}`);
      if (run !== this.#run) return null;
      ({ lines: last, dropped } = page);
      isMore = page.next !== null;
      if (isMore) {
        this.#lines.push(...last);
        this.#cursor = page.next;
      }
    }
    this.#turns = new Map(turns.map(({ turn_id }, index) => [turn_id, index + 1]));
    /** @type {{ turn_id: string | null, stages: Stage[] }[]} */
    const all = [...trace.turns, { turn_id: null, stages: trace.other }];
    this.#stages = all.flatMap(({ turn_id, stages }) => stages.map((stage) => ({ ...stage, turn_id })))
      .sort((one, other) => one.started - other.started || other.duration - one.duration);
    this.#stageTable.show(this.#stages, trace.dropped);
    this.#log.show([...this.#lines, ...last], dropped);
    const spans = new Spans();
    for (const { name, started, duration: took, error, turn_id } of this.#stages) {
      // What belongs to no turn lasts as long as the job: it would cover the others.
      if (turn_id === null) continue;
      const from = Math.max(0, started - this.#started);
      spans.add({ from, to: from + took, kind: error === null ? 'stage' : 'stage-failed', label: named(name), turn_id });
    }
    return spans;
  }

  /** Show whether the transcript is complete. @param {Reconciliation | null} found Null if that is unknown. */
  showReconciliation(found) {
    byId('whole').hidden = found === null;
    if (!found) return;
    const { complete, missing, unexpected } = found;
    setText(byId('whole-state'), complete ? 'Complete' : `${count(missing.length)} missing`);
    setAttribute(byId('whole-state'), 'data-tone', complete ? 'ok' : 'bad');
    byId('whole-lists').replaceChildren(
      ...(complete ? [make('p', {}, 'The transcript has every message of the agent’s chat history.')] : []),
      ...[{ title: 'Only in the chat history', messages: missing }, { title: 'Only in the transcript', messages: unexpected }]
        .filter(({ messages }) => messages.length).flatMap(({ title, messages }) => [make('h3', {}, title), make('ul', { 'aria-label': title },
          ...messages.map(({ role, text, at }) => make('li', {}, at === null ? NONE : linkTo(at - this.#started), ` ${role}: `, make('span', { class: 'said', dir: 'auto' }, text))))]),
    );
  }

  /**
   * @param {number} position
   * @param {boolean} isShown Whether there is a line at the clock.
   */
  move(position, isShown) {
    const at = isShown ? position + this.#started : -Infinity;
    this.#stageTable.move(at, ({ started }) => started);
    this.#log.move(at, (line) => line.at);
  }
}

/** A table of any length, with a row at the clock. @template T */
class LongTable {
  /** @type {readonly T[]} */
  #items = [];
  #current = -1;

  /**
   * @param {string} name
   * @param {readonly string[]} columns
   * @param {(item: T) => (Node | string)[]} cells
   */
  constructor(name, columns, cells) {
    const [before, after] = [make('tr', {}), make('tr', {})];
    for (const spacer of [before, after]) spacer.append(make('td', { colspan: columns.length }));
    const list = make('tbody');
    this.table = make('table', { class: 'wide', 'aria-label': name },
      make('thead', {}, make('tr', {}, ...columns.map((column) => make('th', { scope: 'col' }, column)))),
      make('tbody', { class: 'spacer', 'aria-hidden': 'true' }, before), list, make('tbody', { class: 'spacer', 'aria-hidden': 'true' }, after));
    const scroller = make('div', { class: 'scroll long', tabindex: 0, role: 'region', 'aria-label': `${name}, scrolls` }, this.table);
    this.chip = make('span', { class: 'chip' });
    this.panel = make('section', { class: 'panel', hidden: true }, make('header', {}, make('h2', {}, name), this.chip), scroller);
    byId('uploads').append(this.panel);
    this.rows = new Rows(/** @type {ConstructorParameters<typeof Rows<T>>[0]} */ ({
      scroller, list, spacers: [before, after], guess: 36,
      make: (item) => make('tr', {}, ...cells(item).map((cell) => make('td', {}, cell))),
      update: (row, _item, place) => {
        setAttribute(row, 'aria-rowindex', place + 2);
        setAttribute(row, 'aria-current', place === this.#current ? 'true' : null);
      },
    }));
  }

  /**
   * @param {readonly T[]} items
   * @param {number} dropped How many more the hub did not keep.
   */
  show(items, dropped) {
    this.#items = items;
    this.panel.hidden = !items.length;
    setText(this.chip, `${count(items.length)}${dropped ? `, ${count(dropped)} dropped` : ''}`);
    setAttribute(this.table, 'aria-rowcount', items.length + 1);
    this.rows.show(items);
  }

  /**
   * @param {number} at Seconds since 1970.
   * @param {(item: T) => number} timeOf
   */
  move(at, timeOf) {
    const current = upperBound(this.#items, at, timeOf) - 1;
    if (current === this.#current) return;
    this.#current = current;
    this.rows.place();
    if (current >= 0) this.rows.reveal(current);
  }
}

/** @param {string} name LiveKit's of a span. */
const named = (name) => name.replaceAll('_', ' ');

/** @param {number} at Seconds from the session's start. */
const linkTo = (at) => make('a', { class: 'number', href: formatHash(Math.max(0, at)) }, duration(at));
