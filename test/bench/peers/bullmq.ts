/** BullMQ: jobs are added in bulk, a worker takes many at once, and an answer is the end of a job. */

import { type Carrier, runPair, type Scene } from '../pair.ts';
import { peer } from '../peer.ts';

interface Queue {
  add(name: string, data: unknown, options?: object): Promise<Job>;
  addBulk(jobs: readonly object[]): Promise<unknown>;
  obliterate(options: object): Promise<void>;
  close(): Promise<void>;
}
interface Job {
  waitUntilFinished(events: object): Promise<unknown>;
}
interface BullMq {
  readonly Queue: new (name: string, options: object) => Queue;
  readonly Worker: new (
    name: string,
    work: (job: { readonly data: string }) => Promise<unknown>,
    options: object,
  ) => { waitUntilReady(): Promise<unknown>; close(): Promise<void> };
  readonly QueueEvents: new (
    name: string,
    options: object,
  ) => { waitUntilReady(): Promise<unknown>; close(): Promise<void> };
}

const BULK = 100;
/** Answers that stay for a while: whoever waits for one looks for its job. */
const KEPT = 1_000;
const USUAL = 10;
const URGENT = 1;

function connectionOf({ url }: Scene): object {
  const { hostname: host, port } = new URL(url);
  return { connection: { host, port: Number(port), maxRetriesPerRequest: null } };
}

const carrier: Carrier = {
  consume: async (scene, handle) => {
    const { Worker } = await peer<BullMq>('bullmq');
    // A backlog is worked off one by one, as by the others.
    const concurrency = scene.name === 'critical' ? 1 : 100;
    const options = { ...connectionOf(scene), concurrency };
    const workers = [
      new Worker(`${scene.key}-work`, async ({ data }) => handle(data), options),
      new Worker(`${scene.key}-echo`, async ({ data }) => data, options),
    ];
    await Promise.all(workers.map((worker) => worker.waitUntilReady()));
    return async () => {
      await Promise.all(workers.map((worker) => worker.close()));
    };
  },
  produce: async (scene) => {
    const { Queue, QueueEvents } = await peer<BullMq>('bullmq');
    const options = connectionOf(scene);
    const work = new Queue(`${scene.key}-work`, options);
    const echo = new Queue(`${scene.key}-echo`, options);
    const events = new QueueEvents(`${scene.key}-echo`, options);
    await events.waitUntilReady();
    const isRanked = scene.name === 'critical';
    let waiting: {
      readonly job: object;
      readonly done: () => void;
      readonly fail: (error: unknown) => void;
    }[] = [];
    const add = async (some: typeof waiting): Promise<void> => {
      try {
        await work.addBulk(some.map(({ job }) => job));
        for (const { done } of some) done();
      } catch (error) {
        for (const { fail } of some) fail(error);
      }
    };
    const flush = (): void => {
      const some = waiting;
      waiting = [];
      if (some.length > 0) void add(some); // it tells those who wait, and never rejects
    };
    return {
      publish: (text, isUrgent) =>
        new Promise<void>((done, fail) => {
          const opts = {
            removeOnComplete: true,
            ...(isRanked ? { priority: isUrgent ? URGENT : USUAL } : {}),
          };
          waiting.push({ job: { name: 'work', data: text, opts }, done, fail });
          if (waiting.length === BULK) flush();
          else if (waiting.length === 1) queueMicrotask(flush);
        }),
      ask: async (text) =>
        (await echo.add('echo', text, { removeOnComplete: KEPT })).waitUntilFinished(events),
      close: async () => {
        await Promise.all([work, echo].map((queue) => queue.obliterate({ force: true })));
        await Promise.all([work.close(), echo.close(), events.close()]);
      },
    };
  },
};

await runPair(carrier, import.meta.url);
