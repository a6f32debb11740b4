/** An actor as the files below the cell see it: refs, pending calls and contexts. */

import type { Driver, Reins } from '../../src/protocol/driven.ts';
import type { Envelope, Sender } from '../../src/protocol/envelope.ts';
import type { EndReason } from '../../src/protocol/events.ts';
import type { Admission } from '../../src/protocol/ref.ts';
import type { Behaviour } from './behaviour.ts';
import type { IdleTimeout } from './idle-timeout.ts';
import type { Kernel } from './kernel.ts';
import type { Mailbox, Waiter } from './mailbox.ts';
import type { Timers } from './timers.ts';
import type { Turn } from './turn.ts';
import type { Watches } from './watch.ts';

/** Where an actor's messages go in, and what a turn may do with its own actor. */
export interface Actor extends Sender {
  readonly kernel: Kernel;
  readonly behaviour: Behaviour;
  readonly ref: unknown;
  readonly path: string;
  readonly mailbox: Mailbox | undefined;
  state: unknown;
  readonly generation: number;
  readonly epoch: number;
  /** Whether it accepts messages. */
  readonly isOpen: boolean;
  /** The turn that runs, or has not settled yet. */
  readonly turn: Turn | undefined;
  /** Death watch; made when it is first needed. */
  readonly watches: Watches;
  /** Made when they are first needed, as is the receive timeout. */
  readonly timers: Timers;
  readonly idle: IdleTimeout;

  tell(envelope: Envelope, from: Turn | undefined): Admission;
  offer(envelope: Envelope, from: Turn | undefined): 'accepted' | 'full' | 'stopped';
  mayWait(from: Turn | undefined): boolean;
  /** Whether one more sender would be refused instead of waiting. */
  readonly isWaitingRoomFull: boolean;
  /** `isHeld`: it comes from another node, and is not one of `waitersMax`. */
  wait(waiter: Waiter, isHeld?: boolean): boolean;
  leave(waiter: Waiter): boolean;
  /** A message that was offered did not get in. */
  noteRefusal(envelope: Envelope, verdict: 'full' | 'stopped'): void;
  cancel(envelope: Envelope, reason: unknown): void;

  stash(envelope: Envelope): void;
  unstash(): void;
  continueWith(envelope: Envelope): void;
  /** Lets an object drive it until this generation ends. */
  drive(driver: Driver<unknown>): Reins<unknown>;
  leaveAfterTurn(reason: 'normal' | 'shutdown'): void;
  /** Ends it for good, wherever it is in its life. */
  stop(reason: EndReason): Promise<void>;
  /** Ends its present life at once, without hooks. */
  kill(): Promise<void>;
  /** Calls back soon, when it takes turns, or has ended: before those who watch it hear of that. */
  whenSettled(then: () => void): void;
  /** Ends it when it has handled what it has accepted. */
  drain(): Promise<void>;
}
