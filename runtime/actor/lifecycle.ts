/**
 * How an actor starts, leaves a generation, and ends. A hook is run like a turn: one at a time with the actor's turns,
 * with a context and a signal of its own, bounded in time, and disowned when it does not end. Whoever is synchronous
 * stays synchronous: starting an actor whose `state` returns no promise costs none.
 */

import type { Failure } from '../../src/protocol/context.ts';
import { Envelope } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { EndReason } from '../../src/protocol/events.ts';
import { KILL_GRACE_MS } from '../../src/protocol/limits.ts';
import { NORMAL_RANK } from '../../src/protocol/priority.ts';
import type { Cell } from './cell.ts';
import { TurnContext } from './context.ts';
import { bury, entryWithoutHandler, settleCancelled } from './outcomes.ts';
import { promiseIn } from './promise-in.ts';
import type { Lease } from './slot.ts';

/** Runs `state` and sets the actor going. Throws or rejects with `ERR_START_FAILED`; the actor takes no turn then. */
export function startActor(cell: Cell): void | Promise<void> {
  const { state, startTimeoutMs } = cell.behaviour.agent.options;
  if (state === undefined) {
    setGoing(cell, undefined);
    return undefined;
  }
  let value: unknown;
  try {
    value = runHook(cell, 'state', startTimeoutMs, (turn) => state(cell.slot.args, turn));
  } catch (error) {
    throw startFailed(cell, error);
  }
  const promise = promiseIn(value);
  if (promise === undefined) {
    setGoing(cell, value);
    return undefined;
  }
  return promise.then(
    (made: unknown) => setGoing(cell, made),
    (error: unknown) => {
      throw startFailed(cell, error);
    },
  );
}

/** Ends what a failed start has begun: its context, its children, what it wanted to do next. */
export async function leaveStart(cell: Cell): Promise<void> {
  cell.epoch++;
  cell.mailbox?.controlIfAny?.dropContinues();
  endLeases(cell, (lease) => lease.endsWithGeneration);
  await cell.rareIfAny?.children?.stopAll();
}

/**
 * Ends a generation that failed: `onRestart` on the old one, then its children, then the stash goes back to the queue.
 * What goes wrong in `onRestart` is reported and changes nothing. Mailbox, name, watchers and pending asks stay, and
 * the old state until there is a new one: an actor that is stopped meanwhile has it in `onStop`.
 */
export async function leaveGeneration(cell: Cell, failure: Failure): Promise<void> {
  cell.status = 'restarting';
  cell.epoch++;
  cell.rare.leaving = undefined;
  cell.mailbox?.controlIfAny?.dropContinues();
  const { onRestart } = cell.behaviour.agent.options;
  if (onRestart !== undefined)
    await runLastHook(cell, 'onRestart', cell.slot.shutdownMs, (turn) => onRestart(turn, failure));
  await cell.rareIfAny?.children?.stopAll();
  if (!cell.isOpen) return;
  endLeases(cell, (lease) => lease.endsWithGeneration);
  cell.epoch++;
  cell.mailbox?.unstash();
  cell.generation++;
}

/**
 * Ends an actor for good: no message gets in any more and none that is queued is handled; the present turn may finish
 * within `shutdownMs`, then it is aborted, and after a grace disowned; then the children end, then `onStop` runs.
 * Any number of calls is one end.
 */
export function stopActor(cell: Cell, reason: EndReason, error?: unknown): Promise<void> {
  const { rare } = cell;
  rare.stopping ??= stopping(cell, reason, error);
  return rare.stopping;
}

async function stopping(cell: Cell, reason: EndReason, error: unknown): Promise<void> {
  const { kernel } = cell;
  const hadState = cell.status !== 'starting';
  const { shutdownMs } = cell.slot;
  const startedAt = kernel.now();
  cell.status = 'stopping';
  endLeases(cell, () => true);
  clearMailbox(cell);
  if (cell.turn !== undefined) {
    await finishTurn(cell, shutdownMs);
    clearMailbox(cell); // of what that turn put aside
  }
  const { children } = cell.rare;
  if (children !== undefined && children.size > 0) await children.stopAll();
  const { onStop } = cell.behaviour.agent.options;
  if (onStop !== undefined && hadState) {
    const remainingMs = Math.max(0, shutdownMs - (kernel.now() - startedAt));
    await runLastHook(cell, 'onStop', remainingMs, (turn) => onStop(turn, reason));
  }
  cell.status = 'stopped';
  cell.epoch++;
  cell.state = undefined;
  cell.slot.ended(cell);
  kernel.events.emit({ type: 'actor-stopped', address: cell.address, reason, error });
  cell.watchesIfAny?.ended(reason, error);
}

function endLeases(cell: Cell, isOver: (lease: Lease) => boolean): void {
  for (const lease of cell.rareIfAny?.leases ?? []) if (isOver(lease)) lease.end();
}

