/**
 * Items that were received but not read yet: the iterator's side of a stream.
 *
 * @module
 */

import { Gap } from './gap.js';

/** Number of unread items beyond which no more bytes are read. */
const MOST_WAITING = 500;

/** @typedef {import('./types.js').HubEvent} HubEvent */
/** @typedef {{ item: HubEvent | Gap, position: string | null }} Waiting */

/**
 * Holds items for the iterator, which gets everything received since the stream was opened. While nothing iterates,
 * only the newest items are kept; an iterator that begins later first gets a Gap with the number of the dropped ones.
 *
 * @param {(position: string | null) => void} onHandedOut Called with the position after each item.
 * @param {() => void} onReturn Called when the reader leaves the loop.
 */
export function createInbox(onHandedOut, onReturn) {
  /** @type {Waiting[]} */
  let queue = [];
  let dropped = 0;
  let isRead = false;
  let isOver = false;
  /** @type {Error | undefined} */
  let failure;
  /** @type {{ resolve: (result: IteratorResult<HubEvent | Gap, undefined>) => void, reject: (error: Error) => void }[]} */
  let readers = [];
  /** @type {() => void} */
  let onRoom = () => {};

  /**
   * @param {Waiting} waiting
   * @returns {IteratorYieldResult<HubEvent | Gap>}
   */
  const handOut = ({ item, position }) => {
    onHandedOut(position);
    return { done: false, value: item };
  };

  return {
    /**
     * @param {HubEvent | Gap} item
     * @param {string | null} position
     */
    push(item, position) {
      const reader = readers.shift();
      if (reader) {
        reader.resolve(handOut({ item, position }));
        return;
      }
      queue.push({ item, position });
      if (isRead) return;
      onHandedOut(position);
      if (queue.length > MOST_WAITING) {
        const first = queue.shift();
        dropped += first?.item instanceof Gap ? 0 : 1;
      }
    },

    /**
     * Advance the position without an item, once everything before it has been read.
     *
     * @param {string} position
     */
    move(position) {
      const last = queue.at(-1);
      if (last) last.position = position;
      if (!last || !isRead) onHandedOut(position);
    },

    /**
     * Wait until the reader has taken enough items.
     *
     * @returns {Promise<void> | undefined} Undefined if there is no need to wait.
     */
    room() {
      if (!isRead || isOver || queue.length < MOST_WAITING) return undefined;
      return new Promise((resolve) => (onRoom = resolve));
    },

    /**
     * Without an error, waiting items are dropped; with one, they are read before the error.
     *
     * @param {Error} [error]
     */
    end(error) {
      if (isOver) return;
      isOver = true;
      failure = error;
      if (!error) queue = [];
      for (const { resolve, reject } of readers) error ? reject(error) : resolve({ done: true, value: undefined });
      readers = [];
      onRoom();
    },

    /** @returns {AsyncIterableIterator<HubEvent | Gap, undefined>} */
    iterate() {
      isRead = true;
      return {
        async next() {
          if (dropped) {
            const value = new Gap(dropped, 'not_read');
            dropped = 0;
            return { done: false, value };
          }
          const first = queue.shift();
          if (queue.length <= MOST_WAITING / 2) onRoom();
          if (first) return handOut(first);
          if (failure) throw failure;
          if (isOver) return { done: true, value: undefined };
          return new Promise((resolve, reject) => readers.push({ resolve, reject }));
        },
        async return() {
          onReturn();
          return { done: true, value: undefined };
        },
        [Symbol.asyncIterator]() {
          return this;
        },
      };
    },
  };
}
