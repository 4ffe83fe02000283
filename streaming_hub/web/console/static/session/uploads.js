/**
 * What the agent uploaded: the stages of the turns, its log, and whether the transcript is complete. For operators only.
 *
 * @module
 */

import { askJson, sessionApi } from '../api.js';
import { byId, make, setAttribute, setText } from '../dom.js';
import { NONE, count, seconds } from '../format.js';
import { MeasuredRows } from './measured-rows.js';
import { Spans, firstWhere } from './spans.js';
import { timeLink } from './tables.js';

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

/** Log lines per page. */
const PAGE = 1000;
const TONES = /** @type {Record<string, string>} */ ({ warning: 'warn', error: 'bad', critical: 'bad' });

export class Uploads {
  /** @type {Stage[]} */
  #stages = [];
  /** Lines of the full pages, which do not change, and the next page's cursor. */
  #lines = /** @type {LogLine[]} */ ([]);
  #cursor = '';
  #started = 0;
  /** Rises with each session. */
  #run = 0;
  /** @type {Map<string | null, number>} */
  #turns = new Map();
  #stageTable = new LongTable('stages',
    (/** @type {Stage} */ stage) => {
      const { name, started, model, provider, input_tokens: given, output_tokens: made, retries, error } = stage;
      const turn = this.#turns.get(stage.turn_id);
      const tokens = [given === null ? '' : `${count(given)} in`, made === null ? '' : `${count(made)} out`].filter(Boolean);
      return [
        timeLink(started - this.#started), turn === undefined ? NONE : count(turn), named(name),
        [provider, model].filter(Boolean).join(' · ') || NONE, seconds(stage.duration), tokens.join(', ') || NONE,
        retries ? count(retries) : NONE, error === null ? NONE : make('span', { class: 'said', 'data-tone': 'bad' }, error),
      ];
    });
  #log = new LongTable('log', (/** @type {LogLine} */ { at, level, logger, message }) => [
    timeLink(at - this.#started), make('span', { class: 'chip', 'data-tone': TONES[level ?? ''] ?? '' }, level ?? NONE),
    make('span', { class: 'said' }, logger), make('pre', {}, message),
  ]);

  /** Show another session. @param {number} started Seconds since 1970. */
  open(started) {
    [this.#started, this.#stages, this.#lines, this.#cursor] = [started, [], [], ''];
    this.#run++;
    for (const table of [this.#stageTable, this.#log]) table.show([], 0);
    this.showReconciliation(null);
  }

  /**
   * Load and show what has been uploaded so far.
   *
   * @param {string} session
   * @param {string | null} room
   * @param {Turns} turns
   * @returns {Promise<Spans | null>} The turns' stages; null if another session is shown by now.
   * @throws {import('../api.js').Problem}
   */
  async load(session, room, turns) {
    const run = this.#run;
    const trace = await askJson(sessionApi(session, room, '/trace'));
    const logs = `${sessionApi(session, room, '/logs')}&limit=${PAGE}`;
    /** @type {LogLine[]} */
    let last = [];
    let dropped = 0;
    for (let isMore = true; isMore; ) {
      const page = await askJson(this.#cursor ? `${logs}&cursor=${encodeURIComponent(this.#cursor)}` : logs);
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
      // Stages of no turn last as long as the job and would cover the others.
      if (turn_id === null) continue;
      const from = Math.max(0, started - this.#started);
      spans.add({ from, to: from + took, kind: error === null ? 'stage' : 'stage-failed', label: named(name), turn_id });
    }
    return spans;
  }

  /** @param {Reconciliation | null} found Null if it is unknown whether the transcript is complete. */
  showReconciliation(found) {
    byId('reconciliation').hidden = found === null;
    if (!found) return;
    const { complete, missing, unexpected } = found;
    setText(byId('reconciliation-state'), complete ? 'Complete' : `${count(missing.length)} missing`);
    setAttribute(byId('reconciliation-state'), 'data-tone', complete ? 'ok' : 'bad');
    byId('messages').replaceChildren(
      ...(complete ? [make('p', {}, 'The transcript contains every message of the agent’s chat history.')] : []),
      ...[{ title: 'Only in the chat history', messages: missing }, { title: 'Only in the transcript', messages: unexpected }]
        .filter(({ messages }) => messages.length).flatMap(({ title, messages }) => [make('h3', {}, title), make('ul', { 'aria-label': title },
          ...messages.map(({ role, text, at }) => make('li', {}, at === null ? NONE : timeLink(at - this.#started), ` ${role}: `, make('span', { class: 'said', dir: 'auto' }, text))))]),
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
  #id;
  #rows;

  /**
   * @param {string} id
   * @param {(item: T) => (Node | string)[]} cells
   */
  constructor(id, cells) {
    this.#id = id;
    /** @type {MeasuredRows<T>} */
    this.#rows = new MeasuredRows(id, {
      guess: 36,
      make: (item) => make('tr', {}, ...cells(item).map((cell) => make('td', {}, cell))),
      update: (row, _item, place) => {
        setAttribute(row, 'aria-rowindex', place + 2);
        setAttribute(row, 'aria-current', place === this.#current ? 'true' : null);
      },
    });
  }

  /**
   * @param {readonly T[]} items
   * @param {number} dropped Items that the hub did not store.
   */
  show(items, dropped) {
    this.#items = items;
    byId(`${this.#id}-panel`).hidden = !items.length;
    setText(byId(`${this.#id}-count`), `${count(items.length)}${dropped ? `, ${count(dropped)} dropped` : ''}`);
    setAttribute(byId(`${this.#id}-table`), 'aria-rowcount', items.length + 1);
    this.#rows.show(items);
  }

  /**
   * @param {number} at Seconds since 1970.
   * @param {(item: T) => number} timeOf
   */
  move(at, timeOf) {
    const current = firstWhere(this.#items, (item) => timeOf(item) > at) - 1;
    if (current === this.#current) return;
    this.#current = current;
    this.#rows.place();
    if (current >= 0) this.#rows.reveal(current);
  }
}

/** @param {string} name LiveKit's of a span. */
const named = (name) => name.replaceAll('_', ' ');
