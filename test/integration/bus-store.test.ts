import { describe, expect, it, vi } from 'vitest';
import { memoryStore, openLmdbStore } from '../../adapters/store/index.ts';
import { MessageBus } from '../../runtime/bus/bus.ts';
import type { MessageStatus, MessageStore, Trimmed } from '../../src/protocol/store.ts';
import { closing } from '../support/closing.ts';
import { temporaryFolders } from '../support/temporary-folder.ts';

vi.setConfig({ testTimeout: 120_000 });

const newFolder = temporaryFolders();

describe('a bus with a durable store', () => {
  it('loses no message and no status to thousands of publishers at once, and none of them is refused', async () => {
    const publishers = 7_500;
    const store = closing(await openLmdbStore({ folder: await newFolder() }));
    const bus = await MessageBus.connect({ store, capacity: publishers });
    await bus.subscribe('many', () => {});
    const publishTwice = async (): Promise<void> => {
      for (let round = 0; round < 2; round++) await bus.publish('many', { round });
    };
    await Promise.all(Array.from({ length: publishers }, () => publishTwice()));
    await bus.close();
    expect((await store.stats()).byStatus.handled).toBe(2 * publishers);
  });

  it('gives its handlers messages in the order of the publishes, those of the store among them', async () => {
    const store = closing(await openLmdbStore({ folder: await newFolder(), batchMax: 3 }));
    const bus = closing(await MessageBus.connect({ store }));
    const seen: unknown[] = [];
    await bus.subscribe('order', ({ payload }) => seen.push(payload));
    const numbers = Array.from({ length: 100 }, (_, number) => number);
    await Promise.all(numbers.map((number) => bus.publish('order', number, { confirm: 'handled' })));
    expect(seen).toEqual(numbers);
    const stored: unknown[] = [];
    for await (const { payload } of store.range({ topic: 'order' })) stored.push(payload);
    expect(stored).toEqual(numbers);
  });

  it('rejects a publish that cannot be stored, and nobody gets it', async () => {
    const store = memoryStore({ payloadBytesMax: 10 });
    const bus = closing(await MessageBus.connect({ store, log: false }));
    const seen: unknown[] = [];
    await bus.subscribe('some', ({ payload }) => seen.push(payload));
    await expect(bus.publish('some', new Date())).rejects.toMatchObject({
      code: 'ERR_PAYLOAD_UNSERIALIZABLE',
    });
    await expect(bus.publish('some', 'x'.repeat(20))).rejects.toMatchObject({
      code: 'ERR_PAYLOAD_TOO_LARGE',
    });
    await bus.publish('some', 'fits', { confirm: 'handled' });
    await store.close();
    await expect(bus.publish('some', 'late')).rejects.toMatchObject({ code: 'ERR_STORE_CLOSED' });
    expect(seen).toEqual(['fits']);
  });

  it('lets the oldest fall off at messagesMax, and tells how many had not been handled', async () => {
    const told: Trimmed[] = [];
    const options = { messagesMax: 3, onTrimmed: (trimmed: Trimmed) => told.push(trimmed) };
    const store = closing(await openLmdbStore({ ...options, folder: await newFolder() }));
    const bus = closing(await MessageBus.connect({ store }));
    for (let number = 1; number <= 5; number++) await bus.publish('nobody.listens', number);
    const kept: unknown[] = [];
    expect(await bus.replay('#', ({ payload }) => kept.push(payload))).toBe(3);
    expect(kept).toEqual([3, 4, 5]);
    expect(told).toEqual([
      { messages: 1, unfinished: 1 },
      { messages: 1, unfinished: 1 },
    ]);
    expect((await bus.stats()).store?.trimmed).toEqual({ messages: 2, unfinished: 2 });
  });

  it.each<[MessageStatus, (bus: MessageBus) => Promise<unknown>]>([
    ['pending', (bus) => bus.publish('nobody.listens', 1)],
    ['handled', (bus) => bus.publish('fine', 1, { confirm: 'handled' })],
    ['dead', (bus) => bus.publish('broken', 1, { confirm: 'handled' })],
    ['expired', (bus) => bus.publish('slow', 1, { ttlMs: 1 })],
  ])('marks a message %s when that is what became of it', async (status, publish) => {
    const store: MessageStore = memoryStore();
    const bus = await MessageBus.connect({ store, log: false });
    let finish = (): void => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    await bus.subscribe('fine', () => {});
    await bus.subscribe('broken', () => {
      throw new Error('broken');
    });
    await bus.subscribe('slow', () => finished);
    const first = status === 'expired' ? bus.publish('slow', 0) : undefined;
    await first;
    const { id } = (await publish(bus)) as { readonly id: string }; // a receipt
    // Its time goes by while the one before it is handled.
    if (status === 'expired') await new Promise((resolve) => setTimeout(resolve, 5));
    finish();
    await bus.close();
    const stored = await store.get(id);
    expect(stored?.status).toBe(status);
    expect(stored?.lastError === undefined).toBe(status === 'pending' || status === 'handled');
  });
});
