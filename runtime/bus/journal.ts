/**
 * What a bus keeps in its store: each message before anybody gets it, and what became of it. Messages go on from here in
 * the order in which they were published, whatever order the store answers in.
 */

import type { Outcome } from '../../src/protocol/envelope.ts';
import { errorText } from '../../src/protocol/error-text.ts';
import { STATUSES_AT_ONCE_MAX, STATUSES_WAITING_MAX } from '../../src/protocol/limits.ts';
import type { MessageStatus, MessageStore, NewMessage, StatusChange } from '../../src/protocol/store.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { Tally } from '../routing/tally.ts';

/** The store of one bus, and what it still has to be told. */
export class Journal {
  readonly store: MessageStore;
  /** Changes of status that the store did not take. */
  statusesLost = 0;
  private readonly kernel: Kernel;
  /** The end of the last publish on its way. */
  private before: Promise<unknown> = Promise.resolve();
  /** By position, the last change the store has not been told of. */
  private unsaid = new Map<number, StatusChange>();
  private telling: Promise<void> | undefined = undefined;
  private round: Promise<unknown> = Promise.resolve();

  constructor(kernel: Kernel, store: MessageStore) {
    this.kernel = kernel;
    this.store = store;
  }

  /**
   * Calls `goOn` when the message is safe and all before it have gone on; what becomes of it, as `tally` says, is noted
   * from then on. Rejects as the store does.
   */
  append(message: NewMessage, tally: Tally, goOn: () => void): Promise<void> {
    const { before } = this;
    const gone = this.store.append(message).then(async (position) => {
      await before;
      goOn();
      this.follow(position, tally);
    });
    this.before = before.then(() => gone).catch(() => undefined);
    return gone;
  }

  /** What a publisher waits for before he goes on, when the store has too many statuses to hear of; else `undefined`. */
  holds(): Promise<void> | undefined {
    return this.unsaid.size < STATUSES_AT_ONCE_MAX ? undefined : this.caughtUp();
  }

  /** Resolves when all that was published so far has gone on, or has failed. */
  async passed(): Promise<void> {
    await this.before;
  }

  /** Resolves when the store has been told everything. */
  async flush(): Promise<void> {
    while (this.telling !== undefined) await this.telling;
  }

  private follow(position: number, tally: Tally): void {
    const note = (): void => {
      if (tally.delivered === 0) return; // it stays `pending`: nobody has taken it
      if (!tally.isDone) this.mark(position, { status: 'delivered' });
      tally.whenDone(() => this.mark(position, endOf(tally)));
    };
    if (tally.taking === undefined) note();
    else this.kernel.background(tally.taking.then(note));
  }

  private mark(position: number, change: StatusChange): void {
    this.unsaid.set(position, change);
    if (this.unsaid.size > STATUSES_WAITING_MAX) this.giveUpOldest();
    if (this.telling !== undefined) return;
    this.telling = this.tell();
    this.kernel.background(this.telling);
  }

  /**
   * One round after the other: what changes during a round goes with the next, once for each message. A round is what a
   * store writes by one sync, so that those who publish find room in it.
   */
  private async tell(): Promise<void> {
    await Promise.resolve(); // what ends in this step goes with it
    while (this.unsaid.size > 0) {
      this.round = Promise.all(
        [...this.takeUnsaid()].map(([position, change]) => this.tellOne(position, change)),
      );
      await this.round;
    }
    this.telling = undefined;
  }

  /** Not more than leaves room in the store for what is published meanwhile. */
  private takeUnsaid(): ReadonlyMap<number, StatusChange> {
    const { unsaid } = this;
    if (unsaid.size <= STATUSES_AT_ONCE_MAX) {
      this.unsaid = new Map();
      return unsaid;
    }
    const taken = new Map<number, StatusChange>();
    for (const [position, change] of unsaid) {
      if (taken.size === STATUSES_AT_ONCE_MAX) break;
      taken.set(position, change);
      unsaid.delete(position);
    }
    return taken;
  }

  private async caughtUp(): Promise<void> {
    while (this.unsaid.size >= STATUSES_AT_ONCE_MAX) await this.round;
  }

  private async tellOne(position: number, change: StatusChange): Promise<void> {
    try {
      await this.store.mark(position, change);
    } catch (error) {
      this.lost(position, change.status, error);
    }
  }

  private giveUpOldest(): void {
    for (const [position, { status }] of this.unsaid) {
      this.unsaid.delete(position);
      this.lost(position, status, `more than ${STATUSES_WAITING_MAX} wait`);
      return;
    }
  }

  private lost(position: number, status: MessageStatus, error: unknown): void {
    this.statusesLost++;
    const text = 'the store was not told what became of a message';
    const fields = { position, status, error };
    this.kernel.events.emit({ type: 'logged', level: 'warn', address: '/', text, fields });
  }
}

function endOf({ trouble, attempts }: Tally): StatusChange {
  if (trouble === undefined) return { status: 'handled', attempts };
  const { outcome, error } = trouble;
  return { status: statusAfter(outcome), attempts, lastError: errorText(error ?? outcome) };
}

/** Of a message of which at least one copy was not handled. */
function statusAfter(outcome: Outcome): MessageStatus {
  if (outcome === 'expired') return 'expired';
  // Nothing is wrong with it: somebody may handle it yet.
  if (outcome === 'cancelled' || outcome === 'stopped' || outcome === 'killed') return 'failed';
  return 'dead';
}
