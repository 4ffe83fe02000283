/**
 * Types shared by several modules. Contains no code.
 *
 * @module
 */

/**
 * An event as the hub sends it. Fields that are not listed pass through from its publisher.
 *
 * @typedef {{
 *   type: string,
 *   id?: string,
 *   timestamp?: number,
 *   room?: string,
 *   session_id?: string,
 *   participant?: string,
 *   role?: string,
 *   turn_id?: string,
 *   event_id?: string,
 *   [field: string]: any,
 * }} HubEvent
 */

/**
 * A credential: a string, or a function that is called before every connection.
 *
 * @typedef {string | (() => string | null | undefined | Promise<string | null | undefined>)} Secret
 */

/**
 * A filter: one value, or several that are alternatives. Different filters combine.
 *
 * @typedef {string | readonly string[] | null} Filter
 */

/**
 * @typedef {object} StreamOptions
 * @property {string | URL} [url] The hub's URL (without a path, or with `/`) or the stream's own. In a page it may be
 *   relative, and defaults to the page's origin.
 * @property {Secret | null} [key] Sent as `Authorization: Bearer`.
 * @property {Secret | null} [ticket] Sent in the URL; see `POST /api/stream/ticket`.
 * @property {Filter} [room]
 * @property {Filter} [types] Event types.
 * @property {Filter} [participant] Identities.
 * @property {Filter} [session_id]
 * @property {string | null} [since] The id to resume after; without it the stream begins with the next event.
 * @property {number | null} [replay] Number of past events to begin with, if there is no `since`.
 * @property {boolean} [snapshot] Begin with the current state of the rooms.
 * @property {AbortSignal | null} [signal] Closes the stream when aborted.
 */

/** @typedef {'connecting' | 'catching-up' | 'live' | 'gap' | 'refused' | 'closed'} Status */

/**
 * @typedef {object} Snapshot
 * @property {Status} status
 * @property {number | null} missed Number of events missed in all gaps; null once a gap's size was unknown.
 * @property {string} [reason] The newest gap's reason, such as `expired`; absent while nothing is missing.
 * @property {string | null} position The position of the last item: pass it as `since` to resume there.
 * @property {readonly HubEvent[]} events The newest 500, oldest first.
 * @property {Conversation} conversation
 * @property {Error} [error] Why the stream was refused, or why it is not connected at the moment.
 */

/** @typedef {{ identity: string, role: string | null }} Participant */

/**
 * One line of a transcript.
 *
 * @typedef {{
 *   segment_id: string | null,
 *   role: string | null,
 *   participant: string | null,
 *   text: string,
 *   is_final: boolean,
 *   interrupted: boolean,
 *   turn_id: string | null,
 *   session_id: string | null,
 *   timestamp: number | null,
 * }} Line
 */

/** @typedef {{ turn_id: string, session_id: string | null, user: string, agent: string }} Turn */

/**
 * A session. `updated` is the time of its newest event; `ended` and `reason` are absent until an event ends the session.
 *
 * @typedef {{
 *   session_id: string,
 *   started: number | null,
 *   updated: number | null,
 *   ended?: number | null,
 *   reason?: string | null,
 * }} Session
 */

/**
 * A tool call. `status` is `running`, `unfinished` (its session ended before it), or as posted.
 *
 * @typedef {{
 *   session_id: string | null,
 *   call_id: string,
 *   turn_id: any,
 *   name: any,
 *   arguments: any,
 *   started: any,
 *   status: any,
 *   output: any,
 *   duration: any,
 *   finished: any,
 * }} ToolCall
 */

/**
 * A room's current state: what `GET /api/rooms/NAME` returns. Times are seconds since 1970.
 *
 * @typedef {{
 *   room: string,
 *   last_seq: number,
 *   updated: number | null,
 *   participants: Participant[],
 *   agent_state: string | null,
 *   user_state: string | null,
 *   speaking: string[],
 *   turn: Turn | null,
 *   transcript: Line[],
 *   sessions: Session[],
 *   tools?: ToolCall[],
 * }} RoomState
 */

/**
 * @typedef {object} Conversation
 * @property {Readonly<Record<string, RoomState>>} rooms
 * @property {import('./facts.js').Facts} facts What the reducer needs to continue; plain JSON, and subject to change.
 */

export {};
