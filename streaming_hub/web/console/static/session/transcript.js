/**
 * The list "Transcript": marks the line at the clock, and dims later lines in a replay.
 *
 * @module
 */

import { byId, make, setAttribute, setText } from '../dom.js';
import { duration } from '../format.js';
import { versionAt } from './lines.js';
import { MeasuredRows } from './measured-rows.js';
import { formatHash } from './replay.js';

/** @typedef {import('./lines.js').Line} Line */
/** @typedef {import('./timeline.js').Timeline} Timeline */

/** ms after the reader scrolled the list until it follows the clock again. */
const FOLLOW_AGAIN = 4000;
const NAMES = /** @type {Record<string, string>} */ ({ user: 'User', agent: 'Agent', system: 'System' });

export class Transcript {
  #rows;
  /** @type {Timeline | null} */
  #timeline = null;
  #position = 0;
  #isReplay = false;
  #current = -1;
  /** Identifies what was last drawn. */
  #drawn = '';
  #touched = -Infinity;

  constructor() {
    /** @type {MeasuredRows<Line>} */
    this.#rows = new MeasuredRows('transcript', {
      guess: 60,
      make: makeLine,
      update: (element, line, place, isVirtual) => this.#update(element, line, place, isVirtual),
    });
    for (const type of ['wheel', 'touchmove', 'keydown', 'pointerdown']) {
      byId('transcript-scroll').addEventListener(type, () => (this.#touched = performance.now()), { passive: true });
    }
  }

  /** Show another session. @param {Timeline} timeline */
  open(timeline) {
    this.#timeline = timeline;
    this.#drawn = '';
    this.#current = -1;
  }

  /**
   * @param {number} position
   * @param {boolean} isReplay Whether lines show their words at that time, and later lines are dimmed.
   * @param {boolean} isMoving Whether the list follows the clock.
   */
  move(position, isReplay, isMoving) {
    const timeline = this.#timeline;
    if (!timeline) return;
    const { lines } = timeline;
    const current = lines.at(position);
    const line = lines.items[current];
    const version = line && isReplay ? versionAt(line, position).t : '';
    const drawn = `${timeline.revision} ${current} ${version} ${isReplay}`;
    if (drawn === this.#drawn) return;
    const isNew = current !== this.#current || !this.#drawn || !isReplay;
    this.#drawn = drawn;
    [this.#position, this.#isReplay, this.#current] = [position, isReplay, current];
    this.#rows.show(lines.items);
    byId('transcript-empty').hidden = lines.items.length > 0;
    if (isMoving && isNew && current >= 0 && performance.now() - this.#touched > FOLLOW_AGAIN) this.#rows.reveal(current);
  }

  /**
   * @param {HTMLElement} element
   * @param {Line} line
   * @param {number} place
   * @param {boolean} isVirtual
   */
  #update(element, line, place, isVirtual) {
    const isLater = this.#isReplay && place > this.#current;
    const version = this.#isReplay && !isLater ? versionAt(line, this.#position) : line.versions.at(-1);
    const isOpen = !(version?.is_final ?? line.is_final);
    const [time, , words, cut] = /** @type {HTMLCollectionOf<HTMLElement>} */ (element.children);
    if (time) setText(time, duration(line.start));
    if (words) setText(words, version?.text ?? '');
    if (cut) cut.hidden = !line.interrupted || isOpen;
    setAttribute(element, 'data-open', isOpen);
    setAttribute(element, 'data-later', isLater);
    setAttribute(element, 'aria-current', place === this.#current ? 'true' : null);
    setAttribute(element, 'aria-posinset', isVirtual ? place + 1 : null);
    setAttribute(element, 'aria-setsize', isVirtual ? this.#timeline?.lines.items.length : null);
  }
}

/** @param {Line} line */
function makeLine({ start, role, participant }) {
  const who = (role && NAMES[role]) ?? participant ?? role ?? 'Unknown';
  return make('li', { class: 'line', 'data-role': role },
    make('a', { class: 'at number', href: formatHash(start) }, duration(start)),
    make('span', { class: 'who', title: participant ?? '' }, who),
    make('p', { class: 'said', dir: 'auto' }),
    make('span', { class: 'chip', 'data-tone': 'warn' }, 'interrupted'),
  );
}
