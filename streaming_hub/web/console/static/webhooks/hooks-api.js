/**
 * The hub's API of webhooks, as the page uses it.
 *
 * @module
 */

import { ask, askJson } from '../api.js';
import { cursorBefore } from './texts.js';

/** @typedef {import('./texts.js').Endpoint} Endpoint */
/** @typedef {import('./texts.js').Delivery} Delivery */

/** Deliveries that one request sends again. */
const MOST_RESENT = 1000;

/** @param {string} [id] */
const path = (id) => `/api/webhooks${id === undefined ? '' : `/${encodeURIComponent(id)}`}`;

/** @returns {Promise<Endpoint[]>} */
export const endpoints = async () => (await askJson(path())).webhooks;

/** @param {unknown} body @returns {Promise<Endpoint & { secret: string }>} */
export const create = (body) => askJson(path(), { method: 'POST', body });

/**
 * @param {string} id
 * @param {unknown} body
 * @returns {Promise<Endpoint & { secret?: string }>}
 */
export const change = (id, body) => askJson(path(id), { method: 'PATCH', body });

/** @param {string} id */
export const remove = (id) => ask(path(id), { method: 'DELETE' });

/** @param {string} id @returns {Promise<Omit<import('./texts.js').Attempt, 'at'>>} */
export const test = (id) => askJson(`${path(id)}/test`, { method: 'POST', body: {} });

/**
 * @param {string} id
 * @param {Record<string, string>} filters
 * @returns {Promise<{ deliveries: Delivery[], next: string | null }>}
 */
export const deliveries = (id, filters) => askJson(`${path(id)}/deliveries?${new URLSearchParams(filters)}`);

/**
 * @param {string} id
 * @param {unknown} body
 * @returns {Promise<{ replayed: number, missed: number }>}
 */
export const replay = (id, body) => askJson(`${path(id)}/replay`, { method: 'POST', body });

/**
 * Send all that failed again.
 *
 * @param {string} id
 * @returns {Promise<{ replayed: number, missed: number }>}
 */
export async function replayFailed(id) {
  /** @type {string[]} */
  const failed = [];
  /** @type {string | null} */
  let cursor = '';
  while (cursor !== null) {
    /** @type {{ deliveries: Delivery[], next: string | null }} */
    const page = await deliveries(id, { state: 'failed', limit: '200', ...(cursor ? { cursor } : {}) });
    failed.push(...page.deliveries.map((one) => one.id));
    cursor = page.next;
  }
  const done = { replayed: 0, missed: 0 };
  for (let at = 0; at < failed.length; at += MOST_RESENT) {
    const { replayed, missed } = await replay(id, { deliveries: failed.slice(at, at + MOST_RESENT) });
    done.replayed += replayed;
    done.missed += missed;
  }
  return done;
}

/**
 * The event that a delivery carries, as the history has it; null once it is forgotten.
 *
 * @param {string} id
 * @returns {Promise<Record<string, unknown> | null>}
 */
export async function eventOf(id) {
  const after = cursorBefore(id);
  if (after === null) return null;
  const { events } = await askJson(`/api/events?${new URLSearchParams({ after, limit: '1' })}`);
  return events[0]?.id === id ? events[0] : null;
}
