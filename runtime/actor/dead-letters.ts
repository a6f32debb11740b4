/**
 * What was not delivered or not handled, with the reason. The last `max` are kept to be read and replayed; what falls
 * off the end is counted. Reading a dead letter never makes another one. How a message is sent again is not known here.
 */

import type { Envelope } from '../../src/protocol/envelope.ts';
import type { DeadLetterReason } from '../../src/protocol/events.ts';
import { objectOption } from '../../src/protocol/options.ts';
import type {
  DeadLetter,
  DeadLetterFilter,
  DeadLetterStats,
  DeadLetters,
  ReplayReport,
} from '../../src/protocol/system.ts';
import type { EventHub } from '../observe/event-hub.ts';
import { KeptLetter, unknownLetter } from './kept-letter.ts';

/** Reasons that follow an attempt; with every other the message still waited for its next one. */
const TURN_ENDED: ReadonlySet<DeadLetterReason> = new Set([
  'handler-failed',
  'attempts-exhausted',
  'stash-cleared',
]);

/** Sends a dead letter again. Resolves when it is accepted. */
export type Resend = (kept: KeptLetter) => Promise<void>;

/** The dead letters of one system. */
export class DeadLetterBox implements DeadLetters {
  /** Set once, by the system. */
  resend: Resend = (kept) => Promise.reject(unknownLetter(kept.letter.id));
  private readonly max: number;
  private readonly events: EventHub;
  private readonly wallNow: () => number;
  /** By place in the order of their deaths; a Map keeps that order and lets one be discarded. */
  private readonly kept = new Map<number, KeptLetter>();
  private readonly byReason: Partial<Record<DeadLetterReason, number>> = {};
  private readonly readers = new Set<() => void>();
  /** No kept one has a place before this. */
  private oldest = 1;
  private total = 0;
  private discarded = 0;
  private replayed = 0;
  private isClosed = false;

  constructor(max: number, events: EventHub, wallNow: () => number) {
    this.max = max;
    this.events = events;
    this.wallNow = wallNow;
  }

  /** Records the death of a message. */
  add(envelope: Envelope, address: string, reason: DeadLetterReason, error?: unknown): void {
    const causes = envelope.extras?.causes ?? [];
    const letter: DeadLetter = {
      id: envelope.id,
      address,
      message: envelope.entry.name,
      payload: envelope.payload,
      priority: envelope.priority,
      reason,
      causes: error === undefined ? [...causes] : [...causes, error],
      attempts: TURN_ENDED.has(reason) ? envelope.attempt : envelope.attempt - 1,
      replays: envelope.extras?.replays ?? 0,
      sender: envelope.sender?.address,
      deadAtMs: this.wallNow(),
    };
    const place = ++this.total;
    this.kept.set(place, new KeptLetter(letter, place, envelope));
    this.byReason[reason] = (this.byReason[reason] ?? 0) + 1;
    if (this.kept.size > this.max) this.dropOldest();
    if (this.events.isObserved) {
      this.events.emit({
        type: 'message-dead',
        id: letter.id,
        address,
        message: letter.message,
        reason,
        error,
      });
    }
    this.wakeReaders();
  }

  /** The kept ones that match, oldest first. */
  list(filter?: DeadLetterFilter): readonly DeadLetter[] {
    return this.matching(filter).map(({ letter }) => letter);
  }

  /** Forgets the dead letters of this message; false when none is kept. */
  discard(id: string): boolean {
    let isFound = false;
    for (const [place, { letter }] of this.kept) {
      if (letter.id !== id) continue;
      isFound = this.kept.delete(place);
      this.discarded++;
    }
    return isFound;
  }

  /** Sends the message again. It stays in the list until it is accepted. */
  async replay(id: string): Promise<void> {
    await this.again(this.find(id));
  }

  async replayAll(filter?: DeadLetterFilter): Promise<ReplayReport> {
    const letters = this.matching(filter);
    const refused: { readonly id: string; readonly error: unknown }[] = [];
    // All at once: their places in the mailboxes are taken in this order, and a full one holds up only its own.
    const endings = await Promise.allSettled(letters.map((kept) => this.again(kept)));
    for (const [i, ending] of endings.entries()) {
      const kept = letters[i];
      if (ending.status === 'rejected' && kept !== undefined)
        refused.push({ id: kept.letter.id, error: ending.reason });
    }
    return { replayed: letters.length - refused.length, refused };
  }

  stats(): DeadLetterStats {
    const { discarded, replayed, total } = this;
    return {
      total,
      kept: this.kept.size,
      evicted: total - this.kept.size - discarded - replayed,
      discarded,
      replayed,
      byReason: { ...this.byReason },
    };
  }

  /** Every dead letter from now on, until the system ends. A reader that is too slow misses what fell off the end. */
  async *[Symbol.asyncIterator](): AsyncGenerator<DeadLetter, void, undefined> {
    let read = this.total;
    for (;;) {
      while (read < this.total) {
        const kept = this.kept.get(++read);
        if (kept !== undefined) yield kept.letter;
      }
      if (this.isClosed) return;
      const { promise, wake } = newWakeUp();
      this.readers.add(wake);
      await promise;
    }
  }

  /** Ends the iterators after what they have not read yet. */
  close(): void {
    this.isClosed = true;
    this.wakeReaders();
  }

  /** Sends one again; one at a time of each, or the message would be there twice. */
  private async again(kept: KeptLetter): Promise<void> {
    kept.beginReplay();
    try {
      await this.resend(kept);
      if (this.kept.delete(kept.place)) this.replayed++;
    } finally {
      kept.endReplay();
    }
  }

  private matching(filter: DeadLetterFilter | undefined): readonly KeptLetter[] {
    const { reason, address, message } = objectOption('filter', filter, ['reason', 'address', 'message']);
    const found: KeptLetter[] = [];
    for (const kept of this.kept.values()) {
      const { letter } = kept;
      if (reason !== undefined && letter.reason !== reason) continue;
      if (address !== undefined && letter.address !== address) continue;
      if (message !== undefined && letter.message !== message) continue;
      found.push(kept);
    }
    return found;
  }

  private find(id: unknown): KeptLetter {
    for (const kept of this.kept.values()) if (kept.letter.id === id) return kept;
    throw unknownLetter(id);
  }

  private dropOldest(): void {
    // Not the first key of the Map: its iterator walks over every place that was deleted before it.
    while (!this.kept.delete(this.oldest)) this.oldest++;
    this.oldest++;
  }

  private wakeReaders(): void {
    if (this.readers.size === 0) return;
    for (const wake of this.readers) wake();
    this.readers.clear();
  }
}

function newWakeUp(): { promise: Promise<void>; wake: () => void } {
  let wake = (): void => undefined;
  const promise = new Promise<void>((resolve) => {
    wake = resolve;
  });
  return { promise, wake };
}
