/**
 * The lanes on the page: the part of the session that they show, and the pointer.
 *
 * @module
 */

import { dateTime, seconds } from '../format.js';
import { make, setChildren, setText } from '../dom.js';
import { firstView, keepInView, pan, scaleOf, zoom } from './axis.js';
import { layoutOf, rowAt } from './layout.js';
import { KINDS, paintLanes, paintOverview, paletteOf } from './paint.js';
import { formatTenths } from './replay.js';
import { Spans } from './spans.js';
import { waitOf } from './waterfall.js';

/** @typedef {import('./model.js').Model} Model */
/** @typedef {import('./spans.js').Span} Span */

/** px: the height of the strip with the whole session. */
const STRIP = 36;
/** Part of the view per px of the wheel. */
const WHEEL = 1 / 900;

export class Lanes {
  /** @type {import('./axis.js').View | null} */
  #view = null;
  #palette = paletteOf();
  /** @type {Model | null} */
  #model = null;
  #revision = -1;
  #layout = /** @type {import('./layout.js').Layout} */ ({ rows: [], height: 0 });
  #width = 0;
  #end = 0;
  #position = 0;
  #following = false;
  /** Identifies what the strip was last drawn for. */
  #strip = '';
  /** @type {import('./sound.js').Waveform | null} */
  #waveform = null;
  #parts;
  #onSeek;

  /**
   * @param {{ lanes: HTMLCanvasElement, strip: HTMLCanvasElement, labels: HTMLElement, shown: HTMLElement, tip: HTMLElement }} parts
   * @param {(position: number) => void} onSeek
   */
  constructor(parts, onSeek) {
    this.#parts = parts;
    this.#onSeek = onSeek;
    const redraw = () => {
      this.#palette = paletteOf();
      this.#width = 0;
      this.#strip = '';
      this.draw();
    };
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
    new ResizeObserver(redraw).observe(parts.lanes.parentElement ?? parts.lanes);
    this.#listen(parts.lanes);
  }

  /** Show another session. @param {Model} model */
  open(model) {
    this.#model = model;
    this.#revision = -1;
    this.#view = null;
    this.#strip = '';
  }

