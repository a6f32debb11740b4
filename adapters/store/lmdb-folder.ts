/**
 * A folder that holds one LMDB file, and how it is opened. LMDB maps the file into memory, so what is no store of ours, or is cut off,
 * is found out before it is mapped. It knows nothing of what the tables hold.
 */

import { type FileHandle, mkdir, open, readdir, realpath } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { RootDatabase } from 'lmdb';
import { TroupeError } from '../../src/protocol/errors.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import { isFromLastCommit, readHead } from './lmdb-head.ts';

/** What is used of the package `lmdb`. */
export type Driver = Pick<typeof import('lmdb'), 'open'>;

const FILES = ['data.mdb', 'lock.mdb'];
/** Contents are nobody else's business: LMDB alone would let every account of the machine read them. */
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;

/**
 * Folders that are open in this process. A second opening would have to wait, on this thread, for a commit of the first that
 * waits for this thread in turn.
 */
const openPaths = new Set<string>();

/** What the file of a store says of itself. */
export interface Format {
  readonly name: string;
  readonly version: number;
}

/** A folder that is open. */
export class LmdbFolder {
  readonly path: string;
  readonly root: RootDatabase;
  private readonly files: Files;

  constructor(path: string, root: RootDatabase, files: Files) {
    this.path = path;
    this.root = root;
    this.files = files;
  }

  /** Runs `work` in a transaction that is there whole, or not at all if it throws; it is on the disk when this resolves. */
  async commit(work: () => void): Promise<void> {
    for (let attempt = 0; attempt < BEGINNINGS_MAX; attempt++) {
      let isBegun = false;
      // A child transaction: unlike its parent, it is taken back whole if the function throws.
      await this.root.childTransaction(() => {
        isBegun = this.mayWrite();
        if (isBegun) work();
      });
      if (isBegun) return;
    }
    throw new Error(NOT_MENDED);
  }

  /** As `commit`, while everything else in this thread waits. */
  commitSync<T>(work: () => T): T {
    for (let attempt = 0; attempt < BEGINNINGS_MAX; attempt++) {
      const made = this.root.transactionSync(() => (this.mayWrite() ? { is: work() } : undefined));
      if (made !== undefined) return made.is;
    }
    throw new Error(NOT_MENDED);
  }

  async close(): Promise<void> {
    try {
      await this.root.close();
    } finally {
      await closeFiles(this.files); // before the folder may be opened again
      openPaths.delete(this.path);
    }
  }

  private mayWrite(): boolean {
    return isFromLastCommit(this.root.getWriteTxnId(), this.files.data.fd, this.files.lock.fd);
  }
}

/** Each beginning too many is an opening of another process at that very moment. */
const BEGINNINGS_MAX = 100;
const NOT_MENDED = `the number of the last commit in lock.mdb was wrong ${BEGINNINGS_MAX} times in a row`;

/**
 * The files, open beside LMDB from before it opens them until after it has closed them: whoever closes a file gives free all locks that
 * the process has on it.
 */
interface Files {
  readonly data: FileHandle;
  readonly lock: FileHandle;
}

/** Opens a folder and the tables in it, making both if they are not there. Throws `ERR_STORE_UNUSABLE`. */
export async function openFolder<T>(
  folder: string,
  driver: Driver,
  format: Format,
  tablesOf: (opened: LmdbFolder) => T,
): Promise<T> {
  try {
    const firstMade = await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
    const path = await realpath(folder);
    if (openPaths.has(path)) throw unusable(folder, 'it is open in this process already; share that store');
    openPaths.add(path);
    let opened: LmdbFolder | undefined;
    try {
      await checkFolder(path);
      opened = await openLmdb(driver, path);
      const tables = openTables(opened, format, tablesOf);
      await syncFolders(path, firstMade);
      return tables;
    } catch (error) {
      await opened?.close();
      openPaths.delete(path);
      throw error;
    }
  } catch (error) {
    if (error instanceof TroupeError) throw error;
    throw unusable(folder, error instanceof Error ? error.message : String(error), error);
  }
}

async function openLmdb(driver: Driver, path: string): Promise<LmdbFolder> {
  const files = await openFiles(path);
  try {
    const root = driver.open({
      path,
      noSubdir: false,
      maxDbs: 8,
      // A commit is whole and synced before its promise resolves and before the next one begins.
      overlappingSync: false,
      // Its own batches have a promise that nobody hears: a commit that failed would end the process.
      eventTurnBatching: false,
      encoding: 'json',
    });
    return new LmdbFolder(path, root, files);
  } catch (error) {
    await closeFiles(files);
    throw error;
  }
}

/** In one transaction, so that what is new in a folder is there whole. */
function openTables<T>(opened: LmdbFolder, format: Format, tablesOf: (opened: LmdbFolder) => T): T {
  return opened.commitSync(() => {
    checkFormat(opened, format);
    return tablesOf(opened);
  });
}

