/**
 * What all pages of the console share: who the reader is, the form for a key, the navigation, the status "Connection",
 * and opening the hub's stream.
 *
 * A page calls `begin(run)` once; `run` gets the response of `GET /api/me` once the hub accepts the reader.
 *
 * @module
 */

import { Refused } from '/console/client/gap.js';
import { createStream } from '/console/client/stream.js';
import { Problem, RETRY, askJson, isRefusal, isTransient, onRequest, storeKey, storedKey } from './api.js';
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
/** @type {[string, string]} */
const OPEN = ['Connected', 'ok'];
/** @type {[string, string]} */
const AWAY = ['No connection', 'warn'];

/** @type {(me: Me) => unknown} */
let page = () => {};
let hasBegun = false;
/** Whether a stream, or a file, says what "Connection" shows; else the last request does. */
let hasSource = false;
/** The form that asks for a key. @type {ReturnType<typeof makeAccess> | undefined} */
let access;

/**
 * Start the page.
 *
 * @param {(me: Me) => unknown} run Called once, when the hub has accepted the reader.
 */
export function begin(run) {
  page = run;
  byId('use-key').addEventListener('click', () => showAccess(''));
  onRequest((hasAnswered) => {
    if (!hasSource) showConnection(...(hasAnswered ? OPEN : AWAY));
  });
  void enter(storedKey());
}

/**
 * Show the state of the page's source, from now on instead of that of its requests.
 *
 * @param {string} text
 * @param {string} tone `ok`, `busy`, `warn`, `bad` or empty.
 */
export function setConnection(text, tone) {
  hasSource = true;
  showConnection(text, tone);
}

/**
 * @param {string} text
 * @param {string} tone
 */
function showConnection(text, tone) {
  setText(byId('connection'), text);
  setAttribute(byId('connection'), 'data-tone', tone);
}

/**
 * Show a problem above the page's list.
 *
 * @param {string} sentence Empty hides it.
 */
export function showProblem(sentence) {
  byId('problem').hidden = !sentence;
  setText(byId('problem-text'), sentence);
}

/**
 * Ask for a key if the hub refuses this one.
 *
 * @param {unknown} error
 * @returns {string} What the page has to show; empty if the form for a key shows it.
 */
export function handleError(error) {
  if ((error instanceof Problem || error instanceof Refused) && isRefusal(error)) {
    showConnection(...STATUS.refused);
    showAccess(error.message);
    return '';
  }
  return error instanceof Error ? error.message : String(error);
}

/**
 * Open the hub's stream with the reader's key, and show its status.
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
    if (status === 'refused') handleError(stream.getSnapshot().error);
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
 * Ask the hub who the reader is, and run the page.
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
    if (isTransient(error)) {
      showConnection(...AWAY);
      setTimeout(() => void enter(key), RETRY);
      return;
    }
    storeKey(hasBegun ? before : null);
    hideAccess();
    const sentence = handleError(error);
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
  // The view decides what is seen, the scope what may be done: a token may have one without the other.
  /** @type {Record<string, boolean>} */
  const has = { operate: me.scopes.includes('operate'), 'operator-view': me.view === 'operator' };
  for (const part of document.querySelectorAll('[data-for]')) {
    if (part instanceof HTMLElement) part.hidden = !has[part.dataset.for ?? ''];
  }
  const current = document.querySelector('nav [aria-current]');
  // On a narrow screen the navigation scrolls.
  current?.scrollIntoView({ block: 'nearest' });
  if (!(current instanceof HTMLElement && current.hidden)) return void page(me);
  const text = 'This page is for operators: use a key with the scope operate.';
  byId('main').replaceChildren(make('h1', {}, current.innerText), make('p', { class: 'alert', role: 'alert' }, text));
}

/** @param {string} refusal The hub's sentence; empty if the reader asked for the form. */
function showAccess(refusal) {
  access ??= makeAccess();
  const isNew = access.form.hidden;
  access.form.hidden = false;
  byId('main').hidden = !hasBegun;
  access.refusal.hidden = !refusal;
  setText(access.refusal, refusal);
  access.forget.hidden = !storedKey();
  // Pages repeat requests by themselves; that must not disturb a reader who is typing.
  if (!isNew) return;
  access.key.select();
  access.key.focus();
}

/** Hide the form for a key, if it is shown. */
export function hideAccess() {
  if (access) access.form.hidden = true;
}

/** Make the form when it is first needed. */
function makeAccess() {
  const key = make('input', { id: 'access-key', type: 'password', autocomplete: 'off', spellcheck: 'false' });
  const refusal = make('p', { class: 'alert', role: 'alert' });
  const forget = make('button', { type: 'button' }, 'Forget the key');
  const form = make(
    'form',
    { class: 'access panel', 'aria-label': 'Access', hidden: true },
    make('h2', {}, 'Access'),
    make('p', { class: 'muted' }, 'A key or token that the hub accepts. It stays in this tab until you close it.'),
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
