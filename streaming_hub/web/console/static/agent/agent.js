/**
 * The page Agent: the agent process's status and log, start and stop. For operators.
 *
 * @module
 */

import { Problem, askJson } from '../api.js';
import { byId, make, setAttribute, setText } from '../dom.js';
import { begin, handleError, openHub } from '../frame.js';
import { facts, headline, newLines } from './state.js';

/** @typedef {import('./state.js').AgentStatus} AgentStatus */

/** ms between requests for the status; an event of the process triggers one at once. */
const PERIOD = 2000;
/** Lines of the log in the document. */
const MOST_LINES = 500;
/** px: a log scrolled this close to its end follows new lines. */
const AT_END = 24;

const start = byId('start', HTMLButtonElement);
const stop = byId('stop', HTMLButtonElement);
const mode = byId('mode', HTMLSelectElement);
const room = byId('room', HTMLInputElement);
const log = byId('log');
/** @type {readonly string[]} */
let shownLog = [];
let isBusy = false;

begin(() => {
  const { stream } = openHub({ types: 'agent_process' });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  const update = async () => {
    clearTimeout(timer);
    if (!document.hidden && !isBusy) {
      await askJson('/api/agent/status').then(show, (error) => showRefusal(handleError(error)));
    }
    clearTimeout(timer);
    timer = setTimeout(update, PERIOD);
  };

  /**
   * @param {string} path
   * @param {unknown} [body]
   */
  const act = async (path, body) => {
    isBusy = true;
    start.disabled = stop.disabled = true;
    showRefusal('');
    try {
      const answer = await askJson(path, { method: 'POST', body });
      if (answer.already_running) showRefusal(answer.why);
    } catch (error) {
      // An operator of some rooms may not start an agent for all: another key is not what is needed.
      showRefusal(error instanceof Problem && error.status !== 401 ? error.message : handleError(error));
    }
    isBusy = false;
    void update();
  };

  byId('control', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    void act('/api/agent/start', { mode: mode.value, ...(!room.disabled && room.value && { room: room.value }) });
  });
  stop.addEventListener('click', () => void act('/api/agent/stop'));
  mode.addEventListener('change', () => (room.disabled = mode.value === 'livekit'));
  document.addEventListener('visibilitychange', () => void update());
  stream.subscribe(() => void update());
  void update();
});

/** @param {AgentStatus} status */
function show(status) {
  const { text, tone, mayStart, mayStop } = headline(status);
  setText(byId('state'), text);
  setAttribute(byId('state'), 'data-tone', tone);
  if (!isBusy) {
    start.disabled = !mayStart;
    stop.disabled = !mayStop;
  }
  const problem = status.trouble ?? status.last_error ?? '';
  setText(byId('problem'), problem);
  byId('problem').hidden = !problem;
  setText(byId('why'), mayStart ? `Automatic would start it in ${status.auto.mode} mode: ${status.auto.why}` : '');
  showFacts(facts(status));
  showLog(status.log);
}

/** @param {[string, string][]} all */
function showFacts(all) {
  const list = byId('facts');
  const text = all.flat().join('\n');
  if (list.dataset.shown === text) return;
  list.dataset.shown = text;
  list.replaceChildren(
    ...all.map(([term, value]) => make('div', {}, make('dt', {}, term), make('dd', { dir: 'auto' }, value))),
  );
}

/** Append new lines only, so that screen readers read each once. @param {readonly string[]} lines */
function showLog(lines) {
  const { isSame, added } = newLines(shownLog, lines);
  shownLog = lines;
  if (isSame && !added.length) return;
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < AT_END;
  if (!isSame) log.replaceChildren();
  log.append(...added.map((line) => make('div', { dir: 'auto' }, line)));
  while (log.children.length > MOST_LINES) log.firstElementChild?.remove();
  if (isAtEnd) log.scrollTop = log.scrollHeight;
}

/** @param {string} refusal Empty hides it. */
function showRefusal(refusal) {
  setText(byId('refusal'), refusal);
  byId('refusal').hidden = !refusal;
}
