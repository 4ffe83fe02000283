/**
 * The page Webhooks: endpoints, their deliveries, and sending again.
 *
 * @module
 */

import { Address } from '../address.js';
import { byId, make, setText } from '../dom.js';
import { fromLocal } from '../filters.js';
import { NONE, ago, count, dateTime, percent, seconds, zone } from '../format.js';
import { begin, handleError, showProblem } from '../frame.js';
import { OF_SETTINGS, deliveryState, linesIn, namesIn, outcomeOf, requestText, stateOf } from './texts.js';
import * as api from './webhooks-api.js';

/** @typedef {import('./texts.js').Endpoint} Endpoint */
/** @typedef {import('./texts.js').Delivery} Delivery */

/** ms between updates. */
const REFRESH = 5000;

begin(() => {
  /** @type {Endpoint[]} */
  let endpoints = [];
  /** @type {Delivery[]} */
  let deliveries = [];
  /** @type {string | null} */
  let next = null;
  let run = 0;
  /** Pages that are shown; with more than one, deliveries are not updated. */
  let pages = 1;
  const address = new Address(['webhook', 'state', 'type'], () => void open());

  setText(byId('zone-note'), `Times in ${zone()}.`);
  byId('new').addEventListener('click', () => byId('create', HTMLDialogElement).showModal());
  for (const button of document.querySelectorAll('[data-close]')) {
    button.addEventListener('click', () => button.closest('dialog')?.close());
  }
  byId('create-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    void createEndpoint();
  });
  byId('test').addEventListener('click', () => act(async ({ id }) => showTest(await api.test(id))));
  byId('switch').addEventListener('click', () => act(async ({ id, enabled }) => void (await api.change(id, { enabled: !enabled }))));
  byId('rotate').addEventListener('click', () =>
    act(async ({ id }) => showSecret('Give the new secret to the receiver. The old one stays valid for 24 hours.', (await api.change(id, { rotate_secret: true })).secret ?? '')),
  );
  byId('delete').addEventListener('click', () => byId('confirm', HTMLDialogElement).showModal());
  byId('confirm-delete').addEventListener('click', () => {
    byId('confirm', HTMLDialogElement).close();
    void act(async ({ id }) => {
      await api.remove(id);
      address.set({});
    });
  });
  byId('resend-failed').addEventListener('click', () => act(async ({ id }) => showResent(await api.replay(id, { state: 'failed' }))));
  byId('range', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    const from = fromLocal(byId('range-from', HTMLInputElement).value);
    const to = fromLocal(byId('range-to', HTMLInputElement).value);
    void act(async ({ id }) => showResent(await api.replay(id, { from, ...(to ? { to } : {}) })));
  });
  byId('state').addEventListener('change', filter);
  byId('type').addEventListener('change', filter);
  byId('more').addEventListener('click', () => void more());
  byId('retry').addEventListener('click', () => void open());
  setInterval(() => {
    if (document.visibilityState === 'visible') void open(true);
  }, REFRESH);
  void open();

  function filter() {
    const state = byId('state', HTMLSelectElement).value;
    const type = byId('type', HTMLInputElement).value.trim();
    address.set({ ...address.filters, state: state ? [state] : [], type: type ? [type] : [] });
    void open();
  }

  const selected = () => endpoints.find(({ id }) => id === address.filters.webhook?.[0]);

  /** @param {boolean} [isUpdate] Whether no reader asked for it. */
  async function open(isUpdate = false) {
    const mine = ++run;
    if (!isUpdate) pages = 1;
    try {
      endpoints = await api.endpoints();
      const chosen = address.filters.webhook?.[0];
      const found = endpoints.some(({ id }) => id === chosen) && pages === 1 ? await api.deliveries(chosen ?? '', asked()) : null;
      if (mine !== run) return;
      if (found && pages === 1) ({ deliveries, next } = found);
      showProblem(chosen && !found && !selected() ? `There is no endpoint ${chosen}.` : '');
      show();
    } catch (error) {
      if (mine === run) showProblem(handleError(error));
    }
  }

  async function more() {
    const endpoint = selected();
    if (!endpoint || next === null) return;
    const { filters } = address;
    pages++;
    try {
      const page = await api.deliveries(endpoint.id, { ...asked(), cursor: next });
      // Another endpoint or filter may have been chosen meanwhile.
      if (filters !== address.filters) return;
      deliveries = [...deliveries, ...page.deliveries];
      next = page.next;
      show();
    } catch (error) {
      showProblem(handleError(error));
    }
  }

  /** @returns {Record<string, string>} */
  function asked() {
    /** @type {Record<string, string>} */
    const filters = { limit: '50' };
    for (const name of ['state', 'type']) {
      const value = address.filters[name]?.[0];
      if (value) filters[name] = value;
    }
    return filters;
  }

  /** Change the endpoint that is shown, and show the result. @param {(endpoint: Endpoint) => Promise<unknown>} change */
  async function act(change) {
    const endpoint = selected();
    if (!endpoint) return;
    setText(byId('result'), '');
    try {
      await change(endpoint);
      await open();
    } catch (error) {
      showProblem(handleError(error));
    }
  }

  function show() {
    byId('none').hidden = endpoints.length > 0;
    byId('endpoints').hidden = endpoints.length === 0;
    replaceRows(byId('endpoint-rows'), endpoints.map(endpointRow));
    const endpoint = selected();
    byId('endpoint').hidden = !endpoint;
    if (!endpoint) return;
    const isFixed = endpoint.id === OF_SETTINGS;
    for (const id of ['switch', 'rotate', 'delete']) byId(id).hidden = isFixed;
    setText(byId('endpoint-name'), endpoint.description || endpoint.url);
    setText(byId('switch'), endpoint.enabled ? 'Disable' : 'Enable');
    setText(
      byId('endpoint-about'),
      [
        endpoint.url,
        `types ${endpoint.types.join(', ')}`,
        endpoint.rooms ? `rooms ${endpoint.rooms.join(', ')}` : 'all rooms',
        `${endpoint.view}'s view`,
        ...(endpoint.interims ? ['interims'] : []),
        ...(isFixed ? ['set by STREAM_WEBHOOK_URL'] : []),
      ].join(' · '),
    );
    byId('state', HTMLSelectElement).value = address.filters.state?.[0] ?? '';
    if (document.activeElement !== byId('type')) byId('type', HTMLInputElement).value = address.filters.type?.[0] ?? '';
    byId('no-deliveries').hidden = deliveries.length > 0;
    byId('deliveries').hidden = deliveries.length === 0;
    byId('more').hidden = next === null;
    replaceRows(byId('delivery-rows'), deliveries.map(deliveryRow));
  }

  /** @param {Endpoint} endpoint */
  function endpointRow(endpoint) {
    const { id, url, description, health, missed } = endpoint;
    const [words, tone] = stateOf(endpoint);
    const link = make('a', { href: `?webhook=${encodeURIComponent(id)}`, 'data-key': id }, make('span', { class: 'said' }, description || url));
    link.addEventListener('click', (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      address.set({ webhook: [id] });
      deliveries = [];
      void open();
    });
    const name = make('td', {}, link, description ? make('div', { class: 'muted mono said' }, url) : '');
    return make(
      'tr',
      { 'aria-current': address.filters.webhook?.[0] === id ? 'true' : null },
      name,
      make('td', {}, make('span', { class: 'chip', 'data-tone': tone }, words)),
      make('td', { class: 'number' }, percent(health.success_rate)),
      make('td', { class: 'number' }, count(health.pending)),
      make('td', {}, health.oldest_pending === null ? NONE : ago(Date.now() / 1000 - health.oldest_pending)),
      make('td', {}, dateTime(health.next_try)),
      make('td', { class: 'number' }, count(missed)),
    );
  }

  /** @param {Delivery} delivery */
  function deliveryRow(delivery) {
    const [words, tone] = deliveryState(delivery.state);
    const last = delivery.attempts.at(-1);
    const open = make('button', { class: 'quiet', 'data-key': `show-${delivery.id}` }, delivery.type);
    open.addEventListener('click', () => void showDelivery(delivery));
    const again = make('button', { 'data-key': `again-${delivery.id}` }, 'Resend');
    again.addEventListener('click', () => act(async ({ id }) => showResent(await api.replay(id, { deliveries: [delivery.id] }))));
    return make(
      'tr',
      {},
      make('td', {}, open),
      make('td', { class: 'said' }, delivery.room ?? NONE),
      make('td', {}, make('span', { class: 'chip', 'data-tone': tone }, words)),
      make('td', {}, dateTime(last?.at)),
      make('td', { class: 'said' }, outcomeOf(last) || NONE),
      make('td', { class: 'number' }, count(delivery.attempts.length)),
      make('td', {}, dateTime(delivery.next_try)),
      make('td', {}, again),
    );
  }

  /** @param {Delivery} delivery */
  async function showDelivery(delivery) {
    const endpoint = selected();
    if (!endpoint) return;
    setText(byId('delivery-body'), 'Loading');
    byId('delivery-attempts').replaceChildren();
    byId('no-attempts').hidden = delivery.attempts.length > 0;
    byId('delivery', HTMLDialogElement).showModal();
    try {
      const { attempts, body } = await api.sent(endpoint.id, delivery.id);
      setText(byId('delivery-body'), body ?? 'No longer stored.');
      byId('no-attempts').hidden = attempts.length > 0;
      byId('delivery-attempts').replaceChildren(...attempts.map(attemptItem));
    } catch (error) {
      setText(byId('delivery-body'), handleError(error));
    }
  }

  /** @param {import('./texts.js').Sent['attempts'][number]} attempt */
  function attemptItem(attempt) {
    const { at, status, duration, answer, error, request } = attempt;
    return make(
      'li',
      {},
      make('p', {}, make('strong', {}, outcomeOf(attempt)), ` ${dateTime(at)}, ${seconds(duration)}`),
      make('pre', { 'aria-label': 'Request' }, requestText(request)),
      error && status !== null ? make('p', { class: 'muted' }, error) : '',
      answer ? make('pre', { class: 'said', 'aria-label': 'Response' }, answer) : make('p', { class: 'muted' }, 'Empty response'),
    );
  }

  async function createEndpoint() {
    const form = byId('create-form', HTMLFormElement);
    const given = new FormData(form);
    const text = (/** @type {string} */ name) => String(given.get(name) ?? '').trim();
    const types = namesIn(text('types'));
    const rooms = linesIn(text('rooms'));
    const body = {
      url: text('url'),
      view: text('view'),
      interims: given.has('interims'),
      ...(types.length ? { types } : {}),
      ...(rooms.length ? { rooms } : {}),
      ...(text('description') ? { description: text('description') } : {}),
    };
    const refusal = byId('create-refusal');
    refusal.hidden = true;
    try {
      const made = await api.create(body);
      form.reset();
      byId('create', HTMLDialogElement).close();
      address.set({ webhook: [made.id] });
      showSecret('Give this secret to the receiver now: it is shown only once.', made.secret);
      setText(byId('secret-test'), 'Sending a test');
      await api.test(made.id).then(showTest, (error) => setText(byId('secret-test'), handleError(error)));
      await open();
    } catch (error) {
      setText(refusal, handleError(error));
      refusal.hidden = !refusal.textContent;
    }
  }

  /**
   * @param {string} sentence
   * @param {string} secret
   */
  function showSecret(sentence, secret) {
    setText(byId('secret-about'), sentence);
    byId('secret-value', HTMLInputElement).value = secret;
    setText(byId('secret-test'), '');
    byId('secret', HTMLDialogElement).showModal();
    byId('secret-value', HTMLInputElement).select();
  }
  byId('secret').addEventListener('close', () => {
    byId('secret-value', HTMLInputElement).value = '';
  });

  /** @param {Omit<import('./texts.js').Attempt, 'at'>} outcome */
  function showTest(outcome) {
    const words = outcomeOf({ at: 0, ...outcome });
    const sentence = `Test: ${words} after ${seconds(outcome.duration)}${outcome.answer ? `: ${outcome.answer.slice(0, 200)}` : ''}`;
    setText(byId('result'), sentence);
    setText(byId('secret-test'), sentence);
  }

  /** @param {{ replayed: number, missed: number }} result */
  function showResent({ replayed, missed }) {
    setText(byId('result'), `Resending ${count(replayed)}${missed ? `; ${count(missed)} are no longer stored` : ''}.`);
  }
});

/**
 * Replace a table's rows; the control that has the focus keeps it.
 *
 * @param {HTMLElement} body
 * @param {HTMLElement[]} rows
 */
function replaceRows(body, rows) {
  const held = document.activeElement;
  const key = held instanceof HTMLElement && body.contains(held) ? held.dataset.key : undefined;
  body.replaceChildren(...rows);
  if (key === undefined) return;
  for (const one of body.querySelectorAll('[data-key]')) if (one instanceof HTMLElement && one.dataset.key === key) one.focus();
}
