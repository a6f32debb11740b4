/**
 * A store in one LMDB file, through the package `lmdb`. What is used of it: transactions that are whole or not there at all
 * after a crash; a commit in another thread that resolves after `fdatasync`; reads that wait for nobody. Changes that are
 * called for while a commit is under way share the next one: that is the group commit. Several processes may use one folder:
 * LMDB lets one of them write at a time, also when another is killed while it writes.
 */

import { TroupeError } from '../../src/protocol/errors.ts';
import { STORE_BATCH_MAX, STORE_WAITING_BYTES_MAX, STORE_WAITING_MAX } from '../../src/protocol/limits.ts';
import { integerOption, objectOption } from '../../src/protocol/options.ts';
import type {
  MessageRange,
  MessageStore,
  NewMessage,
  StatusChange,
  StoredMessage,
  StoreOptions,
  StoreStats,
  Trimmed,
  TrimOptions,
} from '../../src/protocol/store.ts';
import { BOUND_NAMES, type Criteria, checkBounds, checkRange, checkTrim } from './criteria.ts';
import { type CommitBounds, GroupCommit } from './group-commit.ts';
import { type Batch, Trimming } from './lmdb-batch.ts';
import { type Driver, folderOption, loadDriver } from './lmdb-folder.ts';
import { readPage } from './lmdb-range.ts';
import { type MessageTables, openTables } from './lmdb-tables.ts';
import { checkChange, checkPosition, FIRST_STATE, messageOf, writeText } from './stored-text.ts';
import { noTotals, statsOf, type Totals, type TrimSum } from './totals.ts';

/** Options of a durable store. */
export interface LmdbStoreOptions extends StoreOptions {
  /** The folder that holds the store and nothing else; made if it is not there. On a disk of this machine, not on a network. */
  readonly folder: string;
  /** Changes that may wait to become safe, 10,000 unless said; one more rejects with `ERR_STORE_BUSY`. */
  readonly waitingMax?: number | undefined;
  /** Bytes of payload that may wait to become safe, 64 MiB unless said; more rejects with `ERR_STORE_BUSY`. */
  readonly waitingBytesMax?: number | undefined;
  /** Changes written by one sync: 1,024 unless said. More of them hold the event loop longer at a time. */
  readonly batchMax?: number | undefined;
}

/**
 * Opens a durable store. Rejects with `ERR_OPTION_INVALID`, with `ERR_DRIVER_MISSING` if the package `lmdb` is not installed,
 * and with `ERR_STORE_UNUSABLE` if the folder holds something else, is damaged, cannot be written, or is open in this process.
 */
export async function openLmdbStore(options: LmdbStoreOptions): Promise<MessageStore> {
  return openStore(options, loadDriver);
}

/** As `openLmdbStore`, with a driver of the caller's choosing. @internal */
export async function openStore(
  options: LmdbStoreOptions,
  load: () => Promise<Driver>,
): Promise<MessageStore> {
  const names = [...BOUND_NAMES, 'folder', 'waitingMax', 'waitingBytesMax', 'batchMax'];
  const given = objectOption('', options, names);
  const folder = folderOption(given['folder']);
  const bounds: CommitBounds = {
    ...checkBounds(given),
    waitingMax: integerOption('waitingMax', given['waitingMax'], 1, STORE_WAITING_MAX),
    waitingBytesMax: integerOption('waitingBytesMax', given['waitingBytesMax'], 1, STORE_WAITING_BYTES_MAX),
    batchMax: integerOption('batchMax', given['batchMax'], 1, STORE_BATCH_MAX),
  };
  return new LmdbStore(folder, bounds, await openTables(folder, await load()));
}

class LmdbStore implements MessageStore {
  readonly isDurable = true;
  private readonly folder: string;
  private readonly bounds: CommitBounds;
  private readonly tables: MessageTables;
  private readonly commits: GroupCommit;
  /** Pages that another thread is touching: the file stays open for them. */
  private readonly touching = new Set<Promise<void>>();
  private closing: Promise<void> | undefined;

  constructor(folder: string, bounds: CommitBounds, tables: MessageTables) {
    this.folder = folder;
    this.bounds = bounds;
    this.tables = tables;
    this.commits = new GroupCommit(tables, bounds, (cause) => this.failed(cause));
  }