/** Throws `ERR_DRIVER_MISSING`. */
export async function loadDriver(): Promise<Driver> {
  try {
    return await import('lmdb');
  } catch (cause) {
    throw new TroupeError('ERR_DRIVER_MISSING', { package: 'lmdb' }, { cause });
  }
}

/** A folder is ours if it is empty or holds our files alone: a wrong path must not fill somebody's folder. */
async function checkFolder(folder: string): Promise<void> {
  const strangers = (await readdir(folder)).filter((name) => !FILES.includes(name));
  if (strangers.length > 0)
    throw unusable(folder, `the folder holds other things, such as '${strangers[0]?.slice(0, 64)}'`);
  await checkFile(folder);
}

/** Opens the files. Those that are not there are made, empty, so that they have our mode and not LMDB's; others keep theirs. */
async function openFiles(folder: string): Promise<Files> {
  for (const name of FILES) {
    const made = await open(join(folder, name), 'a', FILE_MODE);
    await made.close();
  }
  const data = await open(join(folder, 'data.mdb'), 'r');
  try {
    return { data, lock: await open(join(folder, 'lock.mdb'), 'r+') };
  } catch (error) {
    await data.close();
    throw error;
  }
}

async function closeFiles({ data, lock }: Files): Promise<void> {
  await data.close();
  await lock.close();
}

/**
 * A synced file is lost with its name, if a loss of power takes that: the folder's entries are synced, and those of the
 * folders above it, up to where the first one was made.
 */
async function syncFolders(folder: string, firstMade: string | undefined): Promise<void> {
  if (process.platform === 'win32') return; // It opens no folders, and keeps names in a journal of its own.
  const last = firstMade === undefined ? folder : dirname(await realpath(firstMade));
  for (let path = folder; ; path = dirname(path)) {
    const opened = await open(path, 'r');
    try {
      await opened.sync();
    } finally {
      await opened.close();
    }
    if (path === last || path === dirname(path)) return;
  }
}

/** Bytes beyond its last page to which a file that was cut off is made long. */
const SPARE_BYTES = 1_048_576;

/**
 * Refuses what is no LMDB file, and makes a file that was cut off at least as long as its head says it is. LMDB maps the missing part,
 * and reading there would kill the process (SIGBUS); zeros it recognises and refuses. A file in order may be shorter too, by
 * pages that are free: making it longer harms nothing.
 *
 * Another process may write at the same time, so nothing is cut and no page in use is touched: the length is taken after the
 * head, which LMDB writes last, and the file grows by one byte far behind its pages, which takes no room on the disk.
 */
async function checkFile(folder: string): Promise<void> {
  const file = await openFile(join(folder, 'data.mdb'));
  if (file === undefined) return;
  try {
    if ((await file.stat()).size === 0) return; // It was made, and its process killed before the first byte was written.
    const head = readHead(file.fd);
    if (head === undefined)
      throw unusable(folder, 'data.mdb is not a file of LMDB, or its beginning is damaged');
    const sizeBytes = (head.lastPage + 1) * head.pageSizeBytes;
    const { size } = await file.stat();
    if (size < sizeBytes && Number.isSafeInteger(sizeBytes + SPARE_BYTES))
      await file.write(Buffer.alloc(1), 0, 1, sizeBytes + SPARE_BYTES - 1);
  } finally {
    await file.close();
  }
}

async function openFile(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r+');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Marks a new file as ours, and refuses one that is not. Inside a transaction. */
function checkFormat({ root, path }: LmdbFolder, expected: Format): void {
  const isNew = [...root.getKeys({ limit: 1 })].length === 0;
  if (isNew) root.putSync('format', expected);
  const format: unknown = root.get('format');
  if (JSON.stringify(format) !== JSON.stringify(expected)) {
    throw unusable(
      path,
      isOfName(format, expected.name)
        ? 'it was written by another version of Troupe'
        : 'its LMDB file belongs to something else',
    );
  }
}

function isOfName(format: unknown, name: string): boolean {
  return typeof format === 'object' && format !== null && 'name' in format && format.name === name;
}

/** The error of a folder that cannot be used. */
export function unusable(
  folder: string,
  problem: string,
  cause?: unknown,
): TroupeError<'ERR_STORE_UNUSABLE'> {
  return new TroupeError('ERR_STORE_UNUSABLE', { store: folder, problem }, { cause });
}

/** The whole path of a folder that an option names. */
export function folderOption(folder: unknown): string {
  if (typeof folder !== 'string' || folder === '' || folder.includes('\0'))
    throw invalidOption('folder', 'the path of a folder', folder);
  return resolve(folder);
}
