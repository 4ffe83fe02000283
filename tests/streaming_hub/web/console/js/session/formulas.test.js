import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { figuresOf } from '/console/client/figures.js';
import { FIGURES, asViewer, formatFigure } from '/console/static/session/formulas.js';

const { events } = JSON.parse(readFileSync(new URL('../../../../../vectors/figures/one-turn.json', import.meta.url), 'utf8'));
const { session } = figuresOf(events);
/** Fields that are no figures: who, where, when and why. */
const OTHERS = ['session_id', 'room', 'agent', 'state', 'started', 'ended', 'reason', 'participants', 'usage'];

test('every figure of the API has its formula, and no other has', () => {
  assert.deepEqual(FIGURES.map(({ field }) => field).sort(), Object.keys(session).filter((field) => !OTHERS.includes(field)).sort());
  for (const { formula } of FIGURES) assert.match(formula, /\.$/);
});

test('figures hidden from viewers are null, not 0', () => {
  const seen = asViewer(session);
  assert.equal(seen.tool_calls, null);
  assert.equal(seen.errors, null);
  assert.equal(seen.usage, null);
  assert.equal(seen.latency, null);
  assert.deepEqual(seen.heard_latency, session.heard_latency);
  assert.equal(formatFigure(FIGURES.find(({ field }) => field === 'tool_calls'), seen)[0], '–');
});

test('a long duration is readable and exact', () => {
  const figure = FIGURES.find(({ field }) => field === 'duration');
  assert.equal(formatFigure(figure, { duration: 3725.5 })[0], '1:02:05 (3,725.50 s)');
  assert.equal(formatFigure(figure, { duration: 0.25 })[0], '0.25 s');
});

test('percentiles show their number of turns', () => {
  const figure = FIGURES.find(({ field }) => field === 'heard_latency');
  assert.deepEqual(formatFigure(figure, session), ['p50 1.50 s', 'p90 1.50 s', 'p95 1.50 s', 'p99 1.50 s', 'max 1.50 s', '1 turn']);
});
