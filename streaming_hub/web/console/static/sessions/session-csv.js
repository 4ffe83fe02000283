/**
 * Sessions as lines of CSV. Pure.
 *
 * @module
 */

import { csvLine, percentileNames, percentiles } from '../csv.js';
import { timeText } from '../filters.js';

/** @typedef {import('./list.js').Session} Session */

const FIRST = ['session_id', 'room', 'agent', 'state'];
const PLAIN = [
  'duration', 'reason', 'turns', 'first_response', 'user_talk', 'agent_talk', 'overlap', 'silence', 'user_words',
  'agent_words', 'interruptions', 'false_interruptions', 'tool_calls', 'tool_failures', 'errors',
];
const LATENCIES = ['latency', 'heard_latency'];
const LAST = ['missing_events', 'incomplete', 'recorded'];

/** The first line. */
export const CSV_HEAD = csvLine([
  ...FIRST, 'started', 'ended', 'participants', ...PLAIN, ...LATENCIES.flatMap(percentileNames), ...LAST,
]);

/**
 * A session's line: the API's fields, times in UTC, everything else in seconds.
 *
 * @param {Session} session
 */
export function csvOf(session) {
  return csvLine([
    ...FIRST.map((name) => session[name]),
    timeText(session.started),
    session.ended === null ? null : timeText(session.ended),
    session.participants.map((/** @type {{ identity: string }} */ { identity }) => identity).join(', '),
    ...PLAIN.map((name) => session[name]),
    ...LATENCIES.flatMap((name) => percentiles(session[name])),
    ...LAST.map((name) => session[name]),
  ]);
}
