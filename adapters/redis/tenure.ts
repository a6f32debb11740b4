/**
 * How long what this node owns is surely its own: until `downAfterMs` after its last sign of life was sent, less a margin for clocks that do not run alike. Others
 * have seen that sign no earlier than it was sent, and take nobody for dead before they have looked for `downAfterMs` since.
 */

import type { Clock, TimerHandle } from '../../src/protocol/clock.ts';

/** The part of `downAfterMs` by which clocks may differ over that time, and a timer may be late. */
const MARGIN = 0.1;

export class Tenure {
  private readonly clock: Clock;
  private readonly lastsMs: number;
  private readonly over: () => void;
  private endMs = Number.NEGATIVE_INFINITY;
  private timer: TimerHandle | undefined = undefined;

  /** `over` is called once it has ended while it is watched. */
  constructor(clock: Clock, downAfterMs: number, over: () => void) {
    this.clock = clock;
    this.lastsMs = downAfterMs * (1 - MARGIN);
    this.over = over;
  }

  get isOver(): boolean {
    return this.clock.now() >= this.endMs;
  }

  /** A sign of life that was sent then has reached the server. */
  signed(sentMs: number): void {
    this.endMs = Math.max(this.endMs, sentMs + this.lastsMs);
  }

  /** There is something to lose. */
  watch(): void {
    this.timer ??= this.clock.setTimer(Math.max(1, Math.ceil(this.endMs - this.clock.now())), () => {
      this.timer = undefined;
      if (this.isOver) this.over();
      else this.watch();
    });
  }

  /** There is nothing to lose. */
  rest(): void {
    if (this.timer !== undefined) this.clock.clearTimer(this.timer);
    this.timer = undefined;
  }
}
