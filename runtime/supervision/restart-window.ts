/**
 * Restart intensity: at most `max` restarts in any `withinMs`. One more and the supervisor gives up. The rule is
 * Erlang/OTP's (stdlib supervisor, "maximum restart intensity"); a ring of the last `max` times makes it O(1).
 */

import type { Intensity } from '../../src/protocol/child-spec.ts';

/** The restarts one supervisor remembers. */
export class RestartWindow {
  private readonly intensity: Intensity;
  private readonly times: number[] = [];
  private oldest = 0;

  constructor(intensity: Intensity) {
    this.intensity = intensity;
  }

  /** Counts a restart at `now` (milliseconds, never decreasing). False: it is one too many. */
  allows(now: number): boolean {
    const { max, withinMs } = this.intensity;
    // Stryker disable next-line ConditionalExpression: the answer would be the same, but every restart would be remembered.
    if (max === Infinity) return true;
    if (this.times.length < max) {
      this.times.push(now);
      return true;
    }
    const oldest = this.times[this.oldest];
    if (oldest === undefined || now - oldest <= withinMs) return false;
    this.times[this.oldest] = now;
    this.oldest = (this.oldest + 1) % max;
    return true;
  }
}
