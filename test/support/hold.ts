/** A handler of the bus that holds what it gets until it is released, and remembers all of it. */

import type { BusHandler, BusMessage } from '../../src/protocol/bus.ts';

export interface Hold {
  readonly handler: BusHandler;
  /** All that it got, in order. */
  readonly messages: BusMessage[];
  readonly payloads: unknown[];
  /** How its runs ended: `ended`, or `aborted` by their signal. */
  readonly endings: string[];
  /** Runs that have not ended. */
  readonly running: () => number;
  /** Ends those that run; from now on it holds nothing. */
  readonly release: () => void;
}

/** `onMessage` is called before it holds. */
export function hold(onMessage: BusHandler = () => undefined): Hold {
  const messages: BusMessage[] = [];
  const payloads: unknown[] = [];
  const endings: string[] = [];
  let running = 0;
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const handler: BusHandler = async (message) => {
    messages.push(message);
    payloads.push(message.payload);
    running++;
    await onMessage(message);
    const isAborted = await Promise.race([released.then(() => false), aborted(message.signal)]);
    running--;
    endings.push(isAborted ? 'aborted' : 'ended');
  };
  return { handler, messages, payloads, endings, running: () => running, release };
}

function aborted(signal: AbortSignal): Promise<true> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(true);
    else signal.addEventListener('abort', () => resolve(true), { once: true });
  });
}
