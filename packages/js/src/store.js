/**
 * A stream's state as one object for user interfaces, and the subscribers to it.
 *
 * @module
 */

import { emptyConversation, reduceAll, withoutRooms } from './conversation.js';

const NEWEST = 500;
/** Between notifications, in ms. */
const INTERVAL = 50;

/** @typedef {import('./types.js').HubEvent} HubEvent */
/** @typedef {import('./types.js').Snapshot} Snapshot */
/** @typedef {import('./gap.js').Gap} Gap */

/**
 * The state of a stream that is not connected yet.
 *
 * @param {string | null} [since]
 * @returns {Snapshot}
 */
export const initialSnapshot = (since) => ({
  status: 'connecting',
  missed: 0,
  position: since || null,
  events: [],
  conversation: emptyConversation(),
});

/** @param {Snapshot} snapshot */
export function createStore(snapshot) {
  /** @type {Set<() => void>} */
  const subscribers = new Set();
  let { events, conversation, ...state } = snapshot;
  /** @type {HubEvent[]} */
  let newEvents = [];
  /** @type {(HubEvent | Gap)[]} */
  let unreduced = [];
  let isCurrent = true;
  let isNotified = true;
  let lastCall = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  const fold = () => {
    const items = unreduced;
    unreduced = [];
    if (newEvents.length) events = [...events, ...newEvents].slice(-NEWEST);
    newEvents = [];
    if (items.length) conversation = reduceAll(conversation, items);
  };

  const notify = () => {
    clearTimeout(timer);
    timer = undefined;
    isNotified = true;
    for (const subscriber of [...subscribers]) {
      try {
        subscriber();
      } catch (error) {
        // A subscriber's error is reported, but must not end the stream.
        setTimeout(() => {
          throw error;
        });
      }
    }
    lastCall = performance.now();
  };

  /** Notify of changes, now or once the last notification is old enough. */
  const flush = () => {
    if (isNotified || timer !== undefined || !subscribers.size) return;
    const wait = lastCall + INTERVAL - performance.now();
    if (wait <= 0) {
      notify();
      return;
    }
    timer = setTimeout(() => {
      // Timers may fire a little early.
      timer = undefined;
      flush();
    }, Math.ceil(wait));
  };

  return {
    /** @returns {Snapshot} The same object until something changes. */
    getSnapshot() {
      if (!isCurrent) {
        fold();
        snapshot = { ...state, events, conversation };
        isCurrent = true;
      }
      return snapshot;
    },

    /**
     * @param {() => void} fn
     * @returns {() => void} Unsubscribes.
     */
    subscribe(fn) {
      // Wrapped, because the same function may subscribe twice.
      const subscriber = () => fn();
      subscribers.add(subscriber);
      return () => void subscribers.delete(subscriber);
    },

    /** @param {HubEvent} event */
    add(event) {
      newEvents.push(event);
      this.reduce(event);
    },

    /** @param {HubEvent | Gap} event */
    reduce(event) {
      isCurrent = isNotified = false;
      unreduced.push(event);
      // Apply a snapshot immediately, so that a damaged one fails the connection rather than a reader of the state.
      if (unreduced.length >= NEWEST || /** @type {{ type?: string }} */ (event).type === 'snapshot') fold();
    },

    /** @param {readonly string[]} rooms */
    forget(rooms) {
      fold();
      conversation = withoutRooms(conversation, rooms);
      isCurrent = false;
    },

    /**
     * @param {Partial<Pick<Snapshot, 'missed' | 'reason' | 'position' | 'error'>>} changes `error: undefined` takes it away.
     */
    set(changes) {
      /** @type {Record<string, any>} */
      const before = state;
      if (Object.entries(changes).every(([name, value]) => before[name] === value)) return;
      state = { ...state, ...changes };
      if (!state.error) delete state.error;
      isCurrent = isNotified = false;
    },

    /**
     * Set the status; notify immediately if it changes.
     *
     * @param {Snapshot['status']} status
     */
    setStatus(status) {
      if (status === state.status) return;
      state = { ...state, status };
      isCurrent = isNotified = false;
      notify();
    },

    get status() {
      return state.status;
    },

    flush,
  };
}
