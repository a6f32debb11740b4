/**
 * What was not delivered or not handled, with the reason. The last `deadLettersMax` are kept to be read and replayed; what
 * falls off the end is counted and told. Reading a dead letter never makes another one. How a message is sent again is not
 * known here.
 */

import type {
  DeadLetter,
  DeadLetterFilter,
  DeadLetterStats,
  DeadLetters,
  ReplayReport,
} from '../../src/protocol/dead-letters.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import type { DeadLetterReason } from '../../src/protocol/events.ts';
import { DEAD_TOPICS_MAX } from '../../src/protocol/limits.ts';
import type { EventHub } from '../observe/event-hub.ts';
import { KeptLetter, unknownLetter } from './kept-letter.ts';
import { letterOf } from './letter.ts';
import { letterFilter, placeOf } from './letter-filter.ts';

/** Sends a dead letter again. Resolves when it is accepted. */
export type Resend = (kept: KeptLetter) => Promise<void>;

/** The bounds of a box. */
export interface DeadLetterSettings {
  readonly deadLettersMax: number;
  readonly replaysMax: number;
}

/** The dead letters of one system. */
export class DeadLetterBox implements DeadLetters {
  /** Set once, by the system. */
  resend: Resend = (kept) => Promise.reject(unknownLetter(kept.letter.id));
  /** Hears of each death; set once, by the kernel. */
  died: (envelope: Envelope, reason: DeadLetterReason, error: unknown) => void = () => undefined;
  private readonly settings: DeadLetterSettings;
  private readonly events: EventHub;
  private readonly wallNow: () => number;
  /** By place in the order of their deaths; a Map keeps that order and lets one be discarded. */
  private readonly kept = new Map<number, KeptLetter>();
  private readonly byReason: Partial<Record<DeadLetterReason, number>> = {};
  private readonly readers = new Set<() => void>();
  /** No kept one has a place before this. */
  private oldest = 1;
  private total = 0;
  private evicted = 0;
  private discarded = 0;
  private replayed = 0;
  private isClosed = false;

  constructor(settings: DeadLetterSettings, events: EventHub, wallNow: () => number) {
    this.settings = settings;
    this.events = events;
    this.wallNow = wallNow;
  }

  /** Records the death of a message; `generation` is that of the actor whose attempt at it failed. */
  add(envelope: Envelope, address: string, reason: DeadLetterReason, error?: unknown, generation = 0): void {
    const place = ++this.total;
    this.died(envelope, reason, error);
    const letter = letterOf({ envelope, address, reason, error, generation, atMs: this.wallNow() }, place);
    this.kept.set(place, new KeptLetter(letter, place, envelope));
    this.byReason[reason] = (this.byReason[reason] ?? 0) + 1;
    const evicted = this.kept.size > this.settings.deadLettersMax ? this.dropOldest() : undefined;
    // Stryker disable next-line ConditionalExpression: where nobody listens it would cost an event, and do nothing.
    if (this.events.isObserved) this.events.emit({ type: 'message-dead', ...told(letter), error });
    if (evicted !== undefined) this.tellEvicted(evicted);
    this.wakeReaders();
  }

  get(id: string): DeadLetter | undefined {
    return this.kept.get(placeOf(id))?.letter;
  }

  list(filter?: DeadLetterFilter): readonly DeadLetter[] {
    return this.matching(filter).map(({ letter }) => letter);
  }

  discard(id: string): boolean {
    if (!this.kept.delete(placeOf(id))) return false;
    this.discarded++;
    return true;
  }

  discardAll(filter?: DeadLetterFilter): number {
    const found = this.matching(filter);
    for (const { place } of found) this.kept.delete(place);
    this.discarded += found.length;
    return found.length;
  }

  async replay(id: string): Promise<void> {
    const kept = this.kept.get(placeOf(id));
    if (kept === undefined) throw unknownLetter(id);
    await this.again(kept);
  }

