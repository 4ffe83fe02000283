/**
 * A session's timeline and figures, from its events wherever they come from, and what only the archive knows. Pure.
 *
 * @module
 */

import { createSession } from '/console/client/figures.js';
import { parseId } from '/console/client/ids.js';
import { asViewer } from './formulas.js';
import { Timeline } from './timeline.js';
import { STAGES } from './waterfall.js';

/** @typedef {import('../../../../../packages/js/src/types.js').HubEvent} HubEvent */
/** @typedef {import('../../../../../packages/js/src/figures.js').SessionDetail} SessionDetail */

export class Model {
  timeline = new Timeline();
  /** @type {string | null} The id of the newest event. */
  last = null;
  #figures = createSession();
  /** @type {SessionDetail | null} */
  #detail = null;
  #archived;
  /** The stages of its turns, uploaded by the agent. @type {import('./spans.js').Spans | null} */
  stages = null;
  /** Whether there are events; else the archive's tables are used. */
  hasEvents = false;

  /**
   * @param {{ isViewer?: boolean, archived?: SessionDetail | null }} [known] `archived`: the archive's response.
   */
  constructor({ isViewer = false, archived = null } = {}) {
    this.isViewer = isViewer;
    this.#archived = archived;
  }

  /**
   * Process an event, unless it has been processed already.
   *
   * @param {HubEvent} event
   * @returns {boolean} Whether it was new.
   */
  take(event) {
    const [epoch, seq] = parseId(event.id) ?? [];
    const [lastEpoch, lastSeq = 0] = parseId(this.last ?? undefined) ?? [];
    if (seq !== undefined) {
      if (epoch === lastEpoch && seq <= lastSeq) return false;
      this.last = event.id ?? null;
    }
    this.hasEvents = true;
    this.timeline.take(event);
    this.#figures.take(event);
    this.#detail = null;
    return true;
  }

  /** @param {import('./spans.js').Spans} stages */
  setStages(stages) {
    this.stages = stages;
    this.timeline.revision++;
  }

  /** Use the archive's tables, as there are no events any more. */
  takeArchived() {
    if (this.#archived) for (const event of eventsOf(this.#archived)) this.timeline.take(event);
  }

  get isLive() {
    return this.detail.session.state === 'live';
  }

  /**
   * As in `GET /api/sessions/ID`: the figures of the events, and what only the archive knows.
   *
   * @returns {SessionDetail}
   */
  get detail() {
    if (this.#detail) return this.#detail;
    const archived = this.#archived;
    let found = this.hasEvents || !archived ? this.#figures.detail() : archived;
    if (archived && this.hasEvents) {
      const { incomplete, missing_events, recorded } = archived.session;
      const session = { ...found.session, incomplete, missing_events, recorded };
      // The archive ends abandoned sessions without an event.
      const { state, ended, reason } = archived.session;
      if (state === 'ended' && found.session.state === 'live') Object.assign(session, { state, ended, reason });
      found = { ...found, session };
    }
    if (this.isViewer) {
      const stages = Object.fromEntries([...STAGES.map(({ field }) => field), 'e2e_latency'].map((field) => [field, null]));
      const turns = found.turns.map((turn) => ({ ...turn, ...stages, tools: [] }));
      found = { ...found, session: asViewer(found.session), turns, tools: [], errors: [] };
    }
    return (this.#detail = found);
  }
}

/**
 * Events that stand for the archive's tables, in the order of time.
 *
 * @param {SessionDetail} detail
 * @returns {HubEvent[]}
 */
export function eventsOf({ session, turns, transcript, tools, errors }) {
  const { started, ended, reason, room, session_id } = session;
  /** @type {(HubEvent & { timestamp: number })[]} */
  const events = [];
  /**
   * @param {number | null} timestamp
   * @param {string} type
   * @param {Record<string, any>} [fields]
   */
  const add = (timestamp, type, fields = {}) => {
    if (timestamp !== null) events.push({ type, timestamp, ...fields });
  };
  for (const { turn_id, user_started, user_stopped, agent_started, agent_stopped } of turns) {
    if (user_stopped !== null) add(user_started, 'user_speech_started', { turn_id });
    add(user_stopped, 'user_speech_finished', { turn_id });
    if (agent_stopped !== null) add(agent_started, 'agent_speech_started', { turn_id });
    add(agent_stopped, 'agent_speech_finished', { turn_id });
  }
  for (const { at, ...said } of transcript) add(at, 'transcript', said);
  for (const { call_id, name, turn_id, status, started: from, duration } of tools) {
    add(from, 'tool_call_started', { call_id, name, turn_id });
    if (status !== null) add((from ?? started) + (duration ?? 0), 'tool_call_finished', { call_id, name, turn_id, status });
  }
  for (const { at, ...error } of errors) add(at, 'error', error);
  events.sort((one, other) => one.timestamp - other.timestamp);
  const first = { type: 'session_started', timestamp: started, room, session_id };
  return [first, ...events, ...(ended === null ? [] : [{ type: 'session_ended', timestamp: ended, reason }])];
}
