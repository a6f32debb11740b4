/**
 * A pool: an actor that handles nothing itself. Its mailbox is the queue that its workers take jobs from, so admission,
 * backpressure, order and overflow are those of any actor; its workers are its children, and end with its generation.
 * A worker that fails too often ends alone, and the others go on; when none is left, the pool itself fails (or ends,
 * where the last one ended of its own will), and its supervisor decides.
 *
 * Invariant: an idle worker and a job that may go to it never coexist once what is runnable has run.
 */

import type { RestartType, Spawnable } from '../../src/protocol/child-spec.ts';
import type { Envelope, Sender } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { PoolSettings } from '../../src/protocol/pool.ts';
import type { Behaviour } from '../actor/behaviour.ts';
import { Cell } from '../actor/cell.ts';
import { Mailbox } from '../actor/mailbox.ts';
import { bury } from '../actor/outcomes.ts';
import type { Slot } from '../actor/slot.ts';
import type { Turn } from '../actor/turn.ts';
import { cyclePath, waitingFor } from './ask-cycle.ts';
import { copyOf, Gather } from './gather.ts';
import { keyOfJob, routeOf } from './routes.ts';
import { ShareQueue } from './share-queue.ts';
import { copyCost, type Throttle, type Throttled, throttleOf } from './throttle.ts';
import { LaneQueue, SharedQueue, type WorkQueue } from './work-queue.ts';
import type { Dispatcher, WorkerCell } from './worker.ts';

/** Starts one worker of a pool, by its policy unless another restart type is said; the layer above knows how. Resolves when it runs. */
export type Hire = (
  pool: PoolCell,
  agent: Spawnable,
  args: unknown,
  restart?: RestartType,
) => Promise<unknown>;

/** Messages that workers accepted and that ended in one way or another, after those workers had ended. */
interface Ledger {
  accepted: number;
  handled: number;
  failed: number;
  cancelled: number;
  deadLettered: number;
}

/** The actor in front of its workers. */
export class PoolCell extends Cell implements Dispatcher, Throttled {
  readonly settings: PoolSettings;
  /** How many workers there should be. */
  size: number;
  /** Those that have not ended, in the order of their start. */
  readonly workers = new Set<WorkerCell>();
  /** The agent of its workers. */
  readonly workerAgent: Spawnable;
  /** The ledger of those that have. */
  readonly past: Ledger = { accepted: 0, handled: 0, failed: 0, cancelled: 0, deadLettered: 0 };
  /** The limits on what its workers start; undefined without any. */
  readonly throttle: Throttle | undefined;
  protected readonly hire: Hire;
  private readonly queue: WorkQueue<WorkerCell>;
  /** The same, where messages are for every worker. */
  private readonly shares: ShareQueue<WorkerCell> | undefined;
  private readonly jobs: Mailbox;
  /** Workers that had nothing to do when they were looked at last, longest first. */
  private readonly resting = new Set<WorkerCell>();
  private readonly gathers = new Map<Envelope, Gather>();
  private readonly onEnded = new Map<WorkerCell, () => void>();

  constructor(behaviour: Behaviour, slot: Slot, settings: PoolSettings, hire: Hire) {
    super(behaviour, slot);
    this.settings = settings;
    this.size = settings.size;
    this.hire = hire;
    this.workerAgent = workerAgent(settings, this);
    const { mailbox } = behaviour.agent.options;
    const wake = (worker: WorkerCell | undefined): void => this.wake(worker);
    const route = routeOf(settings, behaviour.kernel.host.random);
    const isShared = settings.routing === 'broadcast' || settings.routing === 'scatter-gather-first';
    this.shares = isShared ? new ShareQueue(mailbox.agingMs, wake, (job) => this.spent(job)) : undefined;
    this.queue =
      this.shares ??
      (route === undefined
        ? new SharedQueue(mailbox.agingMs, wake)
        : new LaneQueue(mailbox.agingMs, route, wake));
    this.jobs = new Mailbox(mailbox, this, this.queue);
    this.mailbox = this.jobs;
    this.throttle = throttleOf(this, settings);
    if (this.throttle !== undefined) {
      this.rare.leases ??= new Set();
      this.rare.leases.add(this.throttle);
    }
  }

  /** Whether a job may go to any worker, or is one worker's own copy. */
  get sharesJobs(): boolean {
    return this.shares === undefined;
  }

