/** A promise with a deadline, on an injected clock. */

import type { Clock } from './clock.ts';

/**
 * What `promise` gives, or what `late` gives when it has not settled within `ms`; then the promise's own end is ignored, a
 * rejection included. No timer is left behind. @internal
 */
export function settledWithin<T>(
  clock: Clock,
  ms: number,
  promise: PromiseLike<T>,
  late: () => T,
): Promise<T> {
  return new Promise((fulfil, fail) => {
    const timer = clock.setTimer(ms, () => {
      try {
        fulfil(late());
      } catch (error) {
        fail(error);
      }
    });
    promise.then(
      (value) => {
        clock.clearTimer(timer);
        fulfil(value);
      },
      (error: unknown) => {
        clock.clearTimer(timer);
        fail(error);
      },
    );
  });
}

/** Resolves `ms` from now; at once when `signal` aborts. @internal */
export function pause(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => {
    const over = (): void => {
      clock.clearTimer(timer);
      signal?.removeEventListener('abort', over);
      resolve();
    };
    const timer = clock.setTimer(ms, over);
    signal?.addEventListener('abort', over);
  });
}
