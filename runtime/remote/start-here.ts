/** A start on this node that is waited for no longer than its caller says. What starts all the same is stopped. */

import { TroupeError } from '../../src/protocol/errors.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { ActorRef } from '../actor/local-ref.ts';
import { type Caller, PendingCall, type Settle } from '../actor/pending.ts';

/** Settles as `starting` does, unless the caller's time or signal comes first. */
export function startHere(
  kernel: Kernel,
  agent: string,
  caller: Caller,
  starting: Promise<ActorRef>,
  stop: (ref: ActorRef) => Promise<void>,
): Promise<ActorRef> {
  return new Promise((fulfil, fail) => {
    // The wait is fulfilled with nothing but the ref below.
    const wait = new WaitingStart(kernel, agent, caller, fulfil as Settle, fail);
    const started = (ref: ActorRef): void => {
      if (!wait.resolve(ref)) kernel.background(stop(ref));
    };
    starting.then(started, (error: unknown) => wait.reject(error));
  });
}

class WaitingStart extends PendingCall {
  private readonly agent: string;

  constructor(kernel: Kernel, agent: string, caller: Caller, fulfil: Settle, fail: Settle) {
    super(kernel, caller, kernel.now(), fulfil, fail);
    this.agent = agent;
  }

  /** It is stopped when it has started: a start has an end of its own. */
  protected override takeBack(): void {}

  protected override timeoutError(): TroupeError {
    const { timeoutMs } = this.caller;
    return new TroupeError('ERR_ASK_TIMEOUT', { address: '/user', message: this.agent, timeoutMs });
  }
}
