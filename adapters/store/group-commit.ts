/**
 * Group commit: one transaction at a time, each with all the changes that were called for while the one before it was written
 * and synced. A lone change is committed at once; under load each sync carries many.
 */

import { TroupeError } from '../../src/protocol/errors.ts';
import { type Change, ChangeQueue } from './change-queue.ts';
import type { StoreBounds } from './criteria.ts';
import { Batch } from './lmdb-batch.ts';
import type { MessageTables } from './lmdb-tables.ts';

/** The bounds of what waits, beside those of every store. */
export interface CommitBounds extends StoreBounds {
  readonly waitingMax: number;
  readonly waitingBytesMax: number;
  readonly batchMax: number;
}

/** The changes of one store on their way to the disk. */
export class GroupCommit {
  private readonly tables: MessageTables;
  private readonly bounds: CommitBounds;
  private readonly failed: (cause: unknown) => TroupeError;
  private readonly queue: ChangeQueue<Batch>;
  /** The loop that commits, while there is something to commit. */
  private committing: Promise<void> | undefined;
  /** The last commit left more messages than `messagesMax`: the next one goes on taking them away. */
  private isOverBound = false;

  /** `failed` makes the error of a transaction that failed. */
  constructor(tables: MessageTables, bounds: CommitBounds, failed: (cause: unknown) => TroupeError) {
    this.tables = tables;
    this.bounds = bounds;
    this.failed = failed;
    this.queue = new ChangeQueue(tables.folder.path, bounds.waitingMax, bounds.waitingBytesMax);
  }

  /** Changes that are not settled. */
  get waiting(): number {
    return this.queue.waiting;
  }

  /** Calls for a change. Resolves with what `make` returns, when it is on the disk. Throws `ERR_STORE_BUSY`. */
  change<T>(bytes: number, make: (batch: Batch) => T): Promise<T> {
    const changed = this.queue.add(bytes, make);
    this.committing ??= this.commitAll();
    return changed;
  }

  /** Resolves when nothing waits. */
  async settled(): Promise<void> {
    await this.committing;
  }

  /** Commits until nothing waits. Never rejects: whoever called for a change is told of its failure. */
  private async commitAll(): Promise<void> {
    while (this.queue.waiting > 0 || this.isOverBound) await this.commit();
    this.committing = undefined;
  }

  private async commit(): Promise<void> {
    const refused = new Map<Change<Batch>, unknown>();
    let changes: readonly Change<Batch>[] = [];
    let batch: Batch | undefined;
    try {
      await this.tables.folder.commit(() => {
        changes = this.queue.take(this.bounds.batchMax);
        batch = new Batch(this.tables);
        this.makeAll(changes, batch, refused);
      });
    } catch (error) {
      this.failAll(changes, await causeOf(error));
      return;
    }
    this.queue.done(changes);
    for (const change of changes) {
      if (refused.has(change)) change.fail(refused.get(change));
      else change.settle();
    }
    if (batch !== undefined) this.tellOf(batch);
  }

  private makeAll(
    changes: readonly Change<Batch>[],
    batch: Batch,
    refused: Map<Change<Batch>, unknown>,
  ): void {
    for (const change of changes) {
      try {
        change.make(batch);
      } catch (error) {
        // Ours is thrown before anything is written; after any other nobody knows what was.
        if (!(error instanceof TroupeError)) throw error;
        refused.set(change, error);
      }
    }
    batch.trimOldest(batch.excessOf(this.bounds.messagesMax), batch.trimmed);
    batch.finish();
  }

  private failAll(taken: readonly Change<Batch>[], cause: unknown): void {
    // If the transaction did not even begin, those it would have carried fail: else they would be tried for ever.
    const changes = taken.length > 0 ? taken : this.queue.take(this.bounds.batchMax);
    this.isOverBound = false;
    this.queue.done(changes);
    const failure = this.failed(cause);
    for (const change of changes) change.fail(failure);
  }

  private tellOf(batch: Batch): void {
    this.isOverBound = batch.excessOf(this.bounds.messagesMax) > 0;
    const { onTrimmed } = this.bounds;
    // In a job of its own: what it throws must not stop the commits.
    if (batch.trimmed.messages > 0 && onTrimmed !== undefined) queueMicrotask(() => onTrimmed(batch.trimmed));
  }
}

/** LMDB says why a commit failed in a promise of its own, which must not go unheard. */
export async function causeOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || !('commitError' in error)) return error;
  try {
    await error.commitError;
    return error;
  } catch (cause) {
    return cause;
  }
}
