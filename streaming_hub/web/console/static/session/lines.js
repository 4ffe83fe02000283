/**
 * A session's transcript at any time: its lines, and what each said when. Pure.
 *
 * @module
 */

import { upperBound } from './spans.js';

/** @typedef {import('./spans.js').Span} Span */
/** @typedef {{ t: number, text: string, is_final: boolean }} Version What a line said from `t` on. */
/**
 * @typedef {object} Line
 * @property {number} start When it began to be said: the start of its speech where that is known.
 * @property {string | null} role
 * @property {string | null} participant
 * @property {string | null} turn_id
 * @property {boolean} is_final
 * @property {boolean} interrupted
 * @property {Version[]} versions Oldest first; one at least.
 * @property {number} revision Rises with each change.
 */

export class Lines {
  /** @type {Line[]} In the order of their starts. */
  items = [];
  /** @type {Map<string, Line>} */
  #open = new Map();
  /** Speeches that a line has been made for. @type {WeakSet<Span>} */
  #used = new WeakSet();

  /**
   * Take in one transcript.
   *
   * @param {Record<string, any>} event
   * @param {number} t Seconds from the session's start.
   * @param {Span | null} speech The speech that it probably belongs to.
   * @returns {Line | null} Null where it says nothing.
   */
  take(event, t, speech) {
    const text = textOf(event.text) ?? '';
    const is_final = event.is_final !== false;
    const segment = textOf(event.segment_id);
    const key = segment === null ? null : JSON.stringify([textOf(event.participant), segment]);
    let line = key === null ? undefined : this.#open.get(key);
    if (!text.trim()) {
      // Nothing was understood, or an utterance was given up: what it said so far stays.
      if (line && is_final) this.#finish(line, event);
      return line ?? null;
    }
    if (!line) {
      const isMine = speech !== null && !this.#used.has(speech);
      if (isMine) this.#used.add(speech);
      line = {
        start: isMine ? Math.min(speech.from, t) : t,
        role: textOf(event.role),
        participant: textOf(event.participant),
        turn_id: textOf(event.turn_id),
        is_final: false,
        interrupted: false,
        versions: [],
        revision: 0,
      };
      if (key !== null) this.#open.set(key, line);
      this.items.splice(upperBound(this.items, line.start, ({ start }) => start), 0, line);
    }
    line.turn_id = textOf(event.turn_id) ?? line.turn_id;
    line.versions.push({ t: Math.max(t, line.versions.at(-1)?.t ?? t), text, is_final });
    line.revision++;
    if (is_final) this.#finish(line, event);
    return line;
  }

  /**
   * @param {Line} line
   * @param {Record<string, any>} event
   */
  #finish(line, event) {
    line.is_final = true;
    line.interrupted ||= event.interrupted === true;
    line.revision++;
  }

  /**
   * The place of the line at a time: the last one that has begun.
   *
   * @param {number} t
   * @returns {number} -1 before the first.
   */
  at(t) {
    return upperBound(this.items, t, ({ start }) => start) - 1;
  }
}

/**
 * What a line said at a time. Before its first words it says those.
 *
 * @param {Line} line
 * @param {number} t
 * @returns {Version}
 */
export function versionAt(line, t) {
  const place = Math.max(0, upperBound(line.versions, t, (version) => version.t) - 1);
  return /** @type {Version} */ (line.versions[place]);
}

/** @param {unknown} value */
export const textOf = (value) => (typeof value === 'string' && value ? value : null);
