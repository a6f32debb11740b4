/**
 * Calls that wait: a send for room, an ask for its reply. Each settles exactly once, whatever happens first: its own
 * end, its timeout, the caller's signal, or the end of the turn that made it. Whatever it holds (a timeout, a listener
 * on the user's signal, a place in the turn's list) is let go in the same step.
 */

import type { Customer, Envelope } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { Timeout } from '../host/timeouts.ts';
import type { Actor } from './actor.ts';
import { Waiter, type WaitingSender } from './mailbox.ts';
import type { Turn, Withdrawable } from './turn.ts';

/** What may end a pending call from outside. */
export interface Caller {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** The turn that calls; undefined from outside. */
  readonly from: Turn | undefined;
}

/** A call that has not settled. */
abstract class Pending implements WaitingSender, Withdrawable {
  isSettled = false;
  protected readonly cell: Actor;
  private readonly caller: Caller;
  private readonly fulfil: (value: unknown) => void;
  private readonly fail: (error: unknown) => void;
  private readonly timeout: Timeout;
  private readonly onAbort: (() => void) | undefined;

  constructor(
    cell: Actor,
    caller: Caller,
    now: number,
    fulfil: (value: unknown) => void,
    fail: (error: unknown) => void,
  ) {
    this.cell = cell;
    this.caller = caller;
    this.fulfil = fulfil;
    this.fail = fail;
    const { timeoutMs, signal, from } = caller;
    this.timeout = cell.kernel.timeouts.start(timeoutMs, now, () =>
      this.withdraw(this.timeoutError(timeoutMs)),
    );
    this.onAbort = signal === undefined ? undefined : () => this.withdraw(signal.reason);
    if (this.onAbort !== undefined) signal?.addEventListener('abort', this.onAbort);
    from?.addPending(this);
  }

  abstract admitted(): void;

  refused(error: unknown): void {
    this.reject(error);
  }

  /** Settles with a value; false when it had settled before. */
  resolve(value: unknown): boolean {
    if (!this.letGo()) return false;
    this.fulfil(value);
    return true;
  }

  /** Settles with an error; false when it had settled before. */
  reject(error: unknown): boolean {
    if (!this.letGo()) return false;
    this.fail(error);
    return true;
  }

  /** Settles with an error and takes back what it asked for. */
  withdraw(error: unknown): void {
    if (this.reject(error)) this.takeBack(error);
  }

  protected abstract takeBack(error: unknown): void;

  protected abstract timeoutError(timeoutMs: number): TroupeError;

  private letGo(): boolean {
    if (this.isSettled) return false;
    this.isSettled = true;
    this.cell.kernel.timeouts.cancel(this.timeout);
    if (this.onAbort !== undefined) this.caller.signal?.removeEventListener('abort', this.onAbort);
    this.caller.from?.removePending(this);
    this.released();
    return true;
  }

  protected released(): void {
    // An ask gives back its place among those in flight.
  }
}

/** A send that waits for room. */
export class PendingSend extends Pending {
  private readonly waiter: Waiter;

  constructor(
    cell: Actor,
    envelope: Envelope,
    caller: Caller,
    now: number,
    fulfil: (value: unknown) => void,
    fail: (error: unknown) => void,
  ) {
    super(cell, caller, now, fulfil, fail);
    this.waiter = new Waiter(envelope, this);
    if (!cell.wait(this.waiter)) this.reject(waitersFull(cell));
  }

  override admitted(): void {
    this.resolve(undefined);
  }

  protected override takeBack(): void {
    this.cell.leave(this.waiter);
  }

  protected override timeoutError(timeoutMs: number): TroupeError {
    const { capacity } = this.cell.behaviour.agent.options.mailbox;
    return new TroupeError('ERR_SEND_TIMEOUT', { address: this.cell.address, timeoutMs, capacity });
  }
}

/** An ask: the customer of its envelope. */
export class PendingAsk extends Pending implements Customer {
  envelope: Envelope | undefined = undefined;
  isAnswered = false;
  private waiter: Waiter | undefined = undefined;
  private readonly message: string;

  constructor(
    cell: Actor,
    message: string,
    caller: Caller,
    now: number,
    fulfil: (value: unknown) => void,
    fail: (error: unknown) => void,
  ) {
    super(cell, caller, now, fulfil, fail);
    this.message = message;
    cell.kernel.asksInFlight++;
  }

  /** The mailbox was full: waits there as a send does. */
  waitForRoom(envelope: Envelope): void {
    this.waiter = new Waiter(envelope, this);
    if (!this.cell.wait(this.waiter)) this.reject(waitersFull(this.cell));
  }

  override admitted(): void {
    this.waiter = undefined;
  }

  override resolve(value: unknown): boolean {
    const isFirst = super.resolve(value);
    if (isFirst) this.isAnswered = true;
    return isFirst;
  }

  protected override takeBack(error: unknown): void {
    if (this.waiter !== undefined && this.cell.leave(this.waiter)) return;
    if (this.envelope !== undefined) this.cell.cancel(this.envelope, error);
  }

  protected override timeoutError(timeoutMs: number): TroupeError {
    return new TroupeError('ERR_ASK_TIMEOUT', {
      address: this.cell.address,
      message: this.message,
      timeoutMs,
    });
  }

  protected override released(): void {
    this.cell.kernel.asksInFlight--;
  }
}

function waitersFull(cell: Actor): TroupeError {
  const { waitersMax } = cell.behaviour.agent.options.mailbox;
  return new TroupeError('ERR_MAILBOX_WAITERS_FULL', { address: cell.address, waitersMax });
}
