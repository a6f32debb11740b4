/**
 * The chance of this process: numbers from the operating system's generator, by way of node:crypto, so that nobody can compute the next ones from
 * those he has seen, as he can with `Math.random`. They are drawn many at once: one by one each would cost a call into OpenSSL.
 */

import { randomFillSync } from 'node:crypto';

/** Numbers drawn at once: 4 KiB. */
const DRAWN_AT_ONCE = 512;
const HIGH_BITS_DROPPED = 5;
const LOW_BITS_DROPPED = 6;
const LOW_RANGE = 2 ** 26;
const RANGE = 2 ** 53;

const drawn = new Uint32Array(2 * DRAWN_AT_ONCE);
let next = drawn.length;

/** Uniform in [0, 1), with all 53 bits that a number has place for. */
export function random(): number {
  if (next === drawn.length) {
    randomFillSync(drawn);
    next = 0;
  }
  const high = (drawn[next++] ?? 0) >>> HIGH_BITS_DROPPED;
  const low = (drawn[next++] ?? 0) >>> LOW_BITS_DROPPED;
  return (high * LOW_RANGE + low) / RANGE;
}
