/**
 * What is kept of the rooms' events, so that their present state can be read at any time.
 *
 * The twin of the hub's own room state, fact for fact: for each key of a family the newest event's value, and the
 * places of the last transcript events, which give the order of the lines. Plain JSON throughout, so a conversation
 * can be stored, sent and cloned. Facts are ordered by arrival (`n`), which also holds across a new history's numbers.
 *
 * @module
 */

/** @typedef {import('./types.js').HubEvent} HubEvent */
/** @typedef {import('./types.js').RoomState} RoomState */
/** @typedef {[key: string, n: number, value: any]} Fact */
/**
 * @typedef {object} View What is known of one room.
 * @property {string} epoch The history that `seq` belongs to.
 * @property {number} seq Sequence number of its newest event.
 * @property {number | null} updated That event's timestamp.
 * @property {boolean} viewer Whether tools are hidden from this reader.
 * @property {[n: number[], key: string[]]} order Transcript events, oldest first.
 * @property {Record<string, Fact[]>} families Oldest first.
 */
/**
 * @typedef {object} Facts
 * @property {string} epoch The history that the numbers belong to.
 * @property {number} head The highest sequence number seen.
 * @property {number} as_of Where the newest snapshot stands; it includes all events up to there.
 * @property {number} n Counts what has been taken in.
 * @property {Readonly<Record<string, View>>} rooms
 */

const SEGMENTS = 50;
const ORDER = 1000;
const PEOPLE = 200;
const SESSIONS = 20;
const TOOLS = 10;

/**
 * The field if it is a string that is not empty: events may carry any value in any field.
 *
 * @param {HubEvent} event
 * @param {string} field
 * @returns {string | null}
 */
export const textOf = (event, field) => {
  const value = event[field];
  return typeof value === 'string' && value !== '' ? value : null;
};

/**
 * @param {HubEvent} event
 * @param {string} field
 * @returns {number | null}
 */
const numberOf = (event, field) => (typeof event[field] === 'number' ? event[field] : null);

/**
 * A family's key.
 *
 * @param {...(string | number | null)} parts
 */
export const keyOf = (...parts) => JSON.stringify(parts);

/** @returns {View} */
const newView = () => ({ epoch: '', seq: 0, updated: null, viewer: false, order: [[], []], families: {} });

/**
 * Copy a view as far as `apply` changes it: families are replaced, never changed.
 *
 * @param {View | undefined} view
 * @returns {View}
 */
export const copyView = (view) => (view ? { ...view, families: { ...view.families } } : newView());

/**
 * @param {View} view
 * @param {string} family
 * @param {string} key
 * @param {number} n
 * @param {any} value
 * @param {number} size
 */
const put = (view, family, key, n, value, size) => {
  const kept = (view.families[family] ?? []).filter((fact) => fact[0] !== key);
  kept.push([key, n, value]);
  if (kept.length > size) kept.shift();
  view.families[family] = kept;
};

/**
 * @typedef {object} Taken One event with the fields that most rules need.
 * @property {View} view
 * @property {HubEvent} event
 * @property {number} n
 * @property {string | null} session
 * @property {string | null} who
 * @property {string | null} role
 */

/**
 * @param {Taken} taken
 * @param {boolean} ends
 */
const takeTurn = ({ view, event, n, session }, ends) => {
  const turn = textOf(event, 'turn_id');
  if (turn === null) return;
  if (ends) put(view, 'turn_end', keyOf(session, turn), n, null, SESSIONS);
  else put(view, 'turn', '', n, [session, turn], 1);
};

/** @param {Taken} taken */
const takeTranscript = (taken) => {
  const { view, event, n, session, who, role } = taken;
  const segment = textOf(event, 'segment_id');
  const key = segment === null ? keyOf(n) : keyOf(session, who, segment);
  const line = {
    segment_id: segment,
    role,
    participant: who,
    text: textOf(event, 'text') ?? '',
    is_final: event.is_final !== false,
    interrupted: event.interrupted === true,
    turn_id: textOf(event, 'turn_id'),
    session_id: session,
    timestamp: numberOf(event, 'timestamp'),
  };
  put(view, 'segment', key, n, line, SEGMENTS);
  const [numbers, keys] = view.order;
  const from = numbers.length < ORDER ? 0 : 1;
  view.order = [[...numbers.slice(from), n], [...keys.slice(from), key]];
  takeTurn(taken, role === 'agent' && line.is_final);
};

