/**
 * What a stream yields besides events, and what ends it.
 *
 * @module
 */

/** Stands where events are missing. */
export class Gap {
  /**
   * @param {number | null} missed How many; null where that cannot be known.
   * @param {string} reason The hub's word, such as `expired`; `not_read` where this client dropped them itself.
   */
  constructor(missed, reason) {
    this.missed = missed;
    this.reason = reason;
  }
}

/** The server refuses this client; retrying would not help. */
export class Refused extends Error {
  name = 'Refused';

  /**
   * @param {number} status HTTP's.
   * @param {string} detail A sentence for people.
   */
  constructor(status, detail) {
    super(detail);
    this.status = status;
    this.detail = detail;
  }
}
