/**
 * The session's clock on the page: its controls, its keys and its position in the address.
 *
 * @module
 */

import { byId, setAttribute, setText } from '../dom.js';
import { duration } from '../format.js';
import * as replay from './replay.js';

/**
 * @typedef {object} Moment
 * @property {number} position Seconds from the start.
 * @property {number} end
 * @property {boolean} isReplay Whether the reader has set the clock; else no line is "later".
 * @property {boolean} isFollowing Whether it stays at a live session's end.
 * @property {number} speed Seconds of the session per second; 0 while it is paused or follows.
 */

/** ms after a seek until the address has the position. */
const SETTLED = 200;
/** ms between drawings of a live session in which nothing happens. */
const LIVE = 100;

export class Player {
  #clock = replay.createClock();
  #isReplay = false;
  /** @type {() => number} The session's length so far. */
  #end = () => 0;
  #isLive = false;
  #drawn = 0;
  #isQueued = false;
  #timer = 0;
  #onMove;
  #onCommand;

  /**
   * @param {(moment: Moment) => void} onMove
   * @param {(command: { do: 'turn', by: 1 | -1 } | { do: 'zoom', by: number }, position: number) => void} onCommand
   */
  constructor(onMove, onCommand) {
    this.#onMove = onMove;
    this.#onCommand = onCommand;
    byId('play').addEventListener('click', () => this.#toggle());
    byId('to-live').addEventListener('click', () => this.#follow());
    const slider = byId('position', HTMLInputElement);
    slider.addEventListener('input', () => this.seek(Number(slider.value)));
    const speed = byId('speed', HTMLSelectElement);
    speed.addEventListener('change', () => {
      this.#clock = replay.setSpeed(this.#clock, Number(speed.value), performance.now(), this.#end());
    });
    document.addEventListener('keydown', (event) => this.#press(event));
    window.addEventListener('hashchange', () => {
      const position = replay.parseHash(location.hash);
      if (position !== null) this.seek(position);
    });
  }

  /**
   * Start with another session.
   *
   * @param {() => number} end
   * @param {boolean} isLive
   */
  begin(end, isLive) {
    this.#end = end;
    const position = replay.parseHash(location.hash);
    const speed = Number(byId('speed', HTMLSelectElement).value) || 1;
    this.#clock = { ...replay.createClock(), speed };
    this.#isReplay = position !== null;
    this.setLive(isLive);
    if (position !== null) this.#clock = replay.seek(this.#clock, position, performance.now(), end());
    else if (isLive) this.#clock = replay.follow(this.#clock);
    this.draw();
  }

  /** @param {boolean} isLive */
  setLive(isLive) {
    this.#isLive = isLive;
    if (isLive || !this.#clock.following) return;
    // The session ended while it was followed: the clock stays there, and no line is "later".
    this.#clock = replay.pause(this.#clock, performance.now(), this.#end());
    this.#isReplay = false;
  }

  get #position() {
    return replay.positionAt(this.#clock, performance.now(), this.#end());
  }

  #toggle() {
    const { playing, following } = this.#clock;
    const change = playing || following ? replay.pause : replay.play;
    this.#clock = change(this.#clock, performance.now(), this.#end());
    this.#isReplay = true;
    if (!this.#clock.playing) this.#writeHash();
    this.draw();
  }

  #follow() {
    if (!this.#isLive) return;
    this.#clock = replay.follow(this.#clock);
    this.#isReplay = false;
    this.draw();
  }

  /** @param {number} position */
  seek(position) {
    this.#clock = replay.seek(this.#clock, position, performance.now(), this.#end());
    this.#isReplay = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#writeHash(), SETTLED);
    this.draw();
  }

  /** Draw now, and again while time passes. */
  draw() {
    const now = performance.now();
    this.#drawn = now;
    const end = this.#end();
    const position = replay.positionAt(this.#clock, now, end);
    if (this.#clock.playing && position >= end && !this.#isLive) {
      this.#clock = replay.pause(this.#clock, now, end);
      this.#writeHash();
    }
    const { following: isFollowing, playing, speed } = this.#clock;
    this.#show(position, end);
    this.#onMove({ position, end, isReplay: this.#isReplay, isFollowing, speed: playing ? speed : 0 });
    this.#queue();
  }

  #queue() {
    if (this.#isQueued || !(this.#clock.playing || this.#isLive)) return;
    this.#isQueued = true;
    requestAnimationFrame(() => {
      this.#isQueued = false;
      if (this.#clock.playing || performance.now() - this.#drawn >= LIVE) this.draw();
      else this.#queue();
    });
  }

  /**
   * @param {number} position
   * @param {number} end
   */
  #show(position, end) {
    const { playing, following } = this.#clock;
    const button = byId('play');
    const isRunning = playing || following;
    setText(byId('play-text'), isRunning ? 'Pause' : 'Play');
    setAttribute(button, 'data-running', isRunning);
    setText(byId('clock'), replay.formatTenths(position));
    setText(byId('length'), duration(end));
    const slider = byId('position', HTMLInputElement);
    const most = String(Math.round(end * 1000) / 1000);
    if (slider.max !== most) slider.max = most;
    slider.value = String(Math.round(position * 1000) / 1000);
    setAttribute(slider, 'aria-valuetext', `${replay.speakPosition(position)} of ${replay.speakPosition(end)}`);
    const live = byId('to-live');
    live.hidden = !this.#isLive;
    setAttribute(live, 'aria-pressed', String(following));
  }

  #writeHash() {
    clearTimeout(this.#timer);
    history.replaceState(history.state, '', replay.formatHash(this.#position));
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const { target } = event;
    if (!(target instanceof Element) || event.defaultPrevented || byId('session').hidden) return;
    const isInPlayer = byId('timeline').contains(target);
    const isSlider = target.id === 'position';
    // Controls keep their own keys, and single characters act only within the timeline.
    if (target.matches('input, select, textarea, [contenteditable]') && !isSlider) return;
    if (target.matches('button, a, summary') && [' ', 'Enter'].includes(event.key)) return;
    if (!isInPlayer && ![' ', 'ArrowLeft', 'ArrowRight'].includes(event.key)) return;
    if (!isInPlayer && target.closest('.scroll') && event.key !== ' ') return;
    const command = replay.commandOf(event, this.#position, this.#end());
    if (!command) return;
    event.preventDefault();
    if (command.do === 'toggle') this.#toggle();
    else if (command.do === 'seek') this.seek(command.position);
    else if (command.do === 'follow') this.#follow();
    else this.#onCommand(command, this.#position);
  }
}
