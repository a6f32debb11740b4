/**
 * The tables of a durable store and how they are opened: one LMDB file in a folder of its own. Topics and ids are keys inside
 * that file and never part of a path. LMDB maps the file into memory, so what is no store of ours, or is cut off, is found out
 * before it is mapped.
 */

import { type FileHandle, mkdir, open, readdir, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Database, RootDatabase } from 'lmdb';
import { TroupeError } from '../../src/protocol/errors.ts';
import { type MessageState, readHead } from './stored-text.ts';
import type { Totals } from './totals.ts';

/** Positions whose times are summed up in one row: a search by time reads one row for each, and looks into those that fit. */
export const BLOCK_POSITIONS = 256;

/** The block of a position. */
export function blockOf(position: number): number {
  return Math.floor(position / BLOCK_POSITIONS);
}

/** When the messages of a block were published. A removal leaves the times as they are: no message lies outside them. */
export interface TimeBlock {
  readonly earliestMs: number;
  readonly latestMs: number;
  /** Those still held; a block without one is removed. */
  readonly messages: number;
}

/** The tables. Written only inside a transaction of `root`. */
export interface MessageTables {
  /** The real path of the folder. */
  readonly path: string;
  readonly root: RootDatabase;
  /** Texts by position: the log itself. */
  readonly texts: Database<string, number>;
  /** States by position, of those messages that were marked. */
  readonly states: Database<MessageState, number>;
  /** Positions by id. */
  readonly ids: Database<number, string>;
  /** The index by topic, in order of positions. */
  readonly topicPositions: Database<number, [topic: string, position: number]>;
  /** Messages held, by topic. */
  readonly topics: Database<number, string>;
  readonly blocks: Database<TimeBlock, number>;
  readonly sums: Database<Totals, 'totals'>;
}

/** What is used of the package `lmdb`. */
export type Driver = Pick<typeof import('lmdb'), 'open'>;

const FORMAT = { name: 'troupe-message-store', version: 1 };
const FILES = ['data.mdb', 'lock.mdb'];
/** Messages are nobody else's business: LMDB alone would let every account of the machine read them. */
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;

/**
 * Folders that are open in this process. A second opening would have to wait, on this thread, for a commit of the first that
 * waits for this thread in turn.
 */
const openPaths = new Set<string>();

/** Opens the tables, making the folder if it is not there. Throws `ERR_STORE_UNUSABLE`. */
export async function openTables(folder: string, driver: Driver): Promise<MessageTables> {
  try {
    const firstMade = await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
    const path = await realpath(folder);
    if (openPaths.has(path)) throw unusable(folder, 'it is open in this process already; share that store');
    openPaths.add(path);
    try {
      await checkFolder(path);
      await makeFiles(path);
      const tables = await openRoot(driver, path);
      await syncFolders(path, firstMade);
      return tables;
    } catch (error) {
      openPaths.delete(path);
      throw error;
    }
  } catch (error) {
    if (error instanceof TroupeError) throw error;
    throw unusable(folder, error instanceof Error ? error.message : String(error), error);
  }
}

/** Closes the tables. */
export async function closeTables({ root, path }: MessageTables): Promise<void> {
  try {
    await root.close();
  } finally {
    openPaths.delete(path);
  }
}

async function openRoot(driver: Driver, path: string): Promise<MessageTables> {
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
  try {
    checkFormat(root, path);
    const tables: MessageTables = {
      path,
      root,
      texts: root.openDB('texts', { encoding: 'string' }),
      states: root.openDB('states', { encoding: 'json' }),
      ids: root.openDB('ids', { encoding: 'json' }),
      topicPositions: root.openDB('topic-positions', { encoding: 'json' }),
      topics: root.openDB('topics', { encoding: 'json' }),
      blocks: root.openDB('blocks', { encoding: 'json' }),
      sums: root.openDB('sums', { encoding: 'json' }),
    };
    checkTables(tables, path);
    return tables;
  } catch (error) {
    await root.close();
    throw error;
  }
}

