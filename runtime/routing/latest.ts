/**
 * Policy `latest`: of each topic at most one message is on its way to the subscriber, the newest. One that has not had
 * its turn when the next is published is replaced, queued or still waiting for room; each replacement is a dead letter.
 * Nobody waits for these messages: where there is no room they do, here.
 */

import type { Envelope, Outcome } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { DeadLetterReason } from '../../src/protocol/events.ts';
import type { Cell } from '../actor/cell.ts';
import { Waiter, type WaitingSender } from '../actor/mailbox.ts';

/** What one subscriber has on its way, by topic. */
export class LatestByTopic {
  private readonly cell: Cell;
  /** Topics remembered. Beyond it the one published longest ago is forgotten, and dropped if it still has no room. */
  private readonly topicsMax: number;
  private readonly newest = new Map<string, Newest>();

  constructor(cell: Cell, topicsMax: number) {
    this.cell = cell;
    this.topicsMax = topicsMax;
  }

  /** Delivers a message in place of the one before it. */
  replace(topic: string, envelope: Envelope): void {
    this.newest.get(topic)?.drop();
    this.newest.delete(topic);
    if (this.newest.size >= this.topicsMax) this.forgetOldest();
    const message = new Newest(this.cell, envelope);
    if (message.deliver()) this.newest.set(topic, message);
  }

  /** Takes back what still waits for room: the subscription has ended. */
  withdraw(): void {
    for (const message of this.newest.values()) message.withdraw();
    this.newest.clear();
  }

  private forgetOldest(): void {
    for (const [topic, message] of this.newest) {
      if (message.isWaiting) message.drop();
      this.newest.delete(topic);
      return;
    }
  }
}

/** The newest message of one topic. */
class Newest implements WaitingSender {
  private readonly cell: Cell;
  private readonly envelope: Envelope;
  private waiter: Waiter | undefined = undefined;

  constructor(cell: Cell, envelope: Envelope) {
    this.cell = cell;
    this.envelope = envelope;
  }

  get isWaiting(): boolean {
    return this.waiter !== undefined;
  }

  /** Queues it, or lets it wait for room; false when it is over already. */
  deliver(): boolean {
    const verdict = this.cell.offer(this.envelope, undefined);
    if (verdict === 'stopped') this.ended('stopped');
    if (verdict !== 'full') return verdict === 'accepted';
    this.waiter = new Waiter(this.envelope, this);
    if (this.cell.wait(this.waiter)) return true;
    this.waiter = undefined;
    this.bury('overflow-dropped');
    return false;
  }

  /** A newer one takes its place. One that has had its turn is not touched. */
  drop(): void {
    if (this.isWaiting) {
      this.takeBack();
      this.bury('overflow-dropped');
    } else {
      this.cell.drop(this.envelope);
    }
  }

  withdraw(): void {
    if (this.isWaiting) this.ended('cancelled');
    this.takeBack();
  }

  admitted(): void {
    this.waiter = undefined;
  }

  refused(): void {
    this.waiter = undefined;
    this.bury('stopped');
  }

  private takeBack(): void {
    if (this.waiter !== undefined) this.cell.leave(this.waiter);
    this.waiter = undefined;
  }

  /** It ends here, before the mailbox has it. */
  private bury(reason: DeadLetterReason): void {
    this.cell.kernel.deadLetters.add(this.envelope, this.cell.address, reason);
    this.ended(reason);
  }

  /** Who watches it, or has asked it, hears of the end. The subscription had taken it, in a mailbox or not. */
  private ended(outcome: Outcome): void {
    const { envelope, cell } = this;
    const { extras, customer, entry } = envelope;
    extras?.witness?.ended(envelope, outcome);
    const details = { address: cell.address, message: entry.name, reason: outcome };
    customer?.reject(new TroupeError('ERR_MESSAGE_DROPPED', details));
  }
}