  /** Jobs in hand, workers that are leaving included. */
  get inFlight(): number {
    let inFlight = 0;
    for (const worker of this.workers) if (worker.turn !== undefined) inFlight++;
    return inFlight;
  }

  // --- messages come in -------------------------------------------------------------------------------------------

  override offer(envelope: Envelope, from: Turn | undefined): 'accepted' | 'full' | 'stopped' {
    if (!this.isOpen) return this.refuse(envelope);
    if (!this.passes(envelope)) return 'accepted'; // the asker has heard
    return this.jobs.offer(envelope, this.behaviour.isAging ? this.callMs : 0, this.isOwnTurn(from));
  }

  override cancel(envelope: Envelope, reason: unknown): void {
    const gather = this.gathers.get(envelope);
    if (gather !== undefined) {
      gather.withdraw(reason);
      return;
    }
    super.cancel(envelope, reason);
    for (const worker of this.workers) worker.cancel(envelope, reason);
    this.throttle?.look();
  }

  /** What a worker sends to its own pool never waits: it could not go on, and so not make room. */
  protected override isOwnTurn(from: Turn | undefined): boolean {
    return from !== undefined && this.isWorker(from.cell);
  }

  private isWorker(sender: Sender): boolean {
    return (this.workers as ReadonlySet<Sender>).has(sender);
  }

  /** Asks the user's functions before anything is taken. What is wrong is thrown, or rejects the ask. */
  private passes(envelope: Envelope): boolean {
    if (this.settings.key === undefined && this.throttle === undefined && envelope.customer === undefined)
      return true;
    try {
      if (this.settings.key !== undefined) keyOfJob(this.settings, envelope);
      this.throttle?.admit(envelope);
      if (this.isCycle(envelope)) throw this.cycleError(envelope);
      return true;
    } catch (error) {
      if (envelope.customer === undefined) throw error;
      envelope.customer.reject(error);
      return false;
    }
  }

  /**
   * Whether an ask would wait for itself: workers of this pool wait for it, and no other one could take it. It is none
   * while there is another worker, be it busy, or still starting; that one's turn ends without this ask.
   */
  private isCycle(job: Envelope): boolean {
    if (job.customer?.chain === undefined) return false;
    const waiting = new Set(waitingFor(job).filter((sender) => this.isWorker(sender)));
    if (waiting.size === 0) return false;
    if (waiting.size >= this.settings.concurrencyMax) return true;
    const bound = this.queue.boundTo(job);
    const takers = bound === undefined ? this.staying : [bound];
    return takers.every((worker) => waiting.has(worker));
  }

  private cycleError(job: Envelope): TroupeError {
    const path = cyclePath(job, this, (sender) => this.isWorker(sender));
    return new TroupeError('ERR_ASK_CYCLE', { path });
  }

  /** Refuses queued asks that have become cycles, because workers have left or keys have moved. */
  private refuseCycles(): void {
    if (!this.isGoing) return;
    const stuck: Envelope[] = [];
    this.jobs.forEachQueued((job) => {
      if (this.isCycle(job)) stuck.push(job);
    });
    for (const job of stuck) {
      job.customer?.reject(this.cycleError(job));
      super.cancel(job, undefined);
    }
  }

  // --- jobs go out ------------------------------------------------------------------------------------------------

  nextSeq(): number {
    return this.jobs.nextSeq();
  }

  sizeFor(worker: WorkerCell): number {
    return this.queue.sizeFor(worker);
  }

  bestFor(worker: WorkerCell): Envelope | undefined {
    return this.gives ? this.queue.bestFor(worker) : undefined;
  }

  pull(worker: WorkerCell): Envelope | undefined {
    while (this.gives && worker.isFree) {
      const job = this.queue.bestFor(worker);
      if (job === undefined) break;
      if (this.throttle !== undefined && !this.throttle.pays(worker, job)) {
        if (!this.isShared) this.throttle.hold(worker);
        break;
      }
      const handed =
        this.shares === undefined ? this.hand(job, worker) : this.handShare(job, worker, this.shares);
      if (handed !== undefined) return handed;
    }
    this.rested(worker);
    this.throttle?.rests(worker);
    return undefined;
  }

  get gives(): boolean {
    return this.isGoing && this.suspensions === 0;
  }

  /** Whether every job waits for everybody. */
  private get isShared(): boolean {
    return this.queue instanceof SharedQueue;
  }

