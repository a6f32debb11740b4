/**
 * The mailbox of one actor: what is queued, what waits for room, what is stashed, and what the runtime itself has to
 * say (the control lane). Only the user lane is bounded; control items are ours, few, and coalesced by their makers.
 *
 * Invariant: a waiter and free room of a kind it may use never coexist. A slot that is freed goes to the best waiter
 * in the same step, so nobody who calls later gets in before somebody who waits with the same or a better priority.
 * The mailbox decides no outcome: what it drops or clears it hands to its owner, who keeps the ledger.
 */

import type { MailboxSettings } from '../../src/protocol/agent-settings.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import { CONTINUES_MAX } from '../../src/protocol/limits.ts';
import { CRITICAL_RANK, type Rank } from '../../src/protocol/priority.ts';
import { Admission } from './admission.ts';
import { type Ordered, PriorityHeap } from './heap.ts';

/** Whoever waits for room; told once how it ended. */
export interface WaitingSender {
  /** The message has got its slot. */
  admitted(): void;
  /** The actor has ended. */
  refused(error: unknown): void;
}

/** A message that waits for room. */
export class Waiter implements Ordered {
  readonly envelope: Envelope;
  readonly rank: Rank;
  readonly seq: number;
  readonly sentAtMs: number;
  readonly sender: WaitingSender;

  constructor(envelope: Envelope, sender: WaitingSender) {
    this.envelope = envelope;
    this.rank = envelope.rank;
    this.seq = envelope.seq;
    this.sentAtMs = envelope.sentAtMs;
    this.sender = sender;
  }
}

/** What `clear` found: messages that were accepted, and sends that still waited. */
export interface Remains {
  readonly queued: readonly Envelope[];
  readonly stashed: readonly Envelope[];
  readonly waiting: readonly Waiter[];
}

/** Bounded, ordered by priority, awaitable. */
export class Mailbox {
  /** Messages that ever got in. */
  accepted = 0;
  private readonly settings: MailboxSettings;
  private readonly dropped: (envelope: Envelope) => void;
  private readonly admission: Admission;
  private readonly queue: PriorityHeap<Envelope>;
  private waiters: PriorityHeap<Waiter> | undefined = undefined;
  private stash: Envelope[] | undefined = undefined;
  private control: Envelope[] | undefined = undefined;
  private continues: Envelope[] | undefined = undefined;
  private calls = 0;

  /** `dropped` is told of each accepted message that the overflow policy takes out again. */
  constructor(settings: MailboxSettings, dropped: (envelope: Envelope) => void) {
    this.settings = settings;
    this.dropped = dropped;
    this.admission = new Admission(settings);
    this.queue = new PriorityHeap<Envelope>(settings.agingMs);
  }

  /** Messages waiting for a turn. */
  get queued(): number {
    return this.queue.size;
  }

  /** Messages put aside by the agent. */
  get stashed(): number {
    return this.stash === undefined ? 0 : this.stash.length;
  }

  /** Sends waiting for room. */
  get waiting(): number {
    return this.waiters === undefined ? 0 : this.waiters.size;
  }

  /** Items in the control lane. */
  get controls(): number {
    return (
      (this.control === undefined ? 0 : this.control.length) +
      (this.continues === undefined ? 0 : this.continues.length)
    );
  }

  /** Queued messages by priority, most urgent first. */
  depths(): readonly number[] {
    return this.queue.sizes();
  }

  /**
   * A message knocks. Its place in the order is taken now, whether it gets in or not. `nowMs` is read only by a
   * mailbox that ages; `isSelfSend` opens the self-send reserve.
   */
  offer(envelope: Envelope, nowMs: number, isSelfSend: boolean): 'accepted' | 'full' {
    envelope.seq = ++this.calls;
    envelope.sentAtMs = nowMs;
    if (this.admission.take(envelope, isSelfSend)) {
      this.accepted++;
      this.queue.push(envelope);
      return 'accepted';
    }
    if (this.settings.overflow === 'backpressure' || this.settings.overflow === 'reject') return 'full';
    this.accepted++;
    this.displace(envelope);
    return 'accepted';
  }

  /** Lets a message that was just told 'full' wait for room. False: `waitersMax` sends wait already. */
  wait(waiter: Waiter): boolean {
    this.waiters ??= new PriorityHeap<Waiter>(this.settings.agingMs);
    if (this.waiters.size >= this.settings.waitersMax) return false;
    this.waiters.push(waiter);
    return true;
  }

