/**
 * Somebody on another node who waits for what becomes of a message: the customer of an ask, or whoever wants a receipt. Work that he no longer
 * waits for is taken back: out of the mailbox, out of the wait for room, or by aborting its turn.
 */

import type { AskChain, Customer, Envelope } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { Actor } from '../actor/actor.ts';
import type { Kernel } from '../actor/kernel.ts';
import { Timeout } from '../host/timeouts.ts';

/** How he is told. */
export interface CustomerPorts {
  /** Throws for a value that cannot travel. */
  reply(value: unknown): void;
  refuse(error: unknown): void;
  /** He needs no cancelling any more. */
  over(): void;
}

/** He is his own timeout. */
export class RemoteCustomer extends Timeout implements Customer {
  isAnswered = false;
  readonly deadline: number;
  readonly chain: AskChain | undefined;
  /** What is done for him, and by whom. */
  envelope: Envelope | undefined = undefined;
  /** Takes a message out of the wait for room, if it waits. */
  leave: () => void = () => undefined;
  private readonly kernel: Kernel;
  protected readonly actor: Actor;
  private readonly ports: CustomerPorts;
  protected isSettled = false;

  constructor(
    kernel: Kernel,
    actor: Actor,
    { deadline, chain }: Pick<Customer, 'deadline' | 'chain'>,
    ports: CustomerPorts,
  ) {
    super();
    this.chain = chain;
    this.kernel = kernel;
    this.actor = actor;
    this.deadline = deadline;
    this.ports = ports;
    const now = kernel.now();
    // Whole milliseconds share a timer.
    if (deadline !== Infinity) kernel.timeouts.start(this, Math.max(1, Math.ceil(deadline - now)), now);
  }

  resolve(reply: unknown): boolean {
    if (!this.settle()) return false;
    this.isAnswered = true;
    try {
      this.ports.reply(reply);
    } catch (error) {
      this.ports.refuse(error);
    }
    return true;
  }

  reject(error: unknown): boolean {
    if (!this.settle()) return false;
    this.ports.refuse(error);
    return true;
  }

  /** He does not wait any more. */
  cancel(reason: unknown): void {
    if (!this.settle()) return;
    this.leave();
    if (this.envelope !== undefined) this.actor.cancel(this.envelope, reason);
  }

  override timedOut(): void {
    const { address } = this.actor;
    const message = this.envelope?.entry.name ?? '';
    this.cancel(new TroupeError('ERR_MESSAGE_DROPPED', { address, message, reason: 'expired' }));
  }

  protected settle(): boolean {
    if (this.isSettled) return false;
    this.isSettled = true;
    this.kernel.timeouts.cancel(this);
    this.ports.over();
    return true;
  }
}
