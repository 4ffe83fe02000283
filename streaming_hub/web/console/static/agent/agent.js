/**
 * The page Agent: what the agent process does, its log, start and stop. For operators.
 *
 * @module
 */

import { Problem, askJson } from '../api.js';
import { byId, make, setAttribute, setText } from '../dom.js';
import { begin, openHub, told } from '../frame.js';
import { facts, headline, newLines } from './state.js';

/** @typedef {import('./state.js').AgentStatus} AgentStatus */

/** ms between two looks at the status; an event of the process brings the next one at once. */
const PERIOD = 2000;
/** Lines of the log in the document. */
const MOST_LINES = 500;
/** px from its end within which the log follows. */
const AT_END = 24;

const start = byId('start', HTMLButtonElement);
const stop = byId('stop', HTMLButtonElement);
const mode = byId('mode', HTMLSelectElement);
const room = byId('room', HTMLInputElement);
const log = byId('log');
/** @type {readonly string[]} */
let shownLog = [];
let isBusy = false;

begin((me) => {
  const isOperator = me.scopes.includes('operate');
  byId('for-operators').hidden = isOperator;
  byId('agent').hidden = !isOperator;
  if (!isOperator) return;
  const { stream } = openHub({ types: 'agent_process' });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  const look = async () => {
    clearTimeout(timer);
    if (!document.hidden && !isBusy) {
      await askJson('/api/agent/status').then(show, (error) => showRefusal(told(error)));
    }
    clearTimeout(timer);
    timer = setTimeout(look, PERIOD);
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
      // Operators of some rooms may not start an agent for all: that is an answer, and no reason for another key.
      showRefusal(error instanceof Problem && error.status !== 401 ? error.message : told(error));
    }
    isBusy = false;
    void look();
  };

  byId('control', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    void act('/api/agent/start', { mode: mode.value, ...(!room.disabled && room.value && { room: room.value }) });
  });
  stop.addEventListener('click', () => void act('/api/agent/stop'));
  mode.addEventListener('change', () => (room.disabled = mode.value === 'livekit'));
  document.addEventListener('visibilitychange', () => void look());
  stream.subscribe(() => void look());
  void look();
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

/** Add what is new, so that screen readers say it once. @param {readonly string[]} lines */
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

/** @param {string} refusal Empty takes it away. */
function showRefusal(refusal) {
  setText(byId('refusal'), refusal);
  byId('refusal').hidden = !refusal;
}
