/**
 * Draws the lanes on a canvas. Keeps no state.
 *
 * @module
 */

import { duration, seconds } from '../format.js';
import { LIMITS } from '../live/trouble.js';
import { scaleOf, ticksOf } from './axis.js';
import { RULER } from './layout.js';
import { formatTenths } from './replay.js';
import { loudest } from './waveform.js';

/** @typedef {import('./axis.js').View} View */
/** @typedef {import('./layout.js').Layout} Layout */
/** @typedef {import('./layout.js').Row} Row */
/** @typedef {import('./spans.js').Span} Span */
/** @typedef {Span & { parts?: import('./waterfall.js').Part[] }} Wait */
/**
 * @typedef {object} Scene
 * @property {Layout} layout
 * @property {View} view
 * @property {number} end Seconds: the session's length so far, where open spans end.
 * @property {number} position
 * @property {import('./sound.js').Waveform | null} waveform
 */
/** @typedef {Record<string, string>} Palette */

const COLORS = ['surface', 'sunken', 'line', 'line-strong', 'text', 'muted', 'accent', 'agent', 'user', 'ok', 'warn', 'bad',
  'warn-soft', 'stage-1', 'stage-2', 'stage-3', 'stage-4', 'stage-5'];
/** Kind of span -> token of its colour, and its name unless that is the lane's. @type {Record<string, [color: string, name?: string]>} */
export const KINDS = {
  user: ['user'],
  agent: ['agent'],
  thinking: ['warn', 'The agent thinks'],
  wait: ['muted', 'The user waited'],
  tool: ['stage-5', 'Tool'],
  'tool-failed': ['bad', 'Failed tool'],
  stage: ['stage-1', 'Stage'],
  'stage-failed': ['bad', 'Failed stage'],
  interruption: ['warn', 'Interruption'],
  'false-interruption': ['line-strong', 'False interruption'],
  error: ['bad', 'Error'],
  dropped: ['bad', 'Events dropped'],
  handoff: ['accent', 'Handoff'],
  end: ['muted', 'End of the session'],
};
/** px: narrower spans have no text. */
const READABLE = 44;

/** @param {Span} span */
const colorOf = ({ kind }) => KINDS[kind]?.[0] ?? 'muted';

/**
 * The colours of the present colour scheme.
 *
 * @returns {Palette}
 */
export function paletteOf() {
  const style = getComputedStyle(document.documentElement);
  const colors = COLORS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]);
  return { ...Object.fromEntries(colors), font: style.getPropertyValue('--font').trim() };
}

/**
 * Clear a canvas, at the screen's resolution.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} width px
 * @param {number} height px
 */
