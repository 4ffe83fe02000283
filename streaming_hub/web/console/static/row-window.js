/**
 * Which rows of a long list are in the document, and where. Pure.
 *
 * Browsers limit the height of an element. A list beyond `MOST_HEIGHT` is mapped to that height, so that one px of the
 * scrollbar is more than one px of the list.
 *
 * @module
 */

/** px; Firefox's limit is 17.8 million, Chromium's 33. */
export const MOST_HEIGHT = 15_000_000;

/**
 * @typedef {object} Box
 * @property {number} total Rows of the whole list.
 * @property {number} rowHeight px.
 * @property {number} viewport Visible px.
 * @property {number} [mostHeight] px.
 */

/** @param {Box} box @returns {number} px of the element that holds all rows. */
export const heightOf = ({ total, rowHeight, mostHeight = MOST_HEIGHT }) => Math.min(total * rowHeight, mostHeight);

/**
 * The rows to show.
 *
 * @param {Box & { scrollTop: number, overscan: number }} box `overscan`: rows beyond each edge of what is visible.
 * @returns {{ first: number, end: number, offset: number, visibleFirst: number, visibleEnd: number }} Rows from `first`
 *   to before `end`, the first of them `offset` px from the top of the element.
 */
export function rowWindow({ scrollTop, overscan, ...box }) {
  const { total, rowHeight, viewport } = box;
  const top = Math.max(0, Math.min(scrollTop, heightOf(box) - viewport));
  const virtualTop = top * stretchOf(box);
  const visibleFirst = Math.min(total, Math.floor(virtualTop / rowHeight));
  const visibleEnd = Math.min(total, Math.ceil((virtualTop + viewport) / rowHeight));
  const first = Math.max(0, visibleFirst - overscan);
  const end = Math.min(total, visibleEnd + overscan);
  return { first, end, offset: top - virtualTop + first * rowHeight, visibleFirst, visibleEnd };
}

/**
 * Where to scroll to make a row the first visible one, as far as the end allows.
 *
 * @param {number} row
 * @param {Box} box
 */
export function scrollTopOf(row, box) {
  const most = Math.max(0, heightOf(box) - box.viewport);
  return Math.max(0, Math.min(most, (row * box.rowHeight) / stretchOf(box)));
}

/**
 * Where to scroll to make a row fully visible, with the least movement.
 *
 * @param {number} row
 * @param {Box & { scrollTop: number }} box
 */
export function scrollTopToShow(row, { scrollTop, ...box }) {
  const virtual = scrollTop * stretchOf(box);
  const top = row * box.rowHeight;
  if (top < virtual) return scrollTopOf(row, box);
  const beyond = top + box.rowHeight - box.viewport;
  return beyond > virtual ? scrollTopOf(beyond / box.rowHeight, box) : scrollTop;
}

/** px of the list per px of the scrollbar. @param {Box} box */
function stretchOf(box) {
  const range = heightOf(box) - box.viewport;
  return range > 0 ? (box.total * box.rowHeight - box.viewport) / range : 1;
}
