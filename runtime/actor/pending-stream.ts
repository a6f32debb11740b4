/** A stream of an actor of this process: the customer of its envelope, which hands the parts to their reader. */

import type { AskChain, PartsCustomer } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { Actor } from './actor.ts';
import type { PartReader, PartsCall } from './part-reader.ts';
import { type Caller, PendingAsk } from './pending.ts';

/** It settles as an ask does. */
export class PendingStream extends PendingAsk implements PartsCustomer, PartsCall {
  parts = 0;
  onDemand: (() => void) | undefined = undefined;
  private readonly reader: PartReader;
  private readonly window: number;
  private unread = 0;

  constructor(
    cell: Actor,
    chain: AskChain | undefined,
    caller: Caller,
    now: number,
    reader: PartReader,
    window: number,
  ) {
    const finish = (result: unknown): void => reader.finish(result);
    const fail = (error: unknown): void => reader.fail(error);
    super(cell, chain, caller, now, finish, fail);
    this.reader = reader;
    this.window = window;
  }

  /** Whoever does not wait any more holds nobody up. */
  get demand(): number {
    return this.isSettled ? Infinity : this.window - this.unread;
  }

  takePart(part: unknown): void {
    if (this.isSettled) return;
    if (++this.parts === 1) this.trace?.began();
    this.unread++;
    this.reader.take(part);
  }

  taken(): void {
    this.unread--;
    this.onDemand?.();
  }

  breakOff(reason: TroupeError): void {
    if (this.isSettled) return;
    this.letGo();
    this.trace?.sent('accepted');
    this.cell.behaviour.tally.unreplied.count('cancelled');
    this.takeBack(reason);
  }

  override withdraw(error: unknown): void {
    if (!this.isSettled) this.reader.abort(error);
    super.withdraw(error);
  }

  /** What came in time may still be read. */
  override timedOut(): void {
    super.withdraw(this.timeoutError());
  }

  protected override timeoutError(): TroupeError {
    return new TroupeError('ERR_STREAM_TIMEOUT', {
      address: this.cell.address,
      message: this.message,
      timeoutMs: this.caller.timeoutMs,
      parts: this.parts,
    });
  }

  protected override letGo(): void {
    super.letGo();
    this.trace?.took(this.parts);
    this.onDemand?.();
  }
}
