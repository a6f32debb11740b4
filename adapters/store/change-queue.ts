/** Changes that wait for a store's next transaction, in the order of the calls; bounded by their number and their bytes. */

import { TroupeError } from '../../src/protocol/errors.ts';

/** A change and whoever waits for it. `make` runs inside the transaction; what it throws refuses this change alone. */
export interface Change<Transaction> {
  readonly bytes: number;
  make(transaction: Transaction): void;
  /** Called when the transaction is safe. */
  settle(): void;
  /** Called when it failed. */
  fail(error: unknown): void;
}

/** The queue. What is taken off is counted until `done` says that it is settled. */
export class ChangeQueue<Transaction> {
  private readonly store: string;
  private readonly waitingMax: number;
  private readonly waitingBytesMax: number;
  private changes: Change<Transaction>[] = [];
  private taken = 0;
  private bytes = 0;

  constructor(store: string, waitingMax: number, waitingBytesMax: number) {
    this.store = store;
    this.waitingMax = waitingMax;
    this.waitingBytesMax = waitingBytesMax;
  }

  /** Changes that are not settled. */
  get waiting(): number {
    return this.changes.length + this.taken;
  }

  /** Adds a change. Resolves with what `make` returns once it is safe. Throws `ERR_STORE_BUSY`. */
  add<T>(bytes: number, make: (transaction: Transaction) => T): Promise<T> {
    // One alone is always let in: it is bounded by itself.
    const isTooMuch = this.bytes > 0 && this.bytes + bytes > this.waitingBytesMax;
    if (this.waiting >= this.waitingMax || isTooMuch) {
      const { store, waiting, bytes: waitingBytes } = this;
      throw new TroupeError('ERR_STORE_BUSY', { store, waiting, waitingBytes });
    }
    this.bytes += bytes;
    return new Promise<T>((resolve, reject) => {
      let outcome: () => void;
      this.changes.push({
        bytes,
        make: (transaction) => {
          const made = make(transaction);
          outcome = () => resolve(made);
        },
        settle: () => outcome(),
        fail: reject,
      });
    });
  }

  /** Takes off the next changes. */
  take(max: number): readonly Change<Transaction>[] {
    const taken = this.changes.splice(0, max);
    this.taken += taken.length;
    return taken;
  }

  /** These changes are settled. */
  done(changes: readonly Change<Transaction>[]): void {
    this.taken -= changes.length;
    for (const { bytes } of changes) this.bytes -= bytes;
  }
}
