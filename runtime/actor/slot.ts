/** What an actor has around it: its place under a supervisor, children, and what it holds elsewhere. */

import type { Backoff } from '../../src/protocol/child-spec.ts';
import type { EndReason } from '../../src/protocol/events.ts';
import type { Actor } from './actor.ts';

/** What its supervisor should do about a failed turn, and how long to wait first. */
export interface FailedTurn {
  readonly directive: 'restart' | 'stop' | 'escalate';
  readonly error: unknown;
  /** The message is tried again after the restart. */
  readonly retried: RetriedAttempt | undefined;
}

/** A failed attempt at a message that is tried again. */
export interface RetriedAttempt {
  /** Which one failed, from 1. */
  readonly attempt: number;
  /** The delays between attempts. */
  readonly backoff: Backoff;
}

/** The place of an actor under its supervisor. It outlives restarts. */
export interface Slot {
  readonly name: string;
  readonly path: string;
  readonly args: unknown;
  readonly shutdownMs: number;
  /** A turn failed, and the actor may not go on as it is. */
  failed(actor: Actor, failure: FailedTurn): void;
  /** The actor ends of its own will. */
  left(actor: Actor, reason: 'normal' | 'shutdown'): void;
  /** Ends the actor for good, wherever it is in its life. */
  stop(reason: EndReason): Promise<void>;
  /** Ends the present life of the actor at once, without hooks. */
  kill(actor: Actor): Promise<void>;
  /** Lets the actor finish what it has accepted, then ends it. */
  drain(actor: Actor): Promise<void>;
  /** The actor has finished what it had accepted. */
  drained(actor: Actor): void;
  /** The actor has ended. */
  ended(actor: Actor): void;
}

/** Something an actor holds until it ends, or only until its generation does. */
export interface Lease {
  readonly endsWithGeneration: boolean;
  end(): void;
}

/** Children that an actor has spawned; made by the layer above. */
export interface Children {
  stopAll(): Promise<void>;
}