  get sharedJob(): Envelope | undefined {
    return this.isShared ? this.queue.peek() : undefined;
  }

  isBefore(a: Envelope, b: Envelope): boolean {
    return this.queue.isBefore(a, b);
  }

  private hand(job: Envelope, worker: WorkerCell): Envelope | undefined {
    this.queue.started(job);
    if (this.isShared) this.jobs.next();
    else this.jobs.cancel(job);
    if (this.isExpired(job)) {
      bury(this, job, 'expired');
      this.queue.finished(job);
      return undefined;
    }
    this.jobs.accepted--;
    worker.jobs.adopt(job);
    return job;
  }

  private handShare(job: Envelope, worker: WorkerCell, shares: ShareQueue<WorkerCell>): Envelope | undefined {
    if (job.customer !== undefined) return this.handBranch(job, worker, shares);
    const isLast = shares.take(job, worker);
    const copy = copyOf(job, undefined);
    copyCost(job, copy);
    worker.jobs.adopt(copy);
    if (isLast) this.spent(job);
    if (!this.isExpired(copy)) return copy;
    bury(worker, copy, 'expired');
    return undefined;
  }

  private handBranch(
    job: Envelope,
    worker: WorkerCell,
    shares: ShareQueue<WorkerCell>,
  ): Envelope | undefined {
    let gather = this.gathers.get(job);
    if (gather === undefined) {
      if (this.isExpired(job)) {
        this.jobs.cancel(job);
        bury(this, job, 'expired');
        return undefined;
      }
      gather = new Gather(job, this);
      this.gathers.set(job, gather);
      shares.detach(job);
      this.jobs.cancel(job);
      this.jobs.accepted--;
    }
    shares.take(job, worker);
    if (this.isExpired(job)) return undefined; // its asker is told so about now
    const copy = gather.branch(worker);
    copyCost(job, copy);
    worker.jobs.adopt(copy);
    return copy;
  }

  isExpired(job: Envelope): boolean {
    return job.deadline !== Infinity && this.kernel.now() > job.deadline;
  }

  /** A job for every worker has an outcome at each of them, so it does not give up its place in one piece. */
  override isOver(job: Envelope): boolean {
    return this.shares === undefined && this.isExpired(job);
  }

  /** The last share of a message is taken, or gone with its worker. */
  private spent(job: Envelope): void {
    const gather = this.gathers.get(job);
    if (gather !== undefined) gather.endIfLost();
    else if (this.jobs.cancel(job)) this.jobs.handled++;
  }

  sharesOf(job: Envelope): number {
    return this.shares?.sharesOf(job) ?? 0;
  }

  gathered(job: Envelope): void {
    this.gathers.delete(job);
    this.shares?.forget(job);
    this.throttle?.look();
  }

  finished(job: Envelope): void {
    this.queue.finished(job);
  }

  takesBack(job: Envelope): boolean {
    if (this.isEnding || this.shares !== undefined) return false;
    this.queue.finished(job);
    this.jobs.accepted++;
    this.jobs.putBack(job);
    return true;
  }

  // --- workers wake and rest --------------------------------------------------------------------------------------

  private wake(worker: WorkerCell | undefined): void {
    if (worker !== undefined) {
      worker.ready();
      return;
    }
    if (!this.gives) return;
    this.wakeAny();
  }

  wakeAny(): void {
    for (const resting of this.resting) {
      this.resting.delete(resting);
      if (!resting.isFree || resting.isQueued) continue;
      resting.ready();
      return;
    }
  }

  rested(worker: WorkerCell): void {
    if (worker.isFree) this.resting.add(worker);
    if (this.status === 'draining') this.endIfDrained();
  }

  ranFor(worker: WorkerCell): void {
    if (worker.isQueued || worker.isFree) return;
    // It may have been woken for a job and then have had a turn of its own.
    if (this.queue.size > 0 && this.isShared) this.wake(undefined);
  }

  progressed(): void {
    if (this.restartsWithoutProgress > 0) this.restartsWithoutProgress = 0;
  }

  override get isReady(): boolean {
    return this.isIdle && this.jobs.controls > 0;
  }

  override ready(): void {
    super.ready();
    for (const worker of this.workers) worker.ready();
    this.throttle?.look();
  }

  protected override take(): Envelope | undefined {
    return this.jobs.controlIfAny?.shift();
  }

