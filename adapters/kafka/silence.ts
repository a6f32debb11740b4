/**
 * Since when nothing was heard of whom, by this node's own clock. As long as it does not hear itself, nobody's silence counts: the
 * log stands still, or it is cut off. When it hears itself again all others have their time from then on.
 */

import type { LedgerMember } from './ledger.ts';

/** @internal */
export class Silence {
  private readonly gapMs: number;
  private readonly heardAt = new Map<string, number>();
  private hearsItselfSince = Number.NEGATIVE_INFINITY;
  private heardItselfAt = Number.NEGATIVE_INFINITY;

  /** `gapMs`: longest time between two words of its own for which it counts as one that hears. */
  constructor(gapMs: number) {
    this.gapMs = gapMs;
  }

  heardItself(now: number): void {
    if (!this.hears(now)) this.hearsItselfSince = now;
    this.heardItselfAt = now;
  }

  heard(life: string, now: number): void {
    this.heardAt.set(life, now);
  }

  forget(life: string): void {
    this.heardAt.delete(life);
  }

  /** Who has been silent for longer than its session and `patienceMs`, and in how many milliseconds to ask again. */
  silent(
    members: Iterable<LedgerMember>,
    now: number,
    patienceMs: number,
  ): { readonly silent: readonly LedgerMember[]; readonly againMs: number } {
    let againMs = this.gapMs;
    const silent: LedgerMember[] = [];
    if (!this.hears(now)) return { silent, againMs };
    for (const member of members) {
      // One of which nothing was heard yet has come with a snapshot.
      const heardAt = this.heardAt.get(member.incarnation) ?? now;
      this.heardAt.set(member.incarnation, heardAt);
      const restMs = member.sessionMs + patienceMs - (now - Math.max(heardAt, this.hearsItselfSince));
      if (restMs <= 0) silent.push(member);
      else againMs = Math.min(againMs, restMs);
    }
    return { silent, againMs };
  }

  private hears(now: number): boolean {
    return now - this.heardItselfAt <= this.gapMs;
  }
}