  async append(message: NewMessage): Promise<number> {
    const written = writeText(message, this.bounds.payloadBytesMax);
    return this.change(written.payloadBytes, (batch) => batch.append(written));
  }

  async mark(position: number, change: StatusChange): Promise<boolean> {
    const checked = checkChange(change);
    checkPosition(position);
    return this.change(0, (batch) => batch.mark(position, checked));
  }

  async get(id: string): Promise<StoredMessage | undefined> {
    return this.reading(() => {
      const { ids, texts, states } = this.tables;
      const position = isId(id) ? ids.get(id) : undefined;
      const text = position === undefined ? undefined : texts.get(position);
      if (position === undefined || text === undefined) return undefined;
      return messageOf(position, text, states.get(position) ?? FIRST_STATE);
    });
  }

  range(range?: MessageRange): AsyncIterable<StoredMessage> {
    const criteria = checkRange(range);
    const end = this.closing === undefined ? this.reading(() => this.totals().lastGiven) : 0;
    return { [Symbol.asyncIterator]: () => this.read(criteria, end) };
  }

  async remove(position: number): Promise<boolean> {
    checkPosition(position);
    return this.change(0, (batch) => batch.remove(position) !== undefined);
  }

  async trim(options: TrimOptions): Promise<Trimmed> {
    const { beforeMs, messagesMax } = checkTrim(options);
    const trimmed: TrimSum = { messages: 0, unfinished: 0 };
    const progress = await this.change(0, (batch) => new Trimming(batch, beforeMs, messagesMax, trimmed));
    while (progress.isMore) await this.change(0, (batch) => progress.step(batch));
    return trimmed;
  }

  async stats(): Promise<StoreStats> {
    return this.reading(() => {
      const { texts, topics } = this.tables;
      const [firstPosition = 0] = texts.getKeys({ limit: 1 });
      const [lastPosition = 0] = texts.getKeys({ reverse: true, limit: 1 });
      // LMDB counts the rows of each table.
      const { entryCount } = topics.getStats() as { readonly entryCount: number };
      const { waiting } = this.commits;
      return statsOf(this.totals(), { topics: entryCount, firstPosition, lastPosition, waiting });
    });
  }

  close(): Promise<void> {
    this.closing ??= this.finish();
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async finish(): Promise<void> {
    await this.commits.settled();
    await Promise.all(this.touching);
    await this.tables.folder.close();
  }

  private async *read(criteria: Criteria, end: number): AsyncGenerator<StoredMessage, void> {
    let after = criteria.after;
    let left = criteria.limit;
    while (after < end && left > 0) {
      await this.touch(after + 1);
      const page = this.reading(() => readPage(this.tables, criteria, after, end, left));
      for (const message of page.messages) {
        yield message;
        this.ensureOpen();
      }
      after = page.through;
      left -= page.messages.length;
    }
    this.ensureOpen();
  }

  private async touch(position: number): Promise<void> {
    this.ensureOpen();
    const touched = this.tables.texts.prefetch([position]);
    this.touching.add(touched);
    await touched;
    this.touching.delete(touched);
  }

  private change<T>(bytes: number, make: (batch: Batch) => T): Promise<T> {
    this.ensureOpen();
    return this.commits.change(bytes, make);
  }

  private reading<T>(read: () => T): T {
    this.ensureOpen();
    try {
      return read();
    } catch (error) {
      throw this.failed(error);
    }
  }

  private totals(): Totals {
    return this.tables.sums.get('totals') ?? noTotals();
  }

  private ensureOpen(): void {
    if (this.closing !== undefined) throw new TroupeError('ERR_STORE_CLOSED', { store: this.folder });
  }

  private failed(cause: unknown): TroupeError<'ERR_STORE_FAILED'> {
    const problem = cause instanceof Error ? cause.message : String(cause);
    return new TroupeError('ERR_STORE_FAILED', { store: this.folder, problem }, { cause });
  }
}

function isId(id: unknown): id is string {
  return typeof id === 'string' && id.length > 0 && id.length <= 1_000;
}
