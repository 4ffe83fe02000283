/**
 * The figures of a session: each with its field in the API and its formula, as in the hub's documents. Pure.
 *
 * @module
 */

/** @typedef {'seconds' | 'count' | 'percentiles'} Unit */
/** @typedef {{ field: string, unit: Unit, formula: string, operator?: boolean }} Figure `operator`: hidden from viewers. */

const PERCENTILES = 'Percentiles by nearest rank, over all turns.';

/** @type {readonly Figure[]} */
export const FIGURES = [
  { field: 'duration', unit: 'seconds', formula: 'From the first event to the end; live: to the newest event.' },
  { field: 'turns', unit: 'count', formula: 'Turn ids that any event of the session names.' },
  {
    field: 'heard_latency',
    unit: 'percentiles',
    formula: `Of each turn: the agent’s first speech start minus the user’s last speech stop before it. ${PERCENTILES}`,
  },
  {
    field: 'latency',
    unit: 'percentiles',
    formula: `LiveKit’s e2e_latency, the first of each turn. ${PERCENTILES}`,
    operator: true,
  },
  { field: 'first_response', unit: 'seconds', formula: 'The agent’s first speech start minus the session’s start.' },
  { field: 'user_talk', unit: 'seconds', formula: 'Length of the union of the user’s talk intervals.' },
  { field: 'agent_talk', unit: 'seconds', formula: 'Length of the union of the agent’s talk intervals.' },
  { field: 'overlap', unit: 'seconds', formula: 'Time in which both speak.' },
  { field: 'silence', unit: 'seconds', formula: 'duration minus the union of both talk intervals.' },
  { field: 'user_words', unit: 'count', formula: 'Words of the user’s final transcripts.' },
  { field: 'agent_words', unit: 'count', formula: 'Words of the agent’s final transcripts.' },
  { field: 'interruptions', unit: 'count', formula: 'Events interruption.' },
  { field: 'false_interruptions', unit: 'count', formula: 'Events agent_false_interruption.' },
  { field: 'tool_calls', unit: 'count', formula: 'Tool calls that any event names.', operator: true },
  {
    field: 'tool_failures',
    unit: 'count',
    formula: 'Calls that ended with a status other than done, or never ended in an ended session.',
    operator: true,
  },
  { field: 'errors', unit: 'count', formula: 'Events error.', operator: true },
];

/** Fields of a session and of its turns that are null for viewers. */
const HIDDEN = [...FIGURES.filter(({ operator }) => operator).map(({ field }) => field), 'usage'];

/**
 * A session as viewers see it: what they may not know is null, not 0.
 *
 * @param {Record<string, any>} session
 * @returns {Record<string, any>}
 */
export const asViewer = (session) => ({ ...session, ...Object.fromEntries(HIDDEN.map((field) => [field, null])) });

/**
 * A duration of a conversation: tenths and hundredths matter below a minute.
 *
 * @param {unknown} value
 * @returns {string} `–` where it is not known.
 */
export function formatSeconds(value) {
  if (typeof value !== 'number') return '–';
  if (value < 0.0095) return value > 0 ? `${(value * 1000).toFixed(1)} ms` : '0 s';
  if (value < 0.9995) return `${Math.round(value * 1000)} ms`;
  if (value < 59.95) return `${value.toFixed(value < 9.995 ? 2 : 1)} s`;
  const whole = Math.round(value);
  const [hours, minutes, seconds] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${seconds} s`;
}

/**
 * A figure's value in words.
 *
 * @param {Figure} figure
 * @param {Record<string, any>} session
 * @param {(count: number) => string} [count] How numbers are written.
 * @returns {string}
 */
export function formatFigure({ field, unit }, session, count = String) {
  const value = session[field];
  if (value === null || value === undefined) return '–';
  if (unit === 'count') return count(value);
  if (unit === 'seconds') return formatSeconds(value);
  const ranks = ['p50', 'p90', 'p95', 'p99', 'max'].map((rank) => `${rank} ${formatSeconds(value[rank])}`);
  return `${ranks.join(' · ')} (${count(value.count)} ${value.count === 1 ? 'turn' : 'turns'})`;
}