  /** @param {import('./sound.js').Waveform | null} waveform */
  setWaveform(waveform) {
    if (waveform === this.#waveform) return;
    this.#waveform = waveform;
    this.#revision = -1;
    this.draw();
  }

  /**
   * @param {number} position
   * @param {number} end
   * @param {boolean} following
   */
  move(position, end, following) {
    [this.#position, this.#end, this.#following] = [position, end, following];
    this.#width ||= this.#parts.lanes.clientWidth;
    this.#view = keepInView(this.#view ?? firstView(end, position, this.#width), position, end, following);
    this.draw();
  }

  /** @param {number} factor Below 1 shows less time. */
  zoom(factor) {
    if (this.#view) this.#view = zoom(this.#view, factor, this.#position, this.#end);
    this.draw();
  }

  showAll() {
    this.#view = { from: 0, to: Math.max(this.#end, 2) };
    this.draw();
  }

  draw() {
    if (!this.#model || !this.#view) return;
    const { lanes, strip, shown } = this.#parts;
    this.#width ||= lanes.clientWidth;
    if (this.#revision !== this.#model.timeline.revision) this.#layOut(this.#model);
    const scene = { layout: this.#layout, view: this.#view, end: this.#end, position: this.#position, waveform: this.#waveform };
    paintLanes(lanes, this.#width, this.#palette, scene);
    // A live session's strip is not redrawn in each frame.
    const wide = strip.clientWidth;
    const key = `${this.#revision} ${wide} ${this.#following ? Math.round(this.#end * 2) : this.#end}`;
    if (key !== this.#strip) {
      this.#strip = key;
      paintOverview(strip, wide, STRIP, this.#palette, scene);
    }
    const end = Math.max(this.#end, 0.001);
    const left = Math.min(100, (100 * this.#view.from) / end);
    shown.style.left = `${left}%`;
    shown.style.width = `${Math.min(100 - left, (100 * (this.#view.to - this.#view.from)) / end)}%`;
    shown.hidden = this.#view.to - this.#view.from >= this.#end * 0.98;
  }

  /** @param {Model} model */
  #layOut({ timeline, detail, stages }) {
    this.#revision = timeline.revision;
    const waits = new Spans();
    for (const turn of detail.turns) {
      const wait = waitOf(turn, timeline.started);
      if (wait) waits.add({ ...wait, kind: 'wait', label: '', turn_id: turn.turn_id });
    }
    this.#layout = layoutOf(timeline, waits, { stages, hasSound: this.#waveform !== null });
    const { lanes, labels } = this.#parts;
    const { rows, height } = this.#layout;
    lanes.style.height = labels.style.height = `${height}px`;
    const old = [...labels.children];
    setChildren(labels, rows.map((row, index) => {
      const label = old[index] ?? make('span');
      setText(label, row.label);
      if (label instanceof HTMLElement) {
        label.dataset.kind = row.kind;
        label.style.top = `${row.y + row.height / 2}px`;
      }
      return label;
    }));
  }

  /** @param {HTMLCanvasElement} canvas */
  #listen(canvas) {
    /** @param {PointerEvent} event */
    const timeAt = (event) => this.#view ? scaleOf(this.#view, this.#width).time(event.offsetX) : 0;
    let isDown = false;
    canvas.addEventListener('pointerdown', (event) => {
      if (event.button) return;
      isDown = true;
      canvas.setPointerCapture(event.pointerId);
      this.#onSeek(timeAt(event));
    });
    canvas.addEventListener('pointermove', (event) => {
      if (isDown) this.#onSeek(timeAt(event));
      this.#showTip(event, timeAt(event));
    });
    for (const type of /** @type {const} */ (['pointerup', 'pointercancel'])) {
      canvas.addEventListener(type, () => (isDown = false));
    }
    canvas.addEventListener('pointerleave', () => (this.#parts.tip.hidden = true));
    canvas.addEventListener('wheel', (event) => {
      if (!this.#view) return;
      if (event.ctrlKey || event.metaKey) {
        this.#view = zoom(this.#view, Math.exp(event.deltaY * 0.004), timeAt(/** @type {any} */ (event)), this.#end);
      } else {
        const by = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
        // Without Shift, a wheel scrolls the page.
        if (!by) return;
        this.#view = pan(this.#view, by * WHEEL * (this.#view.to - this.#view.from), this.#end);
      }
      event.preventDefault();
      this.draw();
    }, { passive: false });
  }

  /**
   * Describe what is under the pointer.
   *
   * @param {PointerEvent} event
   * @param {number} time
   */
  #showTip(event, time) {
    const { tip } = this.#parts;
    const row = rowAt(this.#layout, event.offsetY);
    const view = this.#view;
    if (!row || !view) {
      tip.hidden = true;
      return;
    }
    const near = ((view.to - view.from) / this.#width) * (row.kind === 'marks' ? 7 : 2);
    const [first, end] = row.spans.within(time - near, time + near);
    const isStacked = row.kind === 'tools' || row.kind === 'stages';
    const depth = Math.floor((event.offsetY - row.y) / (row.bar + 2));
    const span = row.spans.items.slice(first, end).filter((one) => (one.row ?? 0) === depth || !isStacked).at(-1);
    tip.hidden = !span;
    if (!span) return;
    const [from, to] = [span.from, span.to ?? this.#end];
    const name = KINDS[span.kind]?.[1] ?? row.label;
    const started = this.#model?.timeline.started ?? 0;
    const when = row.kind === 'marks' ? formatTenths(from) : `${formatTenths(from)} – ${formatTenths(to)} · ${seconds(to - from)}`;
    tip.replaceChildren(
      make('strong', {}, isStacked && span.label ? `${name} ${span.label}` : name),
      make('span', { class: 'muted number', title: dateTime(started + from) }, when),
      ...(span.label && !isStacked && row.kind !== 'thinking' ? [make('span', { class: 'said' }, span.label.slice(0, 240))] : []),
    );
    const most = Math.max(0, this.#width - tip.offsetWidth);
    tip.style.left = `${Math.min(most, Math.max(0, event.offsetX + 12))}px`;
    tip.style.top = `${row.y + row.height + 8}px`;
  }
}
