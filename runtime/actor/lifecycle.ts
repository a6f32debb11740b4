/**
 * How an actor starts, leaves a generation, and ends. A hook is run like a turn: one at a time with the actor's turns,
 * with a context and a signal of its own, bounded in time, and disowned when it does not end. Whoever is synchronous
 * stays synchronous: starting an actor whose `state` returns no promise costs none.
 */

import type { Failure } from '../../src/protocol/context.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { EndReason } from '../../src/protocol/events.ts';
import { KILL_GRACE_MS } from '../../src/protocol/limits.ts';
import type { Cell } from './cell.ts';
import type { TurnContext } from './context.ts';
import { runHook, runLastHook } from './hooks.ts';
import { bury, failedError, settleCancelled } from './outcomes.ts';
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
export function leaveStart(cell: Cell): void | Promise<void> {
  cell.epoch++;
  cell.mailbox?.controlIfAny?.dropContinues();
  endLeases(cell, (lease) => lease.endsWithGeneration);
  return cell.rare.children?.stopAll();
}

/**
 * Ends a generation: `onRestart` on the old one (not without `failure`: it was killed), then its children, then the stash
 * goes back to the queue. What goes wrong in `onRestart` is reported and changes nothing. Mailbox, name, watchers and
 * pending asks stay, and the old state until there is a new one: an actor that is stopped meanwhile has it in `onStop`.
 */
export function leaveGeneration(cell: Cell, failure: Failure | undefined): void | Promise<void> {
  cell.status = 'restarting';
  cell.epoch++;
  const { rare } = cell;
  rare.restart = cell.kernel.telemetry.restarting(cell, failure?.kind ?? 'killed', rare.lastRecord);
  rare.lastRecord = undefined;
  rare.leaving = undefined;
  cell.mailbox?.controlIfAny?.dropContinues();
  const { onRestart } = cell.behaviour.agent.options;
  const hook =
    onRestart === undefined || failure === undefined
      ? undefined
      : (turn: TurnContext): unknown => onRestart(turn, failure);
  // Stryker disable next-line ConditionalExpression: to go slowly where nothing is slow costs a promise.
  if (hook !== undefined || rare.children !== undefined) return leaveSlowly(cell, hook);
  nextGeneration(cell);
  return undefined;
}

/** As `leaveGeneration`, for an actor that has done nothing wrong: its turn may finish as if it were to be stopped. */
export async function leaveForSibling(cell: Cell, failure: Failure): Promise<void> {
  cell.status = 'restarting';
  await finishTurn(cell, cell.slot.shutdownMs, failure);
  if (!cell.isEnding) await leaveGeneration(cell, failure);
}

async function leaveSlowly(cell: Cell, hook: ((turn: TurnContext) => unknown) | undefined): Promise<void> {
  if (hook !== undefined) await runLastHook(cell, 'onRestart', cell.slot.shutdownMs, hook);
  await cell.rare.children?.stopAll();
  nextGeneration(cell);
}

function nextGeneration(cell: Cell): void {
  if (cell.isEnding) return;
  endLeases(cell, (lease) => lease.endsWithGeneration);
  cell.epoch++;
  cell.mailbox?.unstash();
  cell.generation++;
}

/** Ends the present life without hooks: the turn or hook that runs now is aborted and disowned, its message cancelled. */
export function killTurn(cell: Cell, reason: unknown): void {
  const { turn } = cell;
  cell.rare.isKilled = true;
  if (turn === undefined) return;
  turn.envelope.customer?.reject(failedError(cell, turn.envelope, reason));
  cell.disown(turn, reason);
  if (!turn.isStashed) settleCancelled(cell, turn.envelope);
}

/**
 * Ends an actor for good: no message gets in any more and none that is queued is handled; the present turn may finish
 * within `shutdownMs`, then it is aborted, and after a grace disowned; then the children end, then `onStop` runs.
 * Any number of calls is one end.
 */
export function stopActor(cell: Cell, reason: EndReason, error?: unknown): Promise<void> {
  const { rare } = cell;
  if (reason === 'killed') rare.isKilled = true;
  rare.stopping ??= stopping(cell, reason, error);
  return rare.stopping;
}

async function stopping(cell: Cell, reason: EndReason, error: unknown): Promise<void> {
  const { kernel } = cell;
  const hadState = cell.status !== 'starting' && !cell.rare.isUnborn;
  const { shutdownMs } = cell.slot;
  const startedAt = kernel.now();
  cell.status = 'stopping';
  endLeases(cell, () => true);
  clearMailbox(cell);
  // Stryker disable next-line ConditionalExpression: without a turn it would end a microtask later.
  if (cell.turn !== undefined) {
    await finishTurn(cell, shutdownMs);
    clearMailbox(cell); // of what that turn put aside
  }
  const { children } = cell.rare;
  // Stryker disable next-line ConditionalExpression: to await nothing costs a microtask; that it is awaited is tested.
  if (children !== undefined) await children.stopAll();
  const { onStop } = cell.behaviour.agent.options;
  if (onStop !== undefined && hadState && !cell.rare.isKilled) {
    const remainingMs = Math.max(0, shutdownMs - (kernel.now() - startedAt));
    await runLastHook(cell, 'onStop', remainingMs, (turn) => onStop(turn, reason));
  }
  cell.status = 'stopped';
  cell.rare.restart?.gaveUp(new TroupeError('ERR_ACTOR_STOPPED', { address: cell.address }));
  if (cell.mailbox !== undefined) cell.behaviour.tally.keep(cell.mailbox);
  cell.epoch++;
  cell.state = undefined;
  cell.slot.ended(cell);
  kernel.events.emit({ type: 'actor-stopped', address: cell.address, reason, error });
  cell.settled();
  cell.rare.watches?.ended(reason, error);
  for (const drained of cell.rare.drains ?? []) drained();
}

