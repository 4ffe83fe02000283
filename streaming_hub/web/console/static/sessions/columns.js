/**
 * The columns of the table "Sessions", and how a row shows a session.
 *
 * @module
 */

import { sessionPage } from '../api.js';
import { make, setAttribute } from '../dom.js';
import { NONE, count, dateTime, duration, seconds } from '../format.js';
import { fromFirstMark, markParts } from '../marks.js';

/** @typedef {import('./list.js').Session} Session */
/** @typedef {{ text: string, role: string, at: number, turn_id: string | null }} Match */

/**
 * @typedef {object} Column
 * @property {string} name Its heading, or the accessible name of its sort button.
 * @property {string} kind Its class.
 * @property {string} [sort] The API's name of the order.
 * @property {boolean} [isForOperators]
 * @property {boolean} [isNumber]
 * @property {(session: Session) => string | Node} show
 */

/** @type {readonly Column[]} */
export const COLUMNS = [
  { name: 'Started', kind: 'started', sort: 'started', show: ({ started }) => dateTime(started) },
  { name: 'Session', kind: 'session', show: linkOf },
  { name: 'People', kind: 'people', show: peopleOf },
  { name: 'Agent', kind: 'agent', show: ({ agent }) => agent ?? NONE },
  { name: 'State', kind: 'state', show: stateOf },
  { name: 'Duration', kind: 'duration', sort: 'duration', isNumber: true, show: (one) => duration(one.duration) },
  { name: 'Turns', kind: 'turns', isNumber: true, show: ({ turns }) => count(turns) },
  {
    name: 'Heard latency', kind: 'heard', sort: 'heard_latency', isNumber: true,
    show: ({ heard_latency }) => seconds(heard_latency?.p95),
  },
  {
    name: 'Latency', kind: 'latency', sort: 'latency', isNumber: true, isForOperators: true,
    show: ({ latency }) => seconds(latency?.p95),
  },
  {
    name: 'Interruptions', kind: 'interruptions', sort: 'interruptions', isNumber: true,
    show: ({ interruptions }) => count(interruptions),
  },
  {
    name: 'Failed tools', kind: 'failures', isNumber: true, isForOperators: true,
    show: ({ tool_failures }) => bad(tool_failures),
  },
  { name: 'Errors', kind: 'errors', sort: 'errors', isNumber: true, isForOperators: true, show: ({ errors }) => bad(errors) },
];

/** @param {boolean} isOperator */
export const columnsFor = (isOperator) => COLUMNS.filter(({ isForOperators }) => isOperator || !isForOperators);

/**
 * Make an empty row.
 *
 * @param {readonly Column[]} columns
 */
export function makeRow(columns) {
  const cells = columns.map(({ name, kind, isNumber }) =>
    make('td', { role: 'cell', class: isNumber ? `${kind} number` : kind, 'data-label': name }),
  );
  return make('tr', { role: 'row' }, ...cells);
}

/**
 * Show a session in a row, or a placeholder until it is loaded.
 *
 * @param {HTMLElement} row As `makeRow` made it.
 * @param {readonly Column[]} columns
 * @param {Session | undefined} session
 * @param {string} query The search; empty for none.
 */
export function fillRow(row, columns, session, query) {
  setAttribute(row, 'data-pending', session === undefined);
  for (const [index, { show }] of columns.entries()) {
    const cell = row.children[index];
    if (session) cell?.replaceChildren(show(session));
    else cell?.replaceChildren(...(index === 0 ? [make('span', { class: 'hidden-text' }, 'Loading')] : []));
  }
  const last = row.children[columns.length];
  if (!query || !session) last?.remove();
  else (last ?? row.appendChild(make('td', { role: 'cell', class: 'matches' }))).replaceChildren(matchesOf(session, query));
}

/** @param {Session} session */
function linkOf({ room, session_id: id }) {
  return make(
    'a',
    { href: sessionPage(id, room) },
    make('span', { class: 'said room' }, room ?? 'No room'),
    ' ',
    make('span', { class: 'said id' }, id),
  );
}

/** @param {Session} session */
function peopleOf({ participants }) {
  /** @type {{ identity: string, role: string | null }[]} */
  const all = participants;
  const users = all.filter(({ role }) => role !== 'agent');
  const names = users.map(({ identity }) => identity);
  return names.length ? make('span', { class: 'said', title: names.join(', ') }, names.join(', ')) : NONE;
}

/** @param {Session} session */
function stateOf({ state, reason, incomplete }) {
  const isLive = state === 'live';
  const found = make('span', { class: 'states' }, make('span', { class: 'chip', 'data-tone': isLive ? 'ok' : '' }, isLive ? 'Live' : 'Ended'));
  if (reason) found.append(' ', make('span', { class: 'reason said', title: reason }, String(reason).replaceAll('_', ' ')));
  if (incomplete) found.append(' ', make('span', { class: 'chip', 'data-tone': 'warn', title: 'Some events are missing.' }, 'Incomplete'));
  return found;
}

/** @param {number | null} value */
const bad = (value) => (value ? make('span', { class: 'count-bad' }, count(value)) : count(value));

/**
 * @param {Session} session
 * @param {string} query
 */
function matchesOf(session, query) {
  /** @type {Match[]} */
  const matches = session.matches ?? [];
  const items = matches.map(({ text, role, at }) => {
    const parts = fromFirstMark(markParts(text, query));
    const said = parts.map(({ text: part, isMarked }) => (isMarked ? make('mark', {}, part) : part));
    const from = Math.max(0, Math.floor((at - session.started) * 10) / 10);
    const href = `${sessionPage(session.session_id, session.room)}#t=${from}`;
    const link = make('a', { href, title: text, 'data-role': role }, make('span', { class: 'role' }, role === 'agent' ? 'Agent' : 'User'));
    link.append(' ', make('span', { class: 'said' }, ...said));
    return make('li', {}, link);
  });
  return make('ul', { 'aria-label': 'Matches' }, ...items);
}
