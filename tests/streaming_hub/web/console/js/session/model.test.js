import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

import { figuresOf } from '/console/client/figures.js';
import { Model, eventsOf } from '/console/static/session/model.js';
import { Timeline } from '/console/static/session/timeline.js';

const VECTORS = new URL('../../../../../vectors/figures/', import.meta.url);
const { events } = JSON.parse(readFileSync(new URL('one-turn.json', VECTORS), 'utf8'));
const stored = events.map((event, index) => ({ ...event, id: `e-${index + 1}` }));
const modelOf = (all, known) => {
  const model = new Model(known);
  for (const event of all) model.take(event);
  return model;
};

test('events alone give every figure of every vector', () => {
  for (const name of readdirSync(VECTORS).filter((file) => file.endsWith('.json') && !file.startsWith('words-only'))) {
    const vector = JSON.parse(readFileSync(new URL(name, VECTORS), 'utf8'));
    assert.deepEqual(modelOf(vector.events).detail, vector.expect, name);
  }
});

test('a repeated event is ignored, one of a new history is not', () => {
  const model = modelOf(stored);
  assert.equal(model.take(stored[4]), false);
  assert.deepEqual(model.detail, figuresOf(events));
  assert.equal(model.last, `e-${events.length}`);
  assert.equal(model.take({ ...stored[4], id: 'f-1' }), true);
  assert.equal(model.last, 'f-1');
});

test('events without ids, as in older files, are all processed', () => {
  assert.deepEqual(modelOf(events).detail, figuresOf(events));
});

test('viewers get no operator figures', () => {
  const visible = events.filter(({ type }) => !/^(tool_|turn_metrics|usage|error)/.test(type));
  const { session, turns, tools } = modelOf(visible, { isViewer: true }).detail;
  assert.equal(session.tool_calls, null);
  assert.equal(session.errors, null);
  assert.equal(session.latency, null);
  assert.equal(session.heard_latency.count, 1);
  assert.equal(turns[1].llm_node_ttft, null);
  assert.equal(turns[1].heard_latency, 1.5);
  assert.deepEqual(tools, []);
});

test('what only the archive knows is added to the events\' figures', () => {
  const archived = figuresOf(events.slice(0, -1));
  Object.assign(archived.session, { incomplete: true, missing_events: 3, recorded: true, state: 'ended', ended: 1795430011, reason: 'abandoned' });
  const { session } = modelOf(events.slice(0, -1), { archived }).detail;
  assert.deepEqual([session.incomplete, session.missing_events, session.state, session.reason], [true, 3, 'ended', 'abandoned']);
});

test('the archive\'s tables alone give a timeline', () => {
  const archived = figuresOf(events);
  const timeline = new Timeline();
  for (const event of eventsOf(archived)) timeline.take(event);
  const real = new Timeline();
  for (const event of events) real.take(event);
  const talk = (one) => one.lanes.filter(({ kind }) => kind !== 'tools').map(({ kind, spans }) => [kind, spans.items.map(({ from, to }) => [from, to])]);
  assert.deepEqual(talk(timeline), talk(real));
  assert.deepEqual(timeline.lines.items.map(({ versions }) => versions.at(-1).text), real.lines.items.map(({ versions }) => versions.at(-1).text));
  assert.equal(timeline.length, real.length);
  const model = new Model({ archived });
  model.takeArchived();
  assert.deepEqual(model.detail, archived);
  assert.equal(model.isLive, false);
});
