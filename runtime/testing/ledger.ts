/**
 * The books of one actor, kept beside the mailbox's own counts: which message came in when, where it is, and how it ended.
 * It believes nothing the engine says of itself: order is that of the calls it saw, and a message is where it was put last.
 */

import type { Envelope } from '../../src/protocol/envelope.ts';
import type { DeadLetterReason } from '../../src/protocol/events.ts';
import type { Findings } from './findings.ts';

/** How a message ended. */
export type Outcome = 'handled' | 'failed' | 'cancelled' | 'dead';

type Place = 'knocking' | 'queued' | 'stashed' | 'taken' | 'removed';

interface Entry {
  /** Order of the calls at this actor. */
  readonly order: number;
  place: Place;
  isStarted: boolean;
  /** The agent put it aside: its place in the order is the agent's own choice. */
  wasStashed: boolean;
}

/** What the books are compared with. */
export interface Counts {
  readonly accepted: number;
  readonly handled: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly deadLettered: number;
  readonly queued: number;
  readonly stashed: number;
}

/** The messages of one actor. */
export class Ledger {
  private readonly findings: Findings;
  private readonly address: string;
  private readonly entries = new Map<Envelope, Entry>();
  private readonly ended = new WeakMap<Envelope, Outcome>();
  /** The last message taken of each sender, by priority. */
  private readonly lastTaken = new Map<unknown, Map<number, number>>();
  private readonly outcomes = { handled: 0, failed: 0, cancelled: 0, dead: 0 };
  private calls = 0;
  private accepted = 0;
  private taken: Envelope | undefined = undefined;
  private removed: Envelope | undefined = undefined;

  constructor(address: string, findings: Findings) {
    this.address = address;
    this.findings = findings;
  }

  knocks(envelope: Envelope): void {
    const order = ++this.calls;
    this.entries.set(envelope, { order, place: 'knocking', isStarted: false, wasStashed: false });
  }

  /** It got in; it may have been dropped in the same step. */
  gotIn(envelope: Envelope): void {
    this.accepted++;
    const entry = this.entries.get(envelope);
    if (entry?.place === 'knocking') entry.place = 'queued';
  }

  /** It did not get in, and waits at most. */
  stayedOut(envelope: Envelope): void {
    const entry = this.entries.get(envelope);
    if (entry?.place === 'knocking') this.entries.delete(envelope);
  }

  /** Its sender waits for room; the place in the order is that of the call. */
  waits(envelope: Envelope): void {
    this.entries.set(envelope, { order: this.calls, place: 'knocking', isStarted: false, wasStashed: false });
  }

  takes(envelope: Envelope): void {
    if (this.taken !== undefined) this.lost(this.taken, 'was taken and has no outcome');
    this.taken = envelope;
    const entry = this.entries.get(envelope);
    if (entry === undefined || entry.place !== 'queued') {
      const ended = this.ended.get(envelope);
      const what = ended === undefined ? 'was taken and never came in' : `was taken although it is ${ended}`;
      this.findings.add('P2', this.line(envelope, what));
      return;
    }
    entry.place = 'taken';
    this.checkOrder(envelope, entry);
  }

  /** It waits for another attempt. */
  putBack(envelope: Envelope): void {
    this.place(envelope, 'queued');
  }

  /** It is put aside; a continuation comes in by that. */
  putAside(envelope: Envelope): void {
    if (!this.entries.has(envelope)) {
      this.knocks(envelope);
      this.gotIn(envelope);
    }
    this.place(envelope, 'stashed');
    const entry = this.entries.get(envelope);
    if (entry !== undefined) entry.wasStashed = true;
  }

  unstashed(): void {
    for (const entry of this.entries.values()) if (entry.place === 'stashed') entry.place = 'queued';
  }

  /** It was taken out of queue or stash; what becomes of it is said next. */
  removes(envelope: Envelope): void {
    this.removed = envelope;
    this.place(envelope, 'removed');
  }

