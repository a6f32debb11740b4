/** Delays before restarts: doubling, bounded, and spread so that what failed together does not return together. */

import type { Backoff } from '../../src/protocol/child-spec.ts';

/** Beyond it every delay has reached any maximum, and 2^n is still a number. */
const DOUBLINGS_MAX = 64;

/**
 * Milliseconds before attempt `n` (0 for the first): uniform in `[d * (1 - jitter), d]` with `d = min(maxMs, minMs * 2^n)`.
 * `random` is uniform in [0, 1).
 */
export function backoffDelay(backoff: Backoff, n: number, random: () => number): number {
  const full = Math.min(backoff.maxMs, backoff.minMs * 2 ** Math.min(n, DOUBLINGS_MAX));
  return full * (1 - backoff.jitter * random());
}
