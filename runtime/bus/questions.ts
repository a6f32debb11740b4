/**
 * Requests of other nodes, while subscribers here work on them. The first reply goes back to the asker; a request that was
 * taken back, or that has its reply, takes its copies back here as well.
 */

import { TroupeError } from '../../src/protocol/errors.ts';
import type { Cell } from '../actor/cell.ts';
import type { Branch, Inquiry } from '../routing/publication.ts';
import { type Asked, causeOf, RequestBranch } from './request.ts';

/** How the node that asked is told. */
export interface Answering {
  /** Throws `ERR_PAYLOAD_UNSERIALIZABLE` or `ERR_PAYLOAD_TOO_LARGE` for a reply that cannot travel. */
  reply(value: unknown): void;
  /** Nobody here will reply. */
  refuse(error: unknown): void;
  /** It needs no cancelling any more. */
  over(): void;
}

/** One request of another node. */
export class Question implements Inquiry, Asked {
  readonly dueAt: number;
  private readonly topic: string;
  private readonly answering: Answering;
  private readonly branches = new Set<RequestBranch>();
  private isSealed = false;
  private isOver = false;
  private lastFailure: { readonly error: unknown } | undefined = undefined;

  constructor(topic: string, dueAt: number, answering: Answering) {
    this.topic = topic;
    this.dueAt = dueAt;
    this.answering = answering;
  }

  branch(cell: Cell): Branch {
    const branch = new RequestBranch(this, cell);
    this.branches.add(branch);
    return branch;
  }

  /** Everybody here has been asked. */
  seal(): void {
    this.isSealed = true;
    this.endIfLost();
  }

  answered(branch: RequestBranch, reply: unknown): boolean {
    if (this.isOver) return false;
    this.answering.reply(reply);
    this.branches.delete(branch);
    this.outrun();
    return true;
  }

  failed(branch: RequestBranch, error: unknown): boolean {
    if (this.isOver || !this.branches.delete(branch)) return false;
    this.lastFailure = { error: causeOf(error) };
    this.endIfLost();
    return true;
  }

  /** It has its answer, or its time has come, or whoever asked has gone. */
  outrun(): void {
    // No error is made where nobody is there to get it: mostly it was the only one who was asked.
    if (this.branches.size === 0) this.end();
    else this.cancel(new TroupeError('ERR_REQUEST_OUTRUN', { topic: this.topic }));
  }

  /** Nobody waits for it any more. */
  cancel(reason: unknown): void {
    this.end();
    for (const branch of this.branches) branch.takeBack(reason);
    this.branches.clear();
  }

  /** Nobody here can answer any more. Where nobody was asked there is nothing to tell: others may answer. */
  private endIfLost(): void {
    if (!this.isSealed || this.isOver || this.branches.size > 0) return;
    this.end();
    if (this.lastFailure !== undefined) this.answering.refuse(this.lastFailure.error);
  }

  private end(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.answering.over();
  }
}
