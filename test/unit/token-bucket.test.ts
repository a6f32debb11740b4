import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TokenBucket } from '../../runtime/pool/token-bucket.ts';
import { RUNS } from '../support/runs.ts';

describe('a token bucket', () => {
  it('is full at first, refills evenly and never beyond its size', () => {
    const bucket = new TokenBucket(10, 1_000);
    expect(bucket.levelAt(50)).toBe(10);
    bucket.take(10, 50);
    expect(bucket.levelAt(50)).toBe(0);
    expect(bucket.waitMs(1, 50)).toBe(100);
    expect(bucket.levelAt(175)).toBe(1.25);
    expect(bucket.waitMs(1, 175)).toBe(0);
    expect(bucket.waitMs(2, 175)).toBe(75);
    expect(bucket.levelAt(1_050)).toBe(10);
    expect(bucket.levelAt(9_999)).toBe(10);
    bucket.take(4, 9_999);
    expect(bucket.levelAt(9_999)).toBe(6);
    expect(bucket.waitMs(6, 9_999)).toBe(0);
    expect(bucket.waitMs(0, 9_999)).toBe(0);
  });

  it('answers a wait after which the tokens are there, and never a millisecond less', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000 }),
        fc.integer({ min: 1, max: 100_000 }),
        fc.array(fc.tuple(fc.nat(500), fc.double({ min: 0, max: 1, noNaN: true })), { maxLength: 20 }),
        (tokens, perMs, steps) => {
          const bucket = new TokenBucket(tokens, perMs);
          let now = 0;
          for (const [passMs, share] of steps) {
            now += passMs;
            const cost = Math.round(share * tokens);
            const waitMs = bucket.waitMs(cost, now);
            if (waitMs > 0) expect(bucket.levelAt(now + waitMs - 1)).toBeLessThan(cost);
            now += waitMs;
            expect(bucket.waitMs(cost, now)).toBe(0);
            bucket.take(cost, now);
          }
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('lets no more out of any window than it holds and what has come in meanwhile', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 5_000 }),
        fc.array(fc.tuple(fc.nat(300), fc.nat(50)), { minLength: 2, maxLength: 30 }),
        (tokens, perMs, steps) => {
          const bucket = new TokenBucket(tokens, perMs);
          const taken: { readonly at: number; readonly cost: number }[] = [];
          let now = 0;
          for (const [passMs, cost] of steps) {
            now += passMs;
            if (cost > tokens || bucket.waitMs(cost, now) > 0) continue;
            bucket.take(cost, now);
            taken.push({ at: now, cost });
          }
          taken.forEach((first, from) => {
            let sum = 0;
            for (const { at, cost } of taken.slice(from)) {
              sum += cost;
              expect(sum * perMs).toBeLessThanOrEqual(tokens * perMs + (at - first.at) * tokens);
            }
          });
        },
      ),
      { numRuns: RUNS },
    );
  });
});
