/**
 * A state store in one LMDB file: comparing and writing are one transaction, and LMDB lets one process write at a time, also when another
 * is killed or stands still before or after it. Two tables: who holds a key, and its snapshot behind a checksum, since LMDB's
 * pages have none. The key is a key inside the file, never a part of a path.
 */

import { crc32 } from 'node:zlib';
import type { Database } from 'lmdb';
import { TroupeError } from '../../src/protocol/errors.ts';
import { STORE_BATCH_MAX, STORE_WAITING_BYTES_MAX, STORE_WAITING_MAX } from '../../src/protocol/limits.ts';
import { integerOption, objectOption } from '../../src/protocol/options.ts';
import {
  checkClaim,
  checkSnapshot,
  checkStateKey,
  holds,
  mayActivate,
  snapshotBound,
  staleEpoch,
} from '../../src/protocol/state-claim.ts';
import type { StateClaim, StateKey, StateStore, StateStoreOptions } from '../../src/protocol/state-store.ts';
import { type Change, ChangeQueue } from './change-queue.ts';
import { causeOf } from './group-commit.ts';
import { folderOption, type LmdbFolder, loadDriver, openFolder } from './lmdb-folder.ts';

/** Options of a state store in a file. */
export interface FileStatesOptions extends StateStoreOptions {
  /** The folder that holds the store and nothing else; made if it is not there. On a disk of this machine, not on a network. */
  readonly folder: string;
  /** Calls that may wait to become safe, 10,000 unless said; one more rejects with `ERR_STORE_BUSY`. */
  readonly waitingMax?: number | undefined;
  /** Bytes of snapshots that may wait to become safe, 64 MiB unless said; more rejects with `ERR_STORE_BUSY`. */
  readonly waitingBytesMax?: number | undefined;
}

/** A state store in one LMDB file, which processes of one machine may share. Needs the package `lmdb`. Throws `ERR_OPTION_INVALID`. */
export function fileStates(options: FileStatesOptions): StateStore {
  const given = objectOption('', options, ['folder', 'snapshotBytesMax', 'waitingMax', 'waitingBytesMax']);
  return new FileStates(folderOption(given['folder']), {
    snapshotBytesMax: snapshotBound(given['snapshotBytesMax']),
    waitingMax: integerOption('waitingMax', given['waitingMax'], 1, STORE_WAITING_MAX),
    waitingBytesMax: integerOption('waitingBytesMax', given['waitingBytesMax'], 1, STORE_WAITING_BYTES_MAX),
  });
}

const FORMAT = { name: 'troupe-state-store', version: 1 };
const SUM_BYTES = 4;

interface Bounds {
  readonly snapshotBytesMax: number;
  readonly waitingMax: number;
  readonly waitingBytesMax: number;
}

/** The tables. Written only inside a commit of `folder`. */
interface Tables {
  readonly folder: LmdbFolder;
  readonly claims: Database<StateClaim, Buffer>;
  readonly snapshots: Database<Buffer, Buffer>;
}

class FileStates implements StateStore {
  readonly isDurable = true;
  private readonly folder: string;
  private readonly bounds: Bounds;
  private readonly queue: ChangeQueue<Tables>;
  private opening: Promise<Tables> | undefined;
  private tables: Tables | undefined;
  private committing: Promise<void> | undefined;
  private closing: Promise<void> | undefined;

  constructor(folder: string, bounds: Bounds) {
    this.folder = folder;
    this.bounds = bounds;
    this.queue = new ChangeQueue(folder, bounds.waitingMax, bounds.waitingBytesMax);
  }

  async open(): Promise<void> {
    if (this.opening !== undefined || this.closing !== undefined)
      throw new TroupeError('ERR_STORE_CLOSED', { store: this.folder });
    this.opening = loadDriver().then((driver) => openFolder(this.folder, driver, FORMAT, tablesOf));
    this.tables = await this.opening;
  }

  async activate(key: StateKey, claim: StateClaim): Promise<Uint8Array | undefined> {
    const { checked, by, row } = this.check(key, claim);
    const sealed = await this.change(0, ({ claims, snapshots }) => {
      const held = this.heldIn(claims, row);
      if (!mayActivate(by, held)) throw staleEpoch(checked, by, held?.epoch ?? 0);
      written(claims.putSync(row, by));
      const found = snapshots.get(row);
      return found && Buffer.from(found); // LMDB's own buffer is good for the transaction alone
    });
    return sealed && this.unseal(checked, sealed);
  }

