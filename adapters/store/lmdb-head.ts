/**
 * What LMDB's two head pages say, and the number of the last commit in its lock file, set right where it is wrong.
 *
 * All processes that have a file open begin a transaction from the commit of that number. LMDB, as `lmdb` 3.5 carries it, sets it at each
 * opening to what the opener has read in the file before (its ITS#9496, which other branches of LMDB have mended): a commit that
 * another process made in between is forgotten, and the next transaction writes over it, although it was acknowledged. The heads are
 * right. Whoever holds the write lock compares them with the transaction that has begun, and mends the number.
 */

import { readSync, writeSync } from 'node:fs';

/** Where the pages have what is read of them: on 64-bit machines that put the low byte first. */
const HEAD = { magic: 24, pageSize: 48, lastPage: 144, lastCommit: 152, size: 160 };
const LOCK = { magic: 0, lastCommit: 8, size: 16 };
const MAGIC = 0xbeefc0de;

/** The newer of the two heads. */
export interface Head {
  readonly pageSizeBytes: number;
  readonly lastPage: number;
  readonly lastCommit: number;
}

/** Reads both heads of the open file. Undefined: it is not a file of LMDB. */
export function readHead(file: number): Head | undefined {
  const first = readHeadPage(file, 0);
  if (first === undefined) return undefined;
  const second = readHeadPage(file, first.pageSizeBytes) ?? first;
  return {
    pageSizeBytes: first.pageSizeBytes,
    lastPage: Math.max(first.lastPage, second.lastPage),
    lastCommit: Math.max(first.lastCommit, second.lastCommit),
  };
}

/**
 * Whether a write transaction of this number goes on from the last commit; if not, the number in the lock file is mended. To be called
 * inside that transaction before it writes, with the open file and its open lock file; if the answer is no it must end, and a new
 * one begin.
 */
export function isFromLastCommit(transaction: number, file: number, lockFile: number): boolean {
  const head = readHead(file);
  if (head === undefined || transaction > head.lastCommit) return true;
  const lock = Buffer.alloc(LOCK.size);
  readSync(lockFile, lock, 0, LOCK.size, 0);
  if (lock.readUInt32LE(LOCK.magic) !== MAGIC) throw new Error('lock.mdb is not a lock file of LMDB');
  lock.writeBigUInt64LE(BigInt(head.lastCommit), LOCK.lastCommit);
  writeSync(lockFile, lock, LOCK.lastCommit, LOCK.size - LOCK.lastCommit, LOCK.lastCommit);
  return false;
}

function readHeadPage(file: number, offset: number): Head | undefined {
  const head = Buffer.alloc(HEAD.size);
  readSync(file, head, 0, HEAD.size, offset);
  if (head.readUInt32LE(HEAD.magic) !== MAGIC) return undefined;
  return {
    pageSizeBytes: head.readUInt32LE(HEAD.pageSize),
    lastPage: Number(head.readBigUInt64LE(HEAD.lastPage)),
    lastCommit: Number(head.readBigUInt64LE(HEAD.lastCommit)),
  };
}
