/**
 * The run queue: actors that have work, first come first served. One slice bounds the whole queue, not each actor: it
 * ends after `SLICE_MS` or `SLICE_TURNS_MAX` turns, and then timers and sockets have their go through one macrotask.
 * Inside a slice an actor takes at most `TURNS_PER_SLICE` turns before the next one. An idle queue is woken by a
 * microtask, so a short exchange costs no trip around the event loop; what such wake-ups use up is counted together
 * until the next macrotask, so they cannot starve it either.
 */

import type { Host } from '../../src/protocol/clock.ts';
import { SLICE_MS, SLICE_TURNS_MAX, TURNS_PER_SLICE } from '../../src/protocol/limits.ts';

/** Something that takes turns when it has work. */
export interface Runnable {
  /** Takes at most `turnsMax` turns and answers how many it took. It never throws. */
  run(turnsMax: number): number;
  /** After `run`: whether it wants its place in the queue again. */
  readonly isQueued: boolean;
}

/** Who gives turns to runnables: the scheduler, or what a test system puts in its place. */
export interface RunQueue {
  /** Whether nothing is runnable now. */
  readonly isIdle: boolean;
  /** Queues a runnable; the caller sees to it that it is queued once. */
  add(runnable: Runnable): void;
}

const QUEUE_SLOTS_MIN = 64;
/** The clock is read at most this many turns after it was read last. */
const CLOCK_TURNS_MAX = 64;

/** Gives turns to runnables. */
export class Scheduler implements RunQueue {
  private readonly host: Host;
  private readonly sliceStarts: () => void;
  private slots: (Runnable | undefined)[] = new Array<Runnable | undefined>(QUEUE_SLOTS_MIN).fill(undefined);
  private first = 0;
  private size = 0;
  /** A wake-up is due, or a slice runs. */
  private isAwake = false;
  private sliceStartedAt: number;
  private turnsInSlice = 0;
  private clockReadAtTurn = 1;
  private clockStep = 1;

  /** `sliceStarts` is called now and then while there is work, at most once in a macrotask. */
  constructor(host: Host, sliceStarts: () => void = () => undefined) {
    this.host = host;
    this.sliceStarts = sliceStarts;
    this.sliceStartedAt = host.clock.now();
  }

  /** Whether nothing is runnable now. */
  get isIdle(): boolean {
    return this.size === 0 && !this.isAwake;
  }

  /** Queues a runnable; the caller sees to it that it is queued once. */
  add(runnable: Runnable): void {
    if (this.size === this.slots.length) this.grow();
    this.slots[(this.first + this.size) & (this.slots.length - 1)] = runnable;
    this.size++;
    if (!this.isAwake) this.wake();
  }

  private wake(): void {
    this.isAwake = true;
    if (this.isSliceOver()) this.host.later(this.startSlice);
    else this.host.soon(this.runSlice);
  }

  private readonly startSlice = (): void => {
    this.sliceStartedAt = this.host.clock.now();
    this.turnsInSlice = 0;
    this.clockReadAtTurn = 1;
    this.clockStep = 1;
    this.sliceStarts();
    this.runSlice();
  };

  private readonly runSlice = (): void => {
    while (this.size > 0 && !this.isSliceOver()) {
      const runnable = this.shift();
      if (runnable === undefined) break;
      this.turnsInSlice += runnable.run(TURNS_PER_SLICE);
      if (runnable.isQueued) this.add(runnable);
    }
    if (this.size > 0) this.wake();
    else this.isAwake = false;
  };

  /** The clock is read rarely while turns are quick and after each turn while they are slow. */
  private isSliceOver(): boolean {
    if (this.turnsInSlice < this.clockReadAtTurn) return false;
    if (this.turnsInSlice >= SLICE_TURNS_MAX) return true;
    const usedMs = this.host.clock.now() - this.sliceStartedAt;
    if (usedMs >= SLICE_MS) return true;
    this.clockStep = usedMs > SLICE_MS / 2 ? 1 : Math.min(this.clockStep * 2, CLOCK_TURNS_MAX);
    this.clockReadAtTurn = Math.min(this.turnsInSlice + this.clockStep, SLICE_TURNS_MAX);
    return false;
  }

  private shift(): Runnable | undefined {
    const runnable = this.slots[this.first];
    this.slots[this.first] = undefined;
    this.first = (this.first + 1) & (this.slots.length - 1);
    this.size--;
    return runnable;
  }

  private grow(): void {
    const slots = new Array<Runnable | undefined>(this.slots.length * 2).fill(undefined);
    for (let i = 0; i < this.size; i++) slots[i] = this.slots[(this.first + i) & (this.slots.length - 1)];
    this.slots = slots;
    this.first = 0;
  }
}
