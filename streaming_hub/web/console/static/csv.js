/**
 * Tables as CSV (RFC 4180). Pure.
 *
 * @module
 */

import { PERCENTILES } from './api.js';

/** @typedef {string | number | boolean | null | undefined} Cell */

/** What a spreadsheet takes for a formula. */
const FORMULA = /^[=+\-@\t\r]/;

/**
 * One line, with its end.
 *
 * @param {readonly Cell[]} cells Absent ones become empty.
 */
export const csvLine = (cells) => `${cells.map(cellText).join(',')}\r\n`;

/** @param {Cell} cell */
function cellText(cell) {
  if (cell === null || cell === undefined) return '';
  if (typeof cell !== 'string') return String(cell);
  const safe = FORMULA.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/**
 * The columns that `percentiles` fills.
 *
 * @param {string} name
 */
export const percentileNames = (name) => PARTS.map((part) => `${name}_${part}`);

/**
 * @param {Record<string, number> | null | undefined} value As the API gives them.
 * @returns {Cell[]}
 */
export const percentiles = (value) => PARTS.map((part) => value?.[part] ?? null);

const PARTS = ['count', ...PERCENTILES];
