/** Somebody on another node who reads a stream: numbers its parts, and sends as many as he has asked for. */

import type { Customer, PartsCustomer } from '../../src/protocol/envelope.ts';
import type { Actor } from '../actor/actor.ts';
import type { Kernel } from '../actor/kernel.ts';
import { type CustomerPorts, RemoteCustomer } from './remote-customer.ts';

/** How he is given parts. */
export interface PartPorts extends CustomerPorts {
  /** Resolves when the broker has it; rejects where it cannot be sent. Throws for a value that cannot travel. */
  part(number: number, value: unknown): Promise<unknown>;
}

/** A customer who takes parts. */
export class StreamCustomer extends RemoteCustomer implements PartsCustomer {
  onDemand: (() => void) | undefined = undefined;
  parts = 0;
  private demanded: number;
  private readonly partPorts: PartPorts;

  constructor(
    kernel: Kernel,
    actor: Actor,
    wait: Pick<Customer, 'deadline' | 'chain'>,
    window: number,
    ports: PartPorts,
  ) {
    super(kernel, actor, wait, ports);
    this.demanded = window;
    this.partPorts = ports;
  }

  /** Whoever does not wait any more holds nobody up. */
  get demand(): number {
    return this.isSettled ? Infinity : this.demanded - this.parts;
  }

  /** He takes so many in all. What was said before may come later. */
  demands(parts: number): void {
    this.demanded = Math.max(this.demanded, parts);
    this.onDemand?.();
  }

  takePart(value: unknown): void {
    if (this.isSettled) return;
    try {
      this.partPorts.part(this.parts + 1, value).catch((error: unknown) => this.fail(error));
      this.parts++;
    } catch (error) {
      this.fail(error);
    }
  }

  protected override settle(): boolean {
    const isFirst = super.settle();
    this.onDemand?.();
    return isFirst;
  }

  /** A part does not reach him: he is told so, and the work for him ends. */
  private fail(error: unknown): void {
    if (!this.reject(error)) return;
    if (this.envelope !== undefined) this.actor.cancel(this.envelope, error);
  }
}
