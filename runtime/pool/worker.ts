/**
 * A worker: an actor that, when its own mailbox has nothing for it, takes the best job of its pool, at the very moment
 * it starts on it. Its own mailbox holds what is sent to it alone, the job it tries again, and what it put aside. The
 * job counts in the worker's ledger from that moment on. When the worker ends, jobs that it still has go back to the pool.
 */

import type { Envelope } from '../../src/protocol/envelope.ts';
import type { Behaviour } from '../actor/behaviour.ts';
import { Cell } from '../actor/cell.ts';
import type { TurnContext } from '../actor/context.ts';
import { PriorityHeap } from '../actor/heap.ts';
import { Mailbox, type Remains } from '../actor/mailbox.ts';
import type { Slot } from '../actor/slot.ts';
import type { Member } from './routes.ts';
import type { Contender, Throttle } from './throttle.ts';

/** The pool, as its workers see it. */
export interface Dispatcher {
  /** While it is above 0 no worker takes a turn. */
  readonly suspensions: number;
  /** The limits on what workers start; undefined without any. */
  readonly throttle: Throttle | undefined;
  /** A worker is made; answers its place. */
  hired(worker: WorkerCell): number;
  /** One order of calls for the pool and its workers: a job keeps its place wherever it is. */
  nextSeq(): number;
  /** Jobs that wait for this worker alone. */
  sizeFor(worker: WorkerCell): number;
  /** The job that this worker would get now. */
  bestFor(worker: WorkerCell): Envelope | undefined;
  /** The best job for a worker that has nothing else to do; it is the worker's from here on. */
  pull(worker: WorkerCell): Envelope | undefined;
  /** A worker has finished with a job, whatever its outcome. */
  finished(job: Envelope): void;
  /** A worker gives a job back unfinished; false: the pool does not take it. */
  takesBack(job: Envelope): boolean;
  /** A worker may have nothing to do now. */
  rested(worker: WorkerCell): void;
  /** A worker has had its turns for now. */
  ranFor(worker: WorkerCell): void;
  /** A worker takes no job any more: it ends, or is to end after the present one. */
  leaves(worker: WorkerCell): void;
  /** A worker that is to end has nothing in hand any more. */
  departs(worker: WorkerCell): void;
  /** A worker has ended for good. */
  ended(worker: WorkerCell): void;
  /** A message was handled: the pool is alive. */
  progressed(): void;
}

/** The own mailbox of a worker. */
export class WorkerMailbox extends Mailbox {
  private readonly worker: WorkerCell;
  private readonly pool: Dispatcher;
  private readonly own: PriorityHeap<Envelope>;
  /** The job whose turn runs, or ran last. */
  private inHand: Envelope | undefined = undefined;
  /** Jobs that are tried again after the restart; several where a more urgent one failed while another lacked tokens. */
  private readonly again = new Set<Envelope>();
  /** Jobs put aside by the handler. */
  private readonly aside = new Set<Envelope>();

  constructor(worker: WorkerCell, pool: Dispatcher) {
    const settings = worker.behaviour.agent.options.mailbox;
    const own = new PriorityHeap<Envelope>(settings.agingMs);
    super(settings, worker, own);
    this.own = own;
    this.worker = worker;
    this.pool = pool;
  }

  /** Whether it has a job that is not finished. */
  get hasJob(): boolean {
    return this.inHand !== undefined || this.again.size > 0;
  }

  /** Whether something is next that is no job. */
  get hasOwn(): boolean {
    const head = this.own.peek();
    return this.controls > 0 || (head !== undefined && !this.again.has(head));
  }

  /** The job that is tried again, where it is next. */
  get jobAgain(): Envelope | undefined {
    if (this.again.size === 0) return undefined;
    const head = this.own.peek();
    return head !== undefined && this.again.has(head) ? head : undefined;
  }

  override nextSeq(): number {
    return this.pool.nextSeq();
  }

  /** Takes a job from the pool; its turn starts now. */
  adopt(job: Envelope): void {
    this.accepted++;
    this.inHand = job;
  }

  /** The turn of the job in hand is over. */
  letGo(): void {
    const job = this.inHand;
    this.inHand = undefined;
    if (job !== undefined && !this.again.has(job) && !this.aside.has(job)) this.pool.finished(job);
  }

  override next(): Envelope | undefined {
    const { throttle } = this.pool;
    const { jobAgain } = this;
    if (throttle !== undefined && jobAgain !== undefined && !throttle.pays(this.worker, jobAgain)) {
      throttle.hold(this.worker);
      return undefined;
    }
    const envelope = super.next();
    if (envelope !== undefined && this.again.delete(envelope)) this.inHand = envelope;
    return envelope;
  }

  override putBack(envelope: Envelope): void {
    super.putBack(envelope);
    if (envelope === this.inHand) this.again.add(envelope);
  }

