/** The limit on Redis: ioredis and nothing else. Streams, written and acknowledged in pipelines, with answers in a stream of their own. */

import { Redis } from 'ioredis';
import { type Carrier, runPair } from '../pair.ts';

const PIPELINE = 100;
const COUNT = 500;
const GROUP = 'readers';
/** Replies as lists, whatever the version of the client makes of them otherwise. */
const PLAIN = { protocol: 2, lazyConnect: false } as const;

type Entries = readonly (readonly [string, readonly string[]])[];

/** Adds to a stream: what is added in one go is one pipeline. */
function writerOf(redis: Redis): (key: string, text: string) => Promise<void> {
  let waiting: { readonly key: string; readonly text: string; readonly done: () => void }[] = [];
  const add = async (some: typeof waiting): Promise<void> => {
    const pipeline = redis.pipeline();
    for (const { key, text } of some) pipeline.xadd(key, '*', 'b', text);
    const answers = (await pipeline.exec()) ?? [];
    // One that failed stays open, and the run ends as one that lost a message.
    for (const [place, { done }] of some.entries()) if (answers[place]?.[0] === null) done();
  };
  const flush = (): void => {
    const some = waiting;
    waiting = [];
    if (some.length > 0) void add(some); // an answer says what failed; it never rejects
  };
  return (key, text) =>
    new Promise((done) => {
      waiting.push({ key, text, done });
      if (waiting.length === PIPELINE) flush();
      else if (waiting.length === 1) queueMicrotask(flush);
    });
}

/** Reads a stream as a consumer group, until the connection is closed. */
async function read(url: string, key: string, take: (text: string) => Promise<void> | void): Promise<Redis> {
  const settle = new Redis(url, PLAIN);
  const redis = new Redis(url, PLAIN);
  await settle.xgroup('CREATE', key, GROUP, '0', 'MKSTREAM');
  const loop = async (): Promise<void> => {
    for (;;) {
      const words = ['GROUP', GROUP, 'me', 'COUNT', COUNT, 'BLOCK', 1_000, 'STREAMS', key, '>'];
      const reply = await redis.call('XREADGROUP', words);
      const entries = (reply as readonly (readonly [string, Entries])[] | null)?.[0]?.[1] ?? []; // as Redis documents it
      for (const [, [, text = '']] of entries) await take(text);
      const ids = entries.map(([id]) => id);
      if (ids.length > 0)
        void settle
          .pipeline()
          .xack(key, GROUP, ...ids)
          .xdel(key, ...ids)
          .exec();
    }
  };
  void loop().catch(() => undefined); // it ends with its connection
  return redis;
}

const carrier: Carrier = {
  consume: async ({ url, key }, handle) => {
    const writer = new Redis(url, PLAIN);
    const add = writerOf(writer);
    await read(url, `${key}:work`, handle);
    await read(url, `${key}:echo`, (text) => add(`${key}:answers`, text));
    return () => Promise.resolve();
  },
  produce: async ({ url, key }) => {
    const redis = new Redis(url, PLAIN);
    const add = writerOf(redis);
    let answered: () => void = () => undefined;
    await read(url, `${key}:answers`, () => answered());
    return {
      // There is one stream: what is urgent waits in it like everything else.
      publish: (text) => add(`${key}:work`, text),
      ask: (text) =>
        new Promise<void>((resolve) => {
          answered = resolve;
          void add(`${key}:echo`, text);
        }),
      close: async () => {
        await redis.del(`${key}:work`, `${key}:echo`, `${key}:answers`);
      },
    };
  },
};

await runPair(carrier, import.meta.url);
