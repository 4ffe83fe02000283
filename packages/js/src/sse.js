/**
 * Server-sent events from bytes (WHATWG HTML, "Interpreting an event stream").
 *
 * Written by hand because the core has no dependencies. Knows nothing of the hub.
 *
 * @module
 */

/** Maximum characters of an event; the hub's are far shorter. */
const LONGEST_EVENT = 16 * 1024 * 1024;
/** Characters that a line counts for besides its own, as short ones take more memory than their characters. */
const LINE_COST = 64;

/**
 * @typedef {object} Message
 * @property {string} type The event's type; `message` by default.
 * @property {string | null} data Null if the block has only a new id: not an event, but the position advances.
 * @property {string} id The last event id so far.
 */

/**
 * Make a parser for one connection.
 *
 * An event that the end of the stream cuts off is never reported, so there is nothing to call at the end.
 *
 * @param {(message: Message) => void} onMessage
 * @param {(milliseconds: number) => void} onRetry Called for each valid `retry:` line.
 * @returns {(bytes: Uint8Array) => void} Feeds the next bytes. Throws a RangeError at an event over 16 Mi characters.
 */
export function createParser(onMessage, onRetry) {
  // Remove the byte order mark here, because Deno's decoder would also remove one from later pieces.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let isBegun = false;
  const lineEnd = /[\r\n]/g;
  let rest = '';
  let afterCarriageReturn = false;
  let id = '';
  let reportedId = '';
  let type = '';
  /** @type {string[]} */
  let data = [];
  let dataLength = 0;

  /** @param {string} line */
  const take = (line) => {
    if (line === '') {
      if (data.length || id !== reportedId) onMessage({ type: type || 'message', data: data.length ? data.join('\n') : null, id });
      reportedId = id;
      data = [];
      dataLength = 0;
      type = '';
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') {
      data.push(value);
      dataLength += value.length + LINE_COST;
    } else if (field === 'event') type = value;
    else if (field === 'id' && !value.includes('\0')) id = value;
    else if (field === 'retry' && /^[0-9]{1,15}$/.test(value)) onRetry(Number(value));
  };

  return (bytes) => {
    let text = decoder.decode(bytes, { stream: true });
    if (text === '') return;
    if (!isBegun && text[0] === '\ufeff') text = text.slice(1);
    isBegun = true;
    if (afterCarriageReturn && text[0] === '\n') text = text.slice(1);
    afterCarriageReturn = false;
    let start = 0;
    for (let found = lineEnd.exec(text); found; found = lineEnd.exec(text)) {
      const at = found.index;
      const line = rest + text.slice(start, at);
      rest = '';
      start = at + 1;
      if (text[at] === '\r') {
        if (start === text.length) afterCarriageReturn = true;
        else if (text[start] === '\n') lineEnd.lastIndex = ++start;
      }
      take(line);
    }
    // Never searched again, or an endless line would take quadratic time.
    rest += text.slice(start);
    if (rest.length + dataLength > LONGEST_EVENT) throw new RangeError('The stream sent an event of over 16 Mi characters.');
  };
}
