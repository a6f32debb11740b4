/** What a user's function returned, looked at with care: it may be anything. */

const NATIVE_THEN: unknown = Reflect.get(Promise.prototype, 'then');

/**
 * What a handler gave to wait for; undefined when it is nothing of the kind. A native promise is taken as it is.
 * Everything else with a `then` is wrapped, so that it settles once, later, and what it throws is a rejection.
 */
export function promiseIn(value: unknown): Promise<unknown> | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  try {
    if (!('then' in value)) return undefined;
    const { then } = value;
    if (typeof then !== 'function') return undefined;
    if (then === NATIVE_THEN && value instanceof Promise) return value;
  } catch (error) {
    return Promise.reject(error);
  }
  return new Promise((resolve) => {
    resolve(value);
  });
}

/** A user's function gave `value` where a promise is no answer. Nobody waits for it, so a rejection of it is not left unheard. */
export function ignoreEnd(value: unknown): void {
  promiseIn(value)?.catch(() => undefined);
}
