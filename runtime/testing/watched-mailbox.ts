/** A mailbox that tells a ledger what comes, goes and ends. It changes nothing of what the mailbox does. */

import type { MailboxSettings } from '../../src/protocol/agent-settings.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import type { PriorityHeap } from '../actor/heap.ts';
import { Mailbox, type MailboxOwner, type Remains, type Waiter } from '../actor/mailbox.ts';
import type { Ledger } from './ledger.ts';

/** The mailbox of an actor in a test system. */
export class WatchedMailbox extends Mailbox {
  private readonly ledger: Ledger;

  constructor(settings: MailboxSettings, owner: MailboxOwner, ledger: Ledger) {
    super(settings, owner);
    this.ledger = ledger;
    this.listen('handled');
    this.listen('cancelled');
  }

  override offer(envelope: Envelope, nowMs: number, isSelfSend: boolean): 'accepted' | 'full' {
    this.ledger.knocks(envelope);
    const verdict = super.offer(envelope, nowMs, isSelfSend);
    if (verdict === 'accepted') this.ledger.gotIn(envelope);
    else this.ledger.stayedOut(envelope);
    return verdict;
  }

  override wait(waiter: Waiter, isHeld?: boolean): boolean {
    const isWaiting = super.wait(waiter, isHeld);
    if (isWaiting) this.ledger.waits(waiter.envelope);
    return isWaiting;
  }

  override leave(waiter: Waiter): boolean {
    const hasLeft = super.leave(waiter);
    if (hasLeft) this.ledger.stayedOut(waiter.envelope);
    return hasLeft;
  }

  override next(): Envelope | undefined {
    const envelope = super.next();
    if (envelope !== undefined) this.ledger.takes(envelope);
    return envelope;
  }

  override putBack(envelope: Envelope): void {
    super.putBack(envelope);
    this.ledger.putBack(envelope);
  }

  override putAside(envelope: Envelope, nowMs: number): boolean {
    const isAside = super.putAside(envelope, nowMs);
    if (isAside) this.ledger.putAside(envelope);
    return isAside;
  }

  override unstash(): number {
    const count = super.unstash();
    this.ledger.unstashed();
    return count;
  }

  override cancel(envelope: Envelope): boolean {
    const isRemoved = super.cancel(envelope);
    if (isRemoved) this.ledger.removes(envelope);
    return isRemoved;
  }

  override clear(): Remains {
    const remains = super.clear();
    for (const envelope of remains.queued) this.ledger.removes(envelope);
    for (const envelope of remains.stashed) this.ledger.removes(envelope);
    for (const waiter of remains.waiting) this.ledger.stayedOut(waiter.envelope);
    return remains;
  }

  protected override admit(waiters: PriorityHeap<Waiter>, waiter: Waiter | undefined): void {
    const accepted = this.accepted;
    super.admit(waiters, waiter);
    if (waiter !== undefined && this.accepted > accepted) this.ledger.gotIn(waiter.envelope);
  }

  /** Hears of the ends that the engine only counts. */
  private listen(counter: 'handled' | 'cancelled'): void {
    const { ledger } = this;
    let value = this[counter];
    Object.defineProperty(this, counter, {
      configurable: true,
      enumerable: true,
      get: () => value,
      set: (next: number) => {
        for (let counted = value; counted < next; counted++) ledger.counts(counter);
        value = next;
      },
    });
  }
}
