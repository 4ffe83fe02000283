/**
 * Plays the session's audio in step with the player, and computes its waveform for the lanes.
 *
 * The file is fetched with the reader's key, which a media element cannot send.
 *
 * @module
 */

import { ask } from '../api.js';
import { byId, setAttribute, setText } from '../dom.js';
import { peaksOf } from './waveform.js';

/** @typedef {{ start: number, user: Float32Array, agent: Float32Array }} Waveform `start`: seconds from the session's. */
/** @typedef {{ path: string, start: number, duration: number }} Recording `start` as above. */

/** Seconds: longer audio is loaded when the reader asks for it, as an hour has 50 MB. */
const AUTOMATIC = 900;
/** Seconds that the sound may differ from the player. */
const TOLERANCE = 0.15;
/** Hz at which the waveform is computed: enough for its peaks, with little memory. */
const COARSE = 3000;

export class Sound {
  /** @type {Waveform | null} */
  waveform = null;
  #audio = new Audio();
  #path = '';
  #start = 0;
  #button = byId('sound');
  #onLoad;
  #onRefused;

  /**
   * @param {() => unknown} onLoad
   * @param {(sentence: string) => unknown} onRefused
   */
  constructor(onLoad, onRefused) {
    this.#onLoad = onLoad;
    this.#onRefused = onRefused;
    this.#button.addEventListener('click', () => {
      if (!this.waveform) return void this.#load();
      this.#audio.muted = !this.#audio.muted;
      setAttribute(this.#button, 'aria-pressed', String(!this.#audio.muted));
    });
  }

  /** Set the session's audio. @param {Recording | null} recording Null if it has none. */
  open(recording) {
    const path = recording?.path ?? '';
    if (path === this.#path) return;
    this.#audio.pause();
    URL.revokeObjectURL(this.#audio.src);
    this.#audio = new Audio();
    this.#path = path;
    this.#start = recording?.start ?? 0;
    this.waveform = null;
    setText(this.#button, 'Load sound');
    setAttribute(this.#button, 'aria-pressed', null);
    this.#button.hidden = !recording;
    if (recording && recording.duration <= AUTOMATIC) void this.#load();
  }

  async #load() {
    const path = this.#path;
    setAttribute(this.#button, 'disabled', true);
    try {
      const file = await (await ask(path)).blob();
      const decoded = await new OfflineAudioContext(1, 1, COARSE).decodeAudioData(await file.arrayBuffer());
      if (path !== this.#path) return;
      this.#audio.src = URL.createObjectURL(file);
      const user = peaksOf(decoded.getChannelData(0), decoded.sampleRate);
      const agent = decoded.numberOfChannels > 1 ? peaksOf(decoded.getChannelData(1), decoded.sampleRate) : user;
      this.waveform = { start: this.#start, user, agent };
      setText(this.#button, 'Sound');
      setAttribute(this.#button, 'aria-pressed', 'true');
      this.#onLoad();
    } catch (error) {
      if (path === this.#path) this.#onRefused(`The sound cannot be loaded: ${error instanceof Error ? error.message : error}`);
    } finally {
      setAttribute(this.#button, 'disabled', false);
    }
  }

  /**
   * Play at the player's position.
   *
   * @param {number} position
   * @param {number} speed 0 while it stands still.
   */
  sync(position, speed) {
    const audio = this.#audio;
    const at = position - this.#start;
    if (!this.waveform || !speed || at < 0 || at >= audio.duration) {
      audio.pause();
      return;
    }
    if (audio.playbackRate !== speed) audio.playbackRate = speed;
    if (Math.abs(audio.currentTime - at) > TOLERANCE * speed) audio.currentTime = at;
    // Browsers may refuse to play before the reader has used the page: the next press of Play starts it.
    if (audio.paused) audio.play().catch(() => {});
  }
}
