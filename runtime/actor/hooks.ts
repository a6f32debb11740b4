/**
 * Hooks, run like turns: one at a time with the actor's turns, with a context and a signal of their own, bounded in time,
 * and disowned when they do not end.
 */

import { Envelope } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { NORMAL_RANK } from '../../src/protocol/priority.ts';
import type { Cell } from './cell.ts';
import { TurnContext } from './context.ts';
import { entryWithoutHandler } from './outcomes.ts';
import { promiseIn } from './promise-in.ts';

/** A hook whose failure changes nothing but the log. */
export async function runLastHook(
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
export function runHook(
  cell: Cell,
  name: string,
  timeoutMs: number,
  hook: (turn: TurnContext) => unknown,
): unknown {
  // Stryker disable next-line StringLiteral: all kinds but 'ask' are the same.
  const entry = entryWithoutHandler(name, 'tell');
  const turn = new TurnContext(
    cell,
    new Envelope(entry, undefined, NORMAL_RANK, undefined, undefined, undefined),
  );
  const { kernel } = cell;
  const outer = kernel.current;
  cell.turn = turn;
  kernel.current = cell.behaviour;
  let value: unknown;
  try {
    const restart = cell.rareIfAny?.restart;
    value = restart === undefined ? hook(turn) : restart.run(() => hook(turn));
  } catch (error) {
    endOfHook(cell, turn);
    throw error;
  } finally {
    kernel.current = outer;
  }
  const promise = promiseIn(value);
  if (promise !== undefined) return followHook(cell, turn, promise, timeoutMs);
  endOfHook(cell, turn);
  return value;
}

/** The function is over. One that was disowned while it ran has ended before, and whoever disowned it said how: that is thrown. */
function endOfHook(cell: Cell, turn: TurnContext): void {
  if (!turn.isFenced) {
    cell.end(turn);
    return;
  }
  cell.rare.zombies--;
  // Stryker disable next-line OptionalChaining: for the compiler; what is disowned is aborted.
  throw turn.aborted?.reason;
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
    if (turn.aborted === undefined) {
      turn.follow(
        now,
        timeoutMs === Infinity ? undefined : kernel.timeouts.startFunction(timeoutMs, now, fire),
      );
      turn.addPending({ withdraw: (reason) => abandon(reason) });
    } else {
      reject(turn.aborted.reason); // it was disowned before it gave its promise
    }
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