  override putAside(envelope: Envelope, nowMs: number): boolean {
    const isAside = super.putAside(envelope, nowMs);
    if (isAside && envelope === this.inHand) this.aside.add(envelope);
    return isAside;
  }

  override cancel(envelope: Envelope): boolean {
    if (!super.cancel(envelope)) return false;
    if (this.forget(envelope) && envelope !== this.inHand) this.pool.finished(envelope);
    return true;
  }

  /** What a worker put aside goes back to the pool's queue: to its old place, for whoever is free. */
  override unstash(): number {
    const count = super.unstash();
    for (const job of this.aside) {
      if (!this.givesBack(job)) continue;
      super.cancel(job);
      this.accepted--;
    }
    this.aside.clear();
    return count;
  }

  override clear(): Remains {
    this.pool.leaves(this.worker);
    const { queued, stashed, waiting } = super.clear();
    const isKept = (envelope: Envelope): boolean => {
      if (!this.forget(envelope)) return true;
      if (!this.givesBack(envelope)) return true;
      this.accepted--;
      return false;
    };
    return { queued: queued.filter(isKept), stashed: stashed.filter(isKept), waiting };
  }

  /** Gives a job back, if the pool takes it; not one whose turn still runs, although it was put aside. */
  private givesBack(job: Envelope): boolean {
    if (this.worker.turn?.envelope === job || !this.pool.takesBack(job)) return false;
    if (job === this.inHand) this.inHand = undefined;
    return true;
  }

  /** Whether it was a job that had been put back or aside. */
  private forget(envelope: Envelope): boolean {
    return this.again.delete(envelope) || this.aside.delete(envelope);
  }
}

/** One worker of a pool. */
export class WorkerCell extends Cell implements Member, Contender {
  readonly pool: Dispatcher;
  readonly jobs: WorkerMailbox;
  readonly place: number;
  /** It takes no job any more. */
  isLeaving = false;
  /** Its turn counts among those of the pool that run. */
  private isCounted = false;

  constructor(behaviour: Behaviour, slot: Slot, pool: Dispatcher) {
    super(behaviour, slot);
    this.pool = pool;
    this.jobs = new WorkerMailbox(this, pool);
    this.mailbox = this.jobs;
    this.place = pool.hired(this);
  }

  get isAvailable(): boolean {
    return this.status === 'running' && this.suspensions === 0;
  }

  get load(): number {
    return this.pool.sizeFor(this) + (this.turn !== undefined || this.jobs.hasJob ? 1 : 0) + this.jobs.queued;
  }

  /** Whether it could start on a job now. */
  get isFree(): boolean {
    return this.isIdle && this.status === 'running' && !this.isLeaving;
  }

  get mayStart(): boolean {
    return this.isIdle && !this.isLeaving;
  }

  get hasOwn(): boolean {
    return this.jobs.hasOwn;
  }

  get nextJob(): Envelope | undefined {
    return this.jobs.jobAgain ?? (this.isFree ? this.pool.bestFor(this) : undefined);
  }

  override get isReady(): boolean {
    return super.isReady || (this.isFree && this.pool.bestFor(this) !== undefined);
  }

  protected override get isIdle(): boolean {
    return super.isIdle && this.pool.suspensions === 0;
  }

  override ready(): void {
    this.letGo();
    super.ready();
    if (!this.isQueued) this.pool.rested(this);
  }

  override run(turnsMax: number): number {
    const turns = super.run(turnsMax);
    if (!this.isQueued && this.turn === undefined) {
      // Its slice may have ended with its last job: then it has not looked for another, and must be found when one comes.
      this.letGo();
      this.pool.rested(this);
    }
    this.pool.ranFor(this);
    return turns;
  }

  override end(turn: TurnContext): void {
    super.end(turn);
    this.turnOver();
    if (this.isLeaving) this.pool.departs(this);
  }

  /** Finishes with a job whose turn is over. */
  letGo(): void {
    if (this.turn !== undefined) return;
    this.turnOver();
    this.jobs.letGo();
    if (this.isLeaving) this.pool.departs(this);
  }

  protected override take(): Envelope | undefined {
    this.letGo();
    // Its own mailbox may hold the job of the turn that has just failed, for an attempt that is somebody else's now.
    if (this.isLeaving) return undefined;
    const { throttle } = this.pool;
    return throttle === undefined ? (super.take() ?? this.pool.pull(this)) : this.takeWithin(throttle);
  }

  /** As `take`, where the pool has limits. */
  private takeWithin(throttle: Throttle): Envelope | undefined {
    if (throttle.isFull) {
      throttle.hold(this);
      return undefined;
    }
    const envelope = super.take() ?? this.pool.pull(this);
    if (envelope === undefined) return undefined;
    this.isCounted = true;
    throttle.began(this);
    return envelope;
  }

  private turnOver(): void {
    if (!this.isCounted) return;
    this.isCounted = false;
    this.pool.throttle?.over();
  }

  protected override handled(envelope: Envelope): void {
    super.handled(envelope);
    this.pool.progressed();
  }
}
