/**
 * What was not delivered or not handled, with the reason. The last `max` are kept to be read; what falls off the end
 * is counted. Reading a dead letter never makes another one.
 */

import type { Envelope } from '../../src/protocol/envelope.ts';
import type { DeadLetterReason } from '../../src/protocol/events.ts';
import { objectOption } from '../../src/protocol/options.ts';
import type {
  DeadLetter,
  DeadLetterFilter,
  DeadLetterStats,
  DeadLetters,
} from '../../src/protocol/system.ts';
import type { EventHub } from '../observe/event-hub.ts';

/** Reasons that follow an attempt; with every other the message still waited for its next one. */
const TURN_ENDED: ReadonlySet<DeadLetterReason> = new Set([
  'handler-failed',
  'attempts-exhausted',
  'stash-cleared',
]);

/** The dead letters of one system. */
export class DeadLetterBox implements DeadLetters {
  private readonly max: number;
  private readonly events: EventHub;
  private readonly wallNow: () => number;
  /** By place in the order of their deaths; a Map keeps that order and lets one be discarded. */
  private readonly kept = new Map<number, DeadLetter>();
  private readonly byReason: Partial<Record<DeadLetterReason, number>> = {};
  private readonly readers = new Set<() => void>();
  private total = 0;
  private discarded = 0;
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
      sender: envelope.sender?.address,
      deadAtMs: this.wallNow(),
    };
    this.kept.set(++this.total, letter);
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
    const { reason, address, message } = objectOption('filter', filter, ['reason', 'address', 'message']);
    const found: DeadLetter[] = [];
    for (const letter of this.kept.values()) {
      if (reason !== undefined && letter.reason !== reason) continue;
      if (address !== undefined && letter.address !== address) continue;
      if (message !== undefined && letter.message !== message) continue;
      found.push(letter);
    }
    return found;
  }

  /** Forgets the dead letters of this message; false when none is kept. */
  discard(id: string): boolean {
    let isFound = false;
    for (const [place, letter] of this.kept) {
      if (letter.id !== id) continue;
      isFound = this.kept.delete(place);
      this.discarded++;
    }
    return isFound;
  }

  stats(): DeadLetterStats {
    const evicted = this.total - this.kept.size - this.discarded;
    return {
      total: this.total,
      kept: this.kept.size,
      evicted,
      discarded: this.discarded,
      byReason: { ...this.byReason },
    };
  }

  /** Every dead letter from now on, until the system ends. A reader that is too slow misses what fell off the end. */
  async *[Symbol.asyncIterator](): AsyncGenerator<DeadLetter, void, undefined> {
    let read = this.total;
    for (;;) {
      while (read < this.total) {
        const letter = this.kept.get(++read);
        if (letter !== undefined) yield letter;
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

  private dropOldest(): void {
    for (const place of this.kept.keys()) {
      this.kept.delete(place);
      return;
    }
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
