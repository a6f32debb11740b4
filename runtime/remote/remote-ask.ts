/**
 * An ask of an actor of another node. It settles once, by the first of: the reply, a refusal, its time, its signal, the end of the turn that
 * made it, the end of the life of the node that it was put to. Whoever works on it is told when nobody waits any more.
 */

import { TroupeError } from '../../src/protocol/errors.ts';
import type { Rank } from '../../src/protocol/priority.ts';
import type { Schema } from '../../src/protocol/schema.ts';
import { checkArriving } from '../actor/behaviour.ts';
import type { Kernel } from '../actor/kernel.ts';
import { type Caller, outcomeOf, PendingCall, type Settle } from '../actor/pending.ts';
import type { Addressee } from './mail.ts';
import { errorOf } from './refusal.ts';

/** What is asked, and of whom. */
export interface Inquiry {
  readonly id: string;
  readonly to: Addressee;
  readonly address: string;
  /** The name of the agent's protocol, and of the message. */
  readonly protocol: string;
  readonly message: string;
  readonly rank: Rank;
  /** What the reply has to be; undefined where only its coming is waited for. */
  readonly reply: Schema | undefined;
}

/** What an ask needs of its node. */
export interface AskPorts {
  /** It has settled. */
  settled(ask: RemoteAsk): void;
  /** Nobody waits for it any more, though it has no reply. */
  takeBack(ask: RemoteAsk, reason: unknown): void;
}

/** An ask that waits for what another node says. */
export class RemoteAsk extends PendingCall {
  readonly inquiry: Inquiry;
  private readonly ports: AskPorts;

  constructor(
    kernel: Kernel,
    inquiry: Inquiry,
    ports: AskPorts,
    caller: Caller,
    fulfil: Settle,
    fail: Settle,
  ) {
    super(kernel, caller, kernel.now(), fulfil, fail);
    this.inquiry = inquiry;
    this.ports = ports;
    kernel.asksInFlight++;
  }

  /** What the node has replied, which counts only if it is what the protocol says. */
  replied(value: unknown): boolean {
    const { address, message, reply } = this.inquiry;
    const checked = reply === undefined ? undefined : checkArriving(reply, value);
    if (checked?.ok === false)
      return this.reject(new TroupeError('ERR_REPLY_INVALID', { address, message, issues: checked.issues }));
    if (!this.resolve(checked?.value)) return false;
    this.tally.replied++;
    return true;
  }

  /** Why the node gives no reply. */
  refused(refusal: unknown): boolean {
    return this.reject(errorOf(refusal, this.inquiry));
  }

  override reject(error: unknown): boolean {
    const isFirst = super.reject(error);
    if (isFirst) this.tally.unreplied.count(outcomeOf(error));
    return isFirst;
  }

  protected override takeBack(reason: unknown): void {
    this.ports.takeBack(this, reason);
  }

  protected override timeoutError(): TroupeError {
    const { address, message, reply } = this.inquiry;
    const { timeoutMs } = this.caller;
    return reply === undefined
      ? new TroupeError('ERR_SEND_TIMEOUT', { address, timeoutMs, capacity: 0 })
      : new TroupeError('ERR_ASK_TIMEOUT', { address, message, timeoutMs });
  }

  protected override letGo(): void {
    super.letGo();
    this.kernel.asksInFlight--;
    this.ports.settled(this);
  }

  protected get tally() {
    return this.kernel.telemetry.tallyOf(this.inquiry.protocol);
  }
}
