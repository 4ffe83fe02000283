/**
 * The loudness of a recording, for a drawing at any zoom. Pure.
 *
 * @module
 */

/** Values per second. */
export const RATE = 100;

/**
 * The peaks of one channel.
 *
 * @param {Float32Array} samples
 * @param {number} rate Samples per second.
 * @returns {Float32Array} 0 to 1, `RATE` per second.
 */
export function peaksOf(samples, rate) {
  const peaks = new Float32Array(Math.ceil((samples.length * RATE) / rate));
  for (let place = 0; place < samples.length; place++) {
    const at = Math.floor((place * RATE) / rate);
    peaks[at] = Math.max(peaks[at] ?? 0, Math.min(1, Math.abs(samples[place] ?? 0)));
  }
  return peaks;
}

/**
 * The loudest peak of a time.
 *
 * @param {Float32Array} peaks
 * @param {number} from Seconds from the recording's start.
 * @param {number} to
 */
export function loudest(peaks, from, to) {
  const end = Math.min(peaks.length, Math.max(Math.ceil(to * RATE), Math.floor(from * RATE) + 1));
  let found = 0;
  for (let at = Math.max(0, Math.floor(from * RATE)); at < end; at++) found = Math.max(found, peaks[at] ?? 0);
  return found;
}
