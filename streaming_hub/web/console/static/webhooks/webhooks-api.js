/**
 * The API's requests for webhooks.
 *
 * @module
 */

import { ask, askJson } from '../api.js';

/** @typedef {import('./texts.js').Endpoint} Endpoint */
/** @typedef {import('./texts.js').Delivery} Delivery */

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
 * A delivery with its body and its requests.
 *
 * @param {string} id
 * @param {string} delivery
 * @returns {Promise<import('./texts.js').Sent>}
 */
export const sent = (id, delivery) => askJson(`${path(id)}/deliveries/${delivery}`);

/**
 * @param {string} id
 * @param {unknown} body
 * @returns {Promise<{ replayed: number, missed: number }>}
 */
export const replay = (id, body) => askJson(`${path(id)}/replay`, { method: 'POST', body });
