/**
 * The server's own clock and event loop, and the chance that secrets are made of. A server is opened by nobody who could hand it a
 * host: this is the one file of the adapters that reads a clock.
 */

import { randomBytes } from 'node:crypto';
import type { Host, TimerHandle } from '../../src/protocol/clock.ts';

/** Time and event loop of the process that serves. */
export const serverHost: Host = {
  clock: {
    now: () => performance.now(),
    wallNow: () => Date.now(),
    setTimer: (delayMs, fire) => setTimeout(fire, delayMs),
    clearTimer: (timer: TimerHandle) => {
      clearTimeout(timer as NodeJS.Timeout); // only this clock makes the handles it is given
    },
  },
  random: () => Math.random(),
  soon: (task) => queueMicrotask(task),
  later: (task) => {
    setImmediate(task);
  },
};

/** Bytes that nobody can guess. */
export function unguessable(size: number): Uint8Array {
  return randomBytes(size);
}
