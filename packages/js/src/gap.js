/**
 * Gaps, which a stream yields besides events, and refusals, which end it.
 *
 * @module
 */

/** Stands in the stream where events are missing. */
export class Gap {
  /**
   * @param {number | null} missed How many; null if that is not known.
   * @param {string} reason The hub's reason, such as `expired`, or `not_read` if this client dropped them itself.
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
   * @param {number} status The HTTP status.
   * @param {string} detail The reason, as a sentence.
   */
  constructor(status, detail) {
    super(detail);
    this.status = status;
    this.detail = detail;
  }
}
