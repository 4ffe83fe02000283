'use client';
/**
 * React hooks for a hub's stream.
 *
 * @module
 */

import { useEffect, useMemo, useRef, useSyncExternalStore } from 'react';
import { valuesOf } from './address.js';
import { openStream } from './stream.js';
import { initialSnapshot } from './store.js';

/** @typedef {import('./types.js').Snapshot} Snapshot */
/** @typedef {import('./types.js').StreamOptions} StreamOptions */

/**
 * Follow a stream while the component is mounted.
 *
 * Options are compared by value, and all functions count as equal: an inline `key` or `ticket` does not open a new
 * stream, and the latest function is called. Any other change opens another stream with an empty snapshot.
 *
 * @param {StreamOptions} [options]
 * @returns {Snapshot}
 */
export function useStream(options = {}) {
  const latest = useRef(options);
  // Must run before the subscription below, whose effect opens the stream.
  useEffect(() => {
    latest.current = options;
  });
  const fingerprint = fingerprintOf(options);
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const source = useMemo(() => sourceOf(latest, options.since), [fingerprint, options.signal]);
  return useSyncExternalStore(source.subscribe, source.getSnapshot, source.getServerSnapshot);
}

/**
 * Follow the rooms' current state while the component is mounted.
 *
 * @param {StreamOptions} [options]
 * @returns {{
 *   rooms: import('./types.js').Conversation['rooms'],
 *   status: Snapshot['status'],
 *   missed: Snapshot['missed'],
 *   reason?: Snapshot['reason'],
 *   error?: Snapshot['error'],
 * }} The same object until one of them changes.
 */
export function useConversation(options) {
  const { conversation, status, missed, reason, error } = useStream(options);
  const { rooms } = conversation;
  return useMemo(
    () => ({ rooms, status, missed, ...(reason && { reason }), ...(error && { error }) }),
    [rooms, status, missed, reason, error],
  );
}

/**
 * A stream that is open while it has subscribers.
 *
 * @param {{ current: StreamOptions }} latest
 * @param {string | null} [since]
 */
function sourceOf(latest, since) {
  const initial = initialSnapshot(since);
  let snapshot = initial;
  return {
    /** @param {() => void} notify */
    subscribe(notify) {
      const { key, ticket } = latest.current;
      const stream = openStream({
        ...latest.current,
        key: typeof key === 'function' ? () => current(latest.current.key) : key,
        ticket: typeof ticket === 'function' ? () => current(latest.current.ticket) : ticket,
      });
      const update = () => {
        snapshot = stream.getSnapshot();
        notify();
      };
      const unsubscribe = stream.subscribe(update);
      snapshot = stream.getSnapshot();
      return () => {
        unsubscribe();
        stream.close();
        snapshot = initial;
      };
    },
    getSnapshot: () => snapshot,
    getServerSnapshot: () => initial,
  };
}

/** @param {import('./types.js').Secret | null | undefined} secret */
const current = (secret) => (typeof secret === 'function' ? secret() : secret);

/** @param {StreamOptions} options */
function fingerprintOf({ url, key, ticket, room, types, participant, session_id, since, replay, snapshot }) {
  const secrets = [key, ticket].map((secret) => (typeof secret === 'function' ? true : secret));
  const filters = [room, types, participant, session_id].map(valuesOf);
  return JSON.stringify([String(url ?? ''), secrets, filters, since || null, replay || 0, !!snapshot]);
}
