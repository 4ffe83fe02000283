/**
 * The buttons that download a session, one for each format.
 *
 * @module
 */

import { Problem, ask, sessionApi } from '../api.js';
import { byId, make } from '../dom.js';
import { download } from '../download.js';

const FORMATS = /** @type {const} */ ([
  ['json', 'Everything, as JSON'],
  ['vtt', 'Captions, WebVTT'],
  ['srt', 'Captions, SubRip'],
  ['md', 'Transcript, Markdown'],
  ['txt', 'Transcript, plain text'],
  ['csv', 'Turns, CSV'],
  ['ndjson', 'Recording: all events; opens on this page'],
]);

/**
 * @param {string} session
 * @param {string | null} room
 * @param {boolean} hasEvents
 * @param {(sentence: string) => void} onRefused
 */
export function showExports(session, room, hasEvents, onRefused) {
  const buttons = FORMATS.filter(([format]) => hasEvents || format !== 'ndjson').map(([format, title]) => {
    const path = format === 'ndjson' ? sessionApi(session, room, '/events') : `${sessionApi(session, room, '/export')}&format=${format}`;
    const button = make('button', { title, class: 'quiet' }, format.toUpperCase());
    button.addEventListener('click', async () => {
      button.disabled = true;
      try {
        const response = await ask(path);
        const name = nameIn(response.headers.get('content-disposition'));
        const file = await response.blob();
        download(name ?? `session.${format}`, file.type, [file]);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        onRefused(`Cannot download ${format.toUpperCase()}: ${error.message}`);
      } finally {
        button.disabled = false;
      }
    });
    return button;
  });
  byId('exports').replaceChildren(make('span', { class: 'label' }, 'Export'), ...buttons);
  byId('exports').hidden = false;
}

/**
 * @param {string | null} disposition RFC 6266's header.
 * @returns {string | null}
 */
function nameIn(disposition) {
  const exact = /filename\*=UTF-8''([^;]+)/i.exec(disposition ?? '')?.[1];
  return exact ? decodeURIComponent(exact) : (/filename="([^"]+)"/i.exec(disposition ?? '')?.[1] ?? null);
}