  /** Takes a waiter out; false when it does not wait any more. */
  leave(waiter: Waiter): boolean {
    return this.waiters?.remove(waiter) ?? false;
  }

  /** Adds to the control lane, which is taken before any user message and never refused. */
  pushControl(item: Envelope): void {
    this.control ??= [];
    this.control.push(item);
  }

  /** Adds what the actor wants to do next, before everything else. False: `CONTINUES_MAX` of them are pending. */
  pushContinue(item: Envelope): boolean {
    this.continues ??= [];
    if (this.continues.length >= CONTINUES_MAX) return false;
    this.continues.push(item);
    return true;
  }

  /** Removes the first control item; continuations come before the others. */
  nextControl(): Envelope | undefined {
    return this.continues?.shift() ?? this.control?.shift();
  }

  /** Forgets the continuations of a generation that has ended. */
  dropContinues(): void {
    this.continues = undefined;
  }

  /** How many queued messages `predicate` holds for. */
  countQueued(predicate: (envelope: Envelope) => boolean): number {
    let count = 0;
    this.queue.forEach((envelope) => {
      if (predicate(envelope)) count++;
    });
    return count;
  }

  /** Removes the control items that `isStale` names. */
  dropControl(isStale: (item: Envelope) => boolean): void {
    this.control = this.control?.filter((item) => !isStale(item));
  }

  /** Removes the message whose turn is next; its slot goes to the best waiter. */
  next(): Envelope | undefined {
    const envelope = this.queue.pop();
    if (envelope !== undefined) this.release(envelope);
    return envelope;
  }

  /** Puts the message of the present turn back at its old place. */
  putBack(envelope: Envelope): void {
    this.admission.retake();
    this.queue.push(envelope);
  }

  /** Puts the message of the present turn aside. False: the stash is full and the message is still the caller's. */
  putAside(envelope: Envelope): boolean {
    this.stash ??= [];
    if (this.stash.length >= Math.min(this.settings.stashMax, this.settings.capacity)) return false;
    this.admission.retake();
    this.stash.push(envelope);
    return true;
  }

  /** Returns all stashed messages to their old places in the queue; answers how many. */
  unstash(): number {
    const stashed = this.stash;
    if (stashed === undefined) return 0;
    this.stash = undefined;
    for (const envelope of stashed) this.queue.push(envelope);
    return stashed.length;
  }

  /** Removes a message from queue or stash; false when it is in neither. */
  cancel(envelope: Envelope): boolean {
    if (!this.queue.remove(envelope)) {
      const place = this.stash?.indexOf(envelope) ?? -1;
      if (place < 0) return false;
      this.stash?.splice(place, 1);
    }
    this.release(envelope);
    return true;
  }

  /** Empties everything, for an actor that has ended. */
  clear(): Remains {
    const waiting = this.waiters?.drain() ?? [];
    const queued = this.queue.drain();
    const stashed = this.stash ?? [];
    this.stash = undefined;
    this.control = undefined;
    this.continues = undefined;
    for (const envelope of queued) this.admission.giveBack(envelope);
    for (const envelope of stashed) this.admission.giveBack(envelope);
    return { queued, stashed, waiting };
  }

  /** The overflow policy drops somebody: an older message, or the newcomer. */
  private displace(newcomer: Envelope): void {
    const victim = this.admission.victim(newcomer, this.queue);
    if (victim === undefined) {
      this.dropped(newcomer);
      return;
    }
    this.queue.remove(victim);
    this.admission.swap(victim, newcomer);
    this.queue.push(newcomer);
    this.dropped(victim);
  }

  private release(envelope: Envelope): void {
    this.admission.giveBack(envelope);
    const waiters = this.waiters;
    if (waiters === undefined || waiters.size === 0) return;
    while (this.admit(waiters, waiters.peek())) {
      // As long as the best one gets in, the next best is asked.
    }
    while (this.admit(waiters, waiters.peekRank(CRITICAL_RANK))) {
      // Behind a best waiter without room, a critical one may still use its reserve.
    }
  }

  private admit(waiters: PriorityHeap<Waiter>, waiter: Waiter | undefined): boolean {
    if (waiter === undefined || !this.admission.take(waiter.envelope, false)) return false;
    waiters.remove(waiter);
    this.accepted++;
    this.queue.push(waiter.envelope);
    waiter.sender.admitted();
    return true;
  }
}
