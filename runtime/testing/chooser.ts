/**
 * Who decides where order is not promised: a generator with a seed, or a schedule written down. Every choice among two or
 * more is recorded, so that a run can be told again choice by choice.
 */

import { BURST_SHARE } from './bounds.ts';

/** One choice: how many there were, and which was taken. */
export interface Decision {
  readonly size: number;
  readonly choice: number;
}

/** Decides among what may come next. */
export interface Chooser {
  /** A whole number from 0 to `size - 1`. */
  pick(size: number): number;
  /** Whether the next turn follows without a break. */
  isBurst(): boolean;
}

/** Uniform in [0, 1), the same row for the same seed (the generator is mulberry32). */
export function seededRandom(seed: number): () => number {
  // Seeds beyond 32 bits count with their upper half as well.
  let state = (seed ^ Math.floor(seed / 2 ** 32)) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Chooses by a seed. */
export class SeededChooser implements Chooser {
  private readonly random: () => number;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  pick(size: number): number {
    return size > 1 ? Math.floor(this.random() * size) : 0;
  }

  isBurst(): boolean {
    return this.random() < BURST_SHARE;
  }
}

/** Follows a schedule, then takes the first of all; keeps what there was to choose. */
export class ScriptedChooser implements Chooser {
  readonly decisions: Decision[] = [];
  /** A choice of the schedule was offered among another number than before: something else decides, too. */
  hasDiverged = false;
  private readonly script: readonly { readonly size: number | undefined; readonly choice: number }[];
  private isOver = false;

  constructor(script: readonly { readonly size: number | undefined; readonly choice: number }[]) {
    this.script = script;
  }

  pick(size: number): number {
    if (size <= 1 || this.isOver) return 0;
    const next = this.script[this.decisions.length];
    if (next !== undefined && ((next.size ?? size) !== size || next.choice >= size)) this.hasDiverged = true;
    const choice = next === undefined || next.choice >= size ? 0 : next.choice;
    this.decisions.push({ size, choice });
    return choice;
  }

  isBurst(): boolean {
    return false;
  }

  /** What comes after this is not part of the schedule. */
  end(): void {
    this.isOver = true;
    if (this.script.slice(this.decisions.length).some(({ size }) => size !== undefined))
      this.hasDiverged = true;
  }
}
