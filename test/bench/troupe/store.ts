/**
 * A durable store under load, in a folder that it makes and removes. The first argument says which scene:
 *
 * - `append`: windows of 1,000 raw appends, each window awaited;
 * - `publish`: the same with awaited publishes of a bus to one subscriber, whose statuses are kept too;
 * - `open`: 100,000 messages are stored, the store is closed, and opened in the time that is measured;
 * - `replay`: a bus replays those 100,000 to a handler.
 *
 * The second is how many messages, the third the folder in which a folder is made. Prints counts and times in JSON.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openLmdbStore } from '../../../adapters/store/index.ts';
import { MessageBus } from '../../../runtime/bus/bus.ts';
import type { MessageStore } from '../../../src/protocol/store.ts';
import type { StoreResult, StoreScene } from '../store.ts';

const WINDOW = 1_000;
const WARM_UP_WINDOWS = 20;
const PAYLOAD = { text: 'x'.repeat(240) };

const [scene, count, parent = ''] = process.argv.slice(2);
const messages = Number(count);
const folder = await mkdtemp(join(parent, 'troupe-store-'));
const openOne = (): Promise<MessageStore> => openLmdbStore({ folder, messagesMax: Number.POSITIVE_INFINITY });

let ids = 0;
const append = (store: MessageStore): Promise<unknown> =>
  store.append({
    id: `bench-${++ids}`,
    topic: `bench.topic-${ids % 10}`,
    payload: PAYLOAD,
    priority: 'normal',
    headers: {},
    publishedAtMs: ids,
  });

/** Calls in windows; answers the milliseconds, and those of the processors. */
async function inWindows(
  total: number,
  call: () => Promise<unknown>,
): Promise<{ readonly elapsedMs: number; readonly processorMs: number }> {
  const startMs = performance.now();
  const before = process.cpuUsage();
  for (let done = 0; done < total; done += WINDOW) {
    const window: Promise<unknown>[] = [];
    for (let index = 0; index < WINDOW; index++) window.push(call());
    await Promise.all(window);
  }
  const { user, system } = process.cpuUsage(before);
  return { elapsedMs: performance.now() - startMs, processorMs: (user + system) / 1_000 };
}

async function measure(): Promise<StoreResult> {
  switch (scene as StoreScene) {
    case 'append':
      return measureAppends();
    case 'publish':
      return measurePublishes();
    case 'open':
      return measureOpening();
    case 'replay':
      return measureReplay();
  }
}

async function measureAppends(): Promise<StoreResult> {
  const store = await openOne();
  await inWindows(WARM_UP_WINDOWS * WINDOW, () => append(store));
  const times = await inWindows(messages, () => append(store));
  const stored = (await store.stats()).messages - WARM_UP_WINDOWS * WINDOW;
  await store.close();
  return { sent: messages, stored, handled: stored, ...times };
}

async function measurePublishes(): Promise<StoreResult> {
  const store = await openOne();
  const bus = await MessageBus.connect({ store, capacity: WINDOW });
  let handled = 0;
  await bus.subscribe('bench.topic', () => {
    handled++;
  });
  const publish = (): Promise<unknown> => bus.publish('bench.topic', PAYLOAD);
  await inWindows(WARM_UP_WINDOWS * WINDOW, publish);
  const times = await inWindows(messages, publish);
  await bus.close();
  const { byStatus } = await store.stats();
  await store.close();
  const warmUp = WARM_UP_WINDOWS * WINDOW;
  return { sent: messages, stored: byStatus.handled - warmUp, handled: handled - warmUp, ...times };
}

async function fill(): Promise<void> {
  const store = await openOne();
  await inWindows(messages, () => append(store));
  await store.close();
}

async function measureOpening(): Promise<StoreResult> {
  await fill();
  const startMs = performance.now();
  const store = await openOne();
  const elapsedMs = performance.now() - startMs;
  const { messages: stored } = await store.stats();
  await store.close();
  return { sent: messages, stored, handled: stored, elapsedMs };
}

async function measureReplay(): Promise<StoreResult> {
  await fill();
  const store = await openOne();
  const bus = await MessageBus.connect({ store });
  let handled = 0;
  const startMs = performance.now();
  const stored = await bus.replay('#', () => {
    handled++;
  });
  const elapsedMs = performance.now() - startMs;
  await bus.close();
  await store.close();
  return { sent: messages, stored, handled, elapsedMs };
}

try {
  process.stdout.write(JSON.stringify(await measure()));
} finally {
  await rm(folder, { recursive: true, force: true });
}
