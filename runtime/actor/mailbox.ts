/**
 * The mailbox of one actor: what is queued, what waits for room, what is stashed, and what the runtime itself has to
 * say (the control lane). Only the user lane is bounded; control items are ours, few, and coalesced by their makers.
 *
 * Invariant: a waiter and free room of a kind it may use never coexist. A slot that is freed goes to the best waiter
 * in the same step, so nobody who calls later gets in before somebody who waits with the same or a better priority.
 * The mailbox decides no outcome: what it drops or clears it hands to its owner, who says how it ended.
 */

import type { MailboxSettings } from '../../src/protocol/agent-settings.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import { CRITICAL_RANK, type Rank } from '../../src/protocol/priority.ts';
import { Admission } from './admission.ts';
import { ControlLane } from './control-lane.ts';
import { type Ordered, PriorityHeap } from './heap.ts';

const RANKS: readonly Rank[] = [0, 1, 2, 3, 4, 5];

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

/** Who decides what becomes of messages. */
export interface MailboxOwner {
  /** A message that had been accepted was taken out: the overflow policy said so, or its time was over. */
  dropped(envelope: Envelope): void;
  /** Whether a queued message gives up its place because its time is over. */
  isOver(envelope: Envelope): boolean;
}

/** Bounded, ordered by priority, awaitable. */
export class Mailbox {
  /** Messages that ever got in, and how many of them ended in which way; the owner counts the ends. */
  accepted = 0;
  handled = 0;
  failed = 0;
  cancelled = 0;
  deadLettered = 0;
  private readonly settings: MailboxSettings;
  private readonly owner: MailboxOwner;
  private readonly admission: Admission;
  private readonly queue: PriorityHeap<Envelope>;
  private waiters: PriorityHeap<Waiter> | undefined = undefined;
  private stash: Envelope[] | undefined = undefined;
  private controlMade: ControlLane | undefined = undefined;
  private calls = 0;

  constructor(
    settings: MailboxSettings,
    owner: MailboxOwner,
    queue: PriorityHeap<Envelope> = new PriorityHeap<Envelope>(settings.agingMs),
  ) {
    this.settings = settings;
    this.owner = owner;
    this.admission = new Admission(settings);
    this.queue = queue;
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
    return this.controlMade === undefined ? 0 : this.controlMade.size;
  }

  /** Queued messages of this rank. */
  depth(rank: Rank): number {
    return this.queue.sizeOf(rank);
  }

  /**
   * A message knocks. Its place in the order is taken now, whether it gets in or not. `nowMs` is read only by a
   * mailbox that ages; `isSelfSend` opens the self-send reserve.
   */
  offer(envelope: Envelope, nowMs: number, isSelfSend: boolean): 'accepted' | 'full' {
    this.number(envelope, nowMs);
    if (!this.admission.take(envelope, isSelfSend)) return this.overflow(envelope, isSelfSend);
    this.accepted++;
    this.queue.push(envelope);
    return 'accepted';
  }

  /**
   * Lets a message that was just told 'full' wait for room. False: `waitersMax` sends wait already. One that another node sent is `held` all the same: how
   * many of those there are is bounded where they come in.
   */
  wait(waiter: Waiter, isHeld = false): boolean {
    this.waiters ??= new PriorityHeap<Waiter>(this.settings.agingMs);
    if (!isHeld && this.waiters.size >= this.settings.waitersMax) return false;
    this.waiters.push(waiter);
    return true;
  }

  /** Takes a waiter out; false when it does not wait any more. */
  leave(waiter: Waiter): boolean {
    return this.waiters?.remove(waiter) ?? false;
  }

  /** The control lane; made when it is first needed. */
  get control(): ControlLane {
    this.controlMade ??= new ControlLane();
    return this.controlMade;
  }

  /** As `control`, without making it. */
  get controlIfAny(): ControlLane | undefined {
    return this.controlMade;
  }

  /** Calls `visit` for each queued message, in no particular order. */
  forEachQueued(visit: (envelope: Envelope) => void): void {
    this.queue.forEach(visit);
  }

  /** Calls `visit` for each message that waits for room, in no particular order. */
  forEachWaiting(visit: (envelope: Envelope) => void): void {
    this.waiters?.forEach(({ envelope }) => {
      visit(envelope);
    });
  }

