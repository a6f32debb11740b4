/** One message on its way to a broker, in the place of whoever waits until the broker has it. */

import { TroupeError } from '../../src/protocol/errors.ts';
import type { Kernel } from '../actor/kernel.ts';
import { offAbort, onAbort } from '../host/aborts.ts';
import { Timeout } from '../host/timeouts.ts';

/** How long somebody waits. */
export interface ParcelPatience {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds since 1970 after which the message is not worth sending any more. */
  readonly expiresAtMs?: number | undefined;
}

/** It is its own timeout. Settles once. */
export class Parcel extends Timeout {
  readonly bytes: Uint8Array;
  readonly expiresAtMs: number | undefined;
  readonly taken: Promise<void>;
  isSettled = false;
  private readonly kernel: Kernel;
  private readonly destination: string;
  private readonly timeoutMs: number;
  private readonly signal: AbortSignal | undefined;
  private readonly onAbort: (() => void) | undefined;
  private readonly onSettled: () => void;
  private fulfil: () => void = () => undefined;
  private fail: (error: unknown) => void = () => undefined;

  /** `onSettled` is called once, whichever way it ends. */
  constructor(
    kernel: Kernel,
    destination: string,
    bytes: Uint8Array,
    { timeoutMs, signal, expiresAtMs }: ParcelPatience,
    onSettled: () => void,
  ) {
    super();
    this.kernel = kernel;
    this.destination = destination;
    this.bytes = bytes;
    this.timeoutMs = timeoutMs;
    this.signal = signal;
    this.expiresAtMs = expiresAtMs;
    this.onSettled = onSettled;
    this.taken = new Promise<void>((resolve, reject) => {
      this.fulfil = resolve;
      this.fail = reject;
    });
    this.onAbort = signal === undefined ? undefined : () => this.refuse(signal.reason);
    if (signal !== undefined && this.onAbort !== undefined) onAbort(signal, this.onAbort);
    if (timeoutMs !== Infinity) kernel.timeouts.start(this, timeoutMs, kernel.now());
  }

  /** The broker has it. */
  accept(): void {
    if (this.letGo()) this.fulfil();
  }

  refuse(error: unknown): void {
    if (this.letGo()) this.fail(error);
  }

  override timedOut(): void {
    const { destination: address, timeoutMs } = this;
    this.refuse(new TroupeError('ERR_SEND_TIMEOUT', { address, timeoutMs, capacity: 0 }));
  }

  private letGo(): boolean {
    if (this.isSettled) return false;
    this.isSettled = true;
    this.kernel.timeouts.cancel(this);
    offAbort(this.signal, this.onAbort);
    this.onSettled();
    return true;
  }
}
