/**
 * The words of the page Agent for `GET /api/agent/status`. Pure.
 *
 * @module
 */

import { count, duration } from '../format.js';

/**
 * @typedef {object} AgentStatus As the API answers it.
 * @property {string} state
 * @property {number | null} pid
 * @property {'livekit' | 'rehearsal' | null} mode
 * @property {string | null} room
 * @property {number} uptime
 * @property {number} restarts
 * @property {number} sessions
 * @property {string | null} last_error
 * @property {string | null} trouble
 * @property {string[]} log
 * @property {{ mode: string, why: string }} auto
 * @property {{ state: string, rooms: number, sessions: number, trouble: string | null } | null} [watcher] Of the node
 *   that answers.
 */

/** State -> words, tone. @type {Record<string, [string, string]>} */
const STATES = {
  starting: ['Starting', 'busy'],
  ready: ['Ready', 'ok'],
  running: ['Running', 'ok'],
  draining: ['Stopping', 'busy'],
  stopped: ['Stopped', ''],
  failed: ['Failed', 'bad'],
};

/**
 * The status in words, its tone, and which buttons are enabled.
 *
 * @param {AgentStatus} status
 */
export function headline({ state, trouble, sessions }) {
  const [words, tone] = STATES[state] ?? [state, ''];
  const live = `${count(sessions)} live session${sessions === 1 ? '' : 's'}`;
  return {
    text: state === 'running' ? `${words}, ${live}` : words,
    tone: trouble && tone === 'ok' ? 'warn' : tone,
    mayStart: state === 'stopped' || state === 'failed',
    // After a failure the hub may be about to restart it: a stop prevents that.
    mayStop: state !== 'stopped' && state !== 'draining',
  };
}

/**
 * What is known of the process, as terms and values.
 *
 * @param {AgentStatus} status
 * @returns {[string, string][]}
 */
export function facts({ mode, room, pid, uptime, restarts, watcher }) {
  /** @type {[string, string | null][]} */
  const all = [
    ['Mode', mode],
    ['Room', room],
    ['Process', pid === null ? null : String(pid)],
    ['Running for', pid === null ? null : duration(uptime)],
    ['Restarts', restarts ? count(restarts) : null],
    ['Watcher', watcher ? watching(watcher) : null],
  ];
  return all.flatMap(([term, value]) => (value === null ? [] : [[term, value]]));
}

/** @param {NonNullable<AgentStatus['watcher']>} watcher */
function watching({ state, rooms, sessions, trouble }) {
  const [words] = STATES[state] ?? [state];
  const where = `${count(rooms)} room${rooms === 1 ? '' : 's'}, ${count(sessions)} session${sessions === 1 ? '' : 's'}`;
  return [words, state === 'ready' || state === 'running' ? where : '', trouble ?? ''].filter(Boolean).join(': ');
}

/**
 * The lines at the end of `next` that are not in `shown` yet. Both are the last lines of one log.
 *
 * @param {readonly string[]} shown
 * @param {readonly string[]} next
 * @returns {{ isSame: boolean, added: readonly string[] }} `isSame`: whether it is the same log, continued.
 */
export function newLines(shown, next) {
  for (let start = 0; start < shown.length; start++) {
    const kept = shown.slice(start);
    if (kept.length <= next.length && kept.every((line, index) => line === next[index])) {
      return { isSame: true, added: next.slice(kept.length) };
    }
  }
  return { isSame: shown.length === 0, added: next };
}
