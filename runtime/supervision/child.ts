/** A place under a supervisor, as the supervisor sees it: an actor's (actor-child.ts), or a branch's (branch.ts). */

import type { ActorStatus } from '../../src/protocol/actor-status.ts';
import type { Directive } from '../../src/protocol/agent.ts';
import type { Intensity, RestartType } from '../../src/protocol/child-spec.ts';
import type { Failure } from '../../src/protocol/context.ts';
import type { EndReason } from '../../src/protocol/events.ts';
import type { RestartWindow } from './restart-window.ts';

/** What its supervisor does with a child. It outlives what runs in it. */
export interface Child {
  /** Its key among its siblings. */
  readonly key: string | number;
  readonly name: string;
  readonly kind: 'agent' | 'supervisor';
  readonly restartType: RestartType;
  readonly isSignificant: boolean;
  readonly status: ActorStatus;
  /** Restarts since it last got on. */
  readonly restartsWithoutProgress: number;
  /** A restart of it is due, and nobody has stopped it since. */
  readonly isReturning: boolean;
  /** Starts it from nothing. Throws or rejects with `ERR_START_FAILED`; it has ended then. */
  start(): void | Promise<void>;
  /** Ends it for good; a group restart under way passes it over. */
  stop(reason: EndReason): Promise<void>;
  /** Counts a restart and says how many milliseconds it should wait; it is going to be told to leave. */
  due(error: unknown): number;
  /** The window of its own restarts, for a supervisor whose children fail alone. */
  ownWindow(intensity: Intensity): RestartWindow;
  /** Ends its present life, after which `again` may come: for a failure of its own, or for the sibling's that is given. */
  leave(sibling: Failure | undefined): void | Promise<void>;
  /** Starts the next life of one that has left; one that has ended starts from nothing. Throws or rejects, and may be told again. */
  again(): void | Promise<void>;
  /** What is to be done about a start that failed. `resume` is as `restart`: there is no state to go on with. */
  afterFailedStart(error: unknown): Directive;
  /** Waits before a restart; `stop` ends the wait at once. */
  pause(delayMs: number): Promise<void>;
}
