/**
 * Files in and out: recordings that are dropped or chosen, and downloads.
 *
 * @module
 */

import { Problem, ask } from '../api.js';
import { byId, make } from '../dom.js';
import { download } from '../download.js';
import { NotARecording, readRecording } from './recording.js';

/** @typedef {import('./recording.js').Recorded} Recorded */

const FORMATS = /** @type {const} */ ([
  ['json', 'All that is known, as JSON'],
  ['vtt', 'Captions, WebVTT'],
  ['srt', 'Captions, SubRip'],
  ['md', 'Protocol, Markdown'],
  ['txt', 'Protocol, plain text'],
  ['csv', 'Turns, CSV'],
  ['ndjson', 'Recording: all events, opens on this page'],
]);

/**
 * Open recordings that are dropped anywhere on the page or chosen. Nothing is sent.
 *
 * @param {(sessions: Recorded[], name: string) => void} onOpen
 * @param {(sentence: string) => void} onRefused
 */
export function openRecordings(onOpen, onRefused) {
  /** @param {File | null | undefined} file */
  const open = async (file) => {
    if (!file) return;
    try {
      onOpen(readRecording(await file.text()), file.name);
    } catch (error) {
      const reason = error instanceof NotARecording ? error.message : 'It cannot be read.';
      onRefused(`${file.name} is not a recording. ${reason}`);
    }
  };
  const field = byId('open-recording', HTMLInputElement);
  field.addEventListener('change', () => {
    void open(field.files?.[0]);
    // The same file may be chosen again.
    field.value = '';
  });
  let depth = 0;
  /** @param {number} to */
  const mark = (to) => {
    depth = Math.max(0, to);
    document.body.classList.toggle('dropping', depth > 0);
  };
  const hasFile = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes('Files') ?? false;
  document.addEventListener('dragenter', (event) => hasFile(event) && mark(depth + 1));
  document.addEventListener('dragleave', (event) => hasFile(event) && mark(depth - 1));
  document.addEventListener('dragover', (event) => hasFile(event) && event.preventDefault());
  document.addEventListener('drop', (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    mark(0);
    void open(event.dataTransfer?.files[0]);
  });
}

/**
 * The controls for downloads: one for each format.
 *
 * @param {string} path The session's in the API.
 * @param {string | null} room
 * @param {boolean} hasEvents
 * @param {(sentence: string) => void} onRefused
 */
export function showExports(path, room, hasEvents, onRefused) {
  const buttons = FORMATS.filter(([format]) => hasEvents || format !== 'ndjson').map(([format, title]) => {
    const button = make('button', { title, class: 'quiet' }, format.toUpperCase());
    button.addEventListener('click', async () => {
      button.disabled = true;
      const query = new URLSearchParams({ room: room ?? '', ...(format === 'ndjson' ? {} : { format }) });
      try {
        const answer = await ask(`${path}/${format === 'ndjson' ? 'events' : 'export'}?${query}`);
        const named = nameIn(answer.headers.get('content-disposition'));
        const file = await answer.blob();
        download(named ?? `session.${format}`, file.type, [file]);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        onRefused(`${format.toUpperCase()} cannot be downloaded: ${error.message}`);
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