function contextOf(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {number} width px
 * @param {Palette} palette
 * @param {Scene} scene
 */
export function paintLanes(canvas, width, palette, { layout, view, end, position, waveform }) {
  const context = contextOf(canvas, width, layout.height);
  const { x } = scaleOf(view, width);
  const color = (/** @type {string} */ name) => palette[name] ?? '';
  context.textBaseline = 'middle';

  const { step, ticks } = ticksOf(view, width);
  context.font = `11px ${palette.font}`;
  context.fillStyle = color('line');
  for (const tick of ticks) context.fillRect(Math.round(x(tick)), 0, 1, layout.height);
  context.fillStyle = color('muted');
  for (const tick of ticks) if (x(tick) < width - 30) context.fillText(step < 1 ? formatTenths(tick) : duration(tick), Math.round(x(tick)) + 5, 10);
  context.fillStyle = color('line');
  context.fillRect(0, RULER, width, 1);
  if (x(end) < width) {
    context.fillStyle = color('sunken');
    context.fillRect(x(end), RULER + 1, width, layout.height);
  }

  context.font = `12px ${palette.font}`;
  for (const row of layout.rows) {
    if (row.kind === 'sound' && waveform) paintWaveform(context, color, waveform, scaleOf(view, width).time, row, width);
    const [first, last] = row.spans.within(view.from, view.to);
    for (let place = first; place < last; place++) {
      const span = /** @type {Wait} */ (row.spans.items[place]);
      const [from, to] = [x(span.from), x(span.to ?? Math.max(end, span.from))];
      if (to < 0) continue;
      const y = row.y + (span.row ?? 0) * (row.bar + 2);
      if (row.kind === 'marks') paintMark(context, color, span, from, row, layout.height);
      else if (row.kind === 'waits') paintWait(context, color, span, x, row);
      else paintSpan(context, color, span, from, to, y, row, width);
    }
  }
  const at = x(position);
  if (at < -1 || at > width + 1) return;
  context.fillStyle = color('text');
  context.fillRect(Math.round(at) - 1, 6, 2, layout.height);
  context.beginPath();
  context.moveTo(at - 6, 0);
  context.lineTo(at + 6, 0);
  context.lineTo(at, 10);
  context.fill();
}

/** @typedef {(name: string) => string} Color */

/**
 * The user's channel above the middle, the agent's below.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Color} color
 * @param {import('./sound.js').Waveform} waveform
 * @param {(x: number) => number} timeAt
 * @param {Row} row
 * @param {number} width px
 */
function paintWaveform(context, color, { start, user, agent }, timeAt, row, width) {
  const middle = row.y + row.bar / 2;
  context.fillStyle = color('line');
  context.fillRect(0, middle, width, 1);
  for (const [name, peaks, direction] of /** @type {const} */ ([['user', user, -1], ['agent', agent, 1]])) {
    context.fillStyle = color(name);
    for (let x = 0; x < width; x++) {
      const loud = loudest(peaks, timeAt(x) - start, timeAt(x + 1) - start);
      if (loud > 0) context.fillRect(x, middle, 1, direction * loud * (row.bar / 2));
    }
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Color} color
 * @param {Span} span
 * @param {number} from px
 * @param {number} to px
 * @param {number} y
 * @param {Row} row
 * @param {number} width px
 */
function paintSpan(context, color, span, from, to, y, row, width) {
  const [left, right] = [Math.max(-4, from), Math.min(width + 4, Math.max(to, from + 1.5))];
  context.fillStyle = color(colorOf(span));
  context.beginPath();
  if (right - left > 6) context.roundRect(left, y, right - left - 0.5, row.bar, 4);
  else context.rect(left, y, right - left, row.bar);
  context.fill();
  if (span.label && right - left > READABLE && row.bar > 12) {
    paintText(context, color('surface'), span.label, Math.max(left, 0) + 7, y + row.bar / 2 + 0.5, right - 5);
  }
}

/**
 * How long a user waited, and LiveKit's stages of it.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Color} color
 * @param {Wait} span
 * @param {(time: number) => number} x
 * @param {Row} row
 */
function paintWait(context, color, span, x, row) {
  const { from, to } = span;
  if (to === null) return;
  const isLong = to - from > LIMITS.latency;
  context.fillStyle = color(isLong ? 'bad' : 'line-strong');
  context.fillRect(x(from), row.y + row.bar - 3, Math.max(x(to) - x(from), 1), 3);
  for (const part of span.parts ?? []) {
    context.fillStyle = color(`stage-${part.stage + 1}`);
    const [left, right] = [x(from + part.from), x(from + part.to)];
    context.fillRect(left, row.y, Math.max(right - left, 0.75), row.bar - 4);
  }
  const space = x(to) - x(from);
  const end = x(from + (span.parts?.at(-1)?.to ?? 0));
  if (space > 2 && x(to) + 44 > end) {
    paintText(context, color(isLong ? 'bad' : 'muted'), seconds(to - from), Math.max(x(to), end) + 5, row.y + row.bar / 2, Infinity);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Color} color
 * @param {Span} span
 * @param {number} at px
 * @param {Row} row
 * @param {number} height px: of all lanes.
 */
function paintMark(context, color, span, at, row, height) {
  context.fillStyle = color(colorOf(span));
  const middle = row.y + row.bar / 2;
  if (span.kind === 'end' || span.kind === 'error') {
    context.globalAlpha = 0.45;
    context.fillRect(Math.round(at), RULER, 1, height);
    context.globalAlpha = 1;
  }
  context.beginPath();
  if (span.kind === 'error' || span.kind === 'dropped') context.arc(at, middle, 5, 0, Math.PI * 2);
  else if (span.kind === 'end') context.rect(at - 4, middle - 4, 8, 8);
  else {
    context.moveTo(at, middle - 6);
    context.lineTo(at + 6, middle + 5);
    context.lineTo(at - 6, middle + 5);
  }
  context.fill();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} fill
 * @param {string} text
 * @param {number} left
 * @param {number} y
 * @param {number} right px: longer texts are cut.
 */
function paintText(context, fill, text, left, y, right) {
  // More is never visible, and measuring it takes time.
  let shown = text.slice(0, 300);
  const wide = context.measureText(shown).width;
  const room = right - left;
  if (wide > room) {
    const kept = Math.floor((shown.length * (room - 10)) / wide);
    if (kept < 3) return;
    shown = `${shown.slice(0, kept).replace(/[\ud800-\udbff]$/, '').trimEnd()}…`;
  }
  context.fillStyle = fill;
  context.fillText(shown, left, y);
}

/**
 * The whole session in a strip: users above, agents below, errors across.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} width px
 * @param {number} height px
 * @param {Palette} palette
 * @param {{ layout: Layout, end: number }} scene
 */
export function paintOverview(canvas, width, height, palette, { layout, end }) {
  const context = contextOf(canvas, width, height);
  const { x } = scaleOf({ from: 0, to: Math.max(end, 0.001) }, width);
  const half = height / 2;
  for (const { kind, spans } of layout.rows) {
    if (kind !== 'user' && kind !== 'agent' && kind !== 'marks') continue;
    for (const span of spans.items) {
      if (kind === 'marks' && span.kind !== 'error' && span.kind !== 'interruption') continue;
      context.fillStyle = palette[colorOf(span)] ?? '';
      const wide = Math.max(1, x(span.to ?? end) - x(span.from));
      if (kind === 'marks') context.fillRect(x(span.from) - 0.5, 2, 1.5, height - 4);
      else context.fillRect(x(span.from), kind === 'user' ? 5 : half + 1, wide, half - 6);
    }
  }
}
