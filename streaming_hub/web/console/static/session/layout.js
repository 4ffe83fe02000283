/**
 * Places the lanes from top to bottom. Pure.
 *
 * @module
 */

import { Spans, stack } from './spans.js';

/** @typedef {import('./timeline.js').Lane} Lane */
/** @typedef {import('./timeline.js').Timeline} Timeline */
/**
 * @typedef {object} Row
 * @property {Lane['kind'] | 'sound' | 'stages' | 'waits' | 'marks'} kind
 * @property {string} label
 * @property {number} y px from the top of the ruler.
 * @property {number} height px
 * @property {number} bar px: the height of one span.
 * @property {import('./spans.js').Spans} spans
 */
/** @typedef {{ rows: Row[], height: number }} Layout */

export const RULER = 24;
const GAP = 6;
const BARS = { sound: 48, user: 24, agent: 24, thinking: 12, tools: 16, stages: 10, waits: 16, marks: 14 };

/**
 * @param {Timeline} timeline
 * @param {import('./spans.js').Spans} waits How long users waited.
 * @param {{ stages?: import('./spans.js').Spans | null, hasSound?: boolean }} [uploaded] What the agent uploaded.
 * @returns {Layout}
 */
export function layoutOf(timeline, waits, { stages, hasSound } = {}) {
  /** @type {Row[]} */
  const rows = [];
  let y = RULER + GAP;
  /**
   * @param {Row['kind']} kind
   * @param {string} label
   * @param {import('./spans.js').Spans} spans
   * @param {number} [depth] Rows of overlapping spans.
   */
  const add = (kind, label, spans, depth = 1) => {
    const bar = BARS[kind];
    const height = depth * (bar + 2) - 2;
    rows.push({ kind, label, y, height, bar, spans });
    y += height + GAP;
  };
  const { lanes } = timeline;
  if (hasSound) add('sound', 'Sound', new Spans());
  for (const { kind, label, spans } of lanes.filter(({ kind }) => kind !== 'tools')) add(kind, label, spans);
  if (waits.items.length) add('waits', 'Latency', waits);
  for (const { spans } of lanes.filter(({ kind }) => kind === 'tools')) add('tools', 'Tools', spans, stack(spans.items));
  if (stages?.items.length) add('stages', 'Stages', stages, stack(stages.items));
  if (timeline.marks.items.length) add('marks', 'Events', timeline.marks);
  return { rows, height: y };
}

/**
 * The row at a point.
 *
 * @param {Layout} layout
 * @param {number} y px
 * @returns {Row | null}
 */
export const rowAt = ({ rows }, y) => rows.find((row) => y >= row.y && y < row.y + row.height) ?? null;
