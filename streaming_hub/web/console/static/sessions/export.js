/**
 * Saves all sessions that match the filters, page by page: the list keeps only those near its view.
 *
 * @module
 */

import { askJson } from '../api.js';
import { download, stamp } from '../download.js';
import { addressOf } from '../filters.js';
import { CSV_HEAD, csvOf } from './session-csv.js';

/** @typedef {import('../filters.js').Filters} Filters */

/** @typedef {'csv' | 'json'} Format */

/** @type {Record<Format, { type: string, head: string, tail: string, piece: (sessions: Record<string, any>[], isFirst: boolean) => string }>} */
const FORMATS = {
  csv: { type: 'text/csv;charset=utf-8', head: CSV_HEAD, tail: '', piece: (sessions) => sessions.map(csvOf).join('') },
  json: {
    type: 'application/json',
    head: '{"sessions":[\n',
    tail: '\n]}\n',
    piece: (sessions, isFirst) =>
      sessions.map((session, index) => (isFirst && index === 0 ? '' : ',\n') + JSON.stringify(session)).join(''),
  },
};

/**
 * Load all sessions that the filters match, and save them as a file.
 *
 * @param {Filters} filters
 * @param {readonly string[]} names The filters' order.
 * @param {Format} format
 * @param {AbortSignal} signal
 * @param {(done: number, total: number) => unknown} onProgress
 * @throws {import('../api.js').Problem} The hub refused a page.
 */
export async function exportSessions(filters, names, format, signal, onProgress) {
  const { type, head, tail, piece } = FORMATS[format];
  const parts = [head];
  let done = 0;
  let total = 0;
  /** @type {string | null} */
  let cursor = '';
  while (cursor !== null) {
    const query = new URLSearchParams(addressOf(filters, names));
    query.set('limit', '200');
    if (cursor) query.set('cursor', cursor);
    else query.set('total', '1');
    /** @type {import('./list.js').Page} */
    const page = await askJson(`/api/sessions?${query}`, { signal });
    parts.push(piece(page.sessions, done === 0));
    done += page.sessions.length;
    total = Math.max(page.total ?? total, done);
    cursor = page.next;
    onProgress(done, total);
  }
  parts.push(tail);
  download(`sessions-${stamp()}.${format}`, type, parts);
}
