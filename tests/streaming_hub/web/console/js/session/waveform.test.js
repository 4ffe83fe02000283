import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RATE, loudest, peaksOf } from '/console/static/session/waveform.js';

test('a peak is the largest sample of its time, up or down', () => {
  const samples = new Float32Array(3000);
  samples[0] = -0.5;
  samples[1499] = 0.25;
  samples[2999] = 3;
  const peaks = peaksOf(samples, 3000);
  assert.equal(peaks.length, RATE);
  assert.deepEqual([peaks[0], peaks[49], peaks[50], peaks[99]], [0.5, 0.25, 0, 1]);
});

test('the loudest sample of a range counts, however short it is', () => {
  const peaks = Float32Array.of(0, 0.5, 0, 0, 1);
  assert.equal(loudest(peaks, 0, 1), 1);
  assert.equal(loudest(peaks, 0, 0.03), 0.5);
  assert.equal(loudest(peaks, 0.012, 0.0121), 0.5);
  assert.equal(loudest(peaks, 0.03, 0.031), 0);
});

test('before and after the recording it is silent', () => {
  const peaks = Float32Array.of(1);
  assert.equal(loudest(peaks, -2, -1), 0);
  assert.equal(loudest(peaks, 2, 3), 0);
  assert.equal(loudest(peaksOf(new Float32Array(0), 3000), 0, 1), 0);
});
