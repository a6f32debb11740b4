/**
 * The control lane of a mailbox: what the runtime, or the actor itself, has to say before any user message. It has no
 * bound of its own because its makers have: one notice a watch, one tick a timer, `CONTINUES_MAX` continuations, as many posts
 * of a driver as the mailbox holds messages.
 */

import type { Envelope } from '../../src/protocol/envelope.ts';
import { CONTINUES_MAX } from '../../src/protocol/limits.ts';

/** Control items in the order in which they are handled: continuations first. */
export class ControlLane {
  private readonly continues: Envelope[] = [];
  private items: Envelope[] = [];
  /** Items before this place were taken; 100,000 notices at once must not cost a move of all for each. */
  private taken = 0;

  get size(): number {
    return this.continues.length + this.items.length - this.taken;
  }

  push(item: Envelope): void {
    this.items.push(item);
  }

  /** Adds what the actor wants to do next. False: `CONTINUES_MAX` of them are pending. */
  pushContinue(item: Envelope): boolean {
    if (this.continues.length >= CONTINUES_MAX) return false;
    this.continues.push(item);
    return true;
  }

  shift(): Envelope | undefined {
    return this.continues.shift() ?? this.shiftItem();
  }

  /** Removes the items that `isStale` names. */
  drop(isStale: (item: Envelope) => boolean): void {
    this.items = this.items.filter((item, place) => place >= this.taken && !isStale(item));
    this.taken = 0;
  }

  /** Forgets the continuations of a generation that has ended. */
  dropContinues(): void {
    this.continues.length = 0;
  }

  private shiftItem(): Envelope | undefined {
    const item = this.items[this.taken];
    // Stryker disable next-line ConditionalExpression: an empty array would be let go once more.
    if (item === undefined) return undefined;
    this.taken++;
    // Half of it is taken: letting go now costs each item one move in all.
    // Stryker disable next-line ConditionalExpression,EqualityOperator,ArithmeticOperator,BlockStatement: when is a matter of cost.
    if (this.taken * 2 >= this.items.length) {
      this.items = this.items.slice(this.taken);
      this.taken = 0;
    }
    return item;
  }
}
