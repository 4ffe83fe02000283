/**
 * Opens recordings that are chosen or dropped on the page. Nothing is sent.
 *
 * @module
 */

import { byId } from '../dom.js';
import { NotARecording, readRecording } from './recording.js';

/**
 * @param {(sessions: import('./recording.js').Recorded[], name: string) => void} onOpen
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
    // Without this, choosing the same file again would not be a change.
    field.value = '';
  });
  // Each element under the pointer is entered before the last one is left.
  let depth = 0;
  /** @param {number} next */
  const setDepth = (next) => {
    depth = Math.max(0, next);
    document.body.classList.toggle('dropping', depth > 0);
  };
  const hasFile = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes('Files') ?? false;
  document.addEventListener('dragenter', (event) => hasFile(event) && setDepth(depth + 1));
  document.addEventListener('dragleave', (event) => hasFile(event) && setDepth(depth - 1));
  document.addEventListener('dragover', (event) => hasFile(event) && event.preventDefault());
  document.addEventListener('drop', (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    setDepth(0);
    void open(event.dataTransfer?.files[0]);
  });
}
