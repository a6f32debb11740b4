/** Redis over TLS, with as few permissions as there may be, and without its secrets in anything that can be read. */

import { readFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type RedisTls, redis } from '../../adapters/redis/index.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import type { Broker, BrokerStateChange, Delivery } from '../../src/protocol/broker.ts';
import { LANE_WINDOWS } from '../../src/protocol/limits.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { startRedis } from '../support/servers/redis.ts';
import { freePorts, type TestServer } from '../support/servers/server.ts';
import { useServer } from '../support/servers/use-server.ts';
import { temporaryFolders } from '../support/temporary-folder.ts';

const usable = useServer('redis');
const newFolder = temporaryFolders();
const SECRET = 'not-to-be-seen-0815';
const OPTIONS = { prefix: 'safe', connectTimeoutMs: 2_000, publishTimeoutMs: 2_000, openAttemptsMax: 2 };

describe.skipIf(usable.isForeign)('redis security', () => {
  let certificates: Certificates;
  let server: TestServer;
  let admin: Redis;
  let tlsPort = 0;
  let lives = 0;
  const brokers: Broker[] = [];

  beforeAll(async () => {
    certificates = await makeCertificates(await newFolder());
    [tlsPort = 0] = await freePorts(1);
    server = await startRedis({
      ...(usable.command === undefined ? {} : { command: usable.command }),
      settings: {
        'tls-port': String(tlsPort),
        'tls-cert-file': certificates.server.certFile,
        'tls-key-file': certificates.server.keyFile,
        'tls-ca-cert-file': certificates.authority.certFile,
        'tls-auth-clients': 'yes',
      },
    });
    admin = new Redis(server.url, { protocol: 2 });
  }, 60_000);
  afterEach(async () => {
    for (const broker of brokers.splice(0)) await broker.close();
  });
  afterAll(async () => {
    admin.disconnect();
    await server.stop();
  });

  function connect(url: string, tls?: RedisTls): Broker {
    const broker = redis(url, tls === undefined ? OPTIONS : { ...OPTIONS, tls });
    brokers.push(broker);
    return broker;
  }

  function open(broker: Broker, name: string): Promise<void> {
    return broker.open({ name, incarnation: `life${++lives}` }, systemHost);
  }

  /** Sends a frame to a node itself, by name, by a topic and in a group, and waits for the three. */
  async function smoke(broker: Broker): Promise<void> {
    await open(broker, 'smoke');
    const inbox: Delivery[] = [];
    const group: Delivery[] = [];
    let done: () => void = () => undefined;
    const all = new Promise<void>((resolve) => {
      done = resolve;
    });
    const into = (got: Delivery[]) => (deliveries: readonly Delivery[]) => {
      got.push(...deliveries);
      if (inbox.length === 2 && group.length === 1) done();
    };
    await broker.listen('news.*');
    const windows = LANE_WINDOWS;
    const own = await broker.consume({ kind: 'inbox' }, { windows, receive: into(inbox) });
    const source = { kind: 'group', group: 'workers', pattern: 'news.#' } as const;
    const shared = await broker.consume(source, { windows, receive: into(group) });
    const bytes = new Uint8Array([1, 2, 3]);
    expect(
      await broker.publish([
        { to: { kind: 'node', node: 'smoke' }, lane: 0, bytes },
        { to: { kind: 'topic', topic: 'news.today' }, lane: 3, bytes },
      ]),
    ).toEqual(['ok', 'ok']);
    await all;
    for (const { bytes: arrived } of [...inbox, ...group]) expect(Buffer.compare(arrived, bytes)).toBe(0);
    const [first, second] = inbox;
    if (first === undefined || second === undefined) throw new Error('Two frames were expected.');
    await own.deadLetter(first, { reason: 'test' });
    own.acknowledge([second]);
    shared.release(group);
    await shared.stop();
    expect(await broker.backlog({ kind: 'inbox' })).toEqual([0, 0, 0, 0, 0, 0]);
    await broker.unlisten('news.*');
    await smokeShard(broker);
    await broker.close();
  }

  /** Says something of itself, claims a shard, reads a frame of it by its right, and gives it back. */
  async function smokeShard(broker: Broker): Promise<void> {
    await broker.members?.describe('smokes');
    expect(broker.members?.view()).toMatchObject([{ name: 'smoke', about: 'smokes' }]);
    const shard = { group: 'accounts', shard: 0, shards: 2 } as const;
    let granted: () => void = () => undefined;
    const owned = new Promise<void>((resolve) => {
      granted = resolve;
    });
    const owner = { granted: () => granted(), lost: () => undefined };
    const claim = await broker.shards?.claim(shard, owner);
    await owned;
    const got: Delivery[] = [];
    let done: () => void = () => undefined;
    const both = new Promise<void>((resolve) => {
      done = resolve;
    });
    const receive = (deliveries: readonly Delivery[]): void => {
      got.push(...deliveries);
      if (got.length === 2) done();
    };
    const reading = await broker.consume({ kind: 'shard', ...shard }, { windows: LANE_WINDOWS, receive });
    const frame = { to: { kind: 'shard', ...shard }, lane: 3, bytes: new Uint8Array([1]) } as const;
    expect(await broker.publish([frame, frame])).toEqual(['ok', 'ok']);
    await both;
    const [first, second] = got;
    if (first === undefined || second === undefined) throw new Error('Two frames were expected.');
    reading.acknowledge([first]);
    await reading.deadLetter(second, { reason: 'test' });
    expect(await broker.backlog({ kind: 'shard', ...shard })).toEqual([0, 0, 0, 0, 0, 0]);
    await claim?.release();
  }

  it('works over TLS with an authority, a certificate of its own and the name of the server', async () => {
    const { authority, client } = certificates;
    const tls = { ca: authority.cert, cert: client.cert, key: client.key, servername: 'localhost' };
    await smoke(connect(`rediss://127.0.0.1:${tlsPort}`, tls));
  });

  it.each([
    ['a server whose authority it does not know', () => ({ ca: certificates.stranger.cert })],
    ['a server with another name', () => ({ ca: certificates.authority.cert, servername: 'elsewhere' })],
  ])('refuses %s at once', async (_, tlsOf) => {
    const { client } = certificates;
    const tls = { servername: 'localhost', cert: client.cert, key: client.key, ...tlsOf() };
    const broker = connect(`rediss://:${SECRET}@127.0.0.1:${tlsPort}`, tls);
    const refusal: unknown = await open(broker, 'nobody').catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: 'ERR_BROKER_DENIED' });
    expect(inspect([refusal, broker], { depth: 9, showHidden: true })).not.toContain(SECRET);
  });

  it('is refused at once by a server that asks for a certificate which it has not', async () => {
    const tls = { ca: certificates.authority.cert, servername: 'localhost' };
    await expect(open(connect(`rediss://127.0.0.1:${tlsPort}`, tls), 'nobody')).rejects.toMatchObject({
      code: 'ERR_BROKER_DENIED',
    });
  });

  it('does all it does with the permissions that the documentation grants', async () => {
    const page = await readFile(new URL('../../docs/brokers.md', import.meta.url), 'utf8');
    const [, rule = ''] = /^ACL SETUSER (troupe .*?[^\\])$/ms.exec(page) ?? [];
    const [user = '', ...rights] = rule.replaceAll('\\\n', ' ').split(/\s+/);
    expect(rights.length).toBeGreaterThan(10);
    await admin.acl(
      'SETUSER',
      user,
      ...rights.map((right) => (right.startsWith('>') ? `>${SECRET}` : right.replace('{troupe}', '{safe}'))),
    );
    await smoke(connect(`redis://troupe:${SECRET}@127.0.0.1:${server.port}`));
    // It had no more than that: other keys are not its own.
    const stranger = redis(`redis://troupe:${SECRET}@127.0.0.1:${server.port}`, {
      ...OPTIONS,
      prefix: 'other',
    });
    await expect(open(stranger, 'nobody')).rejects.toMatchObject({ code: 'ERR_BROKER_DENIED' });
    await stranger.close();
    expect(await admin.call('ACL', 'LOG')).toSatisfy(
      // It asks for two settings, which it may not know and need not.
      (log: unknown[]) => log.every((entry) => /config|\{other\}/.test(inspect(entry))),
    );
  });

  it('shows no password when it is shown, denied, cut off or refused later', async () => {
    await admin.acl('SETUSER', 'short', 'ON', '~*', '&*', '+@all', `>${SECRET}`);
    const broker = connect(`redis://short:${SECRET}@127.0.0.1:${server.port}`);
    const changes: BrokerStateChange[] = [];
    broker.onState((change) => changes.push(change));
    await open(broker, 'short');
    expect(broker.url).toBe(`redis://127.0.0.1:${server.port}`);
    const denied = new Promise<void>((resolve) => {
      broker.onState(({ cause }) => {
        if ((cause as { code?: string } | undefined)?.code === 'ERR_BROKER_DENIED') resolve();
      });
    });
    await admin.acl('DELUSER', 'short'); // which ends its connections
    await denied;
    expect(changes.map(({ state }) => state)).toEqual(['up', 'down', 'down']);
    expect(inspect([broker, changes], { depth: 9, showHidden: true })).not.toContain(SECRET);
  });
});
