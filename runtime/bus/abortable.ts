/** A wait that its caller's signal ends: what is waited for goes on, and nobody hears of its end any more. */

/** As `promise`, or rejected with `signal.reason` as soon as that is aborted. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    // A rejection after the abort is heard here, so it is no unhandled one.
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
