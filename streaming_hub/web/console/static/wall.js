/** What the wall shows of each room: pure, times are arguments in seconds. @module */

/** @typedef {{ room: string, session: string, started: number | null, people: string[], state: string, words: string, trouble: string[] }} Row */
/** @typedef {{ thinking: number | null, quiet: number | null }} Since */

/** The trouble rules that go by time: seconds. */
export const LIMITS = { Thinking: 5, Silence: 15 };

/**
 * Since when a room's agent thinks and nobody speaks, after the room's state `room`.
 * @param {Since | undefined} last
 * @param {any} room
 * @returns {Since}
 */
export function since(last, room) {
  const thinking = room.agent_state === 'thinking' ? (last?.thinking ?? room.updated) : null;
  const quiet = room.speaking.length ? null : (last?.quiet ?? room.updated);
  return { thinking, quiet };
}

/**
 * The row of a room's newest live session, or null where none is live.
 * @param {any} room
 * @param {Since} times
 * @param {number} now
 * @returns {Row | null}
 */
export function rowOf(room, times, now) {
  const session = room.sessions.findLast((/** @type {any} */ one) => one.ended === undefined || one.ended === null);
  if (!session) return null;
  const trouble = [];
  if (times.thinking !== null && now - times.thinking > LIMITS.Thinking) trouble.push('Thinking');
  if (times.quiet !== null && now - times.quiet > LIMITS.Silence) trouble.push('Silence');
  return {
    room: room.room,
    session: session.session_id,
    started: session.started,
    people: room.participants.map((/** @type {any} */ one) => one.identity),
    state: room.speaking.length ? 'speaking' : (room.agent_state ?? 'unknown'),
    words: room.transcript.at(-1)?.text ?? '',
    trouble,
  };
}

/**
 * @param {Row[]} rows
 * @param {string} by `trouble`, `age` or `room`.
 * @param {string} filter
 */
export function arrange(rows, by, filter) {
  const wanted = filter.trim().toLowerCase();
  const age = (/** @type {Row} */ row) => row.started ?? Infinity;
  const name = (/** @type {Row} */ one, /** @type {Row} */ other) => (one.room < other.room ? -1 : Number(one.room > other.room));
  return rows
    .filter((row) => [row.room, row.words, ...row.people].some((text) => text.toLowerCase().includes(wanted)))
    .sort((one, other) => {
      if (by === 'trouble') return other.trouble.length - one.trouble.length || name(one, other);
      if (by === 'age') return (age(one) < age(other) ? -1 : Number(age(one) > age(other))) || name(one, other);
      return name(one, other);
    });
}

/** @param {number} seconds */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}
