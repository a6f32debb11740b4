/** Surroundings whose macrotasks run when the test says so: between any two of them everything can be counted. */

import type { Host } from '../../src/protocol/clock.ts';
import { VirtualClock } from './virtual-clock.ts';

export class HandHost implements Host {
  readonly clock: VirtualClock;
  /** Calls of `later` so far. */
  macrotasks = 0;
  private readonly tasks: (() => void)[] = [];

  constructor(clock = new VirtualClock()) {
    this.clock = clock;
  }

  random(): number {
    return 0;
  }

  soon(task: () => void): void {
    queueMicrotask(task);
  }

  later(task: () => void): void {
    this.macrotasks++;
    this.tasks.push(task);
  }

  /** One turn of the event loop: timers that are due, then what `later` was given; false when there was nothing. */
  async turn(): Promise<boolean> {
    await this.clock.advance(0, () => Promise.resolve());
    const task = this.tasks.shift();
    task?.();
    // Microtasks, and theirs: all of them run before a macrotask of the real loop.
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    return task !== undefined || this.tasks.length > 0;
  }
}