  async replayAll(filter?: DeadLetterFilter): Promise<ReplayReport> {
    const letters = this.matching(filter);
    const refused: { readonly id: string; readonly error: unknown }[] = [];
    // All at once: their places in the mailboxes are taken in this order, and a full one holds up only its own.
    const endings = await Promise.allSettled(letters.map((kept) => this.again(kept)));
    for (const [i, ending] of endings.entries()) {
      const kept = letters[i];
      // Stryker disable next-line ConditionalExpression: for the compiler, as each ending has its letter; the rest is tested.
      if (ending.status === 'rejected' && kept !== undefined)
        refused.push({ id: kept.letter.id, error: ending.reason });
    }
    return { replayed: letters.length - refused.length, refused };
  }

  stats(): DeadLetterStats {
    const { total, evicted, discarded, replayed } = this;
    const topics = this.keptByTopic();
    return {
      total,
      kept: this.kept.size,
      evicted,
      discarded,
      replayed,
      byReason: { ...this.byReason },
      byTopic: topics.slice(0, DEAD_TOPICS_MAX),
      otherTopics: topics.slice(DEAD_TOPICS_MAX).reduce((sum, { kept }) => sum + kept, 0),
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
    kept.beginReplay(this.settings.replaysMax);
    try {
      await this.resend(kept);
      if (this.kept.delete(kept.place)) this.replayed++;
    } finally {
      kept.endReplay();
    }
  }

  private matching(given: DeadLetterFilter | undefined): readonly KeptLetter[] {
    const filter = letterFilter(given);
    const found: KeptLetter[] = [];
    for (const kept of this.kept.values()) {
      if (found.length === filter.limit) break;
      if (kept.place > filter.afterPlace && filter.fits(kept.letter)) found.push(kept);
    }
    return found;
  }

  private keptByTopic(): readonly { readonly topic: string; readonly kept: number }[] {
    const counts = new Map<string, number>();
    for (const { letter } of this.kept.values())
      if (letter.topic !== undefined) counts.set(letter.topic, (counts.get(letter.topic) ?? 0) + 1);
    return [...counts].map(([topic, kept]) => ({ topic, kept })).sort((a, b) => b.kept - a.kept);
  }

  private dropOldest(): DeadLetter | undefined {
    // Not the first key of the Map: its iterator walks over every place that was deleted before it.
    for (;;) {
      const kept = this.kept.get(this.oldest);
      if (this.kept.delete(this.oldest++)) {
        this.evicted++;
        // Stryker disable next-line OptionalChaining: for the compiler; what was deleted was there.
        return kept?.letter;
      }
    }
  }

  /** Each one to whoever listens; to the log, which a flood would fill, the first. */
  private tellEvicted(letter: DeadLetter): void {
    // Stryker disable next-line ConditionalExpression: as in `add`.
    if (this.events.isObserved) this.events.emit({ type: 'dead-letter-evicted', ...told(letter) });
    if (this.evicted > 1) return;
    const text = `more than ${this.settings.deadLettersMax} dead letters are kept, and the oldest fall off: discard some, or raise deadLettersMax`;
    this.events.emit({ type: 'logged', level: 'warn', address: '/', text, fields: undefined });
  }

  private wakeReaders(): void {
    // Stryker disable next-line ConditionalExpression: an empty Set has nobody to wake; this spares the look.
    if (this.readers.size === 0) return;
    for (const wake of this.readers) wake();
    this.readers.clear();
  }
}

/** What an event says of a letter: never what the message carried. */
function told({ id, messageId, address, message, topic, reason }: DeadLetter) {
  return { id, messageId, address, message, topic, reason } as const;
}

function newWakeUp(): { promise: Promise<void>; wake: () => void } {
  let wake = (): void => undefined;
  const promise = new Promise<void>((resolve) => {
    wake = resolve;
  });
  return { promise, wake };
}
