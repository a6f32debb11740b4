/**
 * What holds the workers of a pool back: a number of turns at once, and a token bucket from which each start of a job's turn
 * takes that job's cost. A worker that finds a limit reached is held. The most urgent job that waits is the next to start: no
 * cheaper or later one passes it by, so none starves. While a job waits for tokens there is one timer, and else none.
 *
 * Invariant: a turn that may start, and somebody who could take it, never coexist once what is runnable has run.
 */

import type { Envelope } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { TIMER_MS_MAX } from '../../src/protocol/limits.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import type { PoolSettings, RateLimitSettings } from '../../src/protocol/pool.ts';
import type { Kernel } from '../actor/kernel.ts';
import { ignoreEnd } from '../actor/promise-in.ts';
import type { Lease } from '../actor/slot.ts';
import type { Timeout } from '../host/timeouts.ts';
import { TokenBucket } from './token-bucket.ts';

/** A worker, as the limits see it. */
export interface Contender {
  /** It could start a turn, if it had something to do. */
  readonly mayStart: boolean;
  /** It could start on a job that waits for everybody. */
  readonly isFree: boolean;
  /** It has something to do that is no job. */
  readonly hasOwn: boolean;
  /** The job that it would start next. */
  readonly nextJob: Envelope | undefined;
  ready(): void;
}

/** The pool, as its limits see it. */
export interface Throttled {
  readonly address: string;
  readonly kernel: Kernel;
  /** Workers get jobs now. */
  readonly gives: boolean;
  /** The best job of those that wait for everybody. */
  readonly sharedJob: Envelope | undefined;
  isExpired(job: Envelope): boolean;
  isBefore(a: Envelope, b: Envelope): boolean;
  /** Wakes a worker that could take `sharedJob`. */
  wakeAny(): void;
}

/** The limits of one pool. The bucket outlives its restarts. */
export class Throttle implements Lease {
  readonly endsWithGeneration = true;
  /** Turns of workers that run. */
  running = 0;
  private readonly pool: Throttled;
  private readonly concurrencyMax: number;
  private readonly rate: RateLimitSettings | undefined;
  private readonly bucket: TokenBucket | undefined;
  private readonly held = new Set<Contender>();
  private timer: Timeout | undefined = undefined;

  constructor(pool: Throttled, concurrencyMax: number, rate: RateLimitSettings | undefined) {
    this.pool = pool;
    this.concurrencyMax = concurrencyMax;
    this.rate = rate;
    this.bucket = rate === undefined ? undefined : new TokenBucket(rate.tokens, rate.perMs);
  }

  /** Tokens in the bucket; undefined without one. */
  get tokens(): number | undefined {
    return this.bucket?.levelAt(this.pool.kernel.now());
  }

  /** Whether as many turns run as may. */
  get isFull(): boolean {
    return this.running >= this.concurrencyMax;
  }

  /** Works the cost of a job out. Throws `ERR_OPTION_INVALID`, `ERR_COST_EXCESSIVE`, and what the user's function throws. */
  admit(job: Envelope): void {
    if (this.rate === undefined) return;
    const cost = costOf(job, this.rate);
    const { tokens } = this.rate;
    const { address } = this.pool;
    if (cost > tokens)
      throw new TroupeError('ERR_COST_EXCESSIVE', { address, message: job.entry.name, cost, tokens });
  }

  /** Whether this job may start now; then its cost is taken. One that has expired is let through: it gets no turn. */
  pays(worker: Contender, job: Envelope): boolean {
    if (this.pool.isExpired(job)) return true;
    if (this.waitMs(job) > 0 || this.isOutranked(worker, job)) return false;
    if (this.rate !== undefined) this.bucket?.take(costOf(job, this.rate), this.pool.kernel.now());
    return true;
  }

  /** This worker has found a limit reached. */
  hold(worker: Contender): void {
    this.held.add(worker);
    this.look();
  }

  /** This worker has nothing that it could start. */
  rests(worker: Contender): void {
    if (worker.nextJob === undefined) this.held.delete(worker);
    this.look();
  }

