import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { driver } from '../../adapters/otel/drivers.ts';
import { memoryStore, openLmdbStore } from '../../adapters/store/index.ts';
import type { NewMessage } from '../../src/protocol/store.ts';
import { temporaryFolders } from '../support/temporary-folder.ts';

const newFolder = temporaryFolders();
let messagesMade = 0;

function newMessage(): NewMessage {
  const id = `message-${++messagesMade}`;
  return {
    id,
    topic: 'orders.new',
    payload: messagesMade,
    priority: 'normal',
    headers: {},
    publishedAtMs: 1_000,
  };
}

describe('a store', () => {
  it('refuses one change more than may wait with ERR_STORE_BUSY, and takes it later', async () => {
    const store = await openLmdbStore({ folder: await newFolder(), waitingMax: 2 });
    const [first, second, third] = [1, 2, 3].map(() => store.append(newMessage()));
    await expect(third).rejects.toMatchObject({
      code: 'ERR_STORE_BUSY',
      details: { waiting: 2, waitingBytes: expect.any(Number) },
      retryable: true,
    });
    await Promise.all([first, second]);
    expect(await store.append(newMessage())).toBe(3);
    await store.close();
  });

  it('refuses a folder that it cannot use with ERR_STORE_UNUSABLE: open already, or of something else', async () => {
    const folder = await newFolder();
    const store = await openLmdbStore({ folder });
    await expect(openLmdbStore({ folder })).rejects.toMatchObject({ code: 'ERR_STORE_UNUSABLE' });
    const other = await newFolder();
    await writeFile(join(other, 'data.mdb'), 'no database');
    await expect(openLmdbStore({ folder: other })).rejects.toMatchObject({
      code: 'ERR_STORE_UNUSABLE',
      details: { store: other, problem: expect.any(String) },
    });
    expect(await store.append(newMessage())).toBe(1);
    await store.close();
  });

  it('says ERR_STORE_FAILED with the cause when its medium fails', async () => {
    const store = await openLmdbStore({ folder: await newFolder() });
    const { tables } = store as unknown as {
      readonly tables: { readonly sums: { get(key: string): unknown } };
    };
    const cause = new Error('input/output error');
    vi.spyOn(tables.sums, 'get').mockImplementationOnce(() => {
      throw cause;
    });
    await expect(store.stats()).rejects.toMatchObject({
      code: 'ERR_STORE_FAILED',
      details: { problem: 'input/output error' },
      cause,
    });
    await store.close();
  });

  it('refuses an id that it holds with ERR_MESSAGE_STORED, and everything with ERR_STORE_CLOSED once it is closed', async () => {
    const store = memoryStore();
    const message = newMessage();
    await store.append(message);
    await expect(store.append(message)).rejects.toMatchObject({
      code: 'ERR_MESSAGE_STORED',
      details: { id: message.id },
    });
    await store.close();
    await expect(store.append(newMessage())).rejects.toMatchObject({ code: 'ERR_STORE_CLOSED' });
  });
});

describe('an optional package', () => {
  it('that is missing is named by ERR_DRIVER_MISSING, with the command that installs it', async () => {
    const cause = Object.assign(new Error("Cannot find package 'x' imported from y"), {
      code: 'ERR_MODULE_NOT_FOUND',
    });
    await expect(driver('x', () => Promise.reject(cause))).rejects.toMatchObject({
      code: 'ERR_DRIVER_MISSING',
      details: { package: 'x' },
      message: expect.stringContaining('npm install x'),
      cause,
    });
  });

  it('that fails for another reason fails with that', async () => {
    const other = new Error('broken');
    await expect(driver('any', () => Promise.reject(other))).rejects.toBe(other);
  });
});
