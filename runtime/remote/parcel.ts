/** One message on its way to a broker, in the place of whoever waits until the broker has it. */

import { TroupeError } from '../../src/protocol/errors.ts';
import type { Kernel } from '../actor/kernel.ts';
import { offAbort, onAbort } from '../host/aborts.ts';
import { Timeout } from '../host/timeouts.ts';

/** How long somebody waits. */
export interface ParcelPatience {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** It is one of few that are bounded where they are made, and is never refused for lack of room. */
  readonly isSignal?: boolean | undefined;
  /** It waits where its lane is full, instead of being refused. */
  readonly waitsForRoom?: boolean | undefined;
  /** Milliseconds since 1970 after which the message is not worth sending any more. */
  readonly expiresAtMs?: number | undefined;
  /** Called when it is refused, before whoever waits hears of it. */
  readonly refused?: (() => void) | undefined;
}

/** A parcel, for whoever passes it on. */
export type Load = Pick<Parcel<unknown>, 'bytes' | 'expiresAtMs' | 'isSettled' | 'accept' | 'refuse'>;

const NOBODY = (): void => undefined;

/** It is its own timeout. Settles once: `taken` resolves with what its maker calls the receipt. */
export class Parcel<Receipt> extends Timeout {
  readonly bytes: Uint8Array;
  readonly expiresAtMs: number | undefined;
  readonly taken: Promise<Receipt>;
  isSettled = false;
  private readonly kernel: Kernel;
  private readonly destination: string;
  private readonly timeoutMs: number;
  private readonly signal: AbortSignal | undefined;
  private readonly onAbort: (() => void) | undefined;
  private readonly onRefused: (() => void) | undefined;
  private readonly onSettled: () => void;
  private readonly receipt: Receipt;
  private fulfil: (receipt: Receipt) => void = NOBODY;
  private fail: (error: unknown) => void = NOBODY;

  /** `onSettled` is called once, whichever way it ends. */
  constructor(
    kernel: Kernel,
    destination: string,
    bytes: Uint8Array,
    { timeoutMs, signal, expiresAtMs, refused }: ParcelPatience,
    receipt: Receipt,
    onSettled: () => void,
  ) {
    super();
    this.kernel = kernel;
    this.destination = destination;
    this.bytes = bytes;
    this.timeoutMs = timeoutMs;
    this.signal = signal;
    this.expiresAtMs = expiresAtMs;
    this.onRefused = refused;
    this.onSettled = onSettled;
    this.receipt = receipt;
    this.taken = new Promise<Receipt>((resolve, reject) => {
      this.fulfil = resolve;
      this.fail = reject;
    });
    this.onAbort = signal === undefined ? undefined : () => this.refuse(signal.reason);
    if (signal !== undefined && this.onAbort !== undefined) onAbort(signal, this.onAbort);
    if (timeoutMs !== Infinity) kernel.timeouts.start(this, timeoutMs, kernel.now());
  }

  /** The broker has it. */
  accept(): void {
    if (this.letGo()) this.fulfil(this.receipt);
  }

  refuse(error: unknown): void {
    if (!this.letGo()) return;
    this.onRefused?.();
    this.fail(error);
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
