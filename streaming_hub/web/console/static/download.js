/**
 * Saves a file that the page made.
 *
 * @module
 */

import { make } from './dom.js';

/** ms until the file's memory is released: the browser has begun to read it by then. */
const KEPT = 60_000;

/**
 * @param {string} name
 * @param {string} type Media type.
 * @param {readonly BlobPart[]} parts
 */
export function download(name, type, parts) {
  const address = URL.createObjectURL(new Blob([...parts], { type }));
  const link = make('a', { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), KEPT);
}

/** A time for a file's name, such as `20261128-0915`, in the reader's zone. */
export function stamp(now = new Date()) {
  const parts = [now.getFullYear(), now.getMonth() + 1, now.getDate(), now.getHours(), now.getMinutes()];
  const [year, month, day, hour, minute] = parts.map((part) => String(part).padStart(2, '0'));
  return `${year}${month}${day}-${hour}${minute}`;
}
