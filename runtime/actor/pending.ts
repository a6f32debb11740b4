/**
 * Calls that wait: a send for room, an ask for its reply. Each settles exactly once, whatever happens first: its own
 * end, its timeout, the caller's signal, or the end of the turn that made it. Whatever it holds (its place among the
 * timeouts, a listener on the user's signal, a place in the turn's list) is let go in the same step.
 */

import type { AskChain, Customer, Envelope, Trace } from '../../src/protocol/envelope.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import { offAbort, onAbort } from '../host/aborts.ts';
import { Timeout } from '../host/timeouts.ts';
import type { AskOutcome } from '../observe/agent-tally.ts';
import type { Actor } from './actor.ts';
import type { Kernel } from './kernel.ts';
import { Waiter, type WaitingSender } from './mailbox.ts';
import type { Turn, Withdrawable } from './turn.ts';

/** What may end a pending call from outside. */
export interface Caller {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** The turn that calls; undefined from outside. */
  readonly from: Turn | undefined;
  /** Hears how the call ends. */
  readonly trace?: Trace | undefined;
}

/** Fulfils or rejects the promise that the caller holds. */
export type Settle = (outcome: unknown) => void;

/** A call that has not settled. It is its own timeout. */
export abstract class PendingCall extends Timeout implements Withdrawable {
  isSettled = false;
  protected readonly kernel: Kernel;
  protected readonly caller: Caller;
  private readonly fulfil: Settle;
  private readonly fail: Settle;
  private onAbort: (() => void) | undefined = undefined;

  constructor(kernel: Kernel, caller: Caller, now: number, fulfil: Settle, fail: Settle) {
    super();
    this.kernel = kernel;
    this.caller = caller;
    this.fulfil = fulfil;
    this.fail = fail;
    kernel.timeouts.start(this, caller.timeoutMs, now);
    const { signal, from } = caller;
    if (signal !== undefined) {
      this.onAbort = () => this.withdraw(signal.reason);
      onAbort(signal, this.onAbort);
    }
    if (from !== undefined) from.addPending(this);
  }

  /** Where the call stands in a trace. */
  protected get trace(): Trace | undefined {
    return this.caller.trace;
  }

  /** Settles with a value; false when it had settled before. */
  resolve(value: unknown): boolean {
    if (this.isSettled) return false;
    this.letGo();
    this.trace?.sent('accepted');
    this.fulfil(value);
    return true;
  }

  /** Settles with an error; false when it had settled before. */
  reject(error: unknown): boolean {
    if (this.isSettled) return false;
    this.letGo();
    this.trace?.failed(error);
    this.fail(error);
    return true;
  }

  /** Settles with an error and takes back what it asked for. */
  withdraw(error: unknown): void {
    if (this.reject(error)) this.takeBack(error);
  }

  override timedOut(): void {
    this.withdraw(this.timeoutError());
  }

  protected abstract takeBack(error: unknown): void;

  protected abstract timeoutError(): TroupeError;

  protected letGo(): void {
    this.isSettled = true;
    this.kernel.timeouts.cancel(this);
    const { signal, from } = this.caller;
    offAbort(signal, this.onAbort);
    if (from !== undefined) from.removePending(this);
  }
}

/** A call that waits at a mailbox. */
abstract class Pending extends PendingCall implements WaitingSender {
  protected readonly cell: Actor;

  constructor(cell: Actor, caller: Caller, now: number, fulfil: Settle, fail: Settle) {
    super(cell.kernel, caller, now, fulfil, fail);
    this.cell = cell;
  }

  abstract admitted(): void;

  refused(error: unknown): void {
    this.reject(error);
  }
}

/** A send that waits for room. */
export class PendingSend extends Pending {
  private readonly waiter: Waiter;

  constructor(cell: Actor, envelope: Envelope, caller: Caller, now: number, fulfil: Settle, fail: Settle) {
    super(cell, caller, now, fulfil, fail);
    this.waiter = new Waiter(envelope, this);
    if (!cell.wait(this.waiter)) this.reject(noRoom(cell, envelope, caller.from));
  }

  override admitted(): void {
    this.resolve(undefined);
  }

  protected override takeBack(): void {
    this.cell.leave(this.waiter);
  }

