/**
 * Reads the events of a LiveKit streaming hub: a stream that reconnects and resumes, and the conversation in it.
 *
 * @module
 */

export { emptyConversation, reduceConversation } from './conversation.js';
export { Gap, Refused } from './gap.js';
export { openStream } from './stream.js';

/**
 * Verify a webhook's message. Loads `./webhook` on the first call, because pages do not need it.
 *
 * @type {typeof import('./webhook.js').verifyWebhook}
 */
export const verifyWebhook = async (...message) => (await import('./webhook.js')).verifyWebhook(...message);

/** @typedef {import('./types.js').Conversation} Conversation */
/** @typedef {import('./types.js').HubEvent} HubEvent */
/** @typedef {import('./types.js').RoomState} RoomState */
/** @typedef {import('./types.js').Snapshot} Snapshot */
/** @typedef {import('./types.js').Status} Status */
/** @typedef {import('./stream.js').Stream} Stream */
/** @typedef {import('./types.js').StreamOptions} StreamOptions */