/** Gives the present turn `shutdownMs` to end, aborts it, and disowns it when that does not help. */
async function finishTurn(cell: Cell, shutdownMs: number): Promise<void> {
  const stopped = new TroupeError('ERR_ACTOR_STOPPED', { address: cell.address });
  if (await turnEnds(cell, shutdownMs)) return;
  cell.turn?.abort(stopped);
  if (await turnEnds(cell, KILL_GRACE_MS)) return;
  const { turn } = cell;
  if (turn === undefined) return;
  cell.disown(turn, stopped);
  if (!turn.isStashed) settleCancelled(cell, turn.envelope);
}

/** Waits for the end of the present turn; false when it took too long. */
function turnEnds(cell: Cell, withinMs: number): Promise<boolean> {
  const { kernel, rare } = cell;
  if (cell.turn === undefined) return Promise.resolve(true);
  return new Promise((resolve) => {
    const settle = (hasEnded: boolean): void => {
      rare.turnEnded = undefined;
      if (timeout !== undefined) kernel.timeouts.cancel(timeout);
      resolve(hasEnded);
    };
    const timeout =
      withinMs === Infinity
        ? undefined
        : kernel.timeouts.startFunction(withinMs, kernel.now(), () => settle(false));
    rare.turnEnded = () => settle(true);
  });
}

/** Nothing that is queued will be handled: each message gets its outcome, each waiting sender its answer. */
function clearMailbox(cell: Cell): void {
  const remains = cell.mailbox?.clear();
  if (remains === undefined) return;
  for (const envelope of remains.queued) {
    cell.watchesIfAny?.left(envelope);
    bury(cell, envelope, 'stopped');
  }
  for (const envelope of remains.stashed) bury(cell, envelope, 'stash-cleared');
  for (const waiter of remains.waiting) {
    waiter.sender.refused(new TroupeError('ERR_ACTOR_STOPPED', { address: cell.address }));
  }
}

/** Throws `ERR_START_FAILED` for an actor that was stopped while it started. */
function setGoing(cell: Cell, state: unknown): void {
  if (!cell.isOpen) throw startFailed(cell, new TroupeError('ERR_ACTOR_STOPPED', { address: cell.address }));
  cell.state = state;
  cell.status = 'running';
  const { kernel, address, generation } = cell;
  if (kernel.events.isObserved) {
    kernel.events.emit(
      generation === 0
        ? { type: 'actor-started', address }
        : { type: 'actor-restarted', address, generation },
    );
  }
  cell.leaveIfAsked();
  cell.ready();
}

function startFailed(cell: Cell, cause: unknown): TroupeError {
  return new TroupeError('ERR_START_FAILED', { address: cell.address }, { cause });
}

/** A hook whose failure changes nothing but the log. */
async function runLastHook(
  cell: Cell,
  name: string,
  timeoutMs: number,
  hook: (turn: TurnContext) => unknown,
): Promise<void> {
  try {
    await runHook(cell, name, timeoutMs, hook);
  } catch (error) {
    const { kernel, address } = cell;
    kernel.events.emit({
      type: 'logged',
      level: 'error',
      address,
      text: `${name} failed`,
      fields: { error },
    });
  }
}

/** Runs a hook as the present turn. What it throws is thrown; a promise it gives is bounded by `timeoutMs`. */
function runHook(cell: Cell, name: string, timeoutMs: number, hook: (turn: TurnContext) => unknown): unknown {
  const turn = new TurnContext(
    cell,
    new Envelope(entryWithoutHandler(name, 'tell'), undefined, NORMAL_RANK, undefined, undefined, undefined),
  );
  const { kernel } = cell;
  const outer = kernel.current;
  cell.turn = turn;
  kernel.current = cell.behaviour;
  let value: unknown;
  try {
    value = hook(turn);
  } catch (error) {
    cell.end(turn);
    throw error;
  } finally {
    kernel.current = outer;
  }
  const promise = promiseIn(value);
  if (promise !== undefined) return followHook(cell, turn, promise, timeoutMs);
  cell.end(turn);
  return value;
}

function followHook(
  cell: Cell,
  turn: TurnContext,
  promise: Promise<unknown>,
  timeoutMs: number,
): Promise<unknown> {
  const { kernel } = cell;
  return new Promise((resolve, reject) => {
    const now = kernel.now();
    const details = { address: cell.address, message: turn.envelope.entry.name, timeoutMs };
    const fire = (): void => abandon(new TroupeError('ERR_TURN_TIMEOUT', details));
    turn.follow(
      now,
      timeoutMs === Infinity ? undefined : kernel.timeouts.startFunction(timeoutMs, now, fire),
    );
    turn.addPending({ withdraw: (reason) => abandon(reason) });
    const abandon = (reason: unknown): void => {
      if (turn.isRunning) cell.disown(turn, reason);
      reject(reason);
    };
    const settle = (finish: () => void): void => {
      if (turn.isFenced) {
        cell.rare.zombies--;
        return;
      }
      cell.end(turn);
      finish();
    };
    promise.then(
      (result) => settle(() => resolve(result)),
      (error: unknown) => settle(() => reject(error)),
    );
  });
}
