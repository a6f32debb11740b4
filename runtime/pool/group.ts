/**
 * The queue of subscribers that compete: a pool whose workers are its members' own, each with its own function, attempts and
 * time for a turn. A message is handled by whichever worker is free first, so no slow member holds it back while another
 * one is idle. A member may come and go; what it had taken on and not finished goes to the others.
 */

import type { AnyAgentDefinition } from '../../src/protocol/agent.ts';
import type { Spawnable } from '../../src/protocol/child-spec.ts';
import type { Envelope, MessageEntry } from '../../src/protocol/envelope.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import type { PoolSettings } from '../../src/protocol/pool.ts';
import {
  deliveryAgent,
  type IntakeOptions,
  mailboxFor,
  SUBSCRIBER_POLICY,
} from '../routing/function-subscriber.ts';
import type { MakeCell } from './cells.ts';
import { PoolCell } from './pool.ts';
import type { WorkerCell } from './worker.ts';

/** The actor in front of the members of one group. */
export class GroupCell extends PoolCell {
  /** Starts the workers of one more member. Rejects with `ERR_START_FAILED`, and leaves none of them then. */
  async hireFor(agent: AnyAgentDefinition, args: unknown, count: number): Promise<readonly WorkerCell[]> {
    const before = new Set(this.workers);
    const worker: Spawnable = Object.freeze({ ...agent, worksFor: this });
    const hiring = Array.from({ length: count }, () => this.hire(this, worker, args));
    const hired = [...this.workers].filter((each) => !before.has(each));
    this.size += hired.length;
    try {
      await Promise.all(hiring);
    } catch (error) {
      await Promise.allSettled(hiring);
      await this.dismiss(hired);
      throw error;
    }
    return hired;
  }

  /** Ends the workers of a member: they start on nothing more. Resolves when they have finished what they do. */
  async dismiss(workers: readonly WorkerCell[]): Promise<void> {
    this.size -= workers.length;
    const living = workers.filter((worker) => this.workers.has(worker));
    await Promise.all(living.map((worker) => this.retire(worker)));
  }

  override resize(): Promise<void> {
    return Promise.reject(invalidOption('resize: ref', 'a ref to a pool', this.address));
  }

  override drop(envelope: Envelope): void {
    super.drop(envelope);
    for (const worker of this.workers) worker.drop(envelope); // it may wait there for another attempt
  }

  override cancelQueued(entry: MessageEntry): void {
    super.cancelQueued(entry);
    for (const worker of this.workers) worker.cancelQueued(entry);
  }

  /** Its members have ended in another way than by leaving. */
  protected override deserted(): void {
    this.slot.left(this, 'normal');
  }
}

/** The agent of a new group, whose messages find the function in the worker they come to. Nobody is in it yet. */
export function groupAgent(intake: IntakeOptions): AnyAgentDefinition {
  const agent = deliveryAgent(mailboxFor(intake));
  const policy = SUBSCRIBER_POLICY;
  const workers: PoolSettings = Object.freeze({
    agent,
    args: undefined,
    size: 0,
    routing: 'work-pulling',
    key: undefined,
    concurrencyMax: Number.POSITIVE_INFINITY,
    rateLimit: undefined,
    nodes: undefined,
    policy,
  });
  const cellOf: MakeCell = (behaviour, slot, hire) => new GroupCell(behaviour, slot, workers, hire);
  return Object.freeze({ ...agent, workers, cellOf });
}
