/**
 * Goal: a folder is used only if it is a store of ours and in order, and its disk's failures are told as they are.
 * Method: folders that are foreign, damaged, shared or full; what could end the process happens in one of its own.
 */

import { cp, open, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { open as openLmdb } from 'lmdb';
import { describe, expect, it, vi } from 'vitest';
import { openLmdbStore } from '../../adapters/store/index.ts';
import type { NewMessage } from '../../src/protocol/store.ts';
import { closing } from '../support/closing.ts';
import { runProgram } from '../support/run-program.ts';
import { temporaryFolders } from '../support/temporary-folder.ts';

vi.setConfig({ testTimeout: 90_000 });

const newFolder = temporaryFolders();
const IS_WINDOWS = process.platform === 'win32';

function message(id: string, fields: Partial<NewMessage> = {}): NewMessage {
  return { id, topic: 'a.b', payload: { id }, priority: 'high', headers: {}, publishedAtMs: 1, ...fields };
}

/** A folder with a store of so many messages, closed. */
async function storedFolder(count = 3, textLength = 10): Promise<string> {
  const folder = await newFolder();
  const store = closing(await openLmdbStore({ folder }));
  const payload = 'x'.repeat(textLength);
  await Promise.all(Array.from({ length: count }, (_, n) => store.append(message(`m-${n}`, { payload }))));
  await store.close();
  return folder;
}

describe('a durable store that is opened again', () => {
  it('has everything, goes on with positions and sums, and still knows its ids', async () => {
    const folder = await newFolder();
    {
      const store = closing(await openLmdbStore({ folder }));
      await store.append(message('one', { headers: { h: '1' }, sender: 's', expiresAtMs: 9 }));
      await store.append(message('two'));
      await store.append(message('three'));
      await store.mark(2, { status: 'failed', attempts: 2, lastError: 'why' });
      await store.trim({ messagesMax: 2 });
      await store.remove(3);
      await store.close();
    }
    const store = closing(await openLmdbStore({ folder }));
    expect(await store.get('one')).toBeUndefined();
    expect(await store.get('two')).toEqual({
      ...message('two'),
      position: 2,
      status: 'failed',
      attempts: 2,
      lastError: 'why',
    });
    await expect(store.append(message('two'))).rejects.toMatchObject({ code: 'ERR_MESSAGE_STORED' });
    expect(await store.append(message('three'))).toBe(4);
    expect(await store.stats()).toMatchObject({
      messages: 2,
      firstPosition: 2,
      lastPosition: 4,
      trimmed: { messages: 1, unfinished: 1 },
    });
  });

  it('is refused while it is open in this process, by whatever path, and free afterwards', async () => {
    const folder = await newFolder();
    const store = await openLmdbStore({ folder });
    const again = openLmdbStore({ folder: join(folder, '..', folder.split('/').at(-1) ?? '', '.') });
    await expect(again).rejects.toMatchObject({ code: 'ERR_STORE_UNUSABLE' });
    await store.close();
    await (await openLmdbStore({ folder })).close();
  });

  it('opens a file that its process made and was killed before it wrote to it', async () => {
    const folder = await newFolder();
    await writeFile(join(folder, 'data.mdb'), '');
    const store = closing(await openLmdbStore({ folder }));
    expect(await store.append(message('first'))).toBe(1);
  });
});

describe('the folder of a durable store', () => {
  it('is made with those above it, and no name in a message leaves it', async () => {
    const parent = await newFolder();
    const folder = join(parent, 'a', 'b');
    {
      const store = closing(await openLmdbStore({ folder }));
      await store.append(
        message('../../id', { sender: '../x', correlationId: '/etc/x', headers: { '../h': '../v' } }),
      );
      await expect(store.append(message('x', { topic: '../x' }))).rejects.toMatchObject({
        code: 'ERR_TOPIC_INVALID',
      });
      expect((await store.get('../../id'))?.sender).toBe('../x');
      await store.close();
    }
    expect((await readdir(parent, { recursive: true })).toSorted()).toEqual([
      'a',
      'a/b',
      'a/b/data.mdb',
      'a/b/lock.mdb',
    ]);
  });

  it('keeps topics apart that differ in a separator only', async () => {
    const store = closing(await openLmdbStore({ folder: await newFolder() }));
    for (const topic of ['a.b', 'a_b', 'a-b', 'a.b.c']) await store.append(message(topic, { topic }));
    for (const topic of ['a.b', 'a_b', 'a-b', 'a.b.c']) {
      const found: string[] = [];
      for await (const { id } of store.range({ topic })) found.push(id);
      expect(found).toEqual([topic]);
    }
  });

  it.skipIf(IS_WINDOWS)('and its files can be read by their owner alone', async () => {
    const folder = join(await newFolder(), 'store');
    await (await openLmdbStore({ folder })).close();
    for (const name of ['.', 'data.mdb', 'lock.mdb'])
      expect((await stat(join(folder, name))).mode & 0o077, name).toBe(0);
  });

  it('is refused, and left as it was, when it holds other things', async () => {
    const folder = await newFolder();
    await writeFile(join(folder, 'letter.txt'), 'mine');
    await expect(openLmdbStore({ folder })).rejects.toMatchObject({
      code: 'ERR_STORE_UNUSABLE',
      message: expect.stringContaining('letter.txt'),
    });
    expect(await readdir(folder)).toEqual(['letter.txt']);
  });

  it('is refused with a file in its place, or above it', async () => {
    const file = join(await newFolder(), 'file');
    await writeFile(file, 'no folder');
    for (const folder of [file, join(file, 'store')])
      await expect(openLmdbStore({ folder })).rejects.toMatchObject({ code: 'ERR_STORE_UNUSABLE' });
  });

  it.each<[string, Buffer]>([
    ['text', Buffer.from('not a store\n'.repeat(1_000))],
    ['zeros', Buffer.alloc(65_536)],
    ['one byte', Buffer.from('x')],
  ])('is refused when its file is %s, which is left as it was', async (_, bytes) => {
    const folder = await newFolder();
    await writeFile(join(folder, 'data.mdb'), bytes);
    await expect(openLmdbStore({ folder })).rejects.toMatchObject({ code: 'ERR_STORE_UNUSABLE' });
    expect((await readFile(join(folder, 'data.mdb'))).equals(bytes)).toBe(true);
  });

  it.each([
    ['something else', 'other', { name: 'somebody' }, 'belongs to something else'],
    ['a later version', 'format', { name: 'troupe-message-store', version: 2 }, 'another version'],
  ])('is refused when its LMDB file is of %s', async (_, key, value, problem) => {
    const folder = await newFolder();
    const other = openLmdb({ path: folder, noSubdir: false, encoding: 'json' });
    await other.put(key, value);
    await other.close();
    await expect(openLmdbStore({ folder })).rejects.toMatchObject({
      code: 'ERR_STORE_UNUSABLE',
      message: expect.stringContaining(problem),
    });
  });

  it('is refused when its file was cut off, and does not end the process', async () => {
    const whole = await storedFolder(400, 1_000);
    const { size } = await stat(join(whole, 'data.mdb'));
    for (const share of [0.9, 0.5, 0.1]) {
      const folder = join(await newFolder(), 'cut');
      await cp(whole, folder, { recursive: true });
      await truncate(join(folder, 'data.mdb'), Math.floor((size * share) / 4_096) * 4_096);
      const { signal, lines, errors } = await runProgram('store-program', [folder, 'x', '--appends', '1'])
        .ended;
      expect({ share, signal, isOpened: lines.includes('open') }).toEqual({
        share,
        signal: null,
        isOpened: false,
      });
      expect(errors).toContain('ERR_STORE_UNUSABLE');
    }
  });

  it('is refused when its head is damaged', async () => {
    const folder = await storedFolder();
    const file = await open(join(folder, 'data.mdb'), 'r+');
    await file.write(Buffer.alloc(64, 0xff), 0, 64, 0);
    await file.close();
    await expect(openLmdbStore({ folder })).rejects.toMatchObject({ code: 'ERR_STORE_UNUSABLE' });
  });
});

describe.skipIf(IS_WINDOWS)('a durable store whose disk is full', () => {
  it('rejects what does not fit, keeps all it acknowledged, and works again with more room', async () => {
    const folder = await newFolder();
    // A file may be 2 MiB and no more: LMDB is told EFBIG where a full disk would tell ENOSPC.
    const limited = ['bash', '-c', 'ulimit -f 2048; exec "$@"', 'limited'];
    const options = ['--publishers', '20', '--payloadBytes', '2000'];
    const { code, lines } = await runProgram(
      'store-program',
      [folder, 'full', ...options],
      undefined,
      limited,
    ).ended;
    expect({ code, last: lines.at(-1) }).toEqual({ code: 0, last: 'closed' });
    const failures = lines.filter((line) => line.startsWith('failed'));
    expect(failures.length).toBe(20);
    for (const failure of failures) expect(failure).toContain('failed ERR_STORE_FAILED');
    const appended = lines.filter((line) => line.startsWith('append'));
    expect(appended.length).toBeGreaterThan(100);
    const store = closing(await openLmdbStore({ folder }));
    for (const line of appended) expect(await store.get(line.split(' ')[2] ?? '')).toBeDefined();
    // Nothing of what was refused is there.
    expect((await store.stats()).messages).toBe(appended.length);
    expect(lines).toContain(`stats ${appended.length} 0`);
    expect(await store.append(message('more'))).toBeGreaterThan(appended.length);
  });
});

describe('changes that wait for the disk', () => {
  it('are bounded by number and bytes: one more is refused with ERR_STORE_BUSY, and none is lost', async () => {
    const store = closing(
      await openLmdbStore({
        folder: await newFolder(),
        waitingMax: 10,
        waitingBytesMax: 1_000,
      }),
    );
    const outcomes = await Promise.allSettled(
      Array.from({ length: 15 }, (_, n) => store.append(message(`few-${n}`))),
    );
    expect(outcomes.map(({ status }) => status)).toEqual([
      ...Array.from({ length: 10 }, () => 'fulfilled'),
      ...Array.from({ length: 5 }, () => 'rejected'),
    ]);
    expect(outcomes[10]).toMatchObject({ reason: { code: 'ERR_STORE_BUSY', details: { waiting: 10 } } });
    const large = { payload: 'x'.repeat(600) };
    const [first, second] = await Promise.allSettled([
      store.append(message('large-1', large)),
      store.append(message('large-2', large)),
    ]);
    expect([first?.status, second?.status]).toEqual(['fulfilled', 'rejected']);
    // Alone it is let in, whatever its size.
    await store.append(message('larger', { payload: 'x'.repeat(5_000) }));
    expect(await store.stats()).toMatchObject({ messages: 12, waiting: 0 });
  });

  it('are refused as options where they make no sense', async () => {
    const folder = await newFolder();
    for (const options of [
      { folder: '' },
      { folder: 'a\0b' },
      { folder, waitingMax: 0 },
      { folder, sync: false },
    ])
      await expect(openLmdbStore(options)).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('a durable store without its driver', () => {
  it('says which package to install, and makes no folder', async () => {
    vi.resetModules();
    vi.doMock('lmdb', () => {
      throw new Error('Cannot find package');
    });
    const { openLmdbStore: openWithoutDriver } = await import('../../adapters/store/index.ts');
    const parent = await newFolder();
    await expect(openWithoutDriver({ folder: join(parent, 'store') })).rejects.toMatchObject({
      code: 'ERR_DRIVER_MISSING',
      details: { package: 'lmdb' },
    });
    expect(await readdir(parent)).toEqual([]);
    vi.doUnmock('lmdb');
  });
});
