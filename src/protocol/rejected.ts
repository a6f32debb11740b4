/**
 * How a handler says that the message itself is at fault: it is a dead letter `rejected`, is not tried again, and its actor
 * has not failed.
 */

/** What `rejected` makes. It counts only where it is thrown by the turn of the message it rejects, and nobody else sees it. */
class Rejection extends Error {
  override readonly name = 'Rejection';
  readonly #reason: unknown;

  constructor(reason: unknown) {
    super('A handler rejected its message. The cause says why.', { cause: reason });
    this.#reason = reason;
  }

  /** Why the message was rejected, if `thrown` says that it was. Runs no code of that value, whatever a handler threw. */
  static in(thrown: unknown): { readonly reason: unknown } | undefined {
    if (typeof thrown !== 'object' || thrown === null || !(#reason in thrown)) return undefined;
    return { reason: thrown.#reason };
  }
}

/**
 * What a handler throws to reject its message for good: `throw rejected('no such customer')`, or `throw rejected(error)`.
 * The message becomes a dead letter `rejected` with that reason; it is not tried again, whatever `onFailure` says. The actor
 * has not failed: it is not restarted, and `decide` is not asked. Whoever asked gets `ERR_MESSAGE_REJECTED` with the reason
 * as its cause; to throw that on is a failure of the asker, not a rejection of what it handles.
 */
export function rejected(reason: unknown): Error {
  return new Rejection(typeof reason === 'string' ? new Error(reason) : reason);
}

/** Why a message was rejected, if what its turn threw says that it was. @internal */
export function rejectionIn(thrown: unknown): { readonly reason: unknown } | undefined {
  return Rejection.in(thrown);
}
