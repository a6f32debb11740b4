/**
 * What becomes of one publication: how many of its copies were handled, and how many were not. Each copy that was delivered
 * is counted once, when its one outcome is known, so the two add up to what was delivered.
 */

import type { Envelope, Outcome, Witness } from '../../src/protocol/envelope.ts';
import type { Publication } from './publication.ts';

/** The outcomes of one publication. */
export class Tally implements Witness {
  handled = 0;
  failed = 0;
  /** Attempts at the copy that had most. */
  attempts = 0;
  /** What ended a copy that was not handled: the first that was none of mere lateness, else the first. */
  trouble: { readonly outcome: Outcome; readonly error: unknown } | undefined = undefined;
  /** Resolves when those copies that wait for room have it, or never will; undefined where none waits. */
  taking: Promise<void> | undefined = undefined;
  private publication: Publication | undefined = undefined;
  private readonly listeners: (() => void)[] = [];

  /** Copies that have been delivered so far. */
  get delivered(): number {
    return this.publication?.delivered ?? 0;
  }

  /** No copy is on its way any more. */
  get isDone(): boolean {
    const isTaken = this.publication !== undefined && this.taking === undefined;
    return isTaken && this.handled + this.failed >= this.delivered;
  }

  ended(envelope: Envelope, outcome: Outcome, error?: unknown): void {
    this.attempts = Math.max(this.attempts, envelope.attempt);
    if (outcome === 'handled') {
      this.handled++;
    } else {
      this.failed++;
      if (this.trouble === undefined || this.trouble.outcome === 'expired') this.trouble = { outcome, error };
    }
    this.look();
  }

  /** It was given to everybody who gets a copy. */
  begin(publication: Publication): void {
    this.publication = publication;
    const { waits } = publication;
    if (waits === undefined) this.look();
    else
      this.taking = Promise.allSettled(waits).then((endings) => {
        this.taking = undefined;
        for (const ending of endings) if (ending.status === 'rejected') this.noteRefusal(ending.reason);
        this.look();
      });
  }

  /** Calls `listener` once, when all copies have ended; at once if they have. */
  whenDone(listener: () => void): void {
    if (this.isDone) listener();
    else this.listeners.push(listener);
  }

  private noteRefusal(error: unknown): void {
    this.trouble ??= { outcome: 'overflow-dropped', error };
  }

  private look(): void {
    if (!this.isDone) return;
    for (const listener of this.listeners.splice(0)) listener();
  }
}
