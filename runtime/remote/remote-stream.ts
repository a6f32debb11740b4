/**
 * A stream of an actor of another node. Its parts are numbered, and read in the order of their numbers: what comes again, or behind what
 * was sent later, changes nothing. It settles as an ask does; its end waits for the parts that were sent before.
 */

import { TroupeError } from '../../src/protocol/errors.ts';
import type { Schema } from '../../src/protocol/schema.ts';
import { checkArriving } from '../actor/behaviour.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { PartReader, PartsCall } from '../actor/part-reader.ts';
import type { Caller } from '../actor/pending.ts';
import { type AskPorts, type Inquiry, RemoteAsk } from './remote-ask.ts';

/** What is read, by whom, and how. */
export interface Reading {
  readonly reader: PartReader;
  readonly part: Schema | undefined;
  readonly window: number;
}

/** What a stream needs of its node beside what an ask needs. */
export interface StreamPorts extends AskPorts {
  /** The reader takes so many parts in all. */
  demand(stream: RemoteStream, parts: number): void;
}

/** The end that a node has told, and how many parts were before it. */
interface ToldEnd {
  readonly parts: number;
  readonly settle: () => void;
}

/** A stream that waits for what another node says. */
export class RemoteStream extends RemoteAsk implements PartsCall {
  private readonly streamPorts: StreamPorts;
  private readonly reading: Reading;
  /** Parts that came before one that was sent earlier, by number; fewer than the window. */
  private readonly early = new Map<number, unknown>();
  private received = 0;
  /** By its reader. */
  private read = 0;
  private demanded: number;
  private end: ToldEnd | undefined = undefined;

  constructor(kernel: Kernel, inquiry: Inquiry, ports: StreamPorts, caller: Caller, reading: Reading) {
    const { reader, window } = reading;
    const finish = (result: unknown): void => reader.finish(result);
    const fail = (error: unknown): void => reader.fail(error);
    super(kernel, inquiry, ports, caller, finish, fail);
    this.streamPorts = ports;
    this.reading = reading;
    this.demanded = window;
  }

  /** A part has come. False: it was never asked for. */
  came(number: number, value: unknown): boolean {
    if (number > this.demanded) return false;
    if (number <= this.received || this.early.has(number)) return true;
    const { part: schema } = this.reading;
    const checked = schema === undefined ? undefined : checkArriving(schema, value);
    if (checked?.ok === false) {
      const { address, message } = this.inquiry;
      const issues = checked.issues.map((issue) => `part ${number}: ${issue}`);
      this.unreadable(new TroupeError('ERR_REPLY_INVALID', { address, message, issues }));
      return true;
    }
    this.early.set(number, checked === undefined ? value : checked.value);
    this.handOn();
    return true;
  }

  /** What has come cannot be read: the stream is over, and its producer is told. */
  unreadable(error: unknown): void {
    super.withdraw(error);
  }

  /** Its end has come, with how many parts were before it. False: it had ended. */
  answered(isResult: boolean, parts: number | undefined, value: unknown): boolean {
    if (this.isSettled || this.end !== undefined) return false;
    this.end = { parts: parts ?? 0, settle: () => this.settleBy(isResult, parts, value) };
    this.handOn();
    return true;
  }

  taken(): void {
    this.read++;
    const { window } = this.reading;
    const demanded = this.read + window;
    // Half a window at once: words cost as much as parts.
    if (this.isSettled || demanded - this.demanded < Math.ceil(window / 2)) return;
    this.demanded = demanded;
    this.streamPorts.demand(this, demanded);
  }

  breakOff(reason: TroupeError): void {
    if (this.isSettled) return;
    this.letGo();
    this.trace?.sent('accepted');
    this.tally.unreplied.count('cancelled');
    this.takeBack(reason);
  }

  override withdraw(error: unknown): void {
    if (!this.isSettled) this.reading.reader.abort(error);
    super.withdraw(error);
  }

  /** What came in time may still be read. */
  override timedOut(): void {
    super.withdraw(this.timeoutError());
  }

  protected override timeoutError(): TroupeError {
    const { address, message } = this.inquiry;
    const { timeoutMs } = this.caller;
    return new TroupeError('ERR_STREAM_TIMEOUT', { address, message, timeoutMs, parts: this.received });
  }

  protected override letGo(): void {
    super.letGo();
    this.early.clear();
    this.trace?.took(this.received);
  }

  private settleBy(isResult: boolean, parts: number | undefined, value: unknown): void {
    const { address, message, protocol } = this.inquiry;
    if (!isResult) this.refused(value);
    else if (parts !== undefined) this.replied(value);
    else {
      const found = `'${message}' as a message that is asked`;
      this.reject(new TroupeError('ERR_PROTOCOL_MISMATCH', { address, message, protocol, found }));
    }
  }

  /** Gives the reader what is next, and then the end. */
  private handOn(): void {
    for (let next = this.received + 1; this.early.has(next); next = this.received + 1) {
      const part = this.early.get(next);
      this.early.delete(next);
      if (++this.received === 1) this.trace?.began();
      this.reading.reader.take(part);
    }
    if (this.end !== undefined && this.received >= this.end.parts) this.end.settle();
  }
}