  async save(key: StateKey, claim: StateClaim, snapshot: Uint8Array): Promise<void> {
    const { checked, by, row } = this.check(key, claim);
    const sealed = seal(checkSnapshot(checked, snapshot, this.bounds.snapshotBytesMax));
    await this.change(sealed.length, ({ claims, snapshots }) => {
      const held = this.heldIn(claims, row);
      if (!holds(by, held)) throw staleEpoch(checked, by, held?.epoch ?? 0);
      written(snapshots.putSync(row, sealed));
    });
  }

  async remove(key: StateKey, claim: StateClaim): Promise<void> {
    const { checked, by, row } = this.check(key, claim);
    await this.change(0, ({ claims, snapshots }) => {
      const held = this.heldIn(claims, row);
      if (!holds(by, held)) throw staleEpoch(checked, by, held?.epoch ?? 0);
      snapshots.removeSync(row);
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
    // Whoever opened it is told when that failed.
    const tables = await this.opening?.catch(() => undefined);
    await this.committing;
    await tables?.folder.close();
  }

  private check(key: StateKey, claim: StateClaim) {
    this.ensureOpen();
    const checked = checkStateKey(key);
    // A kind has no zero in it: no two keys have the same bytes.
    return { checked, by: checkClaim(claim), row: Buffer.from(`${checked.kind}\0${checked.key}`) };
  }

  private ensureOpen(): Tables {
    const { tables, closing } = this;
    if (tables === undefined || closing !== undefined)
      throw new TroupeError('ERR_STORE_CLOSED', { store: this.folder });
    return tables;
  }

  private change<T>(bytes: number, make: (tables: Tables) => T): Promise<T> {
    const tables = this.ensureOpen();
    const changed = this.queue.add(bytes, make);
    this.committing ??= this.commitAll(tables);
    return changed;
  }

  /** One transaction at a time, each with what was called for during the one before. Never rejects: callers are told. */
  private async commitAll(tables: Tables): Promise<void> {
    while (this.queue.waiting > 0) await this.commit(tables);
    this.committing = undefined;
  }

  private async commit(tables: Tables): Promise<void> {
    const refused = new Map<Change<Tables>, unknown>();
    let changes: readonly Change<Tables>[] = [];
    try {
      await tables.folder.commit(() => {
        changes = this.queue.take(STORE_BATCH_MAX);
        for (const change of changes) attempt(change, tables, refused);
      });
    } catch (error) {
      const failure = this.failed(await causeOf(error));
      // If the transaction did not even begin, those it would have carried fail: else they would be tried for ever.
      const failing = changes.length > 0 ? changes : this.queue.take(STORE_BATCH_MAX);
      this.queue.done(failing);
      for (const change of failing) change.fail(failure);
      return;
    }
    this.queue.done(changes);
    for (const change of changes) {
      if (refused.has(change)) change.fail(refused.get(change));
      else change.settle();
    }
  }

  private failed(cause: unknown): TroupeError<'ERR_STORE_FAILED'> {
    const problem = cause instanceof Error ? cause.message : String(cause);
    return new TroupeError('ERR_STORE_FAILED', { store: this.folder, problem }, { cause });
  }

  /** A row that cannot be read refuses its own call, before anything is written. */
  private heldIn(claims: Tables['claims'], row: Buffer): StateClaim | undefined {
    try {
      return claims.get(row);
    } catch (error) {
      throw this.failed(error);
    }
  }

  private unseal({ kind, key }: StateKey, sealed: Buffer): Uint8Array {
    const bytes = new Uint8Array(sealed.subarray(SUM_BYTES));
    if (sealed.length >= SUM_BYTES && sealed.readUInt32LE(0) === crc32(bytes)) return bytes;
    const problem = `its ${bytes.length} bytes have another checksum than those that were saved`;
    throw new TroupeError('ERR_SNAPSHOT_CORRUPT', { store: this.folder, kind, key, problem });
  }
}

/** What refuses this change alone is thrown before anything of it is written; after anything else nobody knows what was. */
function attempt(change: Change<Tables>, tables: Tables, refused: Map<Change<Tables>, unknown>): void {
  try {
    change.make(tables);
  } catch (error) {
    if (!(error instanceof TroupeError)) throw error;
    refused.set(change, error);
  }
}

function tablesOf(folder: LmdbFolder): Tables {
  const { root } = folder;
  return {
    folder,
    claims: root.openDB('claims', { encoding: 'json', keyEncoding: 'binary' }),
    snapshots: root.openDB('snapshots', { encoding: 'binary', keyEncoding: 'binary' }),
  };
}

function seal(snapshot: Uint8Array): Buffer {
  const sum = Buffer.alloc(SUM_BYTES);
  sum.writeUInt32LE(crc32(snapshot));
  return Buffer.concat([sum, snapshot]);
}

/** LMDB's types say nothing of what a write returns: whether it wrote. */
function written(isWritten: unknown): void {
  if (isWritten !== true) throw new Error('a row was not written');
}
