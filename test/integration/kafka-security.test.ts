/** Kafka over TLS, and with as few permissions as there may be: those of docs/brokers.md and docs/operations.md. */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  Kafka,
  logLevel,
  ResourcePatternTypes,
} from 'kafkajs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type KafkaOptions, kafka } from '../../adapters/kafka/index.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import type { Broker, Delivery } from '../../src/protocol/broker.ts';
import { LANE_WINDOWS } from '../../src/protocol/limits.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { startKafka } from '../support/servers/kafka.ts';
import { freePorts, type TestServer } from '../support/servers/server.ts';
import { useServer } from '../support/servers/use-server.ts';
import { temporaryFolders } from '../support/temporary-folder.ts';

const usable = useServer('kafka');
const newFolder = temporaryFolders();
const START_MS = 180_000;
const SOON = { timeout: 20_000, interval: 20 };
const USER = { name: 'ann', password: 'not-to-be-seen-0815' };
const OPTIONS = { connectTimeoutMs: 3_000, openAttemptsMax: 2, slots: 2 };

describe.skipIf(usable.isForeign)('Kafka security', () => {
  let certificates: Certificates;
  let server: TestServer;
  let tlsUrl = '';
  let userUrl = '';
  let lives = 0;
  const brokers: Broker[] = [];

  beforeAll(async () => {
    const folder = await newFolder();
    certificates = await makeCertificates(folder);
    const keyAndCertFile = join(folder, 'server-both.pem');
    await writeFile(keyAndCertFile, certificates.server.key + certificates.server.cert, { mode: 0o600 });
    const [tlsPort = 0, userPort = 0] = await freePorts(2);
    tlsUrl = `kafkas://127.0.0.1:${tlsPort}`;
    userUrl = `kafka://${USER.name}:${USER.password}@127.0.0.1:${userPort}`;
    const authorityFile = certificates.authority.certFile;
    server = await startKafka({
      ...(usable.command === undefined ? {} : { command: usable.command }),
      listeners: [
        { port: tlsPort, advertisedPort: tlsPort, tls: { keyAndCertFile, authorityFile } },
        { port: userPort, advertisedPort: userPort, wantsUser: true },
      ],
      user: USER,
      settings: {
        'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        // The server's own listener, and whoever shows a certificate of the authority.
        'super.users': 'User:ANONYMOUS;User:CN=client',
      },
    });
  }, START_MS);
  afterEach(async () => {
    for (const broker of brokers.splice(0)) await broker.close();
  });
  afterAll(() => server.stop(), START_MS);

  function connect(url: string, options: KafkaOptions): Broker {
    const broker = kafka(url, { ...OPTIONS, ...options });
    brokers.push(broker);
    return broker;
  }

  const open = (broker: Broker, name: string): Promise<void> =>
    broker.open({ name, incarnation: `life${++lives}` }, systemHost);

  const refusal = async (tls: KafkaOptions['tls']): Promise<unknown> =>
    open(connect(tlsUrl, { prefix: 'tls', tls }), 'refused').catch((error: unknown) => error);

  it('works with an authority, a client certificate and a server name', async () => {
    const { cert: ca } = certificates.authority;
    const { cert, key } = certificates.client;
    const broker = connect(tlsUrl, { prefix: 'tls', tls: { ca, cert, key, servername: 'localhost' } });
    await open(broker, 'safe');
    const frame = { to: { kind: 'node', node: 'safe' }, lane: 3, bytes: Uint8Array.of(1) } as const;
    expect(await broker.publish([frame])).toEqual(['ok']);
    expect(broker.url).toBe(tlsUrl);
  });

  it('is refused, and refuses, without what belongs to it, and shows no key', async () => {
    const { cert: ca } = certificates.authority;
    const { cert, key } = certificates.client;
    const denied = { code: 'ERR_BROKER_DENIED' };
    const endings = [
      // The server's certificate is nobody's that Node knows.
      await refusal({ cert, key, servername: 'localhost' }),
      // It is for another name.
      await refusal({ ca, cert, key, servername: 'elsewhere' }),
      // The server asks for the client's.
      await refusal({ ca, servername: 'localhost' }),
      // An authority that it does not know has signed the client's.
      await refusal({
        ca,
        cert: certificates.stranger.cert,
        key: certificates.stranger.key,
        servername: 'localhost',
      }),
    ];
    for (const ending of endings) {
      expect(ending).toMatchObject(denied);
      expect(inspect(ending, { depth: 8 })).not.toContain('PRIVATE KEY');
    }
  });

  it('needs no more permissions than the documentation gives', async () => {
    for (const page of ['docs/brokers.md', 'docs/operations.md']) {
      const text = await readFile(page, 'utf8');
      expect(text).toMatch(
        /--topic \w+\. --operation Create --operation Describe --operation Read --operation Write --operation Delete/,
      );
      expect(text).toMatch(/--group \w+\. --operation Describe --operation Read --operation Delete/);
    }
    const { CREATE, DESCRIBE, READ, WRITE, DELETE } = AclOperationTypes;
    const rule = (resourceType: AclResourceTypes, operation: AclOperationTypes) => ({
      resourceType,
      resourceName: 'narrow.',
      resourcePatternType: ResourcePatternTypes.PREFIXED,
      principal: `User:${USER.name}`,
      host: '*',
      operation,
      permissionType: AclPermissionTypes.ALLOW,
    });
    const client = new Kafka({
      brokers: [new URL(server.url).host],
      logLevel: logLevel.NOTHING,
    });
    const admin = client.admin();
    await admin.connect();
    try {
      await admin.createAcls({
        acl: [
          ...[CREATE, DESCRIBE, READ, WRITE, DELETE].map((operation) =>
            rule(AclResourceTypes.TOPIC, operation),
          ),
          ...[DESCRIBE, READ, DELETE].map((operation) => rule(AclResourceTypes.GROUP, operation)),
        ],
      });
    } finally {
      await admin.disconnect();
    }
    const broker = connect(userUrl, { prefix: 'narrow' });
    await open(broker, 'ann');
    const got: string[] = [];
    const into =
      (name: string) =>
      (deliveries: readonly Delivery[]): void => {
        got.push(...deliveries.map(() => name));
      };
    await broker.listen('news.*');
    const windows = LANE_WINDOWS;
    const inbox = await broker.consume({ kind: 'inbox' }, { windows, receive: into('inbox') });
    const source = { kind: 'group', group: 'workers', pattern: 'news.#' } as const;
    const group = await broker.consume(source, { windows, receive: into('group') });
    const shard = { group: 'accounts', shard: 0, shards: 1 };
    let granted = 0;
    const claim = await broker.shards?.claim(shard, {
      granted: (epoch) => {
        granted = epoch;
      },
      lost: () => undefined,
    });
    await expect.poll(() => granted, SOON).toBeGreaterThan(0);
    const owned = await broker.consume({ kind: 'shard', ...shard }, { windows, receive: into('shard') });
    const bytes = Uint8Array.of(1);
    expect(
      await broker.publish([
        { to: { kind: 'node', node: 'ann' }, lane: 3, bytes },
        { to: { kind: 'topic', topic: 'news.today' }, lane: 3, bytes },
        { to: { kind: 'shard', ...shard }, lane: 3, bytes },
      ]),
    ).toEqual(['ok', 'ok', 'ok']);
    await expect.poll(() => got.toSorted(), SOON).toEqual(['group', 'inbox', 'inbox', 'shard']);
    for (const consumption of [owned, group, inbox]) await consumption.stop();
    await claim?.release();
    // Another prefix is not its own.
    const elsewhere = connect(userUrl, { prefix: 'other' });
    const error: unknown = await open(elsewhere, 'ann').catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'ERR_BROKER_DENIED' });
    expect(inspect(error, { depth: 8 })).not.toContain(USER.password);
  });
});
