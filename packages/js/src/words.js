/**
 * What counts as a word, in any script. The twin of the hub's archive, held to the same vectors.
 *
 * A word is a maximal run of letters, marks, digits and underscores with at least one letter or digit. An apostrophe
 * between letters belongs to it ("don't"), and so does `.` or `,` between digits ("3.5"). In scripts that are written
 * without spaces each letter counts as one word; they are ranges of code points, as in the hub.
 *
 * The hub's console marks the words of a search by `isSpaceless`, `kindOf` and `wordsOf`.
 *
 * @module
 */

const SPACELESS = new RegExp(
  '[' +
    '\\u{e00}-\\u{e7f}\\u{e80}-\\u{eff}' + // Thai, Lao
    '\\u{1000}-\\u{109f}\\u{a9e0}-\\u{a9ff}\\u{aa60}-\\u{aa7f}\\u{116d0}-\\u{116ff}' + // Myanmar
    '\\u{1780}-\\u{17ff}' + // Khmer
    '\\u{3005}-\\u{3007}\\u{3031}-\\u{3035}\\u{303b}-\\u{303c}' + // marks of repetition
    '\\u{3040}-\\u{309f}\\u{30a0}-\\u{30ff}\\u{31f0}-\\u{31ff}\\u{ff66}-\\u{ff9d}\\u{1aff0}-\\u{1b16f}' + // kana
    '\\u{3400}-\\u{4dbf}\\u{4e00}-\\u{9fff}\\u{f900}-\\u{faff}\\u{20000}-\\u{3ffff}' + // Han
    ']',
  'u',
);
const LETTER = /^\p{L}$/u;
const MARK = /^\p{M}$/u;
const DIGIT = /^\p{Nd}$/u;

/** Whether a character belongs to a script that is written without spaces. @param {string} character */
export const isSpaceless = (character) => SPACELESS.test(character);

/**
 * @param {string} character
 * @returns {'spaceless' | 'letter' | 'mark' | 'digit' | '_' | ''}
 */
export function kindOf(character) {
  if (LETTER.test(character)) return isSpaceless(character) ? 'spaceless' : 'letter';
  if (MARK.test(character)) return 'mark';
  if (DIGIT.test(character)) return 'digit';
  return character === '_' ? '_' : '';
}

/**
 * Return where the words of a text begin and end.
 *
 * @param {readonly string[]} characters Its code points.
 * @returns {[start: number, end: number][]} Indices of `characters`; `end` is the one after the last.
 */
export function wordsOf(characters) {
  const kinds = characters.map(kindOf);
  /** @type {[number, number][]} */
  const found = [];
  let start = -1;
  let hasWorth = false;
  /** @param {number} index */
  const end = (index) => {
    if (hasWorth) found.push([start, index]);
    start = -1;
    hasWorth = false;
  };
  for (const [index, character] of characters.entries()) {
    const [before, kind, after] = [kinds[index - 1], kinds[index], kinds[index + 1]];
    const joins =
      /['\u2019]/.test(character)
        ? (before === 'letter' || before === 'mark') && after === 'letter'
        : /[.,]/.test(character) && before === 'digit' && after === 'digit';
    if ((kind && kind !== 'spaceless') || (start >= 0 && joins)) {
      if (start < 0) start = index;
      hasWorth ||= kind === 'letter' || kind === 'digit';
    } else {
      end(index);
      if (kind === 'spaceless') found.push([index, index + 1]);
    }
  }
  end(characters.length);
  return found;
}

/**
 * Return how many words a text has.
 *
 * @param {string} text
 */
export const countWords = (text) => wordsOf([...text]).length;
