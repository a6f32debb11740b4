/**
 * The pace of work that goes on in promise jobs alone: each so many steps, whoever takes them, it waits for a macrotask, so that
 * timers and sockets have their go.
 */

import type { Host } from '../../src/protocol/clock.ts';
import { PARTS_PER_SLICE } from '../../src/protocol/limits.ts';

/** Counts the steps of one system. */
export class Pace {
  private readonly host: Host;
  private steps = 0;
  private pause: Promise<void> | undefined = undefined;

  constructor(host: Host) {
    this.host = host;
  }

  /** Takes a step: undefined when it may be taken at once, else when. */
  step(): Promise<void> | undefined {
    if (this.pause !== undefined) return this.pause;
    if (++this.steps < PARTS_PER_SLICE) return undefined;
    this.pause = new Promise((resolve) => {
      this.host.later(() => {
        this.steps = 0;
        this.pause = undefined;
        resolve();
      });
    });
    return this.pause;
  }
}
