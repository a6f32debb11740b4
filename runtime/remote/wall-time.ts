/** Times that travel: milliseconds since 1970, as the clock of this process tells them, and its own clock time. */

import { TIMER_MS_MAX } from '../../src/protocol/limits.ts';
import type { Kernel } from '../actor/kernel.ts';

/** Whole milliseconds since 1970. */
export function wallNow(kernel: Kernel): number {
  return Math.floor(kernel.host.clock.wallNow());
}

/** A clock time as other nodes know it; undefined for never. */
export function wallTimeOf(kernel: Kernel, deadline: number): number | undefined {
  return deadline === Infinity ? undefined : Math.ceil(wallNow(kernel) + deadline - kernel.now());
}

/** The clock time of a moment that another node names. What is further away than a timer can count is never. */
export function clockTimeOf(kernel: Kernel, wallMs: number | undefined): number {
  if (wallMs === undefined) return Infinity;
  const leftMs = wallMs - kernel.host.clock.wallNow();
  return leftMs > TIMER_MS_MAX ? Infinity : kernel.now() + leftMs;
}
