/** Handlers of subscriptions that the test holds in its hand: what each got, and when it is done with it. */

import type { MessageMeta } from '../../src/protocol/subscription.ts';

/** One message that a handler has, or had. */
export interface Held {
  readonly message: unknown;
  readonly meta: MessageMeta;
  readonly finish: () => void;
  readonly fail: (error: unknown) => void;
}

/** A handler that holds each message until the test lets it go. */
export class Holding {
  /** Every message it ever got, in order. */
  readonly got: unknown[] = [];
  /** Those it has not finished, oldest first. */
  readonly held: Held[] = [];
  /** The most it had at once. */
  heldMax = 0;

  readonly handle = (message: unknown, meta: MessageMeta): Promise<void> =>
    new Promise((resolve, reject) => {
      this.got.push(message);
      const settle = (end: () => void): void => {
        const place = this.held.indexOf(held);
        if (place >= 0) this.held.splice(place, 1);
        end();
      };
      const held: Held = {
        message,
        meta,
        finish: () => settle(resolve),
        fail: (error) => settle(() => reject(error)),
      };
      this.held.push(held);
      this.heldMax = Math.max(this.heldMax, this.held.length);
    });

  /** Finishes the oldest. */
  finish(): void {
    this.held[0]?.finish();
  }

  /** Fails the oldest. */
  fail(error: unknown): void {
    this.held[0]?.fail(error);
  }

  finishAll(): void {
    while (this.held.length > 0) this.finish();
  }
}

/** A promise, and whether it has settled by now. */
export interface Settling<T> {
  readonly promise: Promise<T>;
  readonly hasSettled: boolean;
}

/** A rejection that nobody awaits yet is heard here. */
export function settles<T>(promise: Promise<T>): Settling<T> {
  const state = { promise, hasSettled: false };
  const settled = (): void => {
    state.hasSettled = true;
  };
  promise.then(settled, settled);
  return state;
}
