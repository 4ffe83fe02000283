/**
 * A session's transcript at any time: its lines, and their words as they changed. Pure.
 *
 * @module
 */

import { keyOf, textOf } from '/console/client/facts.js';
import { firstWhere } from './spans.js';

/** @typedef {import('../../../../../packages/js/src/types.js').HubEvent} HubEvent */
/** @typedef {import('./spans.js').Span} Span */
/** @typedef {{ t: number, text: string, is_final: boolean }} Version A line's words from `t` on. */
/**
 * @typedef {object} Line
 * @property {number} start When it was begun: the start of its speech, if that is known.
 * @property {string | null} role
 * @property {string | null} participant
 * @property {string | null} turn_id
 * @property {boolean} is_final
 * @property {boolean} interrupted
 * @property {Version[]} versions Oldest first; one at least.
 */

export class Lines {
  /** @type {Line[]} In the order of their starts. */
  items = [];
  /** @type {Map<string, Line>} */
  #open = new Map();
  /** Speeches that have a line. @type {WeakSet<Span>} */
  #used = new WeakSet();

  /**
   * Process a transcript event.
   *
   * @param {HubEvent} event
   * @param {number} t Seconds from the session's start.
   * @param {Span | null} speech The speech that it probably belongs to.
   * @returns {Line | null} Null if it has no words and no line.
   */
  take(event, t, speech) {
    const text = textOf(event, 'text') ?? '';
    const is_final = event.is_final !== false;
    const participant = textOf(event, 'participant');
    const turn_id = textOf(event, 'turn_id');
    const segment = textOf(event, 'segment_id');
    const key = segment === null ? null : keyOf(participant, segment);
    let line = key === null ? undefined : this.#open.get(key);
    if (!text.trim()) {
      // Nothing was recognised, or the utterance was given up: its words so far stay.
      if (line && is_final) this.#finish(line, event);
      return line ?? null;
    }
    if (!line) {
      const isMine = speech !== null && !this.#used.has(speech);
      if (isMine) this.#used.add(speech);
      line = {
        start: isMine ? Math.min(speech.from, t) : t,
        role: textOf(event, 'role'),
        participant,
        turn_id,
        is_final: false,
        interrupted: false,
        versions: [],
      };
      if (key !== null) this.#open.set(key, line);
      const { start } = line;
      this.items.splice(firstWhere(this.items, (one) => one.start > start), 0, line);
    }
    line.turn_id = turn_id ?? line.turn_id;
    line.versions.push({ t: Math.max(t, line.versions.at(-1)?.t ?? t), text, is_final });
    if (is_final) this.#finish(line, event);
    return line;
  }

  /**
   * @param {Line} line
   * @param {HubEvent} event
   */
  #finish(line, event) {
    line.is_final = true;
    line.interrupted ||= event.interrupted === true;
  }

  /**
   * The index of the line at a time: the last one that has begun.
   *
   * @param {number} t
   * @returns {number} -1 before the first.
   */
  at(t) {
    return firstWhere(this.items, ({ start }) => start > t) - 1;
  }
}

/**
 * A line's words at a time; before its first words, those.
 *
 * @param {Line} line
 * @param {number} t
 * @returns {Version}
 */
export function versionAt(line, t) {
  const place = Math.max(0, firstWhere(line.versions, (version) => version.t > t) - 1);
  return /** @type {Version} */ (line.versions[place]);
}
