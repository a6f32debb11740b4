/**
 * Restarts under way. One child alone: leave, pause, start, and again while the start fails. A group: the failed child
 * leaves, then its siblings in reverse start order; after the pause all start in order. Each failed start counts like a
 * failure, and between two attempts the supervisor is free for what else has come (OTP's `try_again_restart`).
 */

import type { Strategy } from '../../src/protocol/child-spec.ts';
import type { Child } from './child.ts';
import { affected } from './strategy.ts';

/** What a restart needs of the supervisor whose children it restarts. */
export interface Restarting {
  readonly settings: { readonly strategy: Strategy };
  readonly children: ReadonlyMap<unknown, Child>;
  /** Changes whenever all children are stopped. */
  readonly life: number;
  /** Those that the present group restart has left to start. */
  group: Set<Child> | undefined;
  readonly bringsBack: boolean;
  has(child: Child): boolean;
  fold(children: ReadonlySet<Child>): void;
  takePending(children: ReadonlySet<Child>): FailedChild | undefined;
  exclusive<T>(work: () => Promise<T>): Promise<T>;
  /** Counts a restart. False: the supervisor ends. */
  bears(failure: FailedChild): boolean;
  startFailed(child: Child, error: unknown): 'again' | 'child-ends' | undefined;
}

/** A failure of a child. */
export interface FailedChild {
  readonly child: Child;
  readonly error: unknown;
  /** Its supervisor is to bear it. */
  readonly isEscalated: boolean;
}

/** Restarts one child; the restart has been counted. */
export async function restartAlone(supervisor: Restarting, child: Child, error: unknown): Promise<void> {
  let cause = error;
  for (let attempt = 0; ; attempt++) {
    const delayMs = child.due(cause);
    const leaving = child.leave(undefined);
    // Stryker disable next-line ConditionalExpression: to await nothing costs a microtask; that it is awaited is tested.
    if (leaving !== undefined) await leaving;
    // Without a delay, starts that fail at once would never let the event loop go.
    if ((delayMs > 0 || attempt > 0) && child.isReturning) await child.pause(delayMs);
    if (!child.isReturning) return;
    if (!supervisor.bringsBack) {
      await child.stop('failed');
      return;
    }
    try {
      const starting = child.again();
      // Stryker disable next-line ConditionalExpression: as above.
      if (starting !== undefined) await starting;
      return;
    } catch (failure) {
      cause = failure;
    }
    if (!child.isReturning || supervisor.startFailed(child, cause) !== 'again') return;
  }
}

/** Restarts a child and the siblings that its supervisor's strategy restarts with it; the restart has been counted. */
export async function restartGroup(supervisor: Restarting, first: Child, error: unknown): Promise<void> {
  const { life } = supervisor;
  const isOver = (): boolean => supervisor.life !== life || !supervisor.bringsBack;
  let from = first;
  let cause = error;
  supervisor.group = new Set();
  try {
    for (let attempt = 0; !isOver(); attempt++) {
      const group = new Set(affected(supervisor.settings.strategy, [...supervisor.children.values()], from));
      supervisor.group = group;
      const delayMs = from.due(cause);
      await supervisor.exclusive(() => leaveAll(supervisor, group, from, cause));
      if ((delayMs > 0 || attempt > 0) && !isOver()) await from.pause(delayMs);
      const failure = await supervisor.exclusive(() => startAll(supervisor, group, isOver));
      if (failure === undefined) return;
      from = failure.child;
      cause = failure.error;
    }
  } finally {
    if (supervisor.life === life) supervisor.group = undefined;
  }
}

async function leaveAll(
  supervisor: Restarting,
  group: ReadonlySet<Child>,
  from: Child,
  cause: unknown,
): Promise<void> {
  await from.leave(undefined);
  for (const child of [...group].reverse()) {
    if (child !== from && supervisor.bringsBack) await child.leave({ kind: 'sibling', cause });
  }
  supervisor.fold(group);
}

/**
 * Starts the group in order, without those that are not to come back. Answers the first child that failed, to start or since
 * it has started; it has been counted, and if all are to end with it that has begun.
 */
async function startAll(
  supervisor: Restarting,
  group: ReadonlySet<Child>,
  isOver: () => boolean,
): Promise<Pick<FailedChild, 'child' | 'error'> | undefined> {
  for (const child of group) {
    if (isOver()) return undefined;
    if (!supervisor.has(child)) continue;
    try {
      await child.again();
    } catch (error) {
      if (isOver()) return undefined;
      if (!group.has(child)) continue;
      if (supervisor.startFailed(child, error) === 'child-ends') continue;
      return { child, error };
    }
    const failed = supervisor.takePending(group);
    if (failed !== undefined) return supervisor.bears(failed) ? failed : undefined;
  }
  return undefined;
}
