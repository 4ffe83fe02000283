/**
 * The page of one session: live, from the archive, or from a recording that is opened on it.
 *
 * The lanes, the transcript and the tables show one model at the player's position.
 *
 * @module
 */

import { Problem, RETRY, askJson, isTransient, sessionApi } from '../api.js';
import { byId, make, setAttribute, setText } from '../dom.js';
import { NONE, dateTime, duration, zone } from '../format.js';
import { begin, handleError, hideAccess, setConnection } from '../frame.js';
import { BAD_ENDS } from '../live/trouble.js';
import { showExports } from './exports.js';
import { Lanes } from './lanes.js';
import { Model } from './model.js';
import { openRecordings } from './open-recording.js';
import { Player } from './player.js';
import { Sound } from './sound.js';
import { SeveralRooms, follow, load } from './source.js';
import { Tables } from './tables.js';
import { Transcript } from './transcript.js';
import { Uploads } from './uploads.js';

/** @typedef {import('./recording.js').Recorded} Recorded */

/** ms between updates of a live session's figures, and of its agent's uploads. */
const REFRESH = 400;
const REFRESH_UPLOADS = 10_000;
/** Seconds after a session's end in which its last uploads may arrive. */
const LATE = 60;
/** Seconds: "previous turn" skips a turn that started this recently. */
const JUST_STARTED = 1;
/** How many participants are named. */
const PEOPLE = 20;

