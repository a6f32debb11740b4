/** The model of what nodes cost, counted on real servers with ten nodes. */

import { readFileSync } from 'node:fs';
import { connect as connectAmqp } from 'amqplib';
import { Redis } from 'ioredis';
import { Kafka, logLevel } from 'kafkajs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { kafka } from '../../adapters/kafka/index.ts';
import { rabbitmq } from '../../adapters/rabbitmq/index.ts';
import { redis } from '../../adapters/redis/index.ts';
import { createSystem, type System } from '../../src/index.ts';
import type { Broker } from '../../src/protocol/broker.ts';
import { nodeCost } from '../bench/node-costs.ts';
import { startKafka } from '../support/servers/kafka.ts';
import { startRabbitmq } from '../support/servers/rabbitmq.ts';
import { startRedis } from '../support/servers/redis.ts';
import { useServer } from '../support/servers/use-server.ts';

const NODES = 10;
const PREFIX = 'costs';
const TEST_MS = 240_000;
const SOON = { timeout: 60_000, interval: 20 };
/** A busy machine looks less often than it should, and never more often. */
const SLOWEST = 0.5;
/** The clock of the test is not that of the timers. */
const FASTEST = 1.1;

const found = { redis: useServer('redis'), rabbitmq: useServer('rabbitmq'), kafka: useServer('kafka') };

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
}, TEST_MS);

/** Systems that only stand there, and their brokers. */
async function startAll(make: () => Broker): Promise<readonly { system: System; broker: Broker }[]> {
  const nodes: { system: System; broker: Broker }[] = [];
  for (let at = 0; at < NODES; at++) {
    const broker = make();
    const system = await createSystem({ name: 'costs', node: `n${at}`, broker, log: () => undefined });
    closing.push(() => system.shutdown());
    nodes.push({ system, broker });
  }
  await vi.waitFor(() => expect(nodes.every(({ system }) => system.nodes.length === NODES)).toBe(true), SOON);
  return nodes;
}

function expectRate(counted: number, elapsedMs: number, perSecond: number): void {
  const rate = (counted / elapsedMs) * 1_000;
  expect(rate).toBeLessThanOrEqual(FASTEST * perSecond);
  expect(rate).toBeGreaterThanOrEqual(SLOWEST * perSecond);
}

