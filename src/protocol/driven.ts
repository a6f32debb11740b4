/**
 * Agents that are driven by an object which lives as long as one generation and has events of its own, from outside turns too:
 * a state machine with its children. It is for adapters; handlers have their context.
 */

import type { ReplyTo, StartContext } from './context.ts';
import { invalidOption } from './options.ts';
import type { AnyProtocol } from './protocol.ts';

/** The key of what a context does for a driver. */
export const DRIVE: unique symbol = Symbol.for('troupe.drive');

/** What drives an actor for one generation. */
export interface Driver<Work> {
  /** The name of its turns, in logs, traces and dead letters. */
  readonly name: string;
  /** Handles what it has posted, or put off: a turn of its own. */
  receive(ctx: StartContext, work: Work): unknown;
  /** What inspection shows as the state; called at any time, and it changes nothing. */
  shown(): unknown;
  /** The generation is over, however it ended. */
  ended(): void;
}

/** What a driver holds of its actor. All of it does nothing once the generation has ended. */
export interface Reins<Work> {
  /**
   * Queues a turn before any message, from inside and outside of turns. As many may wait as the mailbox holds messages; one more
   * fails the actor with `ERR_MAILBOX_FULL`.
   */
  post(work: Work): void;
  /** Queues a turn after `delayMs`, in the place of the one with the same key. Throws `ERR_TIMERS_FULL` and `ERR_OPTION_INVALID`. */
  postLater(key: string, delayMs: number, work: Work): void;
  /** After it returns no turn put off by that key begins. */
  cancel(key: string): void;
}

/** The right to reply that a context gives, with what only the engine's own says. */
export interface HeldReply extends ReplyTo<unknown> {
  /** Whether somebody may still wait for it. */
  readonly isOpen: boolean;
}

/** Lets `driver` drive the actor of a context until its generation ends. Throws `ERR_OPTION_INVALID` for a context that is not the engine's. @internal */
export function drive<Work>(ctx: StartContext<AnyProtocol, never>, driver: Driver<Work>): Reins<Work> {
  // The engine's contexts have this method; it takes any driver.
  const engine = ctx as { readonly [DRIVE]?: (driver: Driver<Work>) => Reins<Work> };
  if (typeof engine[DRIVE] !== 'function') throw invalidOption('ctx', 'the context of a turn', ctx);
  return engine[DRIVE](driver);
}
