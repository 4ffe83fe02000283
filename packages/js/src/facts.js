/**
 * The facts remembered from the rooms' events, from which their current state can be read at any time.
 *
 * Mirrors the hub's own room state, fact for fact: for each key of a family the newest event's value, and the
 * positions of the last transcript events, for the order of the lines. Plain JSON throughout, so a conversation
 * can be stored, sent and cloned. Facts are ordered by arrival (`n`), which also holds across a new history's numbers.
 *
 * @module
 */

/** @typedef {import('./types.js').HubEvent} HubEvent */
/** @typedef {import('./types.js').RoomState} RoomState */
/** @typedef {[key: string, n: number, value: any]} Fact */
/**
 * @typedef {object} View What is known about one room.
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
 * @property {number} as_of The position of the newest snapshot.
 * @property {number} n Number of events processed.
 * @property {Readonly<Record<string, View>>} rooms
 */

/** Maximum entries of a family. Families kept by session have 20. */
const SIZES = /** @type {Record<string, number>} */ ({
  segment: 50,
  tool: 10,
  tool_end: 10,
  mention: 200,
  role: 200,
  member: 200,
  voice: 200,
  finished: 1,
});
/** Number of transcript events whose position is remembered. */
const ORDER = 1000;

/**
 * The field if it is a non-empty string; null otherwise, because events may carry any value in any field.
 *
 * @param {HubEvent} event
 * @param {string} field
 * @returns {string | null}
 */
export const textOf = (event, field) => {
  const value = event[field];
  return typeof value === 'string' && value ? value : null;
};

/**
 * A family's key.
 *
 * @param {...(string | number | null)} parts
 */
export const keyOf = (...parts) => JSON.stringify(parts);

/**
 * Copy a view as far as `apply` changes it: families are replaced, never changed.
 *
 * @param {View} [view]
 * @returns {View}
 */
export const copyView = (view) => ({
  ...(view ?? { epoch: '', seq: 0, updated: null, viewer: false, order: [[], []] }),
  families: { ...view?.families },
});

/**
 * @param {View} view
 * @param {string} family
 * @param {string} key
 * @param {number} n
 * @param {any} [value]
 */
const put = ({ families }, family, key, n, value = null) => {
  /** @type {Fact[]} */
  const kept = [...(families[family] ?? []).filter((fact) => fact[0] !== key), [key, n, value]];
  families[family] = kept.slice(-(SIZES[family] ?? 20));
};

/**
 * Apply one event.
 *
 * @param {View} view A copy that may be changed.
 * @param {HubEvent} event
 * @param {number} n
 */
export function apply(view, event, n) {
  /** @param {string} field */
  const text = (field) => textOf(event, field);
  const at = typeof event.timestamp === 'number' ? event.timestamp : null;
  const type = text('type') ?? '';
  const session = text('session_id');
  const who = text('participant');
  const [, voice, what] = /^(agent|user)_(speech_started|speech_finished|state)$/.exec(type) ?? [];
  // Whose voice or state it is, if the event does not say.
  const role = text('role') ?? voice ?? null;
  const call = text('call_id');

  /**
   * @param {string} family
   * @param {string} key
   * @param {any} [value]
   */
  const note = (family, key, value) => put(view, family, key, n, value);

  /**
   * Note that a turn starts or continues (`turn_start`), that the user has said words of it, or that it ends.
   *
   * @param {'turn_start' | 'turn_words' | 'turn_end'} family
   */
  const noteTurn = (family) => {
    const turn = text('turn_id');
    if (turn !== null) note(family, keyOf(session, turn));
  };

  /**
   * @param {string} family
   * @param {string[]} fields
   */
  const noteTool = (family, fields) => {
    view.viewer = false;
    const known = fields.filter((field) => Object.hasOwn(event, field)).map((field) => [field, event[field]]);
    if (call !== null) note(family, keyOf(session, call), Object.fromEntries(known));
  };

  view.updated = at ?? view.updated;
  // A report is about its session, but not part of it.
  if (session !== null && type !== 'session_report') note('session', keyOf(session), at);
  if (who !== null) {
    if (type === 'participant_joined' || type === 'participant_left') note('member', keyOf(who), type.endsWith('joined'));
    else note('mention', keyOf(who), session);
    if (role !== null) note('role', keyOf(who), role);
  }
  if (type === 'transcript') {
    const segment = text('segment_id');
    const made = segment === null ? keyOf(n) : keyOf(session, who, segment);
    // Reuse the known string: `order` holds a thousand references to a few lines.
    const key = view.families.segment?.find(([known]) => known === made)?.[0] ?? made;
    const is_final = event.is_final !== false;
    note('segment', key, {
      segment_id: segment,
      role,
      participant: who,
      text: text('text') ?? '',
      is_final,
      interrupted: event.interrupted === true,
      turn_id: text('turn_id'),
      session_id: session,
      timestamp: at,
    });
    const [numbers, keys] = view.order;
    view.order = [[...numbers, n].slice(-ORDER), [...keys, key].slice(-ORDER)];
    // The user's words may be late: a realtime model answers before it has transcribed the question.
    noteTurn(role !== 'agent' ? 'turn_words' : is_final ? 'turn_end' : 'turn_start');
  } else if (what === 'state') {
    forgetGuesses(view, type);
    note(type, keyOf(session), text('state'));
  } else if (voice) {
    const speaks = what === 'speech_started';
    forgetGuesses(view, 'voice', voice, who);
    note('voice', keyOf(voice, session, who), speaks);
    if (speaks || voice === 'agent') noteTurn(speaks ? 'turn_start' : 'turn_end');
  } else if (type === 'session_started') {
    if (session !== null) note('started', keyOf(session), at);
  } else if (type === 'session_ended') note('ended', keyOf(session), [at, text('reason')]);
  else if (type === 'room_finished') note('finished', '');
  else if (type === 'tool_call_started') noteTool('tool', ['name', 'arguments', 'turn_id', 'timestamp']);
  else if (type === 'tool_call_finished') {
    noteTool('tool_end', ['name', 'turn_id', 'status', 'output', 'duration', 'timestamp']);
  }
}

