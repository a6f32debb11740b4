/**
 * A token bucket: full at first, never fuller than `tokens`, and refilled evenly, an empty one in `perMs`. So in any `w`
 * milliseconds at most `tokens + w * tokens / perMs` are taken (the rule of RFC 2215, section 3.6). It is told the time and
 * runs no timer.
 *
 * What is missing is kept in token-milliseconds: whole numbers of tokens and milliseconds then give no rounding.
 */
export class TokenBucket {
  readonly tokens: number;
  private readonly perMs: number;
  /** Missing at `countedAt`, in tokens times `perMs`. */
  private missing = 0;
  private countedAt = 0;

  constructor(tokens: number, perMs: number) {
    this.tokens = tokens;
    this.perMs = perMs;
  }

  /** Tokens inside, fractions included. */
  levelAt(now: number): number {
    return this.tokens - this.missingAt(now) / this.perMs;
  }

  /** Whole milliseconds until `cost` can be taken; 0 when it can be now. It is not above `tokens`. */
  waitMs(cost: number, now: number): number {
    const lacking = this.missingAt(now) + cost * this.perMs - this.tokens * this.perMs;
    return lacking <= 0 ? 0 : Math.max(1, Math.ceil(lacking / this.tokens));
  }

  /** Takes `cost` out; `waitMs` has answered 0 for it. */
  take(cost: number, now: number): void {
    this.missing = this.missingAt(now) + cost * this.perMs;
    this.countedAt = now;
  }

  private missingAt(now: number): number {
    return Math.max(0, this.missing - (now - this.countedAt) * this.tokens);
  }
}
