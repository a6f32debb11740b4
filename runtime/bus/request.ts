/**
 * One request: a copy for every subscriber, and the first reply settles it. What the others have queued for it is taken
 * back, and their running handlers are aborted, because work that nobody waits for costs. It fails when all have failed.
 * A handler that ends without a reply may have kept the message to answer later, so that is no failure: its time is.
 */

import type { Envelope } from '../../src/protocol/envelope.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import { check } from '../../src/protocol/schema.ts';
import type { Cell } from '../actor/cell.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { Withdrawable } from '../actor/turn.ts';
import type { Branch, Inquiry } from '../routing/publication.ts';
import { OpenCall, type OpenCalls } from './open-calls.ts';
import type { RequestSettings } from './options.ts';
import { objectionOf } from './schemas.ts';

/** Whoever put a question to subscribers. */
export interface Asked {
  /** Clock time until which replies are waited for. */
  readonly dueAt: number;
  /** A reply; false when there was one before, or nobody waits any more. */
  answered(branch: RequestBranch, reply: unknown): boolean;
  /** A subscriber will not reply; false when nobody waits for him any more. */
  failed(branch: RequestBranch, error: unknown): boolean;
}

/** A request under way. */
export class Request extends OpenCall<unknown> implements Inquiry, Asked {
  private readonly topic: string;
  private readonly settings: RequestSettings;
  /** Subscribers who may still reply. */
  private readonly branches = new Set<RequestBranch>();
  private asked = 0;
  private isSealed = false;
  private lastFailure: unknown = undefined;
  /** Takes back what other nodes were asked. */
  private recall: (() => void) | undefined = undefined;

  constructor(calls: OpenCalls, kernel: Kernel, topic: string, settings: RequestSettings) {
    super(calls, kernel, settings);
    this.topic = topic;
    this.settings = settings;
  }

  /** One more subscriber is asked. */
  branch(cell: Cell): Branch {
    this.asked++;
    const branch = new RequestBranch(this, cell);
    this.branches.add(branch);
    return branch;
  }

  /** Everybody has been asked. */
  seal(): void {
    this.isSealed = true;
    this.failIfLost();
  }

  /** Subscribers on other nodes are asked, who are not known: their replies come by `answered`. */
  spread(recall: () => void): void {
    this.recall = recall;
  }

  /** A node says that its subscribers have failed. Others may reply yet, so it is only remembered. */
  noteFailure(error: unknown): void {
    this.lastFailure = error;
  }

  answered(branch: Replier, reply: unknown): boolean {
    if (this.isSettled) return false;
    if (branch instanceof RequestBranch) this.branches.delete(branch);
    this.settle(branch, reply);
    // An error with its stack costs as much as all else here, so none is made where nobody is there to get it.
    if (this.branches.size === 0) this.recall?.();
    else this.takeBack(new TroupeError('ERR_REQUEST_OUTRUN', { topic: this.topic }));
    return true;
  }

  failed(branch: RequestBranch, error: unknown): boolean {
    if (this.isSettled || !this.branches.delete(branch)) return false;
    this.lastFailure = causeOf(error);
    this.failIfLost();
    return true;
  }

  protected override timeoutError(): TroupeError {
    const { topic, timeoutMs, asked, lastFailure: cause } = this;
    const details = { topic, timeoutMs, subscribers: asked };
    return new TroupeError('ERR_REQUEST_TIMEOUT', details, cause === undefined ? {} : { cause });
  }

  protected override takeBack(reason: unknown): void {
    for (const branch of this.branches) branch.takeBack(reason);
    this.branches.clear();
    this.recall?.();
  }

  private settle({ address }: Replier, reply: unknown): void {
    const { schema } = this.settings;
    if (schema === undefined) {
      this.fulfil(reply);
      return;
    }
    const checked = check(schema, reply);
    if (checked.ok) {
      this.fulfil(checked.value);
      return;
    }
    const details = { address, message: this.topic, issues: checked.issues };
    this.fail(new TroupeError('ERR_REPLY_INVALID', details, { cause: objectionOf(schema, reply) }));
  }

  private failIfLost(): void {
    if (!this.isSealed || this.branches.size > 0) return;
    const { topic, asked } = this;
    if (asked === 0) this.fail(new TroupeError('ERR_SUBSCRIBER_MISSING', { topic }));
    const details = { topic, subscribers: asked };
    this.fail(new TroupeError('ERR_REQUEST_FAILED', details, { cause: this.lastFailure }));
  }
}

/** Who has replied, for errors. */
interface Replier {
  readonly address: string;
}

/** One subscriber's part of it, in the place of the asker. */
export class RequestBranch implements Branch {
  isAnswered = false;
  envelope: Envelope | undefined = undefined;
  wait: Withdrawable | undefined = undefined;
  readonly chain = undefined;
  private readonly request: Asked;
  private readonly cell: Cell;

  constructor(request: Asked, cell: Cell) {
    this.request = request;
    this.cell = cell;
  }

  get address(): string {
    return this.cell.address;
  }

  get deadline(): number {
    return this.request.dueAt;
  }

  resolve(reply: unknown): boolean {
    if (!this.request.answered(this, reply)) return false;
    this.isAnswered = true;
    return true;
  }

  reject(error: unknown): boolean {
    return this.request.failed(this, error);
  }

  /** Out of the queue, or of the wait for room; a handler that runs is aborted. */
  takeBack(reason: unknown): void {
    this.wait?.withdraw(reason);
    if (this.envelope !== undefined) this.cell.cancel(this.envelope, reason);
  }
}

/** What the handler threw or said, where it did; else why its copy was lost. */
export function causeOf(error: unknown): unknown {
  const isHandlers = isTroupeError(error, 'ERR_ACTOR_FAILED') || isTroupeError(error, 'ERR_MESSAGE_REJECTED');
  return isHandlers ? error.cause : error;
}