  /** A turn begins. */
  began(worker: Contender): void {
    this.running++;
    this.held.delete(worker);
    this.look();
  }

  /** A turn is over. */
  over(): void {
    this.running--;
    if (this.concurrencyMax !== Infinity) this.look();
  }

  /** Lets those that are next go on, or sees to it that they will. Whatever changes who is next calls this. */
  look(): void {
    this.end();
    if (!this.pool.gives || this.isFull) return;
    let own: Contender | undefined;
    let next: Contender | undefined;
    let job = this.pool.sharedJob;
    for (const worker of this.contenders()) {
      const { nextJob } = worker;
      if (worker.hasOwn) own ??= worker;
      else if (nextJob === undefined) this.held.delete(worker);
      else if (job === undefined || this.pool.isBefore(nextJob, job)) [next, job] = [worker, nextJob];
    }
    if (own !== undefined) {
      own.ready(); // it looks again when it has begun
      return;
    }
    if (job === undefined) return;
    const waitMs = this.pool.isExpired(job) ? 0 : this.waitMs(job);
    if (waitMs > 0) this.wait(waitMs, job.deadline);
    else if (next === undefined) this.pool.wakeAny();
    else next.ready();
  }

  /** Stops the timer. */
  end(): void {
    if (this.timer !== undefined) this.pool.kernel.timeouts.cancel(this.timer);
    this.timer = undefined;
  }

  /** Until the tokens are there, or until the job needs none because it has expired. */
  private wait(waitMs: number, deadline: number): void {
    const { kernel } = this.pool;
    const now = kernel.now();
    const ms = Math.min(waitMs, Math.floor(deadline - now) + 1, TIMER_MS_MAX);
    this.timer = kernel.timeouts.startFunction(ms, now, () => this.look());
  }

  private waitMs(job: Envelope): number {
    if (this.rate === undefined || this.bucket === undefined) return 0;
    return this.bucket.waitMs(costOf(job, this.rate), this.pool.kernel.now());
  }

  /** Whether somebody has to go first: another worker, or this one's own job that is tried again. */
  private isOutranked(worker: Contender, job: Envelope): boolean {
    for (const other of this.contenders()) {
      if (other !== worker && other.hasOwn) return true;
      const { nextJob } = other;
      if (nextJob !== undefined && this.pool.isBefore(nextJob, job)) return true;
    }
    const { sharedJob } = this.pool;
    return sharedJob !== undefined && worker.isFree && this.pool.isBefore(sharedJob, job);
  }

  /** Those held that could start a turn; the others ask again when they can. */
  private contenders(): readonly Contender[] {
    for (const worker of this.held) if (!worker.mayStart) this.held.delete(worker);
    return [...this.held];
  }
}

/** The limits that the settings of a pool ask for. */
export function throttleOf(pool: Throttled, settings: PoolSettings): Throttle | undefined {
  const { concurrencyMax, rateLimit } = settings;
  if (concurrencyMax === Infinity && rateLimit === undefined) return undefined;
  return new Throttle(pool, concurrencyMax, rateLimit);
}

/** The cost of a job: the user's function, whose answer is kept with the job. Throws `ERR_OPTION_INVALID`. */
function costOf(job: Envelope, { cost }: RateLimitSettings): number {
  if (cost === undefined) return 1;
  const kept = COSTS.get(job);
  if (kept !== undefined) return kept;
  const given = cost(job.entry.name, job.payload);
  if (typeof given !== 'number' || !(given >= 0)) {
    ignoreEnd(given);
    throw invalidOption(
      'pool.rateLimit.cost',
      `a function that answers a number from 0 for '${job.entry.name}'`,
      given,
    );
  }
  COSTS.set(job, given);
  return given;
}

/** A copy of a job costs what the job does. */
export function copyCost(job: Envelope, copy: Envelope): void {
  const kept = COSTS.get(job);
  if (kept !== undefined) COSTS.set(copy, kept);
}

/** Costs of the jobs under way: a cost function is asked once, and may answer something else the next time. */
const COSTS = new WeakMap<Envelope, number>();