  protected override timeoutError(): TroupeError {
    const { capacity } = this.cell.behaviour.agent.options.mailbox;
    const { timeoutMs } = this.caller;
    return new TroupeError('ERR_SEND_TIMEOUT', { address: this.cell.address, timeoutMs, capacity });
  }
}

/** An ask: the customer of its envelope. */
export class PendingAsk extends Pending implements Customer {
  readonly chain: AskChain | undefined;
  isAnswered = false;
  private envelope: Envelope | undefined = undefined;
  private waiter: Waiter | undefined = undefined;

  constructor(
    cell: Actor,
    chain: AskChain | undefined,
    caller: Caller,
    now: number,
    fulfil: Settle,
    fail: Settle,
  ) {
    super(cell, caller, now, fulfil, fail);
    this.chain = chain;
    this.kernel.asksInFlight++;
  }

  get deadline(): number {
    return this.dueAt;
  }

  /** Offers the question, and waits for room as a send does where the mailbox lets senders wait. */
  ask(envelope: Envelope): void {
    const { cell } = this;
    const { from } = this.caller;
    this.envelope = envelope;
    const verdict = cell.offer(envelope, from);
    if (verdict === 'accepted') return;
    if (verdict === 'stopped') {
      this.reject(new TroupeError('ERR_ACTOR_STOPPED', { address: cell.address }));
      return;
    }
    const waiter = new Waiter(envelope, this);
    if (cell.mayWait(from) && cell.wait(waiter)) this.waiter = waiter;
    else this.reject(noRoom(cell, envelope, from));
  }

  // Stryker disable next-line BlockStatement: the mailbox would not find it any more; this spares the search.
  override admitted(): void {
    this.waiter = undefined;
  }

  override resolve(value: unknown): boolean {
    const isFirst = super.resolve(value);
    if (isFirst) {
      this.isAnswered = true;
      this.cell.behaviour.tally.replied++;
    }
    return isFirst;
  }

  override reject(error: unknown): boolean {
    const isFirst = super.reject(error);
    if (isFirst) this.cell.behaviour.tally.unreplied.count(outcomeOf(error));
    return isFirst;
  }

  protected override get trace(): Trace | undefined {
    // Stryker disable next-line OptionalChaining: as in `takeBack`; that there may be no trace is tested.
    return this.envelope?.extras?.trace;
  }

  protected override takeBack(error: unknown): void {
    if (this.waiter !== undefined && this.cell.leave(this.waiter)) return;
    // Stryker disable next-line ConditionalExpression: for the compiler; whoever makes it offers its envelope in the same step.
    if (this.envelope !== undefined) this.cell.cancel(this.envelope, error);
  }

  protected override timeoutError(): TroupeError {
    return new TroupeError('ERR_ASK_TIMEOUT', {
      address: this.cell.address,
      message: this.message,
      timeoutMs: this.caller.timeoutMs,
    });
  }

  protected get message(): string {
    // Stryker disable next-line OptionalChaining,StringLiteral: as in `takeBack`.
    return this.envelope?.entry.name ?? '';
  }

  protected override letGo(): void {
    super.letGo();
    this.kernel.asksInFlight--;
  }
}

/** How an ask that got no reply ended. */
export function outcomeOf(error: unknown): AskOutcome {
  if (!isTroupeError(error)) return 'cancelled';
  if (error.code === 'ERR_ASK_TIMEOUT' || error.code === 'ERR_STREAM_TIMEOUT') return 'timed-out';
  return error.code === 'ERR_ACTOR_FAILED' ? 'failed' : 'refused';
}

/** A call finds no room and does not wait for any: that is counted and told, and its error says why. */
export function noRoom(cell: Actor, envelope: Envelope, from: Turn | undefined): TroupeError {
  cell.noteRefusal(envelope, 'full');
  const { address } = cell;
  const { capacity, waitersMax } = cell.behaviour.agent.options.mailbox;
  if (cell.mayWait(from)) return waitersFull(address, waitersMax);
  return new TroupeError('ERR_MAILBOX_FULL', { address, capacity });
}

/** Without a stack: who floods an actor gets one of these for each send, and a stack would be most of its size. */
function waitersFull(address: string, waitersMax: number): TroupeError {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return new TroupeError('ERR_MAILBOX_WAITERS_FULL', { address, waitersMax });
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}
