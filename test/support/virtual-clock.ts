/** A clock that stands still until it is told to go on. Timers fire in order of their due time, then of their start or of a choice. */

import type { Clock, TimerHandle } from '../../src/protocol/clock.ts';

interface VirtualTimer {
  readonly dueAt: number;
  readonly fire: () => void;
}

/** Virtual milliseconds from 0; the wall clock starts at a round date. */
export class VirtualClock implements Clock {
  private nowMs = 0;
  /** Chooses among the timers that are due at one instant; the first that was started unless somebody else does. */
  choose: (size: number) => number = () => 0;
  private readonly timers = new Set<VirtualTimer>();

  now(): number {
    return this.nowMs;
  }

  wallNow(): number {
    return Date.UTC(2030, 0, 1) + this.nowMs;
  }

  setTimer(delayMs: number, fire: () => void): TimerHandle {
    const timer = { dueAt: this.nowMs + delayMs, fire };
    this.timers.add(timer);
    return timer;
  }

  clearTimer(timer: TimerHandle): void {
    this.timers.delete(timer as VirtualTimer);
  }

  /** Timers that have not fired. */
  get pending(): number {
    return this.timers.size;
  }

  /** Goes on by `ms`; after each timer `settle` lets everything it caused happen before the next. */
  async advance(ms: number, settle: () => Promise<void>): Promise<void> {
    const end = this.nowMs + ms;
    for (let timer = this.nextDue(end); timer !== undefined; timer = this.nextDue(end)) {
      this.timers.delete(timer);
      this.nowMs = Math.max(this.nowMs, timer.dueAt);
      timer.fire();
      await settle();
    }
    this.nowMs = end;
  }

  private nextDue(end: number): VirtualTimer | undefined {
    let dueAt = end;
    for (const timer of this.timers) dueAt = Math.min(dueAt, timer.dueAt);
    // A set keeps the order in which the timers were started.
    const due = [...this.timers].filter((timer) => timer.dueAt === dueAt);
    return due[this.choose(due.length)];
  }
}
