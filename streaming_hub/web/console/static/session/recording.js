/**
 * Reads a recording: the NDJSON of `GET /api/sessions/ID/events`. Pure.
 *
 * @module
 */

/** @typedef {import('../../../../../packages/js/src/types.js').HubEvent} HubEvent */
/** @typedef {{ room: string | null, session_id: string, events: HubEvent[] }} Recorded */

/** The text is not a recording. */
export class NotARecording extends Error {}

/**
 * The sessions of a file: one if the hub exported it.
 *
 * @param {string} text NDJSON: one event a line, oldest first.
 * @returns {Recorded[]} In the order of their first lines; at least one.
 * @throws {NotARecording} Its message names the wrong line.
 */
export function readRecording(text) {
  /** @type {Map<string, Recorded>} */
  const sessions = new Map();
  for (const [index, line] of text.replace(/^\ufeff/, '').split('\n').entries()) {
    if (!line.trim()) continue;
    const event = eventOf(line, index + 1);
    if (typeof event.session_id !== 'string') continue;
    const room = typeof event.room === 'string' && event.room ? event.room : null;
    const key = JSON.stringify([room, event.session_id]);
    let found = sessions.get(key);
    if (!found) sessions.set(key, (found = { room, session_id: event.session_id, events: [] }));
    found.events.push(event);
  }
  if (!sessions.size) throw new NotARecording('It contains no event of a session. Expected one event per line.');
  return [...sessions.values()];
}

/**
 * @param {string} line
 * @param {number} number From 1.
 * @returns {HubEvent}
 */
function eventOf(line, number) {
  let event;
  try {
    event = JSON.parse(line);
  } catch {
    throw new NotARecording(`Line ${number} is not JSON: ${line.trim().slice(0, 60)}`);
  }
  if (typeof event?.type !== 'string') throw new NotARecording(`Line ${number} is not an event: it has no type.`);
  return event;
}
