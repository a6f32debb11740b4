/**
 * Calls on a bus that wait for handlers: requests, and publishes to be confirmed as handled. Each settles once: by its own
 * end, its timeout, its signal, or the end of the bus. They count as asks, so there is a bound for both together.
 */

import { TroupeError } from '../../src/protocol/errors.ts';
import type { Kernel } from '../actor/kernel.ts';
import { offAbort, onAbort } from '../host/aborts.ts';
import { Timeout } from '../host/timeouts.ts';

/** What ends a call that waits. */
export interface Patience {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** The open calls of one bus. */
export type OpenCalls = Set<{ withdraw(reason: unknown): void }>;

/** One call that waits; it is its own timeout. */
export abstract class OpenCall<Result> extends Timeout {
  /** How it ends. It may be left alone: a rejection that nobody awaits yet is no unhandled one. */
  readonly result: Promise<Result>;
  protected readonly kernel: Kernel;
  protected readonly timeoutMs: number;
  protected isSettled = false;
  private readonly calls: OpenCalls;
  private readonly signal: AbortSignal | undefined;
  private readonly onAbort: (() => void) | undefined;
  private resolve: (result: Result) => void = () => undefined;
  private reject: (error: unknown) => void = () => undefined;

  /** Throws `ERR_ASKS_IN_FLIGHT_FULL`. */
  constructor(calls: OpenCalls, kernel: Kernel, { timeoutMs, signal }: Patience) {
    super();
    const { asksInFlightMax } = kernel.settings;
    if (kernel.asksInFlight >= asksInFlightMax)
      throw new TroupeError('ERR_ASKS_IN_FLIGHT_FULL', { max: asksInFlightMax });
    this.kernel = kernel;
    this.timeoutMs = timeoutMs;
    this.calls = calls;
    this.signal = signal;
    this.result = new Promise<Result>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.result.catch(() => undefined);
    this.onAbort = signal === undefined ? undefined : () => this.withdraw(signal.reason);
    if (signal !== undefined && this.onAbort !== undefined) onAbort(signal, this.onAbort);
    calls.add(this);
    kernel.asksInFlight++;
    kernel.timeouts.start(this, timeoutMs, kernel.now());
  }

  override timedOut(): void {
    this.withdraw(this.timeoutError());
  }

  /** Settles it with an error, and takes back what it asked for. */
  withdraw(reason: unknown): void {
    if (this.fail(reason)) this.takeBack(reason);
  }

  protected abstract timeoutError(): TroupeError;

  /** Takes back what it asked for. A publish has nothing to take back. */
  protected takeBack(_reason: unknown): void {}

  protected fulfil(result: Result): boolean {
    if (this.isSettled) return false;
    this.letGo();
    this.resolve(result);
    return true;
  }

  protected fail(error: unknown): boolean {
    if (this.isSettled) return false;
    this.letGo();
    this.reject(error);
    return true;
  }

  private letGo(): void {
    this.isSettled = true;
    this.calls.delete(this);
    this.kernel.asksInFlight--;
    this.kernel.timeouts.cancel(this);
    offAbort(this.signal, this.onAbort);
  }
}
