/**
 * Sessions as the lines of a table. Pure.
 *
 * @module
 */

import { csvLine, percentileNames, percentiles } from '../csv.js';
import { timeText } from '../filters.js';

/** @typedef {import('./list.js').Session} Session */

const PLAIN = [
  'duration', 'reason', 'turns', 'first_response', 'user_talk', 'agent_talk', 'overlap', 'silence', 'user_words',
  'agent_words', 'interruptions', 'false_interruptions', 'tool_calls', 'tool_failures', 'errors',
];
const LATENCIES = ['latency', 'heard_latency'];

/** Its first line. */
export const CSV_HEAD = csvLine([
  'session_id', 'room', 'agent', 'state', 'started', 'ended', 'participants', ...PLAIN,
  ...LATENCIES.flatMap(percentileNames), 'missing_events', 'incomplete', 'recorded',
]);

/**
 * A session's line: the API's fields, times in UTC, everything else in seconds.
 *
 * @param {Session} session
 */
export function csvOf(session) {
  /** @type {{ identity: string }[]} */
  const people = session['participants'];
  return csvLine([
    session['session_id'],
    session['room'],
    session['agent'],
    session['state'],
    timeText(session['started']),
    session['ended'] === null ? null : timeText(session['ended']),
    people.map(({ identity }) => identity).join(', '),
    ...PLAIN.map((name) => session[name]),
    ...LATENCIES.flatMap((name) => percentiles(session[name])),
    session['missing_events'],
    session['incomplete'],
    session['recorded'],
  ]);
}
