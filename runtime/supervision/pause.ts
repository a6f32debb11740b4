/** A wait before a restart, which the end of the child cuts short. */

import type { Host } from '../../src/protocol/clock.ts';

/** One wait at a time. */
export class Pause {
  private readonly host: Host;
  private cut: (() => void) | undefined = undefined;

  constructor(host: Host) {
    this.host = host;
  }

  /** Resolves after `delayMs`, or when the wait is ended; never in the same macrotask, so that a delay of 0 starves nobody. */
  wait(delayMs: number): Promise<void> {
    const { host } = this;
    return new Promise((resolve) => {
      if (delayMs <= 0) {
        host.later(resolve);
        return;
      }
      const timer = host.clock.setTimer(delayMs, () => {
        this.cut = undefined;
        resolve();
      });
      this.cut = () => {
        this.cut = undefined;
        host.clock.clearTimer(timer);
        resolve();
      };
    });
  }

  end(): void {
    this.cut?.();
  }
}