  /** Removes the message whose turn is next; its slot goes to the best waiter. */
  next(): Envelope | undefined {
    const envelope = this.queue.pop();
    if (envelope !== undefined) this.release(envelope);
    return envelope;
  }

  /** Puts the message of the present turn back at its old place. */
  putBack(envelope: Envelope): void {
    this.admission.retake(envelope);
    this.queue.push(envelope);
  }

  /**
   * Puts the message of the present turn aside. A continuation, which had no slot until now, gets one as a self-send
   * would; from here on it is a message like any other. False: there is no room, and the message is still the caller's.
   */
  putAside(envelope: Envelope, nowMs: number): boolean {
    this.stash ??= [];
    if (this.stash.length >= Math.min(this.settings.stashMax, this.settings.capacity)) return false;
    if (envelope.seq > 0) {
      this.admission.retake(envelope);
    } else {
      if (!this.admission.take(envelope, true)) return false;
      this.number(envelope, nowMs);
      this.accepted++;
    }
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
    if (!this.queue.remove(envelope) && !this.removeStashed(envelope)) return false;
    this.release(envelope);
    return true;
  }

  /** Empties everything, for an actor that has ended. */
  clear(): Remains {
    const waiting = this.waiters?.drain() ?? [];
    const queued = this.queue.drain();
    const stashed = this.stash ?? [];
    this.stash = undefined;
    this.controlMade = undefined;
    for (const envelope of queued) this.admission.giveBack(envelope);
    for (const envelope of stashed) this.admission.giveBack(envelope);
    return { queued, stashed, waiting };
  }

  /** The next place in the order of calls. */
  nextSeq(): number {
    return ++this.calls;
  }

  private number(envelope: Envelope, nowMs: number): void {
    envelope.seq = this.nextSeq();
    if (this.settings.agingMs > 0) envelope.ensureExtras().sentAtMs = nowMs;
  }

  private removeStashed(envelope: Envelope): boolean {
    const stash = this.stash;
    if (stash === undefined) return false;
    const place = stash.indexOf(envelope);
    if (place < 0) return false;
    stash.splice(place, 1);
    return true;
  }

  /** No room: the policy refuses the newcomer, or drops somebody: an older message, or the newcomer. */
  private overflow(newcomer: Envelope, isSelfSend: boolean): 'accepted' | 'full' {
    if (this.dropExpired() && this.admission.take(newcomer, isSelfSend)) {
      this.accepted++;
      this.queue.push(newcomer);
      return 'accepted';
    }
    if (this.settings.overflow === 'backpressure' || this.settings.overflow === 'reject') return 'full';
    this.accepted++;
    const victim = this.admission.victim(newcomer, this.queue);
    if (victim === undefined) {
      this.owner.dropped(newcomer);
      return 'accepted';
    }
    this.queue.remove(victim);
    this.admission.swap(victim, newcomer);
    this.queue.push(newcomer);
    this.owner.dropped(victim);
    return 'accepted';
  }

  /**
   * The dead make room for the living: messages whose time is over give up their places, as far as they stand at the head
   * of their rank. That is O(1) for each, and finds all where those of one rank live equally long; any other is found when
   * it comes to the head, at the latest when its turn would come.
   */
  private dropExpired(): boolean {
    // Stryker disable next-line BooleanLiteral: where none was dropped the admission would only refuse once more.
    let isAny = false;
    for (const rank of RANKS) {
      let head = this.queue.peekRank(rank);
      while (head !== undefined && this.owner.isOver(head)) {
        this.cancel(head);
        this.owner.dropped(head);
        isAny = true;
        head = this.queue.peekRank(rank);
      }
    }
    return isAny;
  }

  /** One slot is freed, so one waiter gets in at most: the best, or behind a best one without room a critical one. */
  protected release(envelope: Envelope): void {
    this.admission.giveBack(envelope);
    const waiters = this.waiters;
    if (waiters === undefined) return;
    this.admit(waiters, waiters.peek());
    this.admit(waiters, waiters.peekRank(CRITICAL_RANK));
  }

  protected admit(waiters: PriorityHeap<Waiter>, waiter: Waiter | undefined): void {
    if (waiter === undefined || !this.admission.take(waiter.envelope, false)) return;
    waiters.remove(waiter);
    this.accepted++;
    this.queue.push(waiter.envelope);
    waiter.sender.admitted();
  }
}
