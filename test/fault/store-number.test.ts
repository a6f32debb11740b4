/**
 * Goal: what a store in a file has acknowledged stays, although another process that opens the file sets the number of its last commit
 * back (see adapters/store/lmdb-head.ts). Method: the number is set back in the lock file, as an opening at the wrong moment does;
 * how often that happens with processes is in states-kill.test.ts.
 */

import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fileStates } from '../../adapters/store/file-states.ts';
import { openLmdbStore } from '../../adapters/store/index.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import { closing } from '../support/closing.ts';
import { temporaryFolders } from '../support/temporary-folder.ts';

const newFolder = temporaryFolders();
const NUMBER_AT = 8;

/** Sets the number of the last commit `back` commits back. */
async function setBack(folder: string, back: number): Promise<void> {
  const file = await open(join(folder, 'lock.mdb'), 'r+');
  try {
    const bytes = Buffer.alloc(8);
    await file.read(bytes, 0, bytes.length, NUMBER_AT);
    const number = bytes.readBigUInt64LE() - BigInt(back);
    bytes.writeBigUInt64LE(number < 0n ? 0n : number);
    await file.write(bytes, 0, bytes.length, NUMBER_AT);
  } finally {
    await file.close();
  }
}

describe.each([1, 2, 3])('a number of the last commit that is set back by %i', (back) => {
  it('loses no snapshot', async () => {
    const folder = await newFolder();
    const by = { epoch: 1, owner: 'test' };
    const keys = ['a', 'b', 'c', 'd'].map((key) => ({ kind: 'number', key }));
    const store = closing(fileStates({ folder }));
    await store.open(systemHost);
    for (const key of keys) {
      await store.activate(key, by);
      await setBack(folder, back);
      await store.save(key, by, Buffer.from(key.key));
      await setBack(folder, back);
    }
    await store.close();
    const reopened = closing(fileStates({ folder }));
    await reopened.open(systemHost);
    for (const key of keys)
      expect(Buffer.from((await reopened.activate(key, by)) ?? []).toString()).toBe(key.key);
  });

  it('loses no message, and gives no position twice', async () => {
    const folder = await newFolder();
    const ids = ['a', 'b', 'c', 'd'];
    const append = { topic: 't', payload: 1, priority: 'normal', headers: {}, publishedAtMs: 1 } as const;
    const store = closing(await openLmdbStore({ folder }));
    const positions: number[] = [];
    for (const id of ids) {
      positions.push(await store.append({ ...append, id }));
      await setBack(folder, back);
    }
    await store.close();
    const reopened = closing(await openLmdbStore({ folder }));
    const kept: [number, string][] = [];
    for await (const { position, id } of reopened.range()) kept.push([position, id]);
    expect(kept).toEqual(ids.map((id, n) => [n + 1, id]));
    expect(positions).toEqual([1, 2, 3, 4]);
  });
});
