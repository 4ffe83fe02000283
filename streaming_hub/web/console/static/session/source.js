/**
 * Loads a session from the archive, or from the history without one, and follows it on the stream.
 *
 * @module
 */

import { Gap } from '/console/client/gap.js';
import { Problem, ask, askJson, sessionApi } from '../api.js';
import { openHub } from '../frame.js';
import { Model } from './model.js';
import { NotARecording, readRecording } from './recording.js';

/** @typedef {import('../../../../../packages/js/src/types.js').HubEvent} HubEvent */
/** @typedef {import('../../../../../packages/js/src/figures.js').SessionDetail} SessionDetail */
/**
 * @typedef {object} Loaded
 * @property {Model} model
 * @property {string} notice Why something is missing; empty if nothing is.
 * @property {SessionDetail | null} archived The archive's response.
 */

/** Events per page of the history. */
const PAGE = 1000;

/** Several rooms have a session with this id. */
export class SeveralRooms extends Error {
  /** @param {(string | null)[]} rooms */
  constructor(rooms) {
    super('Several rooms have a session with this id.');
    this.rooms = rooms;
  }
}

/**
 * Load a session up to now.
 *
 * @param {string} id
 * @param {string | undefined} room Empty: the one without a room; undefined: the only one.
 * @param {boolean} isViewer
 * @returns {Promise<Loaded>}
 * @throws {Problem | SeveralRooms}
 */
export async function load(id, room, isViewer) {
  const [detail, text] = await Promise.allSettled([
    askJson(sessionApi(id, room)),
    ask(sessionApi(id, room, '/events')).then((response) => response.text()),
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
  const why = text.status === 'rejected' ? text.reason.message : 'The archive has no events of this session.';
  return { model, archived, notice: `${why} This page shows what the archive’s tables have.` };
}

/**
 * Follow a session on the stream.
 *
 * @param {Model} model
 * @param {(event: HubEvent) => void} onEvent
 * @param {() => void} onGap Called when the stream has skipped events.
 * @param {(error: unknown) => void} onError
 * @returns {{ now: () => number, close: () => void }} `now`: the hub's time, seconds since 1970.
 */
export function follow(model, onEvent, onGap, onError) {
  const { room, session_id } = model.timeline;
  const { stream, now } = openHub({ session_id, room, since: model.last });
  const read = async () => {
    for await (const item of stream) {
      if (item instanceof Gap) onGap();
      // The stream has no filter for "without a room": it may send events of another room's session with this id.
      else if (item.type !== 'snapshot' && (item.room || null) === room) onEvent(item);
    }
  };
  read().catch(onError);
  return { now, close: () => stream.close() };
}

/**
 * Load a session that is not archived: it has just started, or there is no archive.
 *
 * @param {string} id
 * @param {string | undefined} room
 * @param {boolean} isViewer
 * @param {Problem} problem The archive's response.
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
      if (room !== undefined && of !== (room || null)) continue;
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
  return { model, archived: null, notice: isWhole ? '' : 'This page shows what the hub’s history still has of this session.' };
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