describe.skipIf(found.redis.isForeign)('nodes on a Redis', () => {
  it(
    'cost what the model says',
    async () => {
      const { command } = found.redis;
      const server = await startRedis(command === undefined ? {} : { command });
      closing.push(() => server.stop());
      const admin = new Redis(server.url);
      closing.push(() => admin.quit());
      const times = { heartbeatMs: 500, downAfterMs: 3_000 };
      const nodes = await startAll(() => redis(server.url, { prefix: PREFIX, ...times }));
      const cost = nodeCost('redis', NODES, times);

      const clients = String(await admin.client('LIST'))
        .trim()
        .split('\n');
      expect(clients).toHaveLength(cost.connections + 1);
      expect(await admin.keys(`{${PREFIX}}:in:*`)).toHaveLength(cost.queues);

      const calls = async (command_: string): Promise<number> => {
        const stats = await admin.info('commandstats');
        return Number(new RegExp(`cmdstat_${command_}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
      };
      // Of a sign of life: a row is written, the tables are read.
      const began = performance.now();
      const before = {
        signs: await calls('hset'),
        tables: await calls('hgetall'),
        reads: await calls('xreadgroup'),
      };
      await vi.waitFor(
        async () => expect(await calls('hset')).toBeGreaterThanOrEqual(before.signs + 20 * NODES),
        SOON,
      );
      const signs = (await calls('hset')) - before.signs;
      const tables = (await calls('hgetall')) - before.tables;
      const reads = (await calls('xreadgroup')) - before.reads;
      const elapsedMs = performance.now() - began;
      expectRate(signs, elapsedMs, cost.signsPerSecond);
      // One of nodes, which has a row of each, and one of groups, of which there is none.
      expect(Math.abs(tables - 2 * signs)).toBeLessThanOrEqual(2 * NODES);
      expect(await admin.hlen(`{${PREFIX}}:nodes`)).toBe(NODES);
      expectRate((tables / 2) * NODES, elapsedMs, cost.wordsPerSecond);
      expectRate(signs + reads, elapsedMs, cost.readsPerSecond);

      // One interest more on one node: each node reads all of them again at its next publish, and none before.
      for (const { broker } of nodes) await broker.listen('news.#');
      const publishAll = (): Promise<unknown> =>
        Promise.all(
          nodes.map(({ broker }) =>
            broker.publish([{ to: { kind: 'topic', topic: 'other' }, lane: 3, bytes: Uint8Array.of(1) }]),
          ),
        );
      await publishAll();
      const read = await calls('hkeys');
      await publishAll();
      expect(await calls('hkeys')).toBe(read);
      await nodes[0]?.broker.listen('more.#');
      await publishAll();
      const interests = await admin.hlen(`{${PREFIX}}:interests`);
      expect(((await calls('hkeys')) - read) * interests).toBe(cost.wordsPerInterest);
    },
    TEST_MS,
  );
});

describe.skipIf(found.rabbitmq.isForeign)('nodes on a RabbitMQ', () => {
  it(
    'cost what the model says',
    async () => {
      const { command } = found.rabbitmq;
      const server = await startRabbitmq(command === undefined ? {} : { command });
      closing.push(() => server.stop());
      const times = { heartbeatMs: 1_000, downAfterMs: 3_000 };
      await startAll(() => rabbitmq(server.url, { prefix: PREFIX, ...times }));
      const cost = nodeCost('rabbitmq', NODES, times);

      const rows = async (...parameters: readonly string[]): Promise<readonly string[]> => {
        const text = await server.control('--quiet', '--no-table-headers', ...parameters);
        return text.split('\n').filter((line) => line !== '');
      };
      expect(await rows('list_connections', 'pid')).toHaveLength(cost.connections);
      expect(await rows('list_queues', 'name')).toHaveLength(cost.queues);

      // What all nodes are told.
      const model = await connectAmqp(server.url);
      closing.push(() => model.close());
      const channel = await model.createChannel();
      const { queue } = await channel.assertQueue('', { exclusive: true });
      await channel.bindQueue(queue, `${PREFIX}.m`, '');
      const heard: number[] = [];
      await channel.consume(queue, () => heard.push(performance.now()), { noAck: true });
      await vi.waitFor(() => expect(heard.length).toBeGreaterThanOrEqual(2 * NODES), SOON);
      const [first = 0] = heard;
      // Each probe is one word, each piece of news is one for every node. A round of news ends where the next one begins.
      const news = (cost.wordsPerSecond - cost.signsPerSecond) / (NODES - 1);
      expectRate(NODES, (heard[NODES] ?? 0) - first, news);
    },
    TEST_MS,
  );
});

/** Sockets that are open at a port of this machine, as its kernel has them. */
function socketsAt(port: number): number {
  const ending = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const established = '01';
  return ['tcp', 'tcp6']
    .flatMap((kind) => readFileSync(`/proc/net/${kind}`, 'utf8').split('\n'))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => state === established && local?.endsWith(ending) === true).length;
}

describe.skipIf(found.kafka.isForeign)('nodes on a Kafka', () => {
  it(
    'cost what the model says',
    async () => {
      const server = await startKafka();
      closing.push(() => server.stop());
      const times = { heartbeatMs: 1_000, downAfterMs: 6_000 };
      await startAll(() => kafka(server.url, { prefix: PREFIX, ...times }));
      const cost = nodeCost('kafka', NODES, times);
      if (process.platform === 'linux')
        await vi.waitFor(() => expect(socketsAt(server.port)).toBe(cost.connections), SOON);

      const address = server.url.replace('kafka://', '');
      const admin = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }).admin();
      await admin.connect();
      closing.push(() => admin.disconnect());
      const names = (await admin.listTopics()).filter((name) => name.startsWith(`${PREFIX}.`));
      const { topics } = await admin.fetchTopicMetadata({ topics: names });
      expect(topics.reduce((sum, { partitions }) => sum + partitions.length, 0)).toBe(cost.queues);

      // Each node reads every word of the log.
      const words = async (): Promise<number> =>
        Number((await admin.fetchTopicOffsets(`${PREFIX}.members`))[0]?.high);
      const before = await words();
      const began = performance.now();
      await vi.waitFor(async () => expect(await words()).toBeGreaterThanOrEqual(before + 10 * NODES), SOON);
      expectRate((await words()) - before, performance.now() - began, cost.wordsPerSecond / NODES);
    },
    TEST_MS,
  );
});
