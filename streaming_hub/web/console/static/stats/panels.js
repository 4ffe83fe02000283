/**
 * The panels of the page Figures: their series, columns and links. Pure.
 *
 * @module
 */

import { PERCENTILES } from '../api.js';
import { csvLine, percentileNames, percentiles } from '../csv.js';
import { addressOf, secondsOf, timeText } from '../filters.js';
import { STAGES as TURN_STAGES } from '../session/waterfall.js';

/** @typedef {import('../filters.js').Filters} Filters */
/** @typedef {Record<string, any> & { start: number }} Bucket As in the API. */
/** @typedef {'count' | 'number' | 'seconds' | 'share'} Unit */

/**
 * @typedef {object} Series
 * @property {string} name
 * @property {string} color Its class.
 * @property {(bucket: Bucket) => number | null} of
 */

/**
 * @typedef {object} Panel
 * @property {string} name Accessible name of the chart and of the table.
 * @property {string} id
 * @property {'bars' | 'lines'} form
 * @property {Unit} unit Of the series.
 * @property {boolean} [isForOperators]
 * @property {readonly Series[]} series
 * @property {readonly { name: string, unit: Unit, of: (bucket: Bucket) => number | null }[]} columns
 * @property {Filters} [behind] Filters and order of a point's sessions, besides its time.
 */

/** Seconds of a bucket. @type {Record<string, number>} */
export const SIZES = { minute: 60, hour: 3600, day: 86_400 };
/** The stages that buckets have. */
const STAGES = TURN_STAGES.filter(({ field }) => field !== 'playback_latency');
const LATENCIES = ['heard_latency', 'latency', ...STAGES.map(({ field }) => field)];

/** @type {(name: string) => (bucket: Bucket) => number | null} */
const field = (name) => (bucket) => bucket[name] ?? null;

/** @type {(name: string, part: string) => (bucket: Bucket) => number | null} */
const part = (name, of) => (bucket) => bucket[name]?.[of] ?? null;

/** @type {(name: string, whole: string) => (bucket: Bucket) => number | null} */
const share = (name, whole) => (bucket) => (bucket[whole] ? (bucket[name] ?? 0) / bucket[whole] : null);

/**
 * @param {string} percentile Of the stages: one of `PERCENTILES`.
 * @param {boolean} isOperator
 * @returns {Panel[]}
 */
export function panelsFor(percentile, isOperator) {
  const stages = [
    ...STAGES.map(({ field: name, label }, index) => ({ name: label, color: `stage-${index + 1}`, of: part(name, percentile) })),
    { name: 'End to end', color: 'whole', of: part('latency', percentile) },
  ];
  /** @type {Panel[]} */
  const all = [
    plain('Sessions', 'sessions', 'count', [], 'main'),
    plain('Minutes', 'minutes', 'number', [], 'main'),
    {
      name: 'Heard latency', id: 'heard_latency', form: 'lines', unit: 'seconds', behind: { sort: ['-heard_latency'] },
      series: [
        { name: 'p99', color: 'stage-4', of: part('heard_latency', 'p99') },
        { name: 'p95', color: 'main', of: part('heard_latency', 'p95') },
        { name: 'p50', color: 'stage-3', of: part('heard_latency', 'p50') },
      ],
      columns: [
        { name: 'Turns', unit: 'count', of: part('heard_latency', 'count') },
        ...PERCENTILES.map((one) => ({ name: one, unit: /** @type {Unit} */ ('seconds'), of: part('heard_latency', one) })),
      ],
    },
    {
      name: 'Stages of latency', id: 'stages', form: 'lines', unit: 'seconds', isForOperators: true,
      behind: { sort: ['-latency'] }, series: stages, columns: stages.map(({ name, of }) => ({ name, unit: 'seconds', of })),
    },
    {
      ...plain('Interruptions', 'interruptions', 'count', [
        { name: 'Turns', unit: 'count', of: field('turns') },
        { name: 'Of turns', unit: 'share', of: share('interruptions', 'turns') },
      ], 'warn'),
      behind: { sort: ['-interruptions'] },
    },
    {
      ...plain('Tool failures', 'tool_failures', 'count', [
        { name: 'Calls', unit: 'count', of: field('tool_calls') },
        { name: 'Of calls', unit: 'share', of: share('tool_failures', 'tool_calls') },
      ], 'bad'),
      isForOperators: true, behind: { failed_tools: ['1'] },
    },
    { ...plain('Errors', 'errors', 'count', [], 'bad'), isForOperators: true, behind: { errors: ['1'], sort: ['-errors'] } },
  ];
  return all.filter(({ isForOperators }) => isOperator || !isForOperators);
}

/**
 * @param {string} name
 * @param {string} id
 * @param {Unit} unit
 * @param {Panel['columns']} columns
 * @param {string} color
 * @returns {Panel}
 */
const plain = (name, id, unit, columns, color) => ({
  name, id, unit, form: 'bars', series: [{ name, color, of: field(id) }], columns: [{ name, unit, of: field(id) }, ...columns],
});

/**
 * The address of the sessions of consecutive buckets.
 *
 * @param {Filters} filters The page's.
 * @param {Panel} panel
 * @param {number} start Of the first bucket, seconds since 1970.
 * @param {number} end Of the last bucket.
 * @param {readonly string[]} names The filters of the page Sessions.
 */
export function behindOf(filters, panel, start, end, names) {
  const from = Math.max(start, secondsOf(filters.from?.[0]) ?? start);
  const to = Math.min(end, secondsOf(filters.to?.[0]) ?? end);
  /** @type {Filters} */
  const chosen = { ...panel.behind, from: [timeText(from)], to: [timeText(to)] };
  for (const name of ['room', 'agent']) if (filters[name]) chosen[name] = filters[name];
  return `/console/sessions${addressOf(chosen, names)}`;
}

/** Sums over all buckets, of what can be added up. @param {readonly Bucket[]} buckets */
export function totalsOf(buckets) {
  /** @type {(name: string) => number} */
  const sum = (name) => buckets.reduce((so, bucket) => so + (bucket[name] ?? 0), 0);
  return {
    sessions: sum('sessions'), minutes: sum('minutes'), turns: sum('turns'), interruptions: sum('interruptions'),
    tool_calls: sum('tool_calls'), tool_failures: sum('tool_failures'), errors: sum('errors'),
  };
}

const COUNTS = ['sessions', 'minutes', 'turns'];
const MORE = ['interruptions', 'tool_calls', 'tool_failures', 'errors'];

/**
 * All buckets as CSV: the API's fields, times in UTC, latencies in seconds.
 *
 * @param {readonly Bucket[]} buckets
 */
export const csvOf = (buckets) => [
  csvLine(['start', ...COUNTS, ...LATENCIES.flatMap(percentileNames), ...MORE]),
  ...buckets.map((bucket) =>
    csvLine([
      timeText(bucket.start),
      ...COUNTS.map((name) => bucket[name]),
      ...LATENCIES.flatMap((name) => percentiles(bucket[name])),
      ...MORE.map((name) => bucket[name]),
    ]),
  ),
];
