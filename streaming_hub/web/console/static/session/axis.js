/**
 * The part of a session that the lanes show, and its ticks. Pure.
 *
 * @module
 */

/** @typedef {{ from: number, to: number }} View Seconds from the session's start. */

/** px per second at first, so that words are readable; a session of up to twice the width is shown whole. */
const FIRST = 20;
/** Seconds: the shortest view. */
const LEAST = 2;
/** Seconds between ticks. */
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
/** Least px between ticks. */
const APART = 80;
/** Part of the view before the position when the view moves to it. */
const MARGIN = 0.1;

/**
 * The first view: all of a short session, else the part at a position.
 *
 * @param {number} end
 * @param {number} position
 * @param {number} width px
 * @returns {View}
 */
export function firstView(end, position, width) {
  const readable = Math.max(LEAST, width / FIRST);
  const span = Math.max(LEAST, end <= readable * 2 ? end : readable);
  return at(position, span, end);
}

/**
 * @param {number} position
 * @param {number} span
 * @param {number} end
 */
const at = (position, span, end) => fit({ from: position - span * MARGIN, to: position + span * (1 - MARGIN) }, end);

/**
 * Keep a view within the session.
 *
 * @param {View} view
 * @param {number} end
 * @returns {View}
 */
export function fit({ from, to }, end) {
  const span = Math.min(Math.max(to - from, LEAST), Math.max(end, LEAST));
  const start = Math.min(Math.max(0, from), Math.max(0, end - span));
  return { from: start, to: start + span };
}

/**
 * Zoom about a position, which stays where it is in the view.
 *
 * @param {View} view
 * @param {number} factor Below 1 shows less time.
 * @param {number} about
 * @param {number} end
 * @returns {View}
 */
export function zoom(view, factor, about, end) {
  const span = Math.min(Math.max((view.to - view.from) * factor, LEAST), Math.max(end, LEAST));
  const inside = about >= view.from && about <= view.to;
  const share = inside ? (about - view.from) / (view.to - view.from) : 0.5;
  const middle = inside ? about : (view.from + view.to) / 2;
  return fit({ from: middle - span * share, to: middle + span * (1 - share) }, end);
}

/**
 * Move a view by a time.
 *
 * @param {View} view
 * @param {number} by
 * @param {number} end
 * @returns {View}
 */
export const pan = (view, by, end) => fit({ from: view.from + by, to: view.to + by }, end);

/**
 * Keep a position in view: move on by a page when it leaves.
 *
 * @param {View} view
 * @param {number} position
 * @param {number} end
 * @param {boolean} [following] Whether the position is a live session's end: then the view moves along with it.
 * @returns {View} The same object if nothing has to move.
 */
export function keepInView(view, position, end, following = false) {
  const span = view.to - view.from;
  if (following) {
    // Leave some room after the session's end.
    const to = Math.max(span, position + span * 0.04);
    return Math.abs(to - view.to) < 1e-6 ? view : { from: to - span, to };
  }
  return position >= view.from && position <= view.to ? view : at(position, span, end);
}

/**
 * The ticks of a view.
 *
 * @param {View} view
 * @param {number} width px
 * @returns {{ step: number, ticks: number[] }} Seconds.
 */
export function ticksOf(view, width) {
  const least = ((view.to - view.from) * APART) / Math.max(width, 1);
  const step = STEPS.find((one) => one >= least) ?? Math.ceil(least / 86400) * 86400;
  const ticks = [];
  for (let count = Math.max(0, Math.ceil(view.from / step - 1e-9)); count * step <= view.to + 1e-9; count++) {
    ticks.push(Math.round(count * step * 10) / 10);
  }
  return { step, ticks };
}

/**
 * @param {View} view
 * @param {number} width px
 */
export const scaleOf = (view, width) => ({
  /** @param {number} time */
  x: (time) => ((time - view.from) / (view.to - view.from)) * width,
  /** @param {number} x */
  time: (x) => view.from + (x / Math.max(width, 1)) * (view.to - view.from),
});
