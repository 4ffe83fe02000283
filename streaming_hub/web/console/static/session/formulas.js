/**
 * The figures of a session: each with its field in the API and its formula, as in docs/guides/analytics.md. Pure.
 *
 * @module
 */

import { PERCENTILES } from '../api.js';
import { NONE, count, duration, seconds } from '../format.js';

/** @typedef {'seconds' | 'count' | 'percentiles'} Unit */
/** @typedef {{ field: string, unit: Unit, formula: string, operator?: boolean }} Figure `operator`: hidden from viewers. */

const RANKS = 'Percentiles by nearest rank, over all turns.';

/** @type {readonly Figure[]} */
export const FIGURES = [
  { field: 'duration', unit: 'seconds', formula: 'From the first event to the end; live: to the newest event.' },
  { field: 'turns', unit: 'count', formula: 'Distinct turn ids of the session’s events.' },
  {
    field: 'heard_latency',
    unit: 'percentiles',
    formula: `Of each turn: the agent’s first speech start minus the user’s last speech stop before it. ${RANKS}`,
  },
  {
    field: 'latency',
    unit: 'percentiles',
    formula: `LiveKit’s e2e_latency, the first of each turn. ${RANKS}`,
    operator: true,
  },
  { field: 'first_response', unit: 'seconds', formula: 'The agent’s first speech start minus the session’s start.' },
  { field: 'user_talk', unit: 'seconds', formula: 'Length of the union of the user’s talk intervals.' },
  { field: 'agent_talk', unit: 'seconds', formula: 'Length of the union of the agent’s talk intervals.' },
  { field: 'overlap', unit: 'seconds', formula: 'Time in which both speak.' },
  { field: 'silence', unit: 'seconds', formula: 'duration minus the union of both talk intervals.' },
  { field: 'user_words', unit: 'count', formula: 'Words of the user’s final transcripts.' },
  { field: 'agent_words', unit: 'count', formula: 'Words of the agent’s final transcripts.' },
  { field: 'interruptions', unit: 'count', formula: 'Events of type interruption.' },
  { field: 'false_interruptions', unit: 'count', formula: 'Events of type agent_false_interruption or false_interruption.' },
  { field: 'tool_calls', unit: 'count', formula: 'Distinct tool calls of the session’s events.', operator: true },
  {
    field: 'tool_failures',
    unit: 'count',
    formula: 'Calls that ended with a status other than done, or never ended in an ended session.',
    operator: true,
  },
  { field: 'errors', unit: 'count', formula: 'Events of type error.', operator: true },
];

/** Fields of a session and of its turns that are null for viewers. */
const HIDDEN = [...FIGURES.filter(({ operator }) => operator).map(({ field }) => field), 'usage'];

/**
 * A session as viewers see it: hidden figures are null, not 0.
 *
 * @param {Record<string, any>} session
 * @returns {Record<string, any>}
 */
export const asViewer = (session) => ({ ...session, ...Object.fromEntries(HIDDEN.map((field) => [field, null])) });

/**
 * A figure's value in words.
 *
 * @param {Figure} figure
 * @param {Record<string, any>} session
 * @returns {string[]} One part, or one for each percentile.
 */
export function formatFigure({ field, unit }, session) {
  const value = session[field] ?? null;
  if (value === null) return [NONE];
  if (unit === 'count') return [count(value)];
  if (unit === 'seconds') return [value < 60 ? seconds(value) : `${duration(value)} (${seconds(value)})`];
  const ranks = PERCENTILES.map((rank) => `${rank} ${seconds(value[rank])}`);
  return [...ranks, `${count(value.count)} ${value.count === 1 ? 'turn' : 'turns'}`];
}
