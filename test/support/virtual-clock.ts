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
  /** Timers by the instant at which they are due, each set in the order in which they were started. */
  private readonly timers = new Map<number, Set<VirtualTimer>>();

  now(): number {
    return this.nowMs;
  }

  wallNow(): number {
    return Date.UTC(2030, 0, 1) + this.nowMs;
  }

  setTimer(delayMs: number, fire: () => void): TimerHandle {
    const timer = { dueAt: this.nowMs + delayMs, fire };
    const due = this.timers.get(timer.dueAt);
    if (due === undefined) this.timers.set(timer.dueAt, new Set([timer]));
    else due.add(timer);
    return timer;
  }

  clearTimer(timer: TimerHandle): void {
    this.forget(timer as VirtualTimer);
  }

  /** Timers that have not fired. */
  get pending(): number {
    let pending = 0;
    for (const due of this.timers.values()) pending += due.size;
    return pending;
  }

  /** Goes on by `ms`; after each timer `settle` lets everything it caused happen before the next. */
  async advance(ms: number, settle: () => Promise<void>): Promise<void> {
    const end = this.nowMs + ms;
    for (let timer = this.nextDue(end); timer !== undefined; timer = this.nextDue(end)) {
      this.forget(timer);
      this.nowMs = Math.max(this.nowMs, timer.dueAt);
      timer.fire();
      await settle();
    }
    this.nowMs = end;
  }

  private nextDue(end: number): VirtualTimer | undefined {
    let dueAt = end;
    for (const instant of this.timers.keys()) dueAt = Math.min(dueAt, instant);
    const due = this.timers.get(dueAt);
    let left = this.choose(due?.size ?? 0);
    for (const timer of due ?? []) if (left-- === 0) return timer;
    return undefined;
  }

  private forget(timer: VirtualTimer): void {
    const due = this.timers.get(timer.dueAt);
    due?.delete(timer);
    if (due?.size === 0) this.timers.delete(timer.dueAt);
  }
}
