/**
 * Turns a session's events into lanes (speech, thinking, tools), the transcript, and marks of notable events. Pure.
 *
 * Times are seconds from the session's first event. Events are processed one by one, so that a live session is the same as
 * a recording. Figures and turns come from `packages/js`, not from here.
 *
 * @module
 */

import { textOf } from '/console/client/facts.js';
import { Lines } from './lines.js';
import { Spans } from './spans.js';

/** @typedef {import('../../../../../packages/js/src/types.js').HubEvent} HubEvent */
/** @typedef {import('./spans.js').Span} Span */
/**
 * @typedef {object} Lane
 * @property {string} key
 * @property {'user' | 'agent' | 'thinking' | 'tools'} kind
 * @property {string} label
 * @property {Spans} spans
 */

const MAX_TIME = 1e11;
/** Event type -> kind of its mark. */
const MARKS = /** @type {Record<string, string>} */ ({
  interruption: 'interruption',
  agent_false_interruption: 'false-interruption',
  false_interruption: 'false-interruption',
  error: 'error',
  events_dropped: 'dropped',
  handoff: 'handoff',
  session_ended: 'end',
});
const ORDER = ['user', 'agent', 'thinking', 'tools'];

export class Timeline {
  /** Seconds since 1970 of the first event. */
  started = 0;
  /** Seconds since 1970: the newest time of an event. */
  newest = 0;
  /** @type {number | null} Seconds from the start. */
  ended = null;
  /** @type {string | null} */
  room = null;
  /** @type {string | null} */
  session_id = null;
  /** Events processed. */
  count = 0;
  /** Rises with each change. */
  revision = 0;
  lines = new Lines();
  marks = new Spans();
  /** @type {Map<string, Lane>} */
  #lanes = new Map();
  /** @type {Map<string, Span>} */
  #open = new Map();
  /** @type {Map<string, Span>} */
  #tools = new Map();

  /** Seconds from the start to the end, or to the newest event. */
  get length() {
    return Math.max(0, this.ended ?? 0, this.newest - this.started);
  }

  /** @returns {Lane[]} Users first. */
  get lanes() {
    return [...this.#lanes.values()].sort((one, other) => ORDER.indexOf(one.kind) - ORDER.indexOf(other.kind));
  }

  /**
   * Process an event. The session's report is not part of it.
   *
   * @param {HubEvent} event
   */
  take(event) {
    if (event.type === 'session_report') return;
    if (!this.count) {
      this.started = this.newest = timeOf(event.timestamp) ?? 0;
      this.room = textOf(event, 'room');
      this.session_id = textOf(event, 'session_id');
    }
    this.count++;
    this.revision++;
    const moment = timeOf(event.timestamp) ?? this.newest;
    this.newest = Math.max(this.newest, moment);
    const t = Math.max(0, moment - this.started);
    const mark = MARKS[event.type];
    if (mark) {
      const label = textOf(event, 'message') ?? textOf(event, 'reason') ?? textOf(event, 'new_agent') ?? '';
      this.marks.add({ from: t, to: t, kind: mark, label, turn_id: textOf(event, 'turn_id') });
    }
    switch (event.type) {
      case 'user_speech_started':
      case 'agent_speech_started':
        this.#startSpeech(roleIn(event.type), event, this.#fromStart(event.started_at) ?? t);
        break;
      case 'user_speech_finished':
      case 'agent_speech_finished':
        this.#stop(speechKey(roleIn(event.type), textOf(event, 'participant')), this.#fromStart(event.stopped_at) ?? t);
        break;
      case 'agent_state':
        if (event.state === 'thinking') this.#startThinking(event, t);
        else this.#stop('thinking', t);
        break;
      case 'transcript':
        this.#takeTranscript(event, t);
        break;
      case 'tool_call_started':
      case 'tool_call_finished':
        this.#takeTool(event, t, event.type === 'tool_call_finished');
        break;
      case 'session_ended':
        this.ended ??= t;
        this.#stop('thinking', t);
        break;
    }
  }

  /**
   * @param {unknown} moment Seconds since 1970.
   * @returns {number | null}
   */
  #fromStart(moment) {
    const time = timeOf(moment);
    return time === null ? null : Math.max(0, time - this.started);
  }