const id = decoded(location.pathname.replace(/^\/console\/sessions\//, ''));
const room = new URLSearchParams(location.search).get('room') ?? undefined;

let model = new Model();
/** @type {{ now: () => number, close: () => void } | null} */
let stream = null;
let isFile = false;
/** The revision that the tables show. */
let shown = -1;
let refreshed = -Infinity;

const transcript = new Transcript();
const tables = new Tables();
const uploads = new Uploads();
const sound = new Sound(() => lanes.setWaveform(sound.waveform), notify);
const player = new Player(
  ({ position, end, isReplay, isFollowing, speed }) => {
    lanes.move(position, end, isFollowing);
    transcript.move(position, isReplay, isReplay || isFollowing);
    tables.move(position, isReplay || isFollowing);
    uploads.move(position, isReplay || isFollowing);
    sound.sync(position, speed);
    if (model.timeline.revision !== shown && performance.now() - refreshed > REFRESH) refresh();
  },
  (command, position) => {
    if (command.do === 'zoom') lanes.zoom(command.by);
    else {
      const { starts } = tables;
      const next = command.by > 0 ? starts.find((at) => at > position + 0.05) : starts.findLast((at) => at < position - JUST_STARTED);
      if (next !== undefined || command.by < 0) player.seek(next ?? 0);
    }
  },
);
const lanes = new Lanes(
  {
    lanes: byId('lanes', HTMLCanvasElement),
    strip: byId('strip', HTMLCanvasElement),
    labels: byId('labels'),
    shown: byId('shown'),
    tip: byId('tip'),
  },
  (position) => player.seek(position),
);

byId('zoom-in').addEventListener('click', () => lanes.zoom(0.5));
byId('zoom-out').addEventListener('click', () => lanes.zoom(2));
byId('zoom-all').addEventListener('click', () => lanes.showAll());
openRecordings(openFile, notify);
begin(({ view }) => open(view === 'viewer'));

/**
 * Open the session that the address names.
 *
 * @param {boolean} isViewer
 */
async function open(isViewer) {
  // A recording may be opened before the hub has answered.
  if (isFile) return;
  let loaded;
  try {
    loaded = await load(id, room, isViewer);
  } catch (error) {
    if (isFile) return;
    if (error instanceof SeveralRooms) return choose('Sessions in several rooms have this id', error.rooms.map((name) => ({
      name: name || 'No room',
      href: `?room=${encodeURIComponent(name ?? '')}${location.hash}`,
    })));
    const sentence = handleError(error);
    if (sentence) fail(sentence);
    if (isTransient(error)) setTimeout(() => void open(isViewer), RETRY);
    return;
  }
  if (isFile) return;
  show(loaded.model, loaded.notice);
  showExports(model.detail.session.session_id, model.timeline.room, model.hasEvents, notify);
  if (model.isLive && model.hasEvents) listen(isViewer);
  if (!isViewer) void showUploads(model, loaded.archived);
}

/**
 * Show what the agent has uploaded, and repeat that while more may arrive.
 *
 * @param {Model} of
 * @param {Record<string, any> | null} archived The archive's response; null to ask for it.
 */
async function showUploads(of, archived) {
  if (of !== model) return;
  const { session: { session_id, ended }, turns } = of.detail;
  const { timeline } = of;
  try {
    const { reconciliation, session } = archived ?? (await askJson(sessionApi(session_id, timeline.room)));
    const stages = await uploads.load(session_id, timeline.room, turns);
    if (!stages) return;
    uploads.showReconciliation(reconciliation ?? null);
    const { audio, recording_start, duration: length } = session;
    const path = sessionApi(session_id, timeline.room, '/audio');
    sound.open(audio ? { path, start: recording_start - timeline.started, duration: length } : null);
    of.setStages(stages);
    player.draw();
  } catch (error) {
    // 404: without an archive nothing is uploaded.
    if (of === model && !isTransient(error) && !(error instanceof Problem && error.status === 404)) notify(handleError(error));
  }
  if (of.isLive || Date.now() / 1000 - (ended ?? 0) < LATE) setTimeout(() => void showUploads(of, null), REFRESH_UPLOADS);
}

/**
 * Follow the session on the stream.
 *
 * @param {boolean} isViewer
 */
function listen(isViewer) {
  const followed = model;
  const since = followed.last;
  const current = follow(
    followed,
    (event) => {
      const wasLive = followed.isLive;
      if (!followed.take(event) || followed !== model) return;
      if (wasLive && event.type === 'session_ended') {
        player.setLive(false);
        refresh();
      }
      player.draw();
    },
    () => {
      // The archive has what the stream skipped, unless nothing has arrived since the session was loaded.
      setTimeout(() => {
        if (followed !== model || followed.last === since) return;
        current.close();
        void open(isViewer);
      }, RETRY);
    },
    (error) => notify(handleError(error)),
  );
  stream = current;
  player.setLive(true);
  player.draw();
}

/**
 * Show a recording.
 *
 * @param {Recorded[]} sessions
 * @param {string} name Of the file.
 */
function openFile(sessions, name) {
  isFile = true;
  stream?.close();
  stream = null;
  hideAccess();
  byId('main').hidden = false;
  setConnection('From a file', '');
  byId('exports').hidden = true;
  const [only] = sessions;
  if (sessions.length === 1 && only) return showFile(only, name);
  choose(`${name} has ${sessions.length} sessions`, sessions.map((one) => ({
    name: `${one.room ?? 'No room'} · ${one.session_id}`,
    open: () => showFile(one, name),
  })));
}

/**
 * @param {Recorded} recorded
 * @param {string} name
 */
function showFile({ events }, name) {
  const opened = new Model();
  for (const event of events) opened.take(event);
  show(opened, `Opened from ${name}. The file stays in this browser.`);
}

/**
 * @param {Model} next
 * @param {string} notice
 */
function show(next, notice) {
  model = next;
  byId('loading').hidden = byId('choice').hidden = byId('failed').hidden = true;
  byId('session').hidden = false;
  notify('');
  setText(byId('notice'), notice);
  byId('notice').hidden = !notice;
  sound.open(null);
  lanes.setWaveform(null);
  lanes.open(model);
  uploads.open(model.timeline.started);
  transcript.open(model.timeline);
  refresh();
  const isLive = model.isLive && !isFile;
  player.begin(lengthNow, isLive);
}

/** The session's length so far, seconds. A live session's grows without events. */
function lengthNow() {
  const { timeline } = model;
  const passed = stream && model.isLive ? stream.now() - timeline.started : 0;
  return Math.max(timeline.length, passed);
}

/** @param {string} text Part of an address; returned as it is if it cannot be decoded. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Update what does not depend on the position. */
function refresh() {
  shown = model.timeline.revision;
  refreshed = performance.now();
  const { detail } = model;
  const { session } = detail;
  const name = session.room ?? 'No room';
  setText(byId('title'), name);
  document.title = `${name} · Session · Console`;
  const state = byId('state');
  const isLive = session.state === 'live' && !isFile;
  setText(state, session.state === 'live' ? (isFile ? 'Not ended' : 'Live') : ['Ended', session.reason].filter(Boolean).join(': '));
  setAttribute(state, 'data-tone', isLive ? 'ok' : BAD_ENDS.includes(session.reason ?? '') ? 'bad' : '');
  /** @type {string[]} */
  const people = session.participants.map((/** @type {any} */ one) => one.identity);
  const others = people.splice(PEOPLE).length;
  byId('facts').replaceChildren(
    fact('Session', session.session_id, 'mono'),
    fact('Started', `${dateTime(session.started)} ${zone(session.started)}`),
    // The clock shows a live session's.
    ...(isLive ? [] : [fact('Duration', duration(session.duration))]),
    fact('Agent', session.agent ?? NONE),
    fact('Participants', (people.join(', ') || NONE) + (others ? ` and ${others} more` : '')),
  );
  tables.show(detail, model.isViewer);
}

/**
 * @param {string} name
 * @param {string} value
 * @param {string} [kind]
 */
const fact = (name, value, kind = '') => make('div', {}, make('dt', {}, name), make('dd', { class: kind }, value));

/**
 * Let the reader choose one of several sessions.
 *
 * @param {string} why
 * @param {{ name: string, href?: string, open?: () => void }[]} choices
 */
function choose(why, choices) {
  byId('loading').hidden = byId('session').hidden = byId('failed').hidden = true;
  byId('choice').hidden = false;
  setText(byId('choice-title'), why);
  byId('choices').replaceChildren(...choices.map(({ name, href, open: act }) => {
    const control = href === undefined ? make('button', { class: 'quiet' }, name) : make('a', { href }, name);
    if (act) control.addEventListener('click', act);
    return make('li', {}, control);
  }));
}

/** @param {string} sentence */
function fail(sentence) {
  byId('loading').hidden = byId('session').hidden = byId('choice').hidden = true;
  byId('failed').hidden = false;
  setText(byId('failed-session'), id);
  notify(sentence);
}

/**
 * Show what went wrong.
 *
 * @param {string} sentence Empty hides it.
 */
function notify(sentence) {
  const alert = byId('alert');
  alert.hidden = !sentence;
  setText(alert, sentence);
}
