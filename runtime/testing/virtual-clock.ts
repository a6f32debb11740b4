/**
 * A clock that stands still until it is told to go on. Timers fire in the order of their due times; among those due at the
 * same instant somebody else chooses.
 */

import type { Clock, TimerHandle } from '../../src/protocol/clock.ts';

/** Wall-clock milliseconds at virtual time 0: the first of January 2030. */
const WALL_START_MS = 1_893_456_000_000;

/** What the engine reads at virtual time 0: no clock of a process stands at 0, and the engine knows that. */
const START_MS = 1_000;

interface VirtualTimer {
  readonly dueAt: number;
  readonly fire: () => void;
}

/** Virtual milliseconds from 0. */
export class VirtualClock implements Clock {
  private nowMs = 0;
  private readonly due = new Map<number, VirtualTimer[]>();
  /** The keys of `due`, ascending. */
  private readonly instants: number[] = [];

  now(): number {
    return START_MS + this.nowMs;
  }

  /** Virtual milliseconds since the start. */
  get elapsedMs(): number {
    return this.nowMs;
  }

  wallNow(): number {
    return WALL_START_MS + this.nowMs;
  }

  setTimer(delayMs: number, fire: () => void): TimerHandle {
    const timer: VirtualTimer = { dueAt: this.nowMs + delayMs, fire };
    const others = this.due.get(timer.dueAt);
    if (others !== undefined) {
      others.push(timer);
    } else {
      this.due.set(timer.dueAt, [timer]);
      this.instants.splice(this.placeOf(timer.dueAt), 0, timer.dueAt);
    }
    return timer;
  }

  clearTimer(handle: TimerHandle): void {
    const timer = handle as VirtualTimer; // only this clock makes the handles it is given
    const timers = this.due.get(timer.dueAt);
    const place = timers?.indexOf(timer) ?? -1;
    if (timers === undefined || place < 0) return;
    timers.splice(place, 1);
    if (timers.length === 0) this.forget(timer.dueAt);
  }

  /** When the next timer is due; `Infinity` when there is none. */
  get nextDueAt(): number {
    return this.instants[0] ?? Number.POSITIVE_INFINITY;
  }

  /** Goes to the next due time, not backwards, and fires the timer there that `pick` chooses. */
  fireNext(pick: (size: number) => number): void {
    const instant = this.instants[0];
    const timers = instant === undefined ? undefined : this.due.get(instant);
    if (instant === undefined || timers === undefined) return;
    const [timer] = timers.splice(pick(timers.length), 1);
    if (timers.length === 0) this.forget(instant);
    this.moveTo(instant);
    timer?.fire();
  }

  /** Goes to `instantMs` without firing anything; never backwards. */
  moveTo(instantMs: number): void {
    this.nowMs = Math.max(this.nowMs, instantMs);
  }

  private forget(instant: number): void {
    this.due.delete(instant);
    this.instants.splice(this.placeOf(instant), 1);
  }

  /** The place of the first instant that is not before `instant`. */
  private placeOf(instant: number): number {
    let low = 0;
    let high = this.instants.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.instants[middle] ?? 0) < instant) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