/**
 * Return facts that reproduce a room's state, so that events after a snapshot can be applied to it.
 *
 * A state does not say which session a speaker or an agent's state belongs to. Both are assumed to belong to the open
 * session, until an event says otherwise (`forgetGuesses`).
 *
 * @param {RoomState} room
 * @param {string} epoch
 * @param {number} n All facts are placed just before it.
 * @returns {View}
 */
export function viewOf(room, epoch, n) {
  const view = { ...copyView(), epoch, seq: room.last_seq, updated: room.updated, viewer: !room.tools };
  let at = n - 1;
  /**
   * @param {string} family
   * @param {string} key
   * @param {any} [value]
   */
  const note = (family, key, value) => put(view, family, key, (at += 1 / 4096), value);
  const open = room.sessions.filter(({ ended }) => ended === undefined).at(-1);
  const session = (room.turn ?? open)?.session_id ?? null;
  for (const line of room.transcript) {
    const { segment_id, session_id, participant } = line;
    const key = segment_id === null ? keyOf(at) : keyOf(session_id, participant, segment_id);
    note('segment', key, line);
    view.order[0].push(at);
    view.order[1].push(key);
    if (line.role === 'agent' && line.is_final && line.turn_id) note('turn_end', keyOf(session_id, line.turn_id));
  }
  for (const { session_id, started, updated, ended, reason } of room.sessions) {
    const key = keyOf(session_id);
    note('session', key, updated);
    if (started !== null) note('started', key, started);
    if (ended !== undefined) note('ended', key, [ended, reason]);
  }
  for (const { session_id, call_id, started, finished, ...rest } of room.tools ?? []) {
    const key = keyOf(session_id, call_id);
    note('tool', key, { ...rest, timestamp: started });
    if (rest.status !== 'running' || finished !== null) note('tool_end', key, { ...rest, timestamp: finished });
  }
  for (const { identity, role } of room.participants) {
    note('mention', keyOf(identity), session);
    if (role !== null) note('role', keyOf(identity), role);
  }
  for (const voice of room.speaking) {
    const person = room.participants.find(({ identity }) => identity === voice);
    const isRole = !person && /^(agent|user)$/.test(voice);
    note('voice', keyOf(isRole ? voice : (person?.role ?? 'user'), session, isRole ? null : voice), true);
  }
  if (room.agent_state !== null) note('agent_state', keyOf(session), room.agent_state);
  if (room.user_state !== null) note('user_state', keyOf(session), room.user_state);
  if (room.turn) note('turn_start', keyOf(session, room.turn.turn_id));
  return view;
}

/**
 * Forget a family's facts from a snapshot once a newer event replaces them. Their position (`n`) is a fraction.
 *
 * @param {View} view
 * @param {string} family
 * @param {string} [role] For voices: only those in this role.
 * @param {string | null} [who] For voices: only this person's, unless it is null.
 */
const forgetGuesses = ({ families }, family, role, who) => {
  families[family] = (families[family] ?? []).filter(([key, n]) => {
    const [of, , by] = JSON.parse(key);
    return Number.isInteger(n) || (role && (of !== role || (who !== null && by !== who)));
  });
};
