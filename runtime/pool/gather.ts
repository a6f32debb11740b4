/**
 * One ask at several workers: the first reply settles it, and what the others do for it is cancelled, because it costs.
 * It fails when all of them have failed, with the last failure.
 */

import { type AskChain, type Customer, Envelope, Extras } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';

/** A worker's way to take a copy back. */
export interface Gatherer {
  cancel(envelope: Envelope, reason: unknown): void;
}

/** What the pool is asked by a gather. */
export interface GatherOwner {
  readonly address: string;
  /** Shares that no worker has taken yet. */
  sharesOf(job: Envelope): number;
  /** It is settled: no worker should take a share any more. */
  gathered(job: Envelope): void;
}

/** An ask under way. */
export class Gather {
  isAnswered = false;
  private isDone = false;
  private readonly job: Envelope;
  private readonly owner: GatherOwner;
  private readonly branches = new Map<Branch, { readonly worker: Gatherer; readonly copy: Envelope }>();
  private lastError: unknown = undefined;

  constructor(job: Envelope, owner: GatherOwner) {
    this.job = job;
    this.owner = owner;
  }

  get deadline(): number {
    return this.job.deadline;
  }

  get chain(): AskChain | undefined {
    return this.job.customer?.chain;
  }

  /** A worker has taken its share: the copy that it handles. */
  branch(worker: Gatherer): Envelope {
    const branch = new Branch(this);
    const copy = copyOf(this.job, branch);
    this.branches.set(branch, { worker, copy });
    return copy;
  }

  /** A reply; false when there was one before, or nobody waits any more. */
  answered(branch: Branch, reply: unknown): boolean {
    if (this.isDone) return false;
    this.branches.delete(branch);
    this.isAnswered = true;
    const isFirst = this.job.customer?.resolve(reply) ?? false;
    const { address } = this.owner;
    this.end(new TroupeError('ERR_ASK_OUTRUN', { address, message: this.job.entry.name }));
    return isFirst;
  }

  failed(branch: Branch, error: unknown): boolean {
    if (this.isDone || !this.branches.delete(branch)) return false;
    this.lastError = error;
    this.endIfLost();
    return true;
  }

  /** Nobody is left who could answer. */
  endIfLost(): void {
    if (this.isDone || this.branches.size > 0 || this.owner.sharesOf(this.job) > 0) return;
    const { address } = this.owner;
    this.job.customer?.reject(this.lastError ?? new TroupeError('ERR_ACTOR_STOPPED', { address }));
    this.end(undefined);
  }

  /** The asker waits no longer. */
  withdraw(reason: unknown): void {
    if (!this.isDone) this.end(reason);
  }

  private end(reason: unknown): void {
    this.isDone = true;
    this.owner.gathered(this.job);
    for (const { worker, copy } of this.branches.values()) worker.cancel(copy, reason);
    this.branches.clear();
  }
}

/** One worker's part of it, in the place of the asker. */
class Branch implements Customer {
  private readonly gather: Gather;

  constructor(gather: Gather) {
    this.gather = gather;
  }

  get isAnswered(): boolean {
    return this.gather.isAnswered;
  }

  get deadline(): number {
    return this.gather.deadline;
  }

  get chain(): AskChain | undefined {
    return this.gather.chain;
  }

  resolve(reply: unknown): boolean {
    return this.gather.answered(this, reply);
  }

  reject(error: unknown): boolean {
    return this.gather.failed(this, error);
  }
}

/** The same message for one more worker: its place in the order is the same, its identity and its outcome its own. */
export function copyOf(job: Envelope, customer: Customer | undefined): Envelope {
  const copy = new Envelope(job.entry, job.payload, job.rank, job.sender, customer, extrasOf(job));
  copy.seq = job.seq;
  return copy;
}

function extrasOf({ extras }: Envelope): Extras | undefined {
  if (extras === undefined) return undefined;
  const own = new Extras();
  own.deadline = extras.deadline;
  own.headers = extras.headers;
  own.topic = extras.topic;
  own.sentAtMs = extras.sentAtMs;
  // A replay is one of its message, whoever shares it: else each round of it would begin to count anew.
  own.attempt = extras.attempt;
  own.history = extras.history;
  own.replays = extras.replays;
  own.trace = extras.trace;
  own.waitsSince = extras.waitsSince;
  return own;
}
