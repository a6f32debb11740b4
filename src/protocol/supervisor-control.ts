/** A supervisor as its users steer it at run time: types only. What it answers is what Erlang/OTP's supervisor answers. */

import type { ActorStatus } from './actor-status.ts';
import type { AnySupervisor, ChildSpec, RefOfChild, RestartType } from './child-spec.ts';

/** One child of a supervisor, as a copy. One that is `stopped` is specified and not running. */
export interface SupervisedChild {
  readonly name: string;
  readonly kind: 'agent' | 'supervisor';
  readonly status: ActorStatus;
  readonly restart: RestartType;
  readonly significant: boolean;
}

/** Starts and ends the children of one supervisor. It outlives restarts of that supervisor. */
export interface SupervisorControl {
  readonly path: string;
  readonly status: ActorStatus;
  /**
   * Starts one more child, after those that there are. Resolves with its ref (a branch: the refs of its children) when it
   * has started. Rejects with `ERR_START_FAILED`, and then it is forgotten; with `ERR_NAME_TAKEN`, `ERR_CHILDREN_FULL`, or
   * `ERR_ACTOR_STOPPED` when the supervisor does not run. Throws `ERR_OPTION_INVALID`.
   */
  startChild<Child extends ChildSpec | AnySupervisor>(name: string, child: Child): Promise<RefOfChild<Child>>;
  /** Stops a child and does not start it again. Its spec stays, unless it is temporary or its supervisor dynamic. */
  terminateChild(name: string): Promise<'ok' | 'not-found'>;
  /** Starts a child that has ended. Rejects with `ERR_START_FAILED`; it stays stopped then. */
  restartChild(name: string): Promise<'ok' | 'running' | 'restarting' | 'not-found'>;
  /** Forgets a child that has ended. */
  deleteChild(name: string): Promise<'ok' | 'running' | 'restarting' | 'not-found'>;
  /** All children, in start order. */
  children(): readonly SupervisedChild[];
}
