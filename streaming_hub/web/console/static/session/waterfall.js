/**
 * The parts of a turn's latency in the order in which the user waited for them. Pure.
 *
 * LiveKit counts both `transcription_delay` and `end_of_turn_delay` from the end of speech, so the second part is what
 * remains after the first.
 *
 * @module
 */

/**
 * @typedef {object} Stage
 * @property {string} field As in the API's turns.
 * @property {string} label
 */
/** @typedef {{ stage: number, from: number, to: number }} Part Seconds from the end of the user's speech. */

/** @type {readonly Stage[]} */
export const STAGES = [
  { field: 'transcription_delay', label: 'Transcription' },
  { field: 'end_of_turn_delay', label: 'End of turn' },
  { field: 'llm_node_ttft', label: 'LLM' },
  { field: 'tts_node_ttfb', label: 'TTS' },
  { field: 'playback_latency', label: 'Playback' },
];

/**
 * The parts of a turn that are known.
 *
 * @param {Record<string, any>} turn As in `GET /api/sessions/ID`.
 * @returns {Part[]} Without those that took no time.
 */
export function partsOf(turn) {
  /** @type {Part[]} */
  const parts = [];
  let at = 0;
  for (const [stage, { field }] of STAGES.entries()) {
    const value = turn[field];
    if (typeof value !== 'number' || !(value > 0)) continue;
    const to = field === 'end_of_turn_delay' ? Math.max(at, value) : at + value;
    if (to > at) parts.push({ stage, from: at, to });
    at = to;
  }
  return parts;
}

/**
 * The length of a turn's bar.
 *
 * @param {Record<string, any>} turn
 * @returns {number} Seconds; 0 if nothing is known.
 */
export const extentOf = (turn) =>
  Math.max(0, partsOf(turn).at(-1)?.to ?? 0, turn.e2e_latency ?? 0, turn.heard_latency ?? 0);

/**
 * The length that all turns' bars are drawn for: the largest, unless it is far beyond the others.
 *
 * @param {readonly Record<string, any>[]} turns
 * @returns {number} Seconds, above 0. Longer bars are cut.
 */
export function scaleOf(turns) {
  const extents = turns.map(extentOf).filter((extent) => extent > 0).sort((one, other) => one - other);
  const largest = extents.at(-1);
  if (largest === undefined) return 1;
  const usual = extents[Math.floor(extents.length * 0.95)] ?? largest;
  return Math.min(largest, usual * 2);
}

/**
 * A turn's wait on the session's clock, for the lanes.
 *
 * @param {Record<string, any>} turn
 * @param {number} started Seconds since 1970 of the session's start.
 * @returns {{ from: number, to: number, parts: Part[] } | null} Null if there was no wait, or it is unknown.
 */
export function waitOf(turn, started) {
  const { agent_started, heard_latency } = turn;
  if (agent_started === null || heard_latency === null) return null;
  const to = agent_started - started;
  return { from: to - heard_latency, to, parts: partsOf(turn) };
}
