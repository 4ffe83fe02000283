/**
 * What all pages of the console share: who the reader is, the field for a key, the navigation, the status
 * "Connection", and the one way to open the hub's stream.
 *
 * A page calls `begin(run)` once; `run` gets what `GET /api/me` says as soon as the hub lets the reader in.
 *
 * @module
 */

import { Refused } from '/console/client/gap.js';
import { createStream } from '/console/client/stream.js';
import { Problem, askJson, storeKey, storedKey } from './api.js';
import { clockOffset } from './clock.js';
import { byId, make, setAttribute, setText } from './dom.js';

/** @typedef {import('./api.js').Me} Me */
/** @typedef {import('../../../../packages/js/src/types.js').StreamOptions} StreamOptions */
/** @typedef {import('../../../../packages/js/src/types.js').Status} Status */

/** Stream's status -> words, tone. @type {Record<Status, [string, string]>} */
const STATUS = {
  connecting: ['Connecting', 'busy'],
  'catching-up': ['Catching up', 'busy'],
  live: ['Live', 'ok'],
  gap: ['Catching up after a gap', 'warn'],
  refused: ['Refused', 'bad'],
  closed: ['Closed', ''],
};
/** ms between attempts to reach a hub that does not answer. */
const RETRY = 3000;

/** @type {(me: Me) => unknown} */
let page = () => {};
let hasBegun = false;
/** The form that asks for a key. @type {ReturnType<typeof makeAccess> | undefined} */
let access;

/**
 * Begin the page.
 *
 * @param {(me: Me) => unknown} run Called once, when the hub has let the reader in.
 */
export function begin(run) {
  page = run;
  byId('use-key').addEventListener('click', () => showAccess(''));
  void enter(storedKey());
}

/**
 * Show the state of the connection.
 *
 * @param {string} text
 * @param {string} tone `ok`, `busy`, `warn`, `bad` or empty.
 */
export function setConnection(text, tone) {
  setText(byId('connection'), text);
  setAttribute(byId('connection'), 'data-tone', tone);
}

/**
 * Show what went wrong above what the page lists.
 *
 * @param {string} sentence Empty hides it.
 */
export function showProblem(sentence) {
  byId('problem').hidden = !sentence;
  setText(byId('problem-text'), sentence);
}

/**
 * Deal with an error of the API: a refusal asks for a key, anything else goes back to the caller.
 *
 * @param {unknown} error
 * @returns {string} A sentence to show; empty where the field for a key shows it.
 */
export function told(error) {
  if ((error instanceof Problem || error instanceof Refused) && (error.status === 401 || error.status === 403)) {
    setConnection('Refused', 'bad');
    showAccess(error.message);
    return '';
  }
  return error instanceof Error ? error.message : String(error);
}

/**
 * Open the hub's stream: with the reader's key, its status shown, a refusal answered with the field for a key.
 *
 * @param {Omit<StreamOptions, 'url' | 'key'>} options
 */
export function openHub(options) {
  /** @type {number | null} */
  let offset = null;
  const stream = createStream({ ...options, url: '/', key: storedKey }, Math.random, (seconds) => {
    offset = clockOffset(offset, seconds, Date.now() / 1000);
  });
  /** @type {Status | undefined} */
  let shown;
  const show = () => {
    const { status } = stream;
    if (status === shown) return;
    shown = status;
    setConnection(...STATUS[status]);
    if (status === 'refused') told(stream.getSnapshot().error);
  };
  stream.subscribe(show);
  show();
  return {
    stream,
    /** The hub's time now, seconds since 1970. */
    now: () => Date.now() / 1000 + (offset ?? 0),
  };
}

/**
 * Ask who the reader is with this key, and let the page run.
 *
 * @param {string | null} key
 */
async function enter(key) {
  const before = storedKey();
  storeKey(key);
  /** @type {Me} */
  let me;
  try {
    me = await askJson('/api/me');
  } catch (error) {
    if (error instanceof Problem && (error.status === 0 || error.status >= 500 || error.status === 429)) {
      setConnection('No connection', 'warn');
      setTimeout(() => void enter(key), RETRY);
      return;
    }
    storeKey(hasBegun ? before : null);
    hideAccess();
    const sentence = told(error);
    if (sentence) showAccess(sentence);
    // Without a key there is nothing to complain about yet.
    if (!key) showAccess('');
    return;
  }
  if (hasBegun) {
    location.reload();
    return;
  }
  hasBegun = true;
  hideAccess();
  byId('main').hidden = false;
  byId('use-key').hidden = false;
  setText(byId('use-key'), storedKey() ? 'Change key' : 'Use a key');
  for (const entry of document.querySelectorAll('[data-for="operators"]')) {
    if (entry instanceof HTMLElement) entry.hidden = me.view !== 'operator';
  }
  // On a narrow screen the navigation scrolls.
  document.querySelector('nav [aria-current]')?.scrollIntoView({ block: 'nearest' });
  setConnection('Connected', 'ok');
  await page(me);
}

/** @param {string} refusal The hub's sentence; empty where the reader asked for the field. */
function showAccess(refusal) {
  access ??= makeAccess();
  const isNew = access.form.hidden;
  access.form.hidden = false;
  byId('main').hidden = !hasBegun;
  access.refusal.hidden = !refusal;
  setText(access.refusal, refusal);
  access.forget.hidden = !storedKey();
  // Pages ask again by themselves, and must not disturb who is typing.
  if (!isNew) return;
  access.key.select();
  access.key.focus();
}

/** Hide the field for a key, where it is shown. */
export function hideAccess() {
  if (access) access.form.hidden = true;
}

/** Made when it is first needed: most pages never ask. */
function makeAccess() {
  const key = make('input', { id: 'access-key', type: 'password', autocomplete: 'off', spellcheck: 'false' });
  const refusal = make('p', { class: 'alert', role: 'alert' });
  const forget = make('button', { type: 'button' }, 'Forget the key');
  const form = make(
    'form',
    { class: 'access panel', 'aria-label': 'Access', hidden: true },
    make('h2', {}, 'Access'),
    make('p', { class: 'muted' }, 'A key or a token that the hub accepts. It is kept in this tab until you close it.'),
    refusal,
    make(
      'div',
      { class: 'row' },
      make('div', { class: 'field grow' }, make('label', { for: key.id }, 'Access key'), key),
      make('button', { class: 'primary' }, 'Continue'),
      forget,
    ),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const given = key.value.trim();
    // No header can carry it: asking would look as if the hub were away.
    const odd = /[^\x20-\x7e]/u.exec(given);
    if (odd) showAccess(`Keys have only ASCII characters, and this one has “${odd[0]}”: copy it again.`);
    else void enter(given);
  });
  forget.addEventListener('click', () => {
    storeKey(null);
    location.reload();
  });
  byId('main').before(form);
  return { form, key, refusal, forget };
}