  protected override endIfDrained(): void {
    if (this.jobs.queued > 0 || this.inFlight > 0 || this.gathers.size > 0) return;
    for (const worker of this.workers) if (worker.jobs.hasJob || worker.jobs.queued > 0) return;
    super.endIfDrained();
  }

  // --- workers come and go ----------------------------------------------------------------------------------------

  /** Starts the workers of a generation, all at once. Rejects with what the first failed start says. */
  async start(): Promise<void> {
    await Promise.all(Array.from({ length: this.size }, () => this.hireWorker()));
    for (const worker of this.staying.slice(this.size)) this.leaveSoon(worker); // resized meanwhile
    this.queue.joined(this.staying);
  }

  /** Changes the number of workers. Resolves when new ones run and those that are too many have ended. */
  async resize(size: number): Promise<void> {
    this.size = size;
    if (!this.isGoing) return; // the next generation starts with so many
    const staying = this.staying;
    const leaving = staying.slice(size).map((worker) => this.retire(worker));
    const joining = Array.from({ length: Math.max(0, size - staying.length) }, () =>
      this.hireOne(() => this.hireWorker()),
    );
    await Promise.all([...leaving, ...joining]);
  }

  /** Those that take jobs, by their places. */
  protected get staying(): WorkerCell[] {
    return [...this.workers].filter((worker) => !worker.isLeaving).sort((a, b) => a.place - b.place);
  }

  protected async hireOne(hire: () => Promise<unknown>): Promise<void> {
    const before = new Set(this.workers);
    const hiring = hire();
    const worker = [...this.workers].find((each) => !before.has(each));
    await hiring;
    if (worker === undefined || worker.isLeaving) return;
    this.queue.joined([worker]);
    this.refuseCycles();
    worker.ready();
  }

  protected hireWorker(): Promise<unknown> {
    return this.hire(this, this.workerAgent, this.settings.args);
  }

  protected retire(worker: WorkerCell): Promise<void> {
    const ended = new Promise<void>((resolve) => {
      this.onEnded.set(worker, resolve);
    });
    this.leaveSoon(worker);
    return ended;
  }

  /** Lets a worker finish what it has, and end. */
  private leaveSoon(worker: WorkerCell): void {
    this.leaves(worker);
    if (worker.turn === undefined || worker.status !== 'running') this.departs(worker);
  }

  hired(worker: WorkerCell): number {
    const taken = new Set(this.staying.map(({ place }) => place));
    this.workers.add(worker);
    let place = 1;
    while (taken.has(place)) place++;
    return place;
  }

  leaves(worker: WorkerCell): void {
    if (worker.isLeaving) return;
    worker.isLeaving = true;
    this.resting.delete(worker);
    this.queue.leaves(worker);
    this.refuseCycles();
  }

  departs(worker: WorkerCell): void {
    // Not within its own turn, nor before that turn's end has been dealt with.
    this.kernel.background(Promise.resolve().then(() => worker.stop('shutdown')));
  }

  /** A worker has ended for good. */
  ended(worker: WorkerCell): void {
    this.leaves(worker);
    worker.jobs.letGo();
    if (!this.workers.delete(worker)) return;
    this.queue.gone(worker);
    this.keepLedger(worker.jobs);
    this.onEnded.get(worker)?.();
    this.onEnded.delete(worker);
    if (this.isGoing) this.vacated(worker);
  }

  /** A worker is there no more. */
  protected vacated(worker: WorkerCell): void {
    if (this.workers.size === 0) this.deserted(worker);
  }

  private keepLedger(mailbox: Mailbox): void {
    const { past } = this;
    past.accepted += mailbox.accepted;
    past.handled += mailbox.handled;
    past.failed += mailbox.failed;
    past.cancelled += mailbox.cancelled;
    past.deadLettered += mailbox.deadLettered;
  }

  /** The last worker has ended. */
  protected deserted(last: WorkerCell): void {
    const cause = last.rareIfAny?.lastError;
    if (cause === undefined) this.slot.left(this, 'normal');
    else
      this.collapse(
        new TroupeError('ERR_POOL_DESERTED', { address: this.address, size: this.size }, { cause }),
      );
  }
}

/** The agent of one pool's workers. What topics bring goes to the pool, once, and not to each of them. */
function workerAgent({ agent }: PoolSettings, pool: PoolCell): Spawnable {
  const options = Object.freeze({ ...agent.options, subscribe: [] });
  return Object.freeze({ ...agent, options, worksFor: pool });
}
