/**
 * The queue of a pool whose messages are for every worker. A message takes one slot, and has one share in each worker's
 * lane; it leaves the queue when its last share was taken, or, when its sender is an asker, with the first: from then on
 * it is under way, and `detach` keeps its other shares.
 */

import type { Envelope } from '../../src/protocol/envelope.ts';
import { PriorityHeap } from '../actor/heap.ts';
import { isWaitingFor } from './ask-cycle.ts';
import type { Member } from './routes.ts';
import { type Wake, WorkQueue } from './work-queue.ts';

interface Shares {
  left: number;
  isTaken: boolean;
  /** Out of the queue already. */
  isDetached: boolean;
}

/** Every job waits for each worker. */
export class ShareQueue<M extends Member> extends WorkQueue<M> {
  private readonly laneAgingMs: number;
  private readonly wake: Wake<M>;
  /** The last share of a job that others have taken is gone with its worker. */
  private readonly spent: (job: Envelope) => void;
  private readonly laneOf = new Map<M, PriorityHeap<Envelope>>();
  private readonly shares = new Map<Envelope, Shares>();
  /** Jobs that came when there was no worker. */
  private readonly early = new Set<Envelope>();

  constructor(agingMs: number, wake: Wake<M>, spent: (job: Envelope) => void) {
    super(agingMs);
    this.laneAgingMs = agingMs;
    this.wake = wake;
    this.spent = spent;
  }

  override push(job: Envelope): void {
    super.push(job);
    this.share(job);
  }

  override pop(): Envelope | undefined {
    const job = super.pop();
    if (job !== undefined) this.forget(job);
    return job;
  }

  override remove(job: Envelope): boolean {
    if (!super.remove(job)) return false;
    if (this.shares.get(job)?.isDetached !== true) this.forget(job);
    return true;
  }

  override bestFor(member: M): Envelope | undefined {
    return this.laneOf.get(member)?.peek();
  }

  override sizeFor(member: M): number {
    return this.laneOf.get(member)?.size ?? 0;
  }

  override joined(members: readonly M[]): void {
    for (const member of members) this.laneOf.set(member, new PriorityHeap<Envelope>(this.laneAgingMs));
    const early = [...this.early];
    this.early.clear();
    for (const job of early) this.share(job);
  }

  override leaves(member: M): void {
    const lane = this.laneOf.get(member);
    this.laneOf.delete(member);
    for (const job of lane?.drain() ?? []) {
      const shares = this.shares.get(job);
      if (shares === undefined || --shares.left > 0) continue;
      if (shares.isTaken) {
        this.shares.delete(job);
        this.spent(job);
      } else {
        this.share(job);
      }
    }
  }

  override gone(member: M): void {
    this.leaves(member);
  }

  /** A worker takes its share; true when it was the last one. */
  take(job: Envelope, member: M): boolean {
    this.laneOf.get(member)?.remove(job);
    const shares = this.shares.get(job);
    if (shares === undefined) return true;
    shares.isTaken = true;
    shares.left--;
    if (shares.left === 0) this.shares.delete(job);
    return shares.left === 0;
  }

  /** Shares of a job that nobody has taken. */
  sharesOf(job: Envelope): number {
    return this.shares.get(job)?.left ?? 0;
  }

  /** The job may leave the queue; its shares stay. */
  detach(job: Envelope): void {
    const shares = this.shares.get(job);
    if (shares !== undefined) shares.isDetached = true;
  }

  /** Takes back all shares of a job. */
  forget(job: Envelope): void {
    this.early.delete(job);
    if (!this.shares.delete(job)) return;
    for (const lane of this.laneOf.values()) lane.remove(job);
  }

  private share(job: Envelope): void {
    if (this.laneOf.size === 0) {
      this.shares.delete(job);
      this.early.add(job);
      return;
    }
    // Who waits for the reply cannot give it; were they all such, the pool has refused the job.
    const takers = [...this.laneOf].filter(([member]) => !isWaitingFor(job, member));
    const shared = takers.length === 0 ? [...this.laneOf] : takers;
    this.shares.set(job, { left: shared.length, isTaken: false, isDetached: false });
    for (const [, lane] of shared) lane.push(job);
    for (const [member] of shared) this.wake(member);
  }
}
