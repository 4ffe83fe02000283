/**
 * Where a session's events come from: the archive, where there is none the history, and then the stream.
 *
 * @module
 */

import { Gap } from '/console/client/gap.js';
import { Problem, ask, askJson } from '../api.js';
import { openHub } from '../frame.js';
import { Model } from './model.js';
import { NotARecording, readRecording } from './recording.js';

/** @typedef {import('../../../../../packages/js/src/types.js').HubEvent} HubEvent */
/** @typedef {import('./recording.js').Recorded} Recorded */
/** @typedef {import('../../../../../packages/js/src/figures.js').SessionDetail} SessionDetail */
/**
 * @typedef {object} Loaded
 * @property {Model} model
 * @property {string} notice Why not everything is there; empty where it is.
 * @property {SessionDetail | null} archived What the archive answered.
 */

/** Events of the history a page. */
const PAGE = 1000;

/** There are sessions of this id in several rooms. */
export class SeveralRooms extends Error {
  /** @param {(string | null)[]} rooms */
  constructor(rooms) {
    super('Sessions in several rooms have this id.');
    this.rooms = rooms;
  }
}

/**
 * Load a session up to now.
 *
 * @param {string} id
 * @param {string | null} room Empty: the one without a room. Null: whichever there is.
 * @param {boolean} isViewer
 * @returns {Promise<Loaded>}
 * @throws {Problem | SeveralRooms}
 */
export async function load(id, room, isViewer) {
  const path = sessionApi(id);
  const query = room === null ? '' : `?room=${encodeURIComponent(room)}`;
  const [detail, text] = await Promise.allSettled([
    askJson(`${path}${query}`),
    ask(`${path}/events${query}`).then((answer) => answer.text()),
  ]);
  if (detail.status === 'rejected') {
    const { reason } = detail;
    if (!(reason instanceof Problem) || ![404, 503].includes(reason.status)) throw severalRooms(reason);
    return fromHistory(id, room, isViewer, reason);
  }
  const archived = /** @type {SessionDetail} */ (detail.value);
  const model = new Model({ isViewer, archived });
  if (text.status === 'fulfilled') {
    for (const event of eventsIn(text.value)) model.take(event);
  }
  if (model.hasEvents) return { model, archived, notice: incompleteness(archived.session) };
  model.takeArchived();
  const why = text.status === 'rejected' ? text.reason.message : 'The archive has no events of it.';
  return { model, archived, notice: `${why} Shown is what the archive’s tables say.` };
}

/**
 * Go on with the stream.
 *
 * @param {Model} model
 * @param {(event: HubEvent) => void} onEvent
 * @param {() => void} onGap Called where the stream has skipped events.
 * @returns {{ now: () => number, close: () => void }} `now`: the hub's time, seconds since 1970.
 */
export function follow(model, onEvent, onGap) {
  const { room, session_id } = model.timeline;
  const { stream, now } = openHub({ session_id, room, since: model.last });
  const read = async () => {
    for await (const item of stream) {
      if (item instanceof Gap) onGap();
      // Without a room there is no filter for it: then the stream may bring a namesake's events.
      else if (item.type !== 'snapshot' && (item.room || null) === room) onEvent(item);
    }
  };
  // A refusal is shown by the frame.
  read().catch(() => {});
  return { now, close: () => stream.close() };
}

/**
 * The API's path of a session.
 *
 * @param {string} id
 */
export const sessionApi = (id) => `/api/sessions/${encodeURIComponent(id)}`;

/**
 * A session that no archive has: one that has just begun, or any where there is no archive.
 *
 * @param {string} id
 * @param {string | null} room
 * @param {boolean} isViewer
 * @param {Problem} problem What the archive said.
 * @returns {Promise<Loaded>}
 */
async function fromHistory(id, room, isViewer, problem) {
  /** @type {Map<string | null, HubEvent[]>} */
  const rooms = new Map();
  let after = '';
  for (let isMore = true; isMore; ) {
    const query = new URLSearchParams({ session_id: id, limit: String(PAGE), ...(room ? { room } : {}) });
    if (after) query.set('after', after);
    const { events, next, more } = await askJson(`/api/events?${query}`);
    for (const event of events) {
      const of = event.room || null;
      if (room !== null && of !== (room || null)) continue;
      const found = rooms.get(of) ?? [];
      rooms.set(of, found);
      found.push(event);
    }
    isMore = more;
    after = next;
  }
  if (rooms.size > 1) throw new SeveralRooms([...rooms.keys()]);
  const [events] = rooms.values();
  if (!events) throw problem;
  const model = new Model({ isViewer });
  for (const event of events) model.take(event);
  const isWhole = events[0]?.type === 'session_started';
  return { model, archived: null, notice: isWhole ? '' : 'Shown is what the hub’s history still has of this session.' };
}

/**
 * @param {string} text
 * @returns {HubEvent[]}
 */
function eventsIn(text) {
  try {
    return readRecording(text)[0]?.events ?? [];
  } catch (error) {
    if (error instanceof NotARecording) return [];
    throw error;
  }
}

/**
 * @param {unknown} error
 * @returns {unknown}
 */
function severalRooms(error) {
  const rooms = error instanceof Problem && error.status === 409 ? error.body?.rooms : null;
  return Array.isArray(rooms) ? new SeveralRooms(rooms) : error;
}

/** @param {Record<string, any>} session */
function incompleteness({ incomplete, missing_events }) {
  if (!incomplete) return '';
  return typeof missing_events === 'number'
    ? `The archive may lack up to ${missing_events} events of this session.`
    : 'The archive may lack events of this session.';
}