  /** The engine counted an end without saying whose: it is that of the message removed last, or of the one in flight. */
  counts(outcome: 'handled' | 'cancelled'): void {
    const { removed, taken } = this;
    const isRemoved = outcome === 'cancelled' && removed !== undefined && this.entries.has(removed);
    const envelope = isRemoved ? removed : taken;
    this.removed = undefined;
    if (envelope === undefined) {
      this.findings.add('P2', `${this.address}: ${outcome} was counted with no message in flight`);
    } else {
      this.ends(envelope, outcome);
    }
  }

  /** It became a dead letter. One that never got in is none of this actor's. */
  died(envelope: Envelope, reason: DeadLetterReason): void {
    if (!this.entries.has(envelope) && !this.ended.has(envelope)) return;
    this.ends(envelope, reason === 'handler-failed' ? 'failed' : 'dead');
  }

  /** Compares the books with the actor: its counts, its queue, and the message whose turn runs. */
  audit(counts: Counts, queued: ReadonlySet<Envelope>, inFlight: Envelope | undefined): void {
    const { outcomes, accepted } = this;
    const own = { ...outcomes, deadLettered: outcomes.dead, accepted };
    for (const name of ['accepted', 'handled', 'failed', 'cancelled', 'deadLettered'] as const) {
      if (counts[name] !== own[name])
        this.findings.add(
          'P1',
          `${this.address}: counts ${counts[name]} ${name}, and ${own[name]} were seen`,
        );
    }
    let stashed = 0;
    let flying = 0;
    for (const [envelope, { place }] of this.entries) {
      if (place === 'queued' && !queued.has(envelope))
        this.lost(envelope, 'was accepted and is not in the queue');
      if (place === 'taken' && envelope !== inFlight) this.lost(envelope, 'was taken and has no outcome');
      if (place === 'removed') this.lost(envelope, 'was removed and has no outcome');
      if (place === 'stashed') stashed++;
      if (place === 'taken') flying++;
    }
    if (stashed !== counts.stashed)
      this.findings.add('P1', `${this.address}: holds ${counts.stashed} stashed messages of ${stashed}`);
    const { handled, failed, cancelled, deadLettered } = counts;
    const sum = handled + failed + cancelled + deadLettered + counts.queued + counts.stashed + flying;
    if (sum !== counts.accepted)
      this.findings.add(
        'P1',
        `${this.address}: accepted ${counts.accepted} messages and accounts for ${sum}`,
      );
  }

  private ends(envelope: Envelope, outcome: Outcome): void {
    const earlier = this.ended.get(envelope);
    if (!this.entries.delete(envelope)) {
      this.findings.add(
        'P2',
        this.line(envelope, `is ${outcome} after it was ${earlier ?? 'never accepted'}`),
      );
    }
    if (this.taken === envelope) this.taken = undefined;
    this.ended.set(envelope, outcome);
    this.outcomes[outcome]++;
  }

  private place(envelope: Envelope, place: Place): void {
    const entry = this.entries.get(envelope);
    if (entry !== undefined) entry.place = place;
    if (this.taken === envelope) this.taken = undefined;
  }

  /** Of one sender and priority, whoever called first is taken first. */
  private checkOrder(envelope: Envelope, entry: Entry): void {
    if (entry.wasStashed || entry.isStarted) return;
    entry.isStarted = true;
    let last = this.lastTaken.get(envelope.sender);
    if (last === undefined) {
      last = new Map();
      this.lastTaken.set(envelope.sender, last);
    }
    const before = last.get(envelope.rank) ?? 0;
    if (entry.order < before)
      this.findings.add('P50', this.line(envelope, `was call ${entry.order} and came after call ${before}`));
    else last.set(envelope.rank, entry.order);
  }

  private lost(envelope: Envelope, what: string): void {
    this.findings.add('P1', this.line(envelope, what));
  }

  private line(envelope: Envelope, what: string): string {
    return `${this.address}: '${envelope.entry.name}' from ${envelope.sender?.address ?? 'outside'} ${what}`;
  }
}
