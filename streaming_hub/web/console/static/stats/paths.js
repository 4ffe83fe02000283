/**
 * Bars and lines as SVG's path data. Pure.
 *
 * @module
 */

/** @param {number} value px, to a tenth. */
const px = (value) => String(Math.round(value * 10) / 10);

/**
 * Bars that stand on a line, one a value.
 *
 * @param {readonly (number | null)[]} values Absent ones and zeros have no bar.
 * @param {object} how
 * @param {(index: number) => number} how.x Where a bar's place begins, px; `x(index + 1)` is where it ends.
 * @param {(value: number) => number} how.y
 * @param {number} how.base Where the line is, px.
 * @param {number} how.gap px between bars; 1 where there is less room.
 */
export function barsPath(values, { x, y, base, gap }) {
  let path = '';
  for (const [index, value] of values.entries()) {
    if (!value) continue;
    const place = x(index + 1) - x(index);
    const room = place > 3 * gap ? gap : place > gap ? 1 : 0;
    const [left, right] = [x(index) + room / 2, x(index + 1) - room / 2];
    // A value that is not 0 is seen.
    const top = Math.min(y(value), base - 1);
    path += `M${px(left)} ${px(base)}V${px(top)}H${px(Math.max(right, left + 0.5))}V${px(base)}Z`;
  }
  return path;
}

/**
 * A line through values; where one is absent the line is broken.
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
 * Values that no line reaches: both of their neighbours are absent.
 *
 * @param {readonly (number | null)[]} values
 * @returns {number[]} Their indices.
 */
export const alone = (values) =>
  values.flatMap((value, index) => (value !== null && (values[index - 1] ?? null) === null && (values[index + 1] ?? null) === null ? [index] : []));

/**
 * Join neighbours, so that there are no more places than can be pointed at.
 *
 * @param {number} count
 * @param {number} most
 * @returns {[first: number, end: number][]} `end` is the one after the last.
 */
export function groups(count, most) {
  const size = Math.max(1, Math.ceil(count / most));
  return Array.from({ length: Math.ceil(count / size) }, (_, index) => [index * size, Math.min(count, (index + 1) * size)]);
}
