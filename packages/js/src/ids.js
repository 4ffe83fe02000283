/**
 * Ids and positions: `<epoch>-<seq>`.
 *
 * @module
 */

/**
 * @param {unknown} id
 * @returns {[epoch: string, seq: number] | null} Null if it is not an id.
 */
export function parseId(id) {
  const found = typeof id === 'string' && /^(.+)-([0-9]{1,15})$/.exec(id);
  return found ? [/** @type {string} */ (found[1]), Number(found[2])] : null;
}

/**
 * Whether a position has reached another one. Positions of different histories cannot be compared and count as reached.
 *
 * @param {string} position
 * @param {string | undefined} goal
 */
export function hasReached(position, goal) {
  const [at, to] = [parseId(position), parseId(goal)];
  return !at || !to || at[0] !== to[0] || at[1] >= to[1];
}

/**
 * @param {unknown} id
 * @returns {string | null} The position before an event.
 */
export function before(id) {
  const found = parseId(id);
  return found && `${found[0]}-${found[1] - 1}`;
}
