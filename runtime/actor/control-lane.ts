/**
 * The control lane of a mailbox: what the runtime, or the actor itself, has to say before any user message. It has no
 * bound of its own because its makers have: one notice a watch, one tick a timer, `CONTINUES_MAX` continuations.
 */

import type { Envelope } from '../../src/protocol/envelope.ts';
import { CONTINUES_MAX } from '../../src/protocol/limits.ts';

/** Control items in the order in which they are handled: continuations first. */
export class ControlLane {
  private continues: Envelope[] = [];
  private items: Envelope[] = [];

  get size(): number {
    return this.continues.length + this.items.length;
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
    return this.continues.shift() ?? this.items.shift();
  }

  /** Removes the items that `isStale` names. */
  drop(isStale: (item: Envelope) => boolean): void {
    this.items = this.items.filter((item) => !isStale(item));
  }

  /** Forgets the continuations of a generation that has ended. */
  dropContinues(): void {
    this.continues = [];
  }
}
