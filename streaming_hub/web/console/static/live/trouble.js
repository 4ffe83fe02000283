/**
 * What counts as trouble in a call: a table of rules, which the page applies and its help lists. Pure; times are in seconds.
 *
 * @module
 */

import { percentiles } from '/console/client/figures.js';

/** Thresholds: seconds, but for `turns`. */
export const LIMITS = {
  thinking: 5,
  silence: 15,
  latency: 2,
  /** Turns that count for High latency, and that the sparkline shows. */
  turns: 10,
  /** How long a call that ended badly stays on the wall. */
  lingering: 60,
};

/** Reasons of an end that mean that the agent was lost. */
export const LOST = ['worker_lost', 'lease_expired'];
/** Reasons of an end that is trouble. */
export const BAD_ENDS = [...LOST, 'error'];

/** @typedef {{ at: number, text: string }} Mark When something happened, and what. */
/**
 * @typedef {object} Condition What the rules check.
 * @property {Mark | null} error The newest error.
 * @property {Mark | null} failedTool
 * @property {Mark | null} dropped
 * @property {number | null} restarted When the call replaced one whose agent was lost.
 * @property {number | null} ended
 * @property {string | null} reason Why it ended.
 * @property {number | null} thinkingSince
 * @property {number | null} quietSince When the last speech or words ended.
 * @property {readonly number[]} latencies Heard latency of the last turns, oldest first.
 */
/** @typedef {{ name: string, tone: 'bad' | 'warn', since: number, text: string }} Trouble */
/**
 * @typedef {object} Rule
 * @property {string} name
 * @property {'bad' | 'warn'} tone
 * @property {string} when For the help and the documentation.
 * @property {string} until
 * @property {true} [lingers] Whether the rule also applies after the session's end.
 * @property {(call: Condition, now: number) => { since: number, text: string } | null} find
 */

/** @param {Mark | null} mark */
const since = (mark) => mark && { since: mark.at, text: mark.text };

/** @type {readonly Rule[]} */
export const RULES = [
  {
    name: 'Agent lost',
    tone: 'bad',
    when: `The session ended with ${LOST.join(' or ')}`,
    until: `${LIMITS.lingering} s after the end`,
    lingers: true,
    find: ({ ended, reason }) => (ended !== null && LOST.includes(reason ?? '') ? { since: ended, text: reason ?? '' } : null),
  },
  {
    name: 'Error',
    tone: 'bad',
    when: 'An error was reported, or the session ended with error',
    until: `the session ends; after an end with error, ${LIMITS.lingering} s later`,
    lingers: true,
    find: ({ error, ended, reason }) => {
      if (ended === null) return since(error);
      return reason === 'error' ? since(error) ?? { since: ended, text: 'The session ended with an error.' } : null;
    },
  },
  {
    name: 'Failed tool',
    tone: 'bad',
    when: 'A tool call ended with a status other than done',
    until: 'the session ends',
    find: ({ failedTool }) => since(failedTool),
  },
  {
    name: 'Thinking',
    tone: 'warn',
    when: `The agent has been thinking for over ${LIMITS.thinking} s`,
    until: 'the agent stops thinking',
    find: ({ thinkingSince }, now) =>
      thinkingSince !== null && now - thinkingSince > LIMITS.thinking
        ? { since: thinkingSince, text: '' }
        : null,
  },
  {
    name: 'Silence',
    tone: 'warn',
    when: `No voice and no words for over ${LIMITS.silence} s`,
    until: 'someone speaks, or words arrive',
    find: ({ quietSince }, now) =>
      quietSince !== null && now - quietSince > LIMITS.silence ? { since: quietSince, text: '' } : null,
  },
  {
    name: 'High latency',
    tone: 'warn',
    when: `The 95th percentile of the heard latency of the last ${LIMITS.turns} turns is over ${LIMITS.latency} s`,
    until: `it falls to ${LIMITS.latency} s or less`,
    find: ({ latencies }, now) => {
      const p95 = percentiles(latencies)?.p95 ?? 0;
      return p95 > LIMITS.latency ? { since: now, text: `p95 ${p95.toFixed(2)} s` } : null;
    },
  },
  {
    name: 'Events dropped',
    tone: 'warn',
    when: 'The agent could not deliver events',
    until: 'the session ends',
    find: ({ dropped }) => since(dropped),
  },
  {
    name: 'Agent restarted',
    tone: 'warn',
    when: 'The previous session in the room lost its agent',
    until: 'the session ends',
    find: ({ restarted }) => (restarted === null ? null : { since: restarted, text: '' }),
  },
];

/**
 * What is wrong in a call now, the worst first.
 *
 * @param {Condition} call
 * @param {number} now The hub's time, seconds since 1970.
 * @returns {Trouble[]}
 */
export function troubles(call, now) {
  /** @type {Trouble[]} */
  const found = [];
  for (const { name, tone, lingers, find } of RULES) {
    const sign = call.ended === null || lingers ? find(call, now) : null;
    if (sign) found.push({ name, tone, ...sign });
  }
  return found;
}
