/**
 * Bars and lines as SVG path data. Pure.
 *
 * @module
 */

/** @param {number} value px, to a tenth. */
const px = (value) => String(Math.round(value * 10) / 10);

/**
 * Bars on a base line, one per value.
 *
 * @param {readonly (number | null)[]} values Missing values and zeros have no bar.
 * @param {object} how
 * @param {(index: number) => number} how.x Where a bar's slot begins, px; it ends at `x(index + 1)`.
 * @param {(value: number) => number} how.y
 * @param {number} how.base px: the base line.
 * @param {number} how.gap px between bars; 1 or 0 if there is less space.
 */
export function barsPath(values, { x, y, base, gap }) {
  let path = '';
  for (const [index, value] of values.entries()) {
    if (!value) continue;
    const place = x(index + 1) - x(index);
    const room = place > 3 * gap ? gap : place > gap ? 1 : 0;
    const [left, right] = [x(index) + room / 2, x(index + 1) - room / 2];
    // Any value but 0 is visible.
    const top = Math.min(y(value), base - 1);
    path += `M${px(left)} ${px(base)}V${px(top)}H${px(Math.max(right, left + 0.5))}V${px(base)}Z`;
  }
  return path;
}

/**
 * A line through values, with gaps at missing values.
 *
 * @param {readonly (number | null)[]} values
 * @param {(index: number) => number} x
 * @param {(value: number) => number} y
 */
export function linePath(values, x, y) {
  let path = '';
  let isDown = false;
  for (const [index, value] of values.entries()) {
    if (value !== null) path += `${isDown ? 'L' : 'M'}${px(x(index))} ${px(y(value))}`;
    isDown = value !== null;
  }
  return path;
}

/**
 * Values without neighbours, which a line does not show.
 *
 * @param {readonly (number | null)[]} values
 * @returns {number[]} Their indices.
 */
export const isolated = (values) =>
  values.flatMap((value, index) => (value !== null && (values[index - 1] ?? null) === null && (values[index + 1] ?? null) === null ? [index] : []));

/**
 * Group consecutive places, so that there are at most `most` groups.
 *
 * @param {number} count
 * @param {number} most
 * @returns {[first: number, end: number][]} `end` is the one after the last.
 */
export function groups(count, most) {
  const size = Math.max(1, Math.ceil(count / most));
  return Array.from({ length: Math.ceil(count / size) }, (_, index) => [index * size, Math.min(count, (index + 1) * size)]);
}
