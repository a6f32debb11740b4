import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffDelay } from '../../runtime/supervision/backoff.ts';
import { RUNS } from '../support/runs.ts';

describe('the backoff', () => {
  it('P21 doubles from minMs and never exceeds maxMs', () => {
    const backoff = { minMs: 100, maxMs: 1_000, jitter: 0 };
    expect([0, 1, 2, 3, 4, 5].map((n) => backoffDelay(backoff, n, () => 0.9))).toEqual([
      100, 200, 400, 800, 1_000, 1_000,
    ]);
  });

  it('P21 lies between the full delay less its jitter and the full delay, for any n', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 100_000 }),
        fc.integer({ min: 0, max: 2_000_000_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 0, max: 5_000 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (minMs, more, jitter, n, chance) => {
          const maxMs = minMs + more;
          const delay = backoffDelay({ minMs, maxMs, jitter }, n, () => chance);
          const full = n > 40 ? (minMs === 0 ? 0 : maxMs) : Math.min(maxMs, minMs * 2 ** n);
          expect(delay).toBeLessThanOrEqual(full);
          expect(delay).toBeGreaterThanOrEqual(full * (1 - jitter) - full * 1e-12);
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('P21 spreads over the whole range', () => {
    const backoff = { minMs: 1_000, maxMs: 1_000, jitter: 0.5 };
    expect(backoffDelay(backoff, 0, () => 0)).toBe(1_000);
    expect(backoffDelay(backoff, 0, () => 0.5)).toBe(750);
    expect(backoffDelay(backoff, 0, () => 0.999)).toBeCloseTo(500.5);
  });
});
