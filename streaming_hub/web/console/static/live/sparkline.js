/**
 * The bars of a sparkline. Pure.
 *
 * @module
 */

/** The drawing's size, in its own units. */
export const WIDTH = 79;
export const HEIGHT = 22;
const BAR = 6;
const STEP = 8;
const LEAST = 2;

/**
 * Paths of the bars, those within a limit and those above it. The newest bar stands at the right end.
 *
 * @param {readonly number[]} values Oldest first.
 * @param {number} limit
 * @param {number} most Bars that fit.
 */
export function sparkline(values, limit, most) {
  const shown = values.slice(-most);
  // The limit is at two thirds of the height, so that bars of different calls can be compared.
  const scale = (HEIGHT * 2) / 3 / limit;
  const paths = { within: '', above: '' };
  shown.forEach((value, index) => {
    const height = Math.min(HEIGHT, Math.max(LEAST, value * scale));
    const x = (most - shown.length + index) * STEP;
    paths[value > limit ? 'above' : 'within'] += `M${x} ${HEIGHT}v${-round(height)}h${BAR}v${round(height)}z`;
  });
  return paths;
}

/** @param {number} value */
const round = (value) => Math.round(value * 10) / 10;
