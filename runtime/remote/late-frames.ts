/**
 * What comes behind newer frames of its stream, after a broker gave it out again. Messages are never held up for it, but a word that closes
 * something is: it waits until every frame before its own is done with, or the time in which a broker gives out again is over.
 */

import { LATE_FRAMES_MS } from '../../src/protocol/limits.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { Timeout } from '../host/timeouts.ts';
import { type FrameName, type InboxArrivals, streamOf } from './arrivals.ts';
import type { Sieve } from './inbound.ts';

/** A word that waits. */
interface Wait {
  readonly stream: string;
  /** What it waits for. */
  readonly open: Set<number>;
  readonly over: () => void;
  timeout: Timeout | undefined;
}

/** The late frames of an inbox. */
export class LateFrames implements Sieve {
  private readonly kernel: Kernel;
  private readonly arrivals: InboxArrivals;
  private readonly isBrokerUp: () => boolean;
  /** Those that have come and are not done with, by stream. */
  private readonly late = new Map<string, Set<number>>();
  private readonly waits = new Set<Wait>();

  constructor(kernel: Kernel, arrivals: InboxArrivals, isBrokerUp: () => boolean) {
    this.kernel = kernel;
    this.arrivals = arrivals;
    this.isBrokerUp = isBrokerUp;
  }

  isNew(frame: FrameName, topic: string | undefined): boolean {
    if (!this.arrivals.isNew(frame, topic)) return false;
    if (this.arrivals.isBehind(frame)) {
      const stream = streamOf(frame);
      const late = this.late.get(stream) ?? new Set();
      this.late.set(stream, late.add(frame.sequence));
    }
    return true;
  }

  done(frame: FrameName): void {
    if (this.late.size === 0) return;
    const stream = streamOf(frame);
    const late = this.late.get(stream);
    if (late?.delete(frame.sequence) !== true) return;
    if (late.size === 0) this.late.delete(stream);
    for (const wait of this.waits) {
      if (wait.stream !== stream) continue;
      wait.open.delete(frame.sequence);
      if (wait.open.size === 0) this.end(wait);
    }
  }

  /** Undefined: all frames before this one are done with. Else `over` is called once they are; answers how that is taken back. */
  after(frame: FrameName, over: () => void): (() => void) | undefined {
    const stream = streamOf(frame);
    const open = new Set(this.arrivals.missingBefore(frame));
    for (const number of this.late.get(stream) ?? []) if (number < frame.sequence) open.add(number);
    if (open.size === 0) return undefined;
    const wait: Wait = { stream, open, over, timeout: undefined };
    this.waits.add(wait);
    this.limit(wait, frame);
    return () => this.drop(wait);
  }

  /** A broker that is away gives out nothing: that time does not count. */
  private limit(wait: Wait, frame: FrameName): void {
    const { timeouts } = this.kernel;
    wait.timeout = timeouts.startFunction(LATE_FRAMES_MS, this.kernel.now(), () => {
      if (!this.isBrokerUp()) {
        this.limit(wait, frame);
        return;
      }
      this.arrivals.waited(frame);
      this.end(wait);
    });
  }

  private end(wait: Wait): void {
    this.drop(wait);
    wait.over();
  }

  private drop(wait: Wait): void {
    if (wait.timeout !== undefined) this.kernel.timeouts.cancel(wait.timeout);
    this.waits.delete(wait);
  }
}
