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
  takePending(children: ReadonlySet<Child>): { readonly child: Child; readonly error: unknown } | undefined;
  exclusive<T>(work: () => Promise<T>): Promise<T>;
  mayRestart(child: Child, error: unknown): boolean;
  mayStartAgain(child: Child, error: unknown): boolean;
}

/** Restarts one child; the restart has been counted. */
export async function restartAlone(supervisor: Restarting, child: Child, error: unknown): Promise<void> {
  let cause = error;
  for (let attempt = 0; ; attempt++) {
    const delayMs = child.due(cause);
    const leaving = child.leave(undefined);
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
      if (starting !== undefined) await starting;
      return;
    } catch (failure) {
      cause = failure;
    }
    if (!child.isReturning || !supervisor.mayStartAgain(child, cause)) return;
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
      if (isOver()) return;
      const failure = await supervisor.exclusive(() => startAll(supervisor, group, isOver));
      if (failure === undefined || isOver()) return;
      from = failure.child;
      cause = failure.error;
      const mayGoOn = failure.hasStarted
        ? supervisor.mayRestart(from, cause)
        : supervisor.mayStartAgain(from, cause);
      if (!mayGoOn) return;
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

/** Starts the group in order; answers the first child that failed: to start, or since it has started. */
async function startAll(
  supervisor: Restarting,
  group: ReadonlySet<Child>,
  isOver: () => boolean,
): Promise<{ readonly child: Child; readonly error: unknown; readonly hasStarted: boolean } | undefined> {
  for (const child of group) {
    if (isOver()) return undefined;
    if (!supervisor.has(child)) continue;
    try {
      await child.again();
    } catch (error) {
      return { child, error, hasStarted: false };
    }
    const failed = supervisor.takePending(group);
    if (failed !== undefined) return { ...failed, hasStarted: true };
  }
  return undefined;
}