  /**
   * @param {Lane['kind']} kind
   * @param {string} key
   * @param {string} label
   */
  #lane(kind, key, label) {
    let lane = this.#lanes.get(key);
    if (!lane) this.#lanes.set(key, (lane = { key, kind, label, spans: new Spans() }));
    return lane;
  }

  /**
   * @param {'user' | 'agent'} role
   * @param {HubEvent} event
   * @param {number} from
   */
  #startSpeech(role, event, from) {
    const participant = textOf(event, 'participant');
    const key = speechKey(role, participant);
    // A second start while one is open is ignored, as in the figures.
    if (this.#open.has(key)) return;
    const label = participant ?? (role === 'user' ? 'User' : 'Agent');
    const span = { from, to: null, kind: role, label: '', turn_id: textOf(event, 'turn_id') };
    this.#open.set(key, this.#lane(role, key, label).spans.add(span));
  }

  /**
   * @param {HubEvent} event
   * @param {number} from
   */
  #startThinking(event, from) {
    if (this.#open.has('thinking')) return;
    const span = { from, to: null, kind: 'thinking', label: 'thinking', turn_id: textOf(event, 'turn_id') };
    this.#open.set('thinking', this.#lane('thinking', 'thinking', 'Thinking').spans.add(span));
  }

  /**
   * @param {string} key
   * @param {number} to
   */
  #stop(key, to) {
    const span = this.#open.get(key);
    if (!span) return;
    this.#open.delete(key);
    this.#lanes.get(key)?.spans.end(span, to);
  }

  /**
   * @param {HubEvent} event
   * @param {number} t
   */
  #takeTranscript(event, t) {
    const speech = this.#speechOf(event, t);
    const line = this.lines.take(event, t, speech);
    if (speech && line) speech.label = line.versions.at(-1)?.text ?? '';
  }

  /**
   * The newest speech of the same voice that may contain a transcript.
   *
   * @param {HubEvent} event
   * @param {number} t
   * @returns {Span | null}
   */
  #speechOf(event, t) {
    const { role } = event;
    if (role !== 'user' && role !== 'agent') return null;
    const who = textOf(event, 'participant');
    const turn = textOf(event, 'turn_id');
    /** @type {Span | null} */
    let found = null;
    for (const lane of this.#lanes.values()) {
      if (lane.kind !== role) continue;
      if (who !== null && lane.key !== speechKey(role, who) && lane.key !== speechKey(role, null)) continue;
      const span = lane.spans.items[lane.spans.within(t, t)[1] - 1];
      const isSameTurn = turn === null || !span?.turn_id || span.turn_id === turn;
      if (span && isSameTurn && span.from > (found?.from ?? -1)) found = span;
    }
    return found;
  }

  /**
   * @param {HubEvent} event
   * @param {number} t
   * @param {boolean} isEnd
   */
  #takeTool(event, t, isEnd) {
    const call = textOf(event, 'call_id');
    const { spans } = this.#lane('tools', 'tools', 'Tools');
    let span = call === null ? undefined : this.#tools.get(call);
    if (!span) {
      const duration = isEnd && Number.isFinite(event.duration) ? event.duration : 0;
      const from = Math.max(0, t - duration);
      span = spans.add({ from, to: null, kind: 'tool', label: '', turn_id: textOf(event, 'turn_id') });
      if (call !== null) this.#tools.set(call, span);
    }
    span.label ||= textOf(event, 'name') ?? '';
    if (!isEnd) return;
    spans.end(span, t);
    if (event.status !== 'done') span.kind = 'tool-failed';
  }
}

/** @param {string} type */
const roleIn = (type) => (type.startsWith('user') ? 'user' : 'agent');

/**
 * @param {string} role
 * @param {string | null} participant
 */
const speechKey = (role, participant) => `${role}:${participant ?? ''}`;

/**
 * @param {unknown} value
 * @returns {number | null} Seconds since 1970.
 */
export const timeOf = (value) =>
  typeof value === 'number' && value >= 0 && value < MAX_TIME ? value : null;
