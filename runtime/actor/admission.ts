/**
 * Who gets into a mailbox. One count of slots decides:
 *
 * - any message has room while fewer than `capacity` slots are taken;
 * - a `critical` one also in the `criticalReserve` slots beyond them;
 * - what an actor sends to itself during its turn also in `selfReserve` slots of its own.
 *
 * A message that comes back (a retry, the stash) always gets in: it was accepted before, and its slot may have gone to
 * a waiter meanwhile. So at most `capacity + criticalReserve + selfReserve + 1` messages are inside, and only critical
 * ones beyond `capacity + selfReserve + 1`. Pure bookkeeping: it holds no message and wakes nobody.
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
  /** Slots taken within the capacity and the critical reserve. */
  private shared = 0;
  /** Slots taken in the self-send reserve. */
  private own = 0;

  constructor(settings: MailboxSettings) {
    this.settings = settings;
  }

  /** Takes a slot for a new message, if there is one for it. `isSelfSend`: sent by the actor itself in its turn. */
  take(envelope: Envelope, isSelfSend: boolean): boolean {
    const { capacity, criticalReserve, selfReserve } = this.settings;
    if (this.shared < (envelope.rank === CRITICAL_RANK ? capacity + criticalReserve : capacity)) {
      this.shared++;
      return true;
    }
    if (!isSelfSend || this.own >= selfReserve) return false;
    this.own++;
    envelope.ensureExtras().isOwn = true;
    return true;
  }

  /** Takes a slot for a message that was accepted before, room or not. */
  retake(): void {
    this.shared++;
  }

  /** Frees the slot of a message that leaves. */
  giveBack(envelope: Envelope): void {
    const extras = envelope.extras;
    if (extras?.isOwn === true) {
      extras.isOwn = false;
      this.own--;
    } else {
      this.shared--;
    }
  }

  /**
   * Chooses who gives way to a newcomer that found no room, under one of the dropping policies; undefined: the newcomer
   * itself. While the critical reserve is in use, a less urgent newcomer never pushes a critical message out: that
   * would fill the reserve with what it is not for.
   */
  victim(newcomer: Envelope, queue: PriorityHeap<Envelope>): Envelope | undefined {
    const isReserveUsed = this.shared > this.settings.capacity;
    const rankMin = isReserveUsed && newcomer.rank !== CRITICAL_RANK ? BELOW_CRITICAL : CRITICAL_RANK;
    switch (this.settings.overflow) {
      case 'drop-oldest':
        return queue.oldest(rankMin);
      case 'drop-lowest': {
        const worst = queue.worst(rankMin);
        return worst === undefined || queue.isBefore(worst, newcomer) ? undefined : worst;
      }
      case 'drop-newest':
      case 'backpressure':
      case 'reject':
        return undefined;
    }
  }

  /** Hands the slot of `victim` to `newcomer`. */
  swap(victim: Envelope, newcomer: Envelope): void {
    if (victim.extras?.isOwn === true) {
      victim.extras.isOwn = false;
      newcomer.ensureExtras().isOwn = true;
    }
  }
}
