/** The limit on Kafka: kafkajs and nothing else. What is sent in one go is one batch, and one batch is under way (acks from all replicas). */

import { Kafka, logLevel, type Producer } from 'kafkajs';
import { type Carrier, runPair, type Scene } from '../pair.ts';

const BATCH = 500;

function kafkaOf({ url }: Scene): Kafka {
  const { host } = new URL(url);
  return new Kafka({ brokers: [host], logLevel: logLevel.NOTHING });
}

/** Sends in batches; resolves when the broker has it. */
function senderOf(producer: Producer): (topic: string, text: string) => Promise<void> {
  const waiting = new Map<string, { readonly text: string; readonly done: () => void }[]>();
  const busy = new Set<string>();
  const pump = async (topic: string): Promise<void> => {
    for (let all = waiting.get(topic) ?? []; all.length > 0; all = waiting.get(topic) ?? []) {
      const some = all.splice(0, BATCH);
      await producer.send({ topic, acks: -1, messages: some.map(({ text }) => ({ value: text })) });
      for (const { done } of some) done();
    }
    busy.delete(topic);
  };
  return (topic, text) =>
    new Promise((done, reject) => {
      const all = waiting.get(topic) ?? [];
      all.push({ text, done });
      waiting.set(topic, all);
      if (busy.has(topic)) return;
      busy.add(topic);
      queueMicrotask(() => void pump(topic).catch(reject));
    });
}

async function read(
  kafka: Kafka,
  topic: string,
  take: (text: string) => Promise<void> | void,
): Promise<() => Promise<void>> {
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: true });
  await admin.disconnect();
  const consumer = kafka.consumer({ groupId: `${topic}-readers`, maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const joined = new Promise<void>((resolve) => {
    consumer.on(consumer.events.GROUP_JOIN, () => resolve());
  });
  await consumer.run({
    eachBatch: async (given) => {
      for (const { offset, value } of given.batch.messages) {
        await take(value?.toString() ?? '');
        given.resolveOffset(offset);
      }
    },
  });
  await joined;
  return () => consumer.disconnect();
}

const carrier: Carrier = {
  consume: async (scene, handle) => {
    const kafka = kafkaOf(scene);
    const producer = kafka.producer();
    await producer.connect();
    const send = senderOf(producer);
    const closings = [
      await read(kafka, `${scene.key}-work`, handle),
      await read(kafka, `${scene.key}-echo`, (text) => send(`${scene.key}-answers`, text)),
    ];
    return async () => {
      await Promise.all([...closings.map((close) => close()), producer.disconnect()]);
    };
  },
  produce: async (scene) => {
    const kafka = kafkaOf(scene);
    const producer = kafka.producer();
    await producer.connect();
    const send = senderOf(producer);
    let answered: () => void = () => undefined;
    const close = await read(kafka, `${scene.key}-answers`, () => answered());
    return {
      publish: (text) => send(`${scene.key}-work`, text),
      ask: (text) =>
        new Promise<void>((resolve, reject) => {
          answered = resolve;
          send(`${scene.key}-echo`, text).catch(reject);
        }),
      close: async () => {
        await Promise.all([close(), producer.disconnect()]);
      },
    };
  },
};

await runPair(carrier, import.meta.url);
