/** Kafka while its controller counts its server as gone, as it does after a late heartbeat on a busy machine. */

import { inspect } from 'node:util';
import { Kafka, logLevel } from 'kafkajs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type KafkaOptions, kafka } from '../../adapters/kafka/index.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import type { Broker } from '../../src/protocol/broker.ts';
import { startKafka } from '../support/servers/kafka.ts';
import type { TestServer } from '../support/servers/server.ts';
import { useServer } from '../support/servers/use-server.ts';

const usable = useServer('kafka');
const START_MS = 180_000;
const CASE_MS = 60_000;
/** Its session ends after a second, so it counts as gone for three of four. */
const HEARTBEAT_MS = 4_000;

describe.skipIf(usable.isForeign)('a Kafka whose server counts as gone', () => {
  let server: TestServer;
  let lives = 0;
  const brokers: Broker[] = [];

  beforeAll(async () => {
    server = await startKafka({
      ...(usable.command === undefined ? {} : { command: usable.command }),
      settings: { 'broker.heartbeat.interval.ms': String(HEARTBEAT_MS) },
    });
  }, START_MS);
  afterEach(async () => {
    for (const broker of brokers.splice(0)) await broker.close();
  });
  afterAll(() => server.stop(), START_MS);

  function open(options: KafkaOptions): Promise<void> {
    const broker = kafka(server.url, options);
    brokers.push(broker);
    return broker.open({ name: 'a', incarnation: `life${++lives}` }, systemHost);
  }

  /** Waits until it makes no topics. */
  async function refusesTopics(): Promise<void> {
    const client = new Kafka({ brokers: [`127.0.0.1:${server.port}`], logLevel: logLevel.NOTHING });
    const admin = client.admin({ retry: { retries: 0 } });
    await admin.connect();
    try {
      for (let n = 0; ; n++) {
        const made = admin.createTopics({ topics: [{ topic: `probe-${n}` }], waitForLeaders: false });
        const refused = await made.then(
          () => false,
          (error: unknown) => inspect(error).includes('INVALID_REPLICATION_FACTOR'),
        );
        if (refused) return;
      }
    } finally {
      await admin.disconnect();
    }
  }

  it(
    'is waited for',
    async () => {
      await refusesTopics();
      await open({ prefix: 'waits' });
    },
    CASE_MS,
  );

  it(
    'is given up with a reason when more copies are asked for than there are servers',
    async () => {
      const opening = open({
        prefix: 'three',
        replicationFactor: 3,
        connectTimeoutMs: 1_500,
        openAttemptsMax: 1,
      });
      await expect(opening).rejects.toMatchObject({
        code: 'ERR_BROKER_UNAVAILABLE',
        message: expect.stringContaining(
          'no connection within 1500 ms: fewer servers are up than replicationFactor',
        ),
      });
    },
    CASE_MS,
  );
});
