import assert from 'node:assert/strict';
import { test } from 'node:test';

import { extentOf, partsOf, scaleOf, waitOf } from '/console/static/session/waterfall.js';

const turn = (fields) => ({
  transcription_delay: null, end_of_turn_delay: null, llm_node_ttft: null, tts_node_ttfb: null, playback_latency: null,
  e2e_latency: null, heard_latency: null, agent_started: null, ...fields,
});
const rounded = (parts) => parts.map(({ stage, from, to }) => [stage, Number(from.toFixed(3)), Number(to.toFixed(3))]);

test('the end of turn is what remains after the transcription', () => {
  const parts = partsOf(turn({ transcription_delay: 0.25, end_of_turn_delay: 0.5, llm_node_ttft: 0.3, tts_node_ttfb: 0.2, playback_latency: 0.05 }));
  assert.deepEqual(rounded(parts), [[0, 0, 0.25], [1, 0.25, 0.5], [2, 0.5, 0.8], [3, 0.8, 1], [4, 1, 1.05]]);
});

test('a transcription after the end of turn leaves nothing of it', () => {
  assert.deepEqual(rounded(partsOf(turn({ transcription_delay: 0.6, end_of_turn_delay: 0.5, llm_node_ttft: 0.1 }))),
    [[0, 0, 0.6], [2, 0.6, 0.7]]);
});

test('missing, negative and non-numeric values take no space', () => {
  assert.deepEqual(partsOf(turn({})), []);
  assert.deepEqual(rounded(partsOf(turn({ transcription_delay: -1, llm_node_ttft: 'x', tts_node_ttfb: 0.5 }))), [[3, 0, 0.5]]);
  assert.equal(extentOf(turn({})), 0);
});

test('all turns share a scale, which a single slow one does not spoil', () => {
  assert.equal(scaleOf([]), 1);
  assert.equal(scaleOf([turn({})]), 1);
  assert.equal(scaleOf([turn({ heard_latency: 1.5 }), turn({ e2e_latency: 2 })]), 2);
  const many = Array.from({ length: 99 }, () => turn({ heard_latency: 1 }));
  assert.equal(scaleOf([...many, turn({ heard_latency: 60 })]), 2);
});

test('a wait ends with the agent’s first sound', () => {
  assert.deepEqual(waitOf(turn({ agent_started: 110, heard_latency: 1.5 }), 100), { from: 8.5, to: 10, parts: [] });
  assert.equal(waitOf(turn({ agent_started: 110 }), 100), null);
});
