/**
 * Who gets into a mailbox. A newcomer has room
 *
 * - while fewer than `capacity` slots are taken;
 * - a `critical` one also in the `criticalReserve` slots beyond them;
 * - what an actor sends to itself during its turn also in `selfReserve` slots of its own.
 *
 * The message of the present turn always gets in when it comes back (a retry, the stash): it was accepted before, and
 * its slot may have gone to somebody else meanwhile. So at most `capacity + criticalReserve + selfReserve + 1` messages
 * are inside, and only critical ones beyond `capacity + selfReserve + 1`: a newcomer that would leave no place for the
 * one that may come back is refused, though its reserve be free. Pure bookkeeping: it holds no message, wakes nobody.
 */

import type { MailboxSettings } from '../../src/protocol/agent-settings.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import { CRITICAL_RANK, type Rank } from '../../src/protocol/priority.ts';
import type { PriorityHeap } from './heap.ts';

/** Rank of the most urgent message that a message of normal urgency may push out of the critical reserve: none critical. */
const BELOW_CRITICAL: Rank = 1;

/** The slots of one mailbox. */
export class Admission {
  private readonly settings: MailboxSettings;
  /** Slots taken outside the self-send reserve by critical messages, and by all others. */
  private critical = 0;
  private others = 0;
  /** Slots taken in the self-send reserve. */
  private own = 0;

  constructor(settings: MailboxSettings) {
    this.settings = settings;
  }

  /** Takes a slot for a new message, if there is one for it. `isSelfSend`: sent by the actor itself in its turn. */
  take(envelope: Envelope, isSelfSend: boolean): boolean {
    if (this.critical + this.others >= this.settings.capacity) return this.takeReserved(envelope, isSelfSend);
    this.retake(envelope);
    return true;
  }

  /** Beyond the capacity. */
  private takeReserved(envelope: Envelope, isSelfSend: boolean): boolean {
    if (this.mayUseReserve(envelope)) {
      this.retake(envelope);
      return true;
    }
    if (!isSelfSend || !this.mayUseOwn()) return false;
    this.takeOwn(envelope);
    return true;
  }

  /** Takes a slot for the message of the present turn, room or not. */
  retake(envelope: Envelope): void {
    if (envelope.rank === CRITICAL_RANK) this.critical++;
    else this.others++;
  }

  /** Frees the slot of a message that leaves. */
  giveBack(envelope: Envelope): void {
    const extras = envelope.extras;
    if (extras?.isOwn === true) {
      extras.isOwn = false;
      this.own--;
    } else if (envelope.rank === CRITICAL_RANK) this.critical--;
    else this.others--;
  }

  /**
   * Chooses who gives way to a newcomer that found no room, under one of the dropping policies; undefined: the newcomer
   * itself. While the critical reserve is in use, a less urgent newcomer never pushes a critical message out: that
   * would fill the reserve with what it is not for.
   */
  victim(newcomer: Envelope, queue: PriorityHeap<Envelope>): Envelope | undefined {
    const isReserveUsed = this.critical + this.others > this.settings.capacity;
    const rankMin = isReserveUsed && newcomer.rank !== CRITICAL_RANK ? BELOW_CRITICAL : CRITICAL_RANK;
    switch (this.settings.overflow) {
      case 'drop-oldest':
        return queue.oldest(rankMin);
      case 'drop-lowest': {
        const worst = queue.worst(rankMin);
        return worst === undefined || queue.isBefore(worst, newcomer) ? undefined : worst;
      }
      // Stryker disable StringLiteral,ConditionalExpression: they are named for the compiler; leaving the switch is the same.
      case 'drop-newest':
      case 'backpressure':
      case 'reject':
        return undefined;
      // Stryker restore StringLiteral,ConditionalExpression
    }
  }

  /** Hands the slot of `victim` to `newcomer`. */
  swap(victim: Envelope, newcomer: Envelope): void {
    const isOwn = victim.extras?.isOwn === true;
    this.giveBack(victim);
    if (isOwn) this.takeOwn(newcomer);
    else this.retake(newcomer);
  }

  private takeOwn(envelope: Envelope): void {
    this.own++;
    envelope.ensureExtras().isOwn = true;
  }

  /** Others beyond the capacity, who came back, do not count here: the reserve is for critical messages alone. */
  private mayUseReserve(envelope: Envelope): boolean {
    const { capacity, criticalReserve } = this.settings;
    const taken = this.critical + Math.min(this.others, capacity);
    return envelope.rank === CRITICAL_RANK && taken < capacity + criticalReserve && this.leavesPlace();
  }

  private mayUseOwn(): boolean {
    const { capacity, selfReserve } = this.settings;
    return this.own < selfReserve && this.others + this.own < capacity + selfReserve && this.leavesPlace();
  }

  /** Whether one more leaves place for the message of the present turn. */
  private leavesPlace(): boolean {
    const { capacity, criticalReserve, selfReserve } = this.settings;
    return this.critical + this.others + this.own < capacity + criticalReserve + selfReserve;
  }
}
