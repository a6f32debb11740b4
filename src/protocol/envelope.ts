/**
 * One message on its way: a small object of fixed shape. What most messages do not need (a deadline, headers, an id
 * that somebody reads) stands in `Extras`, which is made only then. An envelope is made once and keeps its identity
 * through retries, the stash and the dead letters.
 */

import type { FailedAttempt } from './dead-letters.ts';
import type { DeadLetterReason } from './events.ts';
import type { Rank } from './priority.ts';
import { type Priority, priorityAt } from './priority.ts';
import type { MessageKind } from './protocol.ts';

/** A message of a protocol as one kind of agent handles it; found once, when the message is sent. */
export interface MessageEntry {
  readonly name: string;
  readonly kind: MessageKind;
  /** Only the agent itself may send it (timers, continue). */
  readonly isInternal: boolean;
  readonly handler: (context: unknown, payload: unknown) => unknown;
}

/** Whoever sent a message and can be named: an actor. */
export interface Sender {
  readonly address: string;
}

/** The party that waits for the reply to an ask. Settling twice is harmless: the second is answered `false`. */
export interface Customer {
  resolve(reply: unknown): boolean;
  reject(error: unknown): boolean;
  /** It was settled by a reply. */
  readonly isAnswered: boolean;
  /** Clock time after which it waits no longer. */
  readonly deadline: number;
  /** The turns that wait for this ask. */
  readonly chain: AskChain | undefined;
}

/** The customer of a stream, who takes parts before the end. */
export interface PartsCustomer extends Customer {
  /** Parts that it was given. */
  readonly parts: number;
  /** Parts that it takes now; one more than that is never offered. */
  readonly demand: number;
  /** Called when there may be demand again. */
  onDemand: (() => void) | undefined;
  /** Takes a part; where it cannot, the stream ends. */
  takePart(part: unknown): void;
}

/** Whoever takes the parts of a stream; undefined where a message is none, or nobody takes them. */
export function partsCustomerOf({ customer }: Envelope): PartsCustomer | undefined {
  return customer !== undefined && 'takePart' in customer ? (customer as PartsCustomer) : undefined; // no other customer has it
}

/** The turns that wait in a chain of asks, innermost first. */
export interface AskChain {
  readonly waiting: Sender;
  /** The id of the message whose turn it is. */
  readonly id: string;
  /** Whether that turn still runs; one that has ended waits for nobody. */
  isWaiting(): boolean;
  readonly outer: AskChain | undefined;
}

/** How a message ended that a mailbox had accepted. */
export type Outcome = 'handled' | 'cancelled' | DeadLetterReason;

/** Somebody who wants to know what becomes of a publication: told once for each copy that a mailbox has accepted. */
export interface Witness {
  ended(envelope: Envelope, outcome: Outcome, error?: unknown): void;
}

/** A message's place in a trace. Whoever records traces makes it, and ends by it the span of the call. */
export interface Trace {
  readonly traceId: string;
  /** A message's own headers with this place in them, for where it is kept outside this process. */
  headersWith(own: Readonly<Record<string, string>> | undefined): Readonly<Record<string, string>>;
  /** The first part of a stream has come. */
  began(): void;
  /** A stream is about to end, and has had so many parts. */
  took(parts: number): void;
  /** The call is over: the mailbox has said this, or the reply has come. */
  sent(verdict: string): void;
  /** The call was in vain. */
  failed(error: unknown): void;
  /** The same place, for a message that is kept for long: it holds on to no span. */
  kept(): Trace;
}

/** What only some envelopes carry. */
export class Extras {
  /** All copies of one publication share one: whoever changes it for one of them alone goes through `ensureExtras`. */
  isShared = false;
  id: string | undefined = undefined;
  witness: Witness | undefined = undefined;
  /** Clock time after which no turn may start for this message; `Infinity` for none. An ask has its customer's. */
  deadline = Infinity;
  headers: Readonly<Record<string, string>> | undefined = undefined;
  /** The topic it was published to, if it was. */
  topic: string | undefined = undefined;
  /** Whole milliseconds since the system started, if the mailbox ages its messages. */
  sentAtMs = 0;
  /** Attempts so far, the present one included. */
  attempt = 1;
  /** The earlier attempts that failed, oldest first; never changed once it is there. */
  history: readonly FailedAttempt[] | undefined = undefined;
  /** Times it was replayed as a dead letter, under whatever ids. */
  replays = 0;
  /** It sits in a slot of the self-send reserve. */
  isOwn = false;
  /** While traces are recorded. */
  trace: Trace | undefined = undefined;
  /** Clock time since which it waits for a turn, where somebody has looked; else -1. */
  waitsSince = -1;
}

let envelopesIdentified = 0;

/** A message, its place in the order, and who waits for it. */
export class Envelope {
  readonly entry: MessageEntry;
  readonly payload: unknown;
  readonly rank: Rank;
  /** Order of the calls at one mailbox, taken when `tell`, `send` or `ask` is called. */
  seq = 0;
  readonly sender: Sender | undefined;
  readonly customer: Customer | undefined;
  extras: Extras | undefined;

  constructor(
    entry: MessageEntry,
    payload: unknown,
    rank: Rank,
    sender: Sender | undefined,
    customer: Customer | undefined,
    extras: Extras | undefined,
  ) {
    this.entry = entry;
    this.payload = payload;
    this.rank = rank;
    this.sender = sender;
    this.customer = customer;
    this.extras = extras;
  }

  /** Identifies this message in this process; made when it is first read. The copies of one publication have one id. */
  get id(): string {
    this.extras ??= new Extras();
    this.extras.id ??= `m${++envelopesIdentified}`;
    return this.extras.id;
  }

  get priority(): Priority {
    return priorityAt(this.rank);
  }

  /** Clock time after which no turn may start for it; `Infinity` for none. */
  get deadline(): number {
    if (this.customer !== undefined) return this.customer.deadline;
    return this.extras === undefined ? Infinity : this.extras.deadline;
  }

  /** Whole milliseconds since the system started, if the mailbox ages its messages; else 0. */
  get sentAtMs(): number {
    return this.extras === undefined ? 0 : this.extras.sentAtMs;
  }

  get attempt(): number {
    return this.extras === undefined ? 1 : this.extras.attempt;
  }

  /** The extras of this envelope alone, to be changed. */
  ensureExtras(): Extras {
    const { extras } = this;
    if (extras !== undefined && !extras.isShared) return extras;
    return this.ownExtras();
  }

  private ownExtras(): Extras {
    const own = new Extras();
    // Once the copies go different ways it is too late to agree on an id.
    if (this.extras !== undefined) Object.assign(own, this.extras, { id: this.id, isShared: false });
    this.extras = own;
    return own;
  }
}