function endLeases(cell: Cell, isOver: (lease: Lease) => boolean): void {
  for (const lease of cell.rare.leases ?? []) if (isOver(lease)) lease.end();
}

/**
 * Gives the present turn `shutdownMs` to end, aborts it, and disowns it when that does not help. With `sibling` its actor
 * comes back: the turn, and who asked, hear why it ends, not that the actor has.
 */
async function finishTurn(cell: Cell, shutdownMs: number, sibling?: Failure): Promise<void> {
  await turnEnds(cell, shutdownMs);
  const { turn } = cell;
  if (turn === undefined) return;
  const reason =
    sibling === undefined
      ? new TroupeError('ERR_ACTOR_STOPPED', { address: cell.address })
      : failedError(cell, turn.envelope, sibling.cause);
  if (sibling !== undefined) turn.envelope.customer?.reject(reason);
  turn.abort(reason);
  await turnEnds(cell, KILL_GRACE_MS);
  const late = cell.turn;
  if (late === undefined) return;
  cell.disown(late, reason);
  if (!late.isStashed) settleCancelled(cell, late.envelope);
}

/** Resolves at the end of the present turn, or when its time is up. */
function turnEnds(cell: Cell, withinMs: number): Promise<void> {
  const { kernel, rare } = cell;
  if (cell.turn === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    const timeout =
      withinMs === Infinity ? undefined : kernel.timeouts.startFunction(withinMs, kernel.now(), resolve);
    // Two may wait at once: one restarts a group, the other stops everything.
    const other = rare.turnEnded;
    rare.turnEnded = () => {
      rare.turnEnded = undefined;
      other?.();
      if (timeout !== undefined) kernel.timeouts.cancel(timeout);
      resolve();
    };
  });
}

/** Nothing that is queued will be handled: each message gets its outcome, each waiting sender its answer. */
function clearMailbox(cell: Cell): void {
  const remains = cell.mailbox?.clear();
  if (remains === undefined) return;
  for (const envelope of remains.queued) bury(cell, envelope, cell.rare.isKilled ? 'killed' : 'stopped');
  for (const envelope of remains.stashed) bury(cell, envelope, 'stash-cleared');
  for (const waiter of remains.waiting) {
    waiter.sender.refused(new TroupeError('ERR_ACTOR_STOPPED', { address: cell.address }));
  }
}

/** Throws `ERR_START_FAILED` for an actor that was stopped while it started. */
function setGoing(cell: Cell, state: unknown): void {
  if (cell.rareIfAny?.stopping !== undefined)
    throw startFailed(cell, new TroupeError('ERR_ACTOR_STOPPED', { address: cell.address }));
  cell.state = state;
  if (cell.rareIfAny !== undefined) {
    cell.rareIfAny.isKilled = false;
    cell.rareIfAny.isUnborn = false;
  }
  cell.status = cell.rareIfAny?.isDraining === true ? 'draining' : 'running';
  const { kernel, address, generation } = cell;
  endRestart(cell);
  // Stryker disable next-line ConditionalExpression: where nobody listens it would cost an event, and do nothing.
  if (kernel.events.isObserved) {
    kernel.events.emit(
      generation === 0
        ? { type: 'actor-started', address }
        : { type: 'actor-restarted', address, generation },
    );
  }
  cell.settled();
  cell.leaveIfAsked();
  cell.ready();
}

/** The restart under way is over, if there is one. */
function endRestart(cell: Cell): void {
  const rare = cell.rareIfAny;
  if (rare?.restart === undefined) return;
  rare.restart.ended(cell.generation);
  rare.restart = undefined;
}

/** Lets an actor finish what it has accepted, then ends it; nothing gets in any more. */
export function drainActor(cell: Cell): Promise<void> {
  const { rare } = cell;
  rare.isDraining = true;
  if (cell.status === 'running') cell.status = 'draining';
  return new Promise((resolve) => {
    if (cell.hasEnded) {
      resolve();
      return;
    }
    rare.drains ??= [];
    rare.drains.push(resolve);
    cell.ready();
  });
}

function startFailed(cell: Cell, cause: unknown): TroupeError {
  return new TroupeError('ERR_START_FAILED', { address: cell.address }, { cause });
}