/**
 * @param {'agent' | 'user'} role
 * @param {boolean} speaks
 * @returns {(taken: Taken) => void}
 */
const speech = (role, speaks) => (taken) => {
  const { view, n, session, who } = taken;
  unguess(view, 'voice', ({ 0: of, 2: by }) => of === role && (who === null || by === who));
  put(view, 'voice', keyOf(role, session, who), n, speaks, PEOPLE);
  takeTurn(taken, role === 'agent' && !speaks);
};

/**
 * @param {'agent_state' | 'user_state'} family
 * @returns {(taken: Taken) => void}
 */
const state = (family) => ({ view, event, n, session }) => {
  unguess(view, family, () => true);
  put(view, family, keyOf(session), n, textOf(event, 'state'), SESSIONS);
};

/**
 * @param {boolean} joined
 * @returns {(taken: Taken) => void}
 */
const member = (joined) => ({ view, n, who }) => {
  if (who !== null) put(view, 'member', keyOf(who), n, joined, PEOPLE);
};

/**
 * @param {'tool' | 'tool_end'} family
 * @param {...string} fields
 * @returns {(taken: Taken) => void}
 */
const tool = (family, ...fields) => ({ view, event, n, session }) => {
  view.viewer = false;
  const call = textOf(event, 'call_id');
  if (call === null) return;
  const known = fields.filter((field) => Object.hasOwn(event, field));
  put(view, family, keyOf(session, call), n, Object.fromEntries(known.map((field) => [field, event[field]])), TOOLS);
};

/** @type {Map<string, (taken: Taken) => void>} */
const RULES = new Map([
  ['transcript', takeTranscript],
  ['agent_speech_started', speech('agent', true)],
  ['agent_speech_finished', speech('agent', false)],
  ['user_speech_started', speech('user', true)],
  ['user_speech_finished', speech('user', false)],
  ['agent_state', state('agent_state')],
  ['user_state', state('user_state')],
  [
    'session_started',
    ({ view, event, n, session }) => {
      if (session !== null) put(view, 'started', keyOf(session), n, numberOf(event, 'timestamp'), SESSIONS);
    },
  ],
  [
    'session_ended',
    ({ view, event, n, session }) =>
      put(view, 'ended', keyOf(session), n, [numberOf(event, 'timestamp'), textOf(event, 'reason')], SESSIONS),
  ],
  ['participant_joined', member(true)],
  ['participant_left', member(false)],
  ['room_finished', ({ view, n }) => put(view, 'finished', '', n, null, 1)],
  ['tool_call_started', tool('tool', 'name', 'arguments', 'turn_id', 'timestamp')],
  ['tool_call_finished', tool('tool_end', 'name', 'turn_id', 'status', 'output', 'duration', 'timestamp')],
]);

/**
 * Take in one event.
 *
 * @param {View} view A copy that may be changed.
 * @param {HubEvent} event
 * @param {number} n
 */
export function apply(view, event, n) {
  view.updated = numberOf(event, 'timestamp') ?? view.updated;
  const type = textOf(event, 'type') ?? '';
  const session = textOf(event, 'session_id');
  const who = textOf(event, 'participant');
  // Whose voice or state it is, where the event does not say so itself.
  const role = textOf(event, 'role') ?? /^(agent|user)_(?:speech_(?:started|finished)|state)$/.exec(type)?.[1] ?? null;
  if (session !== null) put(view, 'session', keyOf(session), n, null, SESSIONS);
  if (who !== null && type !== 'participant_joined' && type !== 'participant_left') {
    put(view, 'mention', keyOf(who), n, session, PEOPLE);
  }
  if (who !== null && role !== null) put(view, 'role', keyOf(who), n, role, PEOPLE);
  RULES.get(type)?.({ view, event, n, session, who, role });
}

