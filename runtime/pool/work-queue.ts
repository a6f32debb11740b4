/**
 * The queue of a pool: a mailbox's priority heap of jobs that know whom they wait for. All of them stand in one heap, so
 * that capacity, overflow and waiting senders are the mailbox's; a lane for each worker repeats, in the same order, those
 * that wait for that worker. With a shared queue there are no lanes: every job waits for everybody.
 */

import type { Envelope } from '../../src/protocol/envelope.ts';
import { PriorityHeap } from '../actor/heap.ts';
import { isWaitingFor } from './ask-cycle.ts';
import type { Member, Route } from './routes.ts';

/** Called when a job has begun to wait for `member`, or, without one, for anybody. */
export type Wake<M extends Member> = (member: M | undefined) => void;

/** Jobs of a pool. */
export abstract class WorkQueue<M extends Member> extends PriorityHeap<Envelope> {
  /** The job that this worker should take next. */
  abstract bestFor(member: M): Envelope | undefined;
  /** Jobs that wait for this worker alone, or for it too. */
  abstract sizeFor(member: M): number;
  /** These workers take part from now on. */
  abstract joined(members: readonly M[]): void;
  /** This worker takes no job any more; what waits for it is given to others where that is possible now. */
  abstract leaves(member: M): void;
  /** It is gone: what still waits for it is given to others. */
  abstract gone(member: M): void;
  /** The one worker that may take this job, whoever else is free; undefined where there is no such rule. */
  boundTo(_job: Envelope): M | undefined {
    return undefined;
  }
  /** A worker takes this job in hand; `finished` follows. It still stands in the queue. */
  started(_job: Envelope): void {}
  finished(_job: Envelope): void {}
}

/** Every job waits for everybody. */
export class SharedQueue<M extends Member> extends WorkQueue<M> {
  private readonly wake: Wake<M>;

  constructor(agingMs: number, wake: Wake<M>) {
    super(agingMs);
    this.wake = wake;
  }

  override push(job: Envelope): void {
    super.push(job);
    this.wake(undefined);
  }

  override bestFor(_member: M): Envelope | undefined {
    return this.peek();
  }

  override sizeFor(_member: M): number {
    return 0;
  }

  override joined(_members: readonly M[]): void {
    for (let jobs = this.size; jobs > 0; jobs--) this.wake(undefined);
  }

  override leaves(_member: M): void {}

  override gone(_member: M): void {}
}

/** Every job waits for the one worker that a rule has chosen. */
export class LaneQueue<M extends Member> extends WorkQueue<M> {
  private readonly wake: Wake<M>;
  private readonly laneAgingMs: number;
  private readonly route: Route;
  private members: readonly M[] = [];
  private readonly laneOf = new Map<Member, PriorityHeap<Envelope>>();
  /** Whom a job waits for; undefined while there is nobody. */
  private readonly assigned = new Map<Envelope, Member | undefined>();

  constructor(agingMs: number, route: Route, wake: Wake<M>) {
    super(agingMs);
    this.laneAgingMs = agingMs;
    this.route = route;
    this.wake = wake;
  }

  override push(job: Envelope): void {
    this.assign(job); // first: a rule may refuse the job
    super.push(job);
    this.wakeFor(job);
  }

  override pop(): Envelope | undefined {
    const job = super.pop();
    if (job !== undefined) this.unassign(job);
    return job;
  }

  override remove(job: Envelope): boolean {
    if (!super.remove(job)) return false;
    this.unassign(job);
    return true;
  }

  override bestFor(member: M): Envelope | undefined {
    return this.laneOf.get(member)?.peek();
  }

  override sizeFor(member: M): number {
    return this.laneOf.get(member)?.size ?? 0;
  }

  override joined(members: readonly M[]): void {
    this.members = [...this.members, ...members].sort((a, b) => a.place - b.place);
    for (const member of members) this.laneOf.set(member, new PriorityHeap<Envelope>(this.laneAgingMs));
    const moved = [...this.assigned.keys()].filter(
      (job) => this.route.followsMembers || this.assigned.get(job) === undefined,
    );
    this.move(moved);
  }

  override leaves(member: M): void {
    this.members = this.members.filter((each) => each !== member);
    this.move(this.jobsOf(member));
  }

  override gone(member: M): void {
    this.move(this.jobsOf(member));
    this.laneOf.delete(member);
  }

  override started(job: Envelope): void {
    this.route.started(job);
  }

  override finished(job: Envelope): void {
    this.route.finished(job);
  }

  override boundTo(job: Envelope): M | undefined {
    if (this.members.length === 0) return undefined;
    return this.route.boundTo(job, this.members) as M | undefined; // one of the members, or of those that left
  }

  private jobsOf(member: M): Envelope[] {
    const jobs: Envelope[] = [];
    this.laneOf.get(member)?.forEach((job) => {
      jobs.push(job);
    });
    return jobs;
  }

  private move(jobs: Envelope[]): void {
    jobs.sort((a, b) => a.seq - b.seq);
    for (const job of jobs) this.unassign(job);
    for (const job of jobs) this.assign(job);
    for (const job of jobs) this.wakeFor(job);
  }

  private assign(job: Envelope): void {
    const { members } = this;
    const member = members.length === 0 ? undefined : this.route.choose(job, members, this.ableTo(job));
    this.assigned.set(job, member);
    if (member !== undefined) this.laneOf.get(member)?.push(job);
  }

  /** Those that do not wait for this job themselves; all of them where there is no other. */
  private ableTo(job: Envelope): readonly M[] {
    if (job.customer?.chain === undefined) return this.members;
    const able = this.members.filter((member) => !isWaitingFor(job, member));
    return able.length === 0 ? this.members : able;
  }

  private wakeFor(job: Envelope): void {
    const member = this.assigned.get(job);
    if (member !== undefined) this.wake(member as M); // it was chosen among the members
  }

  private unassign(job: Envelope): void {
    const member = this.assigned.get(job);
    this.assigned.delete(job);
    if (member === undefined) return;
    this.laneOf.get(member)?.remove(job);
    this.route.unqueued(job);
  }
}
