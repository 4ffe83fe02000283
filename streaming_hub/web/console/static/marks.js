/**
 * Finds the words of a search in a text, by the archive's rules. Pure.
 *
 * Whole words match, in upper or lower case; in scripts without spaces any part matches. The twin of the hub's
 * `archive/spoken.py`: both pass `tests/vectors/search`.
 *
 * @module
 */

import { isSpaceless, kindOf, wordsOf } from '/console/client/words.js';

/** @typedef {{ text: string, isMarked: boolean }} Part */

/** A character with its combining marks, or a run of Hangul letters: what normalisation may compose into one. */
const CLUSTERS = /[\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]+\p{M}*|\p{M}+|[^\p{M}]\p{M}*/gsu;
/** Characters of the shown text before the first mark, where the text is cut. */
const BEFORE = 24;

/**
 * Split a text at its marks.
 *
 * @param {string} text
 * @param {string} query The search as typed.
 * @returns {Part[]} All parts joined are the text.
 */
export function markParts(text, query) {
  /** @type {Part[]} */
  const parts = [];
  let at = 0;
  for (const [start, end] of marksIn(text, query)) {
    if (start > at) parts.push({ text: text.slice(at, start), isMarked: false });
    parts.push({ text: text.slice(start, end), isMarked: true });
    at = end;
  }
  if (at < text.length) parts.push({ text: text.slice(at), isMarked: false });
  return parts;
}

/**
 * Shorten a long text's beginning so that its first mark is visible.
 *
 * @param {readonly Part[]} parts As `markParts` gives them.
 * @returns {Part[]} The same if the first mark is near the start.
 */
export function fromFirstMark(parts) {
  const [first, second, ...rest] = parts;
  if (!first || first.isMarked || !second || first.text.length <= 2 * BEFORE) return [...parts];
  const characters = [...first.text];
  const cut = characters.slice(-BEFORE).join('');
  // At a space if there is one: half a word reads like another word.
  const tail = cut.includes(' ') ? cut.slice(cut.indexOf(' ') + 1) : cut;
  return [{ text: `… ${tail}`, isMarked: false }, second, ...rest];
}

/**
 * Where the marks are, in order; adjacent ones are joined.
 *
 * @param {string} text
 * @param {string} query
 * @returns {[start: number, end: number][]} In UTF-16 units, as `slice` counts.
 */
function marksIn(text, query) {
  const asked = piecesOf(fold(query).map(({ character }) => character));
  const words = new Set(asked.filter((one) => !one.isRun).map(({ text: word }) => word));
  const runs = asked.filter(({ isRun }) => isRun).map(({ text: run }) => [...run]);
  const folded = fold(text);
  const characters = folded.map(({ character }) => character);
  /** @type {[number, number][]} */
  const found = [];
  for (const piece of piecesOf(characters)) {
    if (!piece.isRun) {
      if (words.has(piece.text)) found.push([piece.start, piece.end]);
      continue;
    }
    for (const run of runs) found.push(...placesOf(run, characters, piece.start, piece.end));
  }
  return joined(found.map(([start, end]) => [folded[start]?.start ?? 0, folded[end - 1]?.end ?? 0]));
}

/**
 * Every place of `run` in `characters` between two indices.
 *
 * @param {readonly string[]} run
 * @param {readonly string[]} characters
 * @param {number} first
 * @param {number} end
 * @returns {[number, number][]}
 */
function placesOf(run, characters, first, end) {
  /** @type {[number, number][]} */
  const found = [];
  for (let at = first; at + run.length <= end; at++) {
    if (run.every((character, index) => characters[at + index] === character)) found.push([at, at + run.length]);
  }
  return found;
}

/**
 * Words, and runs of scripts without spaces.
 *
 * @param {readonly string[]} characters Folded code points.
 * @returns {{ text: string, start: number, end: number, isRun: boolean }[]}
 */
export function piecesOf(characters) {
  /** @type {ReturnType<typeof piecesOf>} */
  const found = [];
  let start = 0;
  let isRun = false;
  /** @param {number} end */
  const close = (end) => {
    const piece = characters.slice(start, end);
    const places = isRun ? [[0, piece.length]] : wordsOf(piece);
    for (const [from = 0, to = 0] of end > start ? places : []) {
      found.push({ text: piece.slice(from, to).join(''), start: start + from, end: start + to, isRun });
    }
    start = end;
  };
  for (const [index, character] of characters.entries()) {
    const kind = kindOf(character);
    /** @type {boolean} */
    const belongs = kind === 'spaceless' || (kind === 'mark' && isRun && isSpaceless(character));
    if (belongs === isRun) continue;
    close(index);
    isRun = belongs;
  }
  close(characters.length);
  return found;
}

/**
 * A text's characters as they are compared, each with its place in the text.
 *
 * @param {string} text
 * @returns {{ character: string, start: number, end: number }[]}
 */
export function fold(text) {
  /** @type {ReturnType<typeof fold>} */
  const found = [];
  for (const { 0: cluster, index } of text.matchAll(CLUSTERS)) {
    const place = { start: index, end: index + cluster.length };
    const lower = [...cluster.normalize('NFC')].map(caseless).join('').normalize('NFC').replaceAll('\u2019', "'");
    for (const character of lower) found.push({ character, ...place });
  }
  return found;
}

/** Unicode's case folding of one character, which no browser offers. @param {string} character */
function caseless(character) {
  // The one small letter whose capital is another's; and Cherokee, which folds to its capitals.
  if (character === '\u0131') return character;
  if (/[\u13a0-\u13fd\uab70-\uabbf]/.test(character)) return character.toUpperCase();
  return character.toUpperCase().toLowerCase().replaceAll('\u03c2', '\u03c3');
}

/** @param {[number, number][]} places */
function joined(places) {
  /** @type {[number, number][]} */
  const found = [];
  for (const [start, end] of places.sort(([one], [other]) => one - other)) {
    const last = found.at(-1);
    if (last && start <= last[1]) last[1] = Math.max(last[1], end);
    else found.push([start, end]);
  }
  return found;
}