/**
 * Facts that give a room's state again, to go on from a snapshot.
 *
 * A state does not say in which session somebody speaks or which one an agent's state belongs to. These are taken to
 * be of the open session, and yield to the first event that knows better (`unguess`).
 *
 * @param {RoomState} room
 * @param {string} epoch
 * @param {number} n Orders the facts; those before it are older than all that is open.
 * @returns {View}
 */
export function viewOf(room, epoch, n) {
  const view = newView();
  view.epoch = epoch;
  view.seq = room.last_seq;
  view.updated = room.updated;
  view.viewer = !room.tools;
  let earlier = n - 1;
  const before = () => (earlier += 1 / 1024);
  const open = room.sessions.filter((session) => session.ended === undefined).at(-1);
  const session = room.turn ? room.turn.session_id : (open?.session_id ?? null);
  for (const line of room.transcript) {
    const at = before();
    const key = line.segment_id === null ? keyOf(at) : keyOf(line.session_id, line.participant, line.segment_id);
    put(view, 'segment', key, at, line, SEGMENTS);
    view.order[0].push(at);
    view.order[1].push(key);
  }
  for (const { session_id: id, started, ended, reason } of room.sessions) {
    const at = before();
    put(view, 'session', keyOf(id), at, null, SESSIONS);
    if (started !== null) put(view, 'started', keyOf(id), at, started, SESSIONS);
    if (ended !== undefined) put(view, 'ended', keyOf(id), before(), [ended, reason ?? null], SESSIONS);
  }
  for (const call of room.tools ?? []) {
    const key = keyOf(call.session_id, call.call_id);
    const { name, arguments: given, turn_id, started: timestamp, status, output, duration, finished } = call;
    const running = status === 'running' && finished === null;
    put(view, 'tool', key, before(), { name, arguments: given, turn_id, timestamp }, TOOLS);
    if (!running) put(view, 'tool_end', key, n, { status, output, duration, timestamp: finished }, TOOLS);
  }
  for (const { identity, role } of room.participants) {
    put(view, 'mention', keyOf(identity), n, session, PEOPLE);
    if (role !== null) put(view, 'role', keyOf(identity), n, role, PEOPLE);
  }
  for (const voice of room.speaking) {
    const person = room.participants.find(({ identity }) => identity === voice);
    const role = person?.role ?? (voice === 'agent' ? 'agent' : 'user');
    const named = person || (voice !== 'agent' && voice !== 'user') ? voice : null;
    guess(view, 'voice', keyOf(role, session, named), n, true, PEOPLE);
  }
  for (const family of /** @type {const} */ (['agent_state', 'user_state'])) {
    if (room[family] !== null) guess(view, family, keyOf(session), n, room[family], SESSIONS);
  }
  if (room.turn) put(view, 'turn', '', n, [room.turn.session_id, room.turn.turn_id], 1);
  return view;
}

/**
 * @param {View} view
 * @param {string} family
 * @param {string} key
 * @param {number} n
 * @param {any} value
 * @param {number} size
 */
const guess = (view, family, key, n, value, size) => {
  put(view, family, key, n, value, size);
  put(view, 'guess', keyOf(family, key), n, null, 2 * PEOPLE);
};

/**
 * Drop a family's guessed facts that a newer event replaces, whatever session it names.
 *
 * @param {View} view
 * @param {string} family
 * @param {(parts: any[]) => boolean} isReplaced Judges a fact by the parts of its key.
 */
const unguess = (view, family, isReplaced) => {
  for (const [guessed] of view.families.guess ?? []) {
    const [of, key] = JSON.parse(guessed);
    if (of !== family || !isReplaced(JSON.parse(key))) continue;
    view.families[family] = (view.families[family] ?? []).filter((fact) => fact[0] !== key);
    view.families.guess = (view.families.guess ?? []).filter((fact) => fact[0] !== guessed);
  }
};
