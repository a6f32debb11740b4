/** The real surroundings: Node's clock, timers, randomness and event loop. */

import type { Clock, Host, TimerHandle } from '../../src/protocol/clock.ts';
import { random } from './chance.ts';
import { systemProcess } from './system-process.ts';

const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  setTimer: (delayMs, fire) => setTimeout(fire, delayMs),
  clearTimer: (timer: TimerHandle) => {
    clearTimeout(timer as NodeJS.Timeout); // only this clock makes the handles it is given
  },
};

const RESOLVED: Promise<void> = Promise.resolve();

/** Time, chance and event loop of this process. */
export const systemHost: Host = {
  clock: systemClock,
  random,
  soon: (task) => {
    // A promise job is a third cheaper than queueMicrotask, which keeps an async resource for each. Tasks do not throw.
    void RESOLVED.then(task);
  },
  later: (task) => {
    setImmediate(task);
  },
  process: systemProcess,
};
