/**
 * The words of the page Webhooks for endpoints and deliveries. Pure.
 *
 * @module
 */

/**
 * @typedef {object} Endpoint As in the API.
 * @property {string} id
 * @property {string} url
 * @property {string[]} types
 * @property {string[] | null} rooms
 * @property {'operator' | 'viewer'} view
 * @property {boolean} interims
 * @property {string | null} description
 * @property {boolean} enabled
 * @property {string | null} reason
 * @property {number} missed
 * @property {{ failing_since: number | null, pending: number, success_rate: number | null, oldest_pending: number | null,
 *   next_try: number | null }} health
 */

/** @typedef {{ at: number, status: number | null, duration: number, answer: string, error: string | null }} Attempt */

/**
 * @typedef {object} Delivery As in the API.
 * @property {string} id
 * @property {string} event_id
 * @property {string} type
 * @property {string | null} room
 * @property {'pending' | 'delivered' | 'failed' | 'skipped'} state
 * @property {Attempt[]} attempts
 * @property {number | null} next_try
 */

/** @typedef {{ url: string, headers: Record<string, string> }} Request */
/** @typedef {Delivery & { attempts: (Attempt & { request: Request | null })[], body: string | null }} Sent */

/** The id of the endpoint that the hub's settings name. */
export const OF_SETTINGS = 'settings';

/** @type {Record<string, string>} */
const REASONS = { gone: 'the receiver answered 410', no_success: 'no attempt succeeded for too long', operator: 'switched off' };
/** @type {Record<Delivery['state'], [string, string]>} */
const STATES = { pending: ['Pending', 'busy'], delivered: ['Delivered', 'ok'], failed: ['Failed', 'bad'], skipped: ['Skipped', 'warn'] };

/** An endpoint's state in words, and its tone. @param {Endpoint} endpoint @returns {[string, string]} */
export function stateOf({ enabled, reason, health }) {
  if (!enabled) return [`Disabled: ${REASONS[reason ?? ''] ?? reason ?? 'unknown'}`, 'bad'];
  return health.failing_since === null ? ['Enabled', 'ok'] : ['Failing', 'warn'];
}

/** @param {Delivery['state']} state */
export const deliveryState = (state) => STATES[state] ?? [state, ''];

/** An attempt's status, or its error. @param {Attempt | undefined} attempt */
export function outcomeOf(attempt) {
  if (!attempt) return '';
  return attempt.status === null ? (attempt.error ?? 'no answer') : String(attempt.status);
}

/** Names separated by commas or spaces. @param {string} text */
export const namesIn = (text) => [...new Set(text.split(/[\s,]+/).filter(Boolean))];

/** Rooms, one per line: their names may contain anything else. @param {string} text */
export const linesIn = (text) => [...new Set(text.split('\n').map((line) => line.trim()).filter(Boolean))];

/**
 * A request's first line and headers as text, or why there are none.
 *
 * @param {Request | null} request
 */
export const requestText = (request) =>
  request
    ? [`POST ${request.url}`, ...Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`)].join('\n')
    : 'Sent by an older version, which did not store requests.';
