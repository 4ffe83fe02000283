/**
 * The clock of a replay. Pure: the machine's time is an argument.
 *
 * Positions are seconds from the session's start; `now` is in ms, from any fixed point.
 *
 * @module
 */

import { duration } from '../format.js';

/**
 * @typedef {object} Clock
 * @property {number} position Its position at `since`.
 * @property {boolean} playing
 * @property {number} speed Seconds of the session per second.
 * @property {number} since ms.
 * @property {boolean} following Whether it stays at the end of a live session, whatever its position.
 */

/** Seconds that the arrow keys move by; with Shift; and Page Up, which moves forward as on any slider, and Page Down. */
const STEP = 5;
const SMALL_STEP = 1;
const LARGE_STEP = 30;

/**
 * A paused clock.
 *
 * @param {number} [position]
 * @returns {Clock}
 */
export const createClock = (position = 0) => ({ position, playing: false, speed: 1, since: 0, following: false });

/**
 * @param {Clock} clock
 * @param {number} now
 * @param {number} end Seconds: the session's length so far.
 */
export function positionAt(clock, now, end) {
  if (clock.following) return end;
  const passed = clock.playing ? ((now - clock.since) / 1000) * clock.speed : 0;
  return clamp(clock.position + passed, 0, end);
}

/**
 * Start it; at the end it starts over.
 *
 * @param {Clock} clock
 * @param {number} now
 * @param {number} end
 * @returns {Clock}
 */
export function play(clock, now, end) {
  const position = positionAt(clock, now, end);
  return { ...clock, position: position >= end ? 0 : position, playing: true, since: now, following: false };
}

/**
 * @param {Clock} clock
 * @param {number} now
 * @param {number} end
 * @returns {Clock}
 */
export const pause = (clock, now, end) => ({
  ...clock,
  position: positionAt(clock, now, end),
  playing: false,
  since: now,
  following: false,
});

/**
 * @param {Clock} clock
 * @param {number} position
 * @param {number} now
 * @param {number} end
 * @returns {Clock}
 */
export const seek = (clock, position, now, end) => ({
  ...clock,
  position: clamp(position, 0, end),
  since: now,
  following: false,
});

/**
 * @param {Clock} clock
 * @param {number} speed
 * @param {number} now
 * @param {number} end
 * @returns {Clock}
 */
export const setSpeed = (clock, speed, now, end) => ({
  ...clock,
  position: positionAt(clock, now, end),
  since: now,
  speed,
});

/**
 * @param {Clock} clock
 * @returns {Clock}
 */
export const follow = (clock) => ({ ...clock, playing: false, following: true });

/**
 * The position in an address's fragment, as in `#t=83.2`.
 *
 * @param {string} hash
 * @returns {number | null} Null if there is none.
 */
export function parseHash(hash) {
  const found = /(?:^#|&)t=(\d+(?:\.\d+)?)(?:&|$)/.exec(hash);
  return found ? Number(found[1]) : null;
}

/** @param {number} position */
export const formatHash = (position) => `#t=${Math.round(position * 10) / 10}`;

/**
 * A position to the tenth of a second: `1:23.4`.
 *
 * @param {number} position
 */
export function formatTenths(position) {
  const tenths = Math.floor(Math.max(0, position) * 10 + 1e-6);
  return `${duration(Math.floor(tenths / 10))}.${tenths % 10}`;
}

/**
 * A position in words, for screen readers.
 *
 * @param {number} seconds
 */
export function speakPosition(seconds) {
  const whole = Math.floor(Math.max(0, seconds));
  /** @type {[number, string][]} */
  const parts = [
    [Math.floor(whole / 3600), 'hour'],
    [Math.floor(whole / 60) % 60, 'minute'],
    [whole % 60, 'second'],
  ];
  const said = parts.filter(([count]) => count).map(([count, unit]) => `${count} ${unit}${count === 1 ? '' : 's'}`);
  return said.join(' ') || '0 seconds';
}

/**
 * @typedef {{ do: 'toggle' } | { do: 'seek', position: number } | { do: 'turn', by: 1 | -1 } | { do: 'zoom', by: number }
 *   | { do: 'follow' }} Command
 */

/**
 * What a key does.
 *
 * @param {{ key: string, shiftKey: boolean, ctrlKey: boolean, metaKey: boolean, altKey: boolean }} pressed
 * @param {number} position
 * @param {number} end
 * @returns {Command | null}
 */
export function commandOf(pressed, position, end) {
  if (pressed.ctrlKey || pressed.metaKey || pressed.altKey) return null;
  const step = pressed.shiftKey ? SMALL_STEP : STEP;
  /** @param {number} to */
  const to = (to) => ({ do: /** @type {const} */ ('seek'), position: clamp(to, 0, end) });
  switch (pressed.key) {
    case ' ':
      return { do: 'toggle' };
    case 'ArrowLeft':
      return to(position - step);
    case 'ArrowRight':
      return to(position + step);
    case 'PageUp':
      return to(position + LARGE_STEP);
    case 'PageDown':
      return to(position - LARGE_STEP);
    case 'Home':
      return to(0);
    case 'End':
      return to(end);
    case '[':
      return { do: 'turn', by: -1 };
    case ']':
      return { do: 'turn', by: 1 };
    case '+':
    case '=':
      return { do: 'zoom', by: 0.5 };
    case '-':
      return { do: 'zoom', by: 2 };
    case 'l':
      return { do: 'follow' };
    default:
      return null;
  }
}

/**
 * @param {number} value
 * @param {number} least
 * @param {number} most
 */
const clamp = (value, least, most) => Math.min(Math.max(value, least), Math.max(least, most));
