/**
 * The elements of one call on the page Live; only what has changed is updated.
 *
 * @module
 */

import { sessionPage } from '../api.js';
import { make, makeSvg, setAttribute, setText } from '../dom.js';
import { ago, count, duration, seconds } from '../format.js';
import { HEIGHT, WIDTH, sparkline } from './sparkline.js';
import { LIMITS } from './trouble.js';

/** @typedef {import('./rows.js').Row} Row */
/** @typedef {import('./rows.js').State} State */

/** @type {Record<State, string>} */
const STATES = {
  both: 'Both speak',
  agent: 'Agent speaks',
  user: 'Caller speaks',
  thinking: 'Thinking',
  listening: 'Listening',
  quiet: 'Quiet',
  ended: 'Ended',
};
/** Characters of an utterance that are shown: its end, the newest words. */
const MOST_TEXT = 400;

/** @param {Row} row */
export function createRow({ room, session }) {
  const text = { dir: 'auto' };
  const people = make('span', { class: 'people', ...text });
  const age = make('span', { class: 'age number' });
  const state = make('span', { class: 'state' });
  const speaker = make('b', { class: 'speaker', ...text });
  const said = make('span', { class: 'said', ...text });
  const earlier = make('span', { class: 'earlier', hidden: true });
  const words = make('p', { class: 'words' }, earlier, make('span', {}, speaker, said));
  const within = makeSvg('path', { class: 'within' });
  const above = makeSvg('path', { class: 'above' });
  const chart = makeSvg('svg', { class: 'spark', role: 'img', viewBox: `0 0 ${WIDTH} ${HEIGHT}` }, within, above);
  const latest = make('span', { class: 'latest number' });
  const latency = make('span', { class: 'latency' }, chart, latest);
  const cuts = make('b');
  const cutsUnit = make('span');
  const interruptions = make('span', { class: 'interruptions number' }, cuts, cutsUnit);
  const trouble = make('ul', { class: 'trouble', 'aria-label': 'Trouble', hidden: true });
  const link = make('a', { class: 'room', href: sessionPage(session, room), ...text }, room || 'No room');
  const element = make(
    'li',
    { class: 'call' },
    make('div', { class: 'who' }, link, people),
    age,
    state,
    trouble,
    words,
    latency,
    interruptions,
  );
  let shownTroubles = '';
  /** @type {readonly number[] | undefined} */
  let shownLatencies;

  /** @param {Row['troubles']} troubles @param {number} now */
  const showTroubles = (troubles, now) => {
    const names = troubles.map(({ name }) => name).join();
    if (names !== shownTroubles) {
      shownTroubles = names;
      trouble.replaceChildren(...troubles.map(({ name, tone }) => make('li', { class: 'chip', 'data-tone': tone }, name)));
      trouble.hidden = !troubles.length;
      setAttribute(element, 'data-tone', troubles[0]?.tone);
    }
    troubles.forEach(({ text, since }, index) => {
      const chip = trouble.children[index];
      if (chip) setAttribute(chip, 'title', [text, ago(now - since)].filter(Boolean).join(', '));
    });
  };

  /** @param {Row['earlier']} lines */
  const showEarlier = (lines) => {
    earlier.hidden = !lines.length;
    while (earlier.children.length > lines.length) earlier.lastElementChild?.remove();
    lines.forEach(({ role, participant, text: before }, index) => {
      const shown = earlier.children[index] ?? earlier.appendChild(make('span', {}, make('b', { class: 'speaker', ...text }), make('span', { class: 'said', ...text })));
      setAttribute(shown, 'data-role', role);
      const [name, spoken] = shown.children;
      if (name) setText(name, participant ?? role ?? '');
      if (spoken) setText(spoken, endOf(before));
    });
  };

  /** @param {readonly number[]} latencies */
  const showLatencies = (latencies) => {
    if (shownLatencies && latencies.join() === shownLatencies.join()) return;
    shownLatencies = latencies;
    const bars = sparkline(latencies, LIMITS.latency, LIMITS.turns);
    within.setAttribute('d', bars.within);
    above.setAttribute('d', bars.above);
    const newest = latencies.at(-1);
    const values = latencies.map(seconds).join(', ');
    setAttribute(chart, 'aria-label', values ? `Heard latency of the last turns: ${values}` : 'No heard latency yet');
    setText(latest, newest === undefined ? '' : seconds(newest));
    setAttribute(latest, 'data-tone', newest !== undefined && newest > LIMITS.latency ? 'bad' : null);
  };

  return {
    element,
    /**
     * @param {Row} row
     * @param {number} now
     */
    show(row, now) {
      const { line } = row;
      setText(people, [...row.callers, ...row.agents].join(', '));
      setText(age, row.started === null ? '' : duration((row.ended ?? now) - row.started));
      setText(state, STATES[row.state]);
      setAttribute(state, 'data-state', row.state);
      setText(speaker, line?.participant ?? line?.role ?? '');
      setText(said, line ? endOf(line.text) : '');
      showEarlier(row.earlier);
      setAttribute(words, 'data-role', line?.role);
      setAttribute(words, 'data-now', line !== null && !line.is_final);
      showLatencies(row.latencies);
      setText(cuts, row.interruptions ? count(row.interruptions) : '');
      setText(cutsUnit, row.interruptions ? ` interruption${row.interruptions === 1 ? '' : 's'}` : '');
      showTroubles(row.troubles, now);
    },
  };
}

/**
 * The end of a text, cut between words and never within a character.
 *
 * @param {string} text
 */
function endOf(text) {
  if (text.length <= MOST_TEXT) return text;
  const end = text.slice(-MOST_TEXT);
  const space = end.search(/\s/u);
  return `…${space >= 0 && space < MOST_TEXT / 2 ? end.slice(space) : [...end].slice(1).join('')}`;
}