/** Writes a row, or throws. To be called inside a transaction. */
export function put<V, K extends number | string | [string, number]>(
  table: Database<V, K>,
  key: K,
  value: V,
  isLast = false,
): void {
  // Its types say nothing of what it returns: whether it wrote.
  const isWritten = table.putSync(key, value, { append: isLast }) as unknown;
  if (isWritten !== true) throw new Error(`the row ${String(key)} was not written`);
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

/** Makes the files, empty, so that they have our mode and not LMDB's. Those that are there keep theirs. */
async function makeFiles(folder: string): Promise<void> {
  for (const name of FILES) {
    const file = await open(join(folder, name), 'a', FILE_MODE);
    await file.close();
  }
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

/** Where LMDB's two head pages have what is read of them: on 64-bit machines that put the low byte first. */
const HEAD = { magic: 24, pageSize: 48, lastPage: 144, size: 152 };
const MAGIC = 0xbeefc0de;

/**
 * Refuses what is no LMDB file, and makes a file that was cut off as long as its head says it is. LMDB maps the missing part,
 * and reading there would kill the process (SIGBUS); zeros it recognises and refuses. A file in order may be shorter too, by
 * pages that are free: making it longer harms nothing.
 */
async function checkFile(folder: string): Promise<void> {
  const file = await openFile(join(folder, 'data.mdb'));
  if (file === undefined) return;
  try {
    const { size } = await file.stat();
    if (size === 0) return; // It was made, and its process killed before the first byte was written.
    const first = await readHeadPage(file, 0);
    if (first === undefined)
      throw unusable(folder, 'data.mdb is not a file of LMDB, or its beginning is damaged');
    const second = await readHeadPage(file, first.pageSizeBytes);
    const sizeBytes = (Math.max(first.lastPage, second?.lastPage ?? 0) + 1) * first.pageSizeBytes;
    if (size < sizeBytes && Number.isSafeInteger(sizeBytes)) await file.truncate(sizeBytes);
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

async function readHeadPage(
  file: FileHandle,
  offset: number,
): Promise<{ readonly pageSizeBytes: number; readonly lastPage: number } | undefined> {
  const head = Buffer.alloc(HEAD.size);
  await file.read(head, 0, HEAD.size, offset);
  if (head.readUInt32LE(HEAD.magic) !== MAGIC) return undefined;
  return {
    pageSizeBytes: head.readUInt32LE(HEAD.pageSize),
    lastPage: Number(head.readBigUInt64LE(HEAD.lastPage)),
  };
}

/** Marks a new file as ours, and refuses one that is not. */
function checkFormat(root: RootDatabase, folder: string): void {
  root.transactionSync(() => {
    const isNew = [...root.getKeys({ limit: 1 })].length === 0;
    if (isNew) root.putSync('format', FORMAT);
    const format: unknown = root.get('format');
    if (JSON.stringify(format) !== JSON.stringify(FORMAT)) {
      throw unusable(
        folder,
        format === undefined
          ? 'its LMDB file belongs to something else'
          : 'it was written by another version of Troupe',
      );
    }
  });
}

/** Reads where damage would show first, so that a damaged store is refused now and not in the middle of its work. */
function checkTables({ texts, sums }: MessageTables, folder: string): void {
  const messages = sums.get('totals')?.messages ?? 0;
  for (const reverse of [false, true])
    for (const { value } of texts.getRange({ reverse, limit: 1 })) readHead(value);
  const held = (texts.getStats() as { readonly entryCount: number }).entryCount; // LMDB's own count
  if (held !== messages)
    throw unusable(folder, `it is damaged: it counts ${messages} messages and holds ${held}`);
}

function unusable(folder: string, problem: string, cause?: unknown): TroupeError<'ERR_STORE_UNUSABLE'> {
  return new TroupeError('ERR_STORE_UNUSABLE', { store: folder, problem }, { cause });
}
