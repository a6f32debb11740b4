import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { connect as connectAmqp } from 'amqplib';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type RabbitmqOptions, rabbitmq } from '../../adapters/rabbitmq/index.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import type {
  Broker,
  BrokerStateChange,
  Delivery,
  OutFrame,
  PerLane,
  Source,
} from '../../src/protocol/broker.ts';
import { makeCertificates } from '../support/certificates.ts';
import { type RabbitmqServer, startRabbitmq } from '../support/servers/rabbitmq.ts';
import { freePorts } from '../support/servers/server.ts';
import { useServer } from '../support/servers/use-server.ts';
import { temporaryFolders } from '../support/temporary-folder.ts';

const found = useServer('rabbitmq');
const folder = temporaryFolders();

const WINDOWS: PerLane = [8, 8, 8, 8, 8, 8];
const GROUP: Source = { kind: 'group', group: 'workers', pattern: 'work.#' };
const START_MS = 120_000;
// Each rabbitmqctl starts an Erlang of its own: seconds on a busy machine.
vi.setConfig({ testTimeout: 120_000 });
const SOON = { timeout: 20_000, interval: 10 };

let brokers: Broker[] = [];
let cases = 0;

afterEach(async () => {
  await Promise.all(brokers.map((broker) => broker.close()));
  brokers = [];
});

function node(name: string): { name: string; incarnation: string } {
  return { name, incarnation: `${name}1` };
}

function toNode(name: string, number: number): OutFrame {
  return { to: { kind: 'node', node: name }, lane: 3, bytes: Uint8Array.of(number >> 8, number) };
}

function toTopic(topic: string): OutFrame {
  return { to: { kind: 'topic', topic }, lane: 3, bytes: Uint8Array.of(1) };
}

function numberOf({ bytes: [high = 0, low = 0] }: Delivery): number {
  return (high << 8) | low;
}

describe.skipIf(found.isForeign)('RabbitMQ', () => {
  let server: RabbitmqServer;
  let prefix = '';
  beforeAll(async () => {
    server = await startRabbitmq(found.command === undefined ? {} : { command: found.command });
  }, START_MS);
  afterAll(() => server.stop(), START_MS);

  async function open(name: string, options: RabbitmqOptions = {}, url = server.url): Promise<Broker> {
    const broker = rabbitmq(url, { prefix, ...options });
    brokers.push(broker);
    await broker.open(node(name), systemHost);
    return broker;
  }

  /** A prefix of its own for each case. */
  const fresh = (): string => {
    prefix = `case-${++cases}`;
    return prefix;
  };

  async function queues(): Promise<string[]> {
    const names = await server.control('list_queues', '--no-table-headers', 'name');
    return names.split('\n').filter((name) => name.startsWith(`${prefix}.`));
  }

  it('54: lets its process end by itself after close, and leaves no connection', async () => {
    const program = fileURLToPath(new URL('../support/rabbitmq-program.ts', import.meta.url));
    const parameters = ['--import', 'tsx', program, server.url, fresh()];
    const { stdout } = await promisify(execFile)(process.execPath, parameters, { timeout: 25_000 });
    expect(stdout).toBe('ok\n');
    expect(await queues()).toEqual([`${prefix}.dl`]);
    await expect.poll(() => server.control('list_connections', '--no-table-headers', 'pid'), SOON).toBe('');
  });

  it('56: leaves no queue of a node behind, however many go at once', async () => {
    fresh();
    const opened = await Promise.all(Array.from({ length: 8 }, (_, place) => open(`leaves${place}`)));
    await Promise.all(opened.map((broker) => broker.close()));
    expect(await queues()).toEqual([`${prefix}.dl`]);
  });

  it.each([
    ['a short queue', 40],
    ['a long queue', 1_600],
  ])('takes nothing past a frame that is full, in %s that is being read', async (_, maxLength) => {
    fresh();
    const [from, to] = [await open('from', { maxLength }), await open('to', { maxLength })];
    const got: number[] = [];
    const wrong: string[] = [];
    /** Reads slowly, one by one: the queue stays full most of the time, and has room now and then. */
    const read = async (): Promise<void> => {
      const held: Delivery[] = [];
      const reading = await to.consume(
        { kind: 'inbox' },
        {
          windows: WINDOWS,
          receive: (deliveries) => {
            got.push(...deliveries.map(numberOf));
            held.push(...deliveries);
          },
        },
      );
      const settle = (): void => {
        const next = held.shift();
        if (next !== undefined) reading.acknowledge([next]);
        if (got.length < count || held.length > 0) setTimeout(settle, 1);
      };
      settle();
    };
    const count = maxLength + 1_000;
    let refusals = 0;
    for (let next = 0; next < count; ) {
      const frames = Array.from({ length: Math.min(400, count - next) }, (_f, at) => toNode('to', next + at));
      const results = await from.publish(frames);
      const taken = results.findIndex((result) => result !== 'ok');
      next += taken < 0 ? results.length : taken;
      if (taken < 0) continue;
      if (results.slice(taken).some((result) => result !== 'full')) wrong.push(results.join());
      refusals++;
      if (refusals === 1) await read();
    }
    expect(wrong).toEqual([]);
    expect(refusals).toBeGreaterThan(0);
    await expect.poll(() => got.length, SOON).toBe(count);
    expect(got).toEqual(Array.from({ length: count }, (_n, at) => at));
  });

  it('keeps a shard that is owned and not read for longer than expiresMs', async () => {
    fresh();
    const options = { expiresMs: 600 };
    const [first, second] = [await open('first', options), await open('second', options)];
    const shard = { group: 'g', shard: 1, shards: 2 };
    const told: (number | string)[] = [];
    const claims = await Promise.all(
      [first, second].map(async ({ shards }, at) =>
        shards?.claim(shard, { granted: (epoch) => told.push(epoch), lost: () => told.push(`lost ${at}`) }),
      ),
    );
    await expect.poll(() => told.length, SOON).toBe(1);
    const frame: OutFrame = { to: { kind: 'shard', ...shard }, lane: 3, bytes: Uint8Array.of(1) };
    expect(await first.publish([frame])).toEqual(['ok']);
    const token = async (): Promise<string | undefined> => {
      const lines = await server.control('list_queues', '--no-table-headers', 'name', 'messages');
      return lines.split('\n').find((line) => line.startsWith(`${prefix}.sh.g.1.token\t`));
    };
    // A queue that nobody reads would be gone after a third of this.
    const endMs = systemHost.clock.now() + 3 * options.expiresMs;
    await expect.poll(() => systemHost.clock.now() > endMs, SOON).toBe(true);
    await expect.poll(token, SOON).toBe(`${prefix}.sh.g.1.token\t1`);
    expect(await first.backlog({ kind: 'shard', ...shard })).toEqual([0, 0, 0, 1, 0, 0]);
    expect(told.length).toBe(1);
    for (const claim of claims) await claim?.release();
    const third = await second.shards?.claim(shard, {
      granted: (epoch) => told.push(epoch),
      lost: () => told.push('lost'),
    });
    await expect.poll(() => told.length, SOON).toBeGreaterThan(1);
    expect(told.every((epoch, at) => at === 0 || epoch > (told[at - 1] ?? 0))).toBe(true);
    await third?.release();
  });

  it('denies the topics that a user may not publish, one by one, and takes all else', async () => {
    fresh();
    await server.control('add_user', 'narrow', 'secret');
    await server.control('set_permissions', 'narrow', '.*', '.*', '.*');
    await server.control('set_topic_permissions', 'narrow', `${prefix}.t`, '^[0-5]\\.open\\.', '.*');
    const url = server.url.replace('guest:guest', 'narrow:secret');
    const broker = await open('narrow', {}, url);
    const changes: BrokerStateChange[] = [];
    broker.onState((change) => changes.push(change));
    expect(await broker.publish([toTopic('shut.1')])).toEqual(['denied']);
    await expect.poll(() => broker.publish([toTopic('open.1')]), SOON).toEqual(['ok']);

    // Several in flight: whose the refusal was is found out by publishing again.
    const left = new Map(
      ['open.2', 'shut.2', 'open.3', 'shut.3', 'open.4'].map((topic) => [topic, toTopic(topic)]),
    );
    const outcome = new Map<string, string>();
    while (left.size > 0) {
      await new Promise((resolve) => setImmediate(resolve));
      const results = await broker.publish([...left.values()]);
      for (const [at, topic] of [...left.keys()].entries()) {
        const result = results[at] ?? '';
        if (result === 'unknown' || result === 'unavailable') continue;
        outcome.set(topic, result);
        left.delete(topic);
      }
    }
    expect(Object.fromEntries(outcome)).toEqual({
      'open.2': 'ok',
      'open.3': 'ok',
      'open.4': 'ok',
      'shut.2': 'denied',
      'shut.3': 'denied',
    });
    expect(changes).toEqual([]);
  });

  it('needs no more permissions than the documentation gives', async () => {
    fresh();
    const own = `^${prefix}\\.`;
    await server.control('add_user', 'nodes', 'secret');
    await server.control('set_permissions', 'nodes', own, `^(${prefix}\\.|amq\\.default$)`, own);
    const url = server.url.replace('guest:guest', 'nodes:secret');
    const [from, to] = [await open('from', {}, url), await open('to', {}, url)];
    await to.listen('news.#');
    const got: string[] = [];
    const receive = (deliveries: readonly Delivery[]): void => {
      got.push(...deliveries.map(({ topic }) => topic ?? 'inbox'));
    };
    const reading = await to.consume(
      { kind: 'inbox' },
      {
        windows: WINDOWS,
        receive: (all) => {
          receive(all);
          for (const one of all) void reading.deadLetter(one, { reason: 'test' });
        },
      },
    );
    await to.consume(GROUP, { windows: WINDOWS, receive });
    expect(await from.publish([toNode('to', 1), toTopic('news.1'), toTopic('work.1')])).toEqual([
      'ok',
      'ok',
      'ok',
    ]);
    await expect.poll(() => got.toSorted(), SOON).toEqual(['inbox', 'news.1', 'work.1']);
    const left = (): Promise<string> =>
      server.control('list_queues', '--no-table-headers', 'name', 'messages');
    await expect.poll(left, SOON).toContain(`${prefix}.dl\t2`);
    await to.unlisten('news.#');
    // And nothing of another prefix.
    await expect(open('stranger', { prefix: 'other' }, url)).rejects.toMatchObject({
      code: 'ERR_BROKER_DENIED',
    });
  });

  it('counts the deliveries of frames that it was given before, in classic queues of groups', async () => {
    fresh();
    const [from, to] = [await open('from'), await open('to')];
    const counts: number[] = [];
    const reading = await to.consume(GROUP, {
      windows: WINDOWS,
      receive: (deliveries) => {
        counts.push(...deliveries.map((delivery) => delivery.deliveries));
        if (counts.length < 4) reading.release(deliveries);
        else reading.acknowledge(deliveries);
      },
    });
    await from.publish([toTopic('work.1')]);
    await expect.poll(() => counts, SOON).toEqual([1, 2, 3, 4]);
  });

  it('19: hears from quorum queues how often a frame was delivered to those that died of it', async () => {
    fresh();
    const options = { groupQueues: 'quorum' } as const;
    const from = await open('from', options);
    expect(from.capabilities).toMatchObject({ bound: 'approximate', deliveryCount: 'broker' });
    await open('first', options).then((first) =>
      first.consume(GROUP, { windows: WINDOWS, receive: () => undefined }),
    );
    await from.publish([toTopic('work.1')]);
    const counts: number[] = [];
    for (const life of [1, 2, 3]) {
      const dying = brokers.at(-1);
      const heir = await open(`heir-${life}`, options);
      await heir.consume(GROUP, {
        windows: WINDOWS,
        receive: (deliveries) => counts.push(...deliveries.map((delivery) => delivery.deliveries)),
      });
      // Its connection ends with the frame unsettled, as when it dies.
      await dying?.close();
      await expect.poll(() => counts.length, SOON).toBe(life);
    }
    expect(counts).toEqual([2, 3, 4]);
  });

  it('25: bounds quorum queues to a fifth above, when frames come in long calls', async () => {
    fresh();
    const options = { groupQueues: 'quorum', maxLength: 200 } as const;
    const [from, to] = [await open('from', options), await open('to', options)];
    const reading = await to.consume(GROUP, { windows: WINDOWS, receive: () => undefined });
    await reading.stop();
    const results = await from.publish(Array.from({ length: 600 }, () => toTopic('work.1')));
    const taken = results.filter((result) => result === 'ok').length;
    expect(taken).toBeGreaterThanOrEqual(200);
    expect(taken).toBeLessThanOrEqual(240);
  });

  it('never reads what it was refused to read in time, also when the server comes to it later', async () => {
    fresh();
    const [from, to] = [await open('from'), await open('to', { connectTimeoutMs: 400 })];
    const late: Delivery[] = [];
    await server.pause();
    try {
      const reading = to.consume(GROUP, { windows: WINDOWS, receive: (all) => late.push(...all) });
      await expect(reading).rejects.toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
    } finally {
      server.resume();
    }
    const got: Delivery[] = [];
    await from.consume(GROUP, { windows: WINDOWS, receive: (all) => got.push(...all) });
    const frames = Array.from({ length: 8 }, () => toTopic('work.1'));
    expect(new Set(await from.publish(frames))).toEqual(new Set(['ok']));
    await expect.poll(() => got.length, SOON).toBe(frames.length);
    expect(late).toEqual([]);
  });

  it('refuses a group whose queues are declared otherwise by others', async () => {
    fresh();
    const [one, other] = [await open('one'), await open('other', { groupQueues: 'quorum' })];
    await one.consume(GROUP, { windows: WINDOWS, receive: () => undefined });
    const changes: BrokerStateChange[] = [];
    other.onState((change) => changes.push(change));
    await expect(other.consume(GROUP, { windows: WINDOWS, receive: () => undefined })).rejects.toMatchObject({
      code: 'ERR_BROKER_DENIED',
      details: { problem: expect.stringContaining('x-queue-type') },
    });
    expect(changes).toEqual([]);
  });

  it('keeps an inbox that nobody reads for longer than it keeps one without its node', async () => {
    fresh();
    const [from, to] = [await open('from'), await open('to', { expiresMs: 1_500 })];
    await from.publish([toNode('to', 7)]);
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    const got: number[] = [];
    await to.consume(
      { kind: 'inbox' },
      { windows: WINDOWS, receive: (all) => got.push(...all.map(numberOf)) },
    );
    await expect.poll(() => got, SOON).toEqual([7]);
  });

  it('comes back when an operator deletes a queue that it reads', async () => {
    fresh();
    const [from, to] = [await open('from'), await open('to', { reconnect: { minMs: 10, maxMs: 50 } })];
    const changes: string[] = [];
    to.onState(({ state }) => changes.push(state));
    const got: number[] = [];
    const reading = await to.consume(
      { kind: 'inbox' },
      {
        windows: WINDOWS,
        receive: (all) => {
          got.push(...all.map(numberOf));
          reading.acknowledge(all);
        },
      },
    );
    const operator = await connectAmqp(server.url);
    const channel = await operator.createChannel();
    await channel.deleteQueue(`${prefix}.in.to.3`);
    await operator.close();
    await expect.poll(() => changes, SOON).toEqual(['down', 'up']);
    await expect.poll(() => from.publish([toNode('to', 9)]), SOON).toEqual(['ok']);
    await expect.poll(() => got, SOON).toEqual([9]);
  });

  it('keeps what has expired among the dead letters, with the reason', async () => {
    fresh();
    const [from, to] = [await open('from'), await open('to')];
    const expiresAtMs = Date.now() + 50;
    await from.publish([{ ...toNode('to', 5), expiresAtMs }]);
    const operator = await connectAmqp(server.url);
    const channel = await operator.createChannel();
    const dead = (): Promise<unknown> =>
      channel
        .get(`${prefix}.dl`)
        .then(
          (message) =>
            message !== false && [...message.content, message.properties.headers?.['x-first-death-reason']],
        );
    await expect.poll(dead, SOON).toEqual([0, 5, 'expired']);
    await operator.close();
    expect(await to.backlog({ kind: 'inbox' })).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it('goes to a virtual host, also one whose name is percent-encoded', async () => {
    fresh();
    await server.control('add_vhost', 'a/b');
    await server.control('set_permissions', '-p', 'a/b', 'guest', '.*', '.*', '.*');
    const broker = await open('there', {}, `${server.url}/a%2Fb`);
    expect(await broker.publish([toNode('there', 1)])).toEqual(['ok']);
    expect(await server.control('list_queues', '-p', 'a/b', '--no-table-headers', 'name')).toContain(
      `${prefix}.in.there.0`,
    );
    expect(await queues()).toEqual([]);
  });
});

describe.skipIf(found.isForeign)('RabbitMQ over TLS', () => {
  let server: RabbitmqServer;
  let url: string;
  let certificates: Awaited<ReturnType<typeof makeCertificates>>;
  beforeAll(async () => {
    certificates = await makeCertificates(await folder());
    const [port = 0] = await freePorts(1);
    url = `amqps://guest:guest@127.0.0.1:${port}`;
    server = await startRabbitmq({
      ...(found.command === undefined ? {} : { command: found.command }),
      settings: {
        'listeners.ssl.1': `127.0.0.1:${port}`,
        'ssl_options.cacertfile': certificates.authority.certFile,
        'ssl_options.certfile': certificates.server.certFile,
        'ssl_options.keyfile': certificates.server.keyFile,
        'ssl_options.verify': 'verify_peer',
        'ssl_options.fail_if_no_peer_cert': 'true',
      },
    });
  }, START_MS);
  afterAll(() => server.stop(), START_MS);

  const refusal = async (tls: RabbitmqOptions['tls']): Promise<unknown> => {
    const broker = rabbitmq(url, { tls });
    brokers.push(broker);
    return broker.open(node('tls'), systemHost).catch((error: unknown) => error);
  };

  it('works with an authority, a client certificate and a server name', async () => {
    const { cert: ca } = certificates.authority;
    const { cert, key } = certificates.client;
    const broker = rabbitmq(url, { tls: { ca, cert: Buffer.from(cert), key, servername: 'localhost' } });
    brokers.push(broker);
    await broker.open(node('tls'), systemHost);
    expect(await broker.publish([toNode('tls', 1)])).toEqual(['ok']);
  });

  it('is refused, and refuses, without what belongs to it', async () => {
    const { cert: ca } = certificates.authority;
    const { cert, key } = certificates.client;
    const denied = { code: 'ERR_BROKER_DENIED' };
    // The server's certificate is nobody's that Node knows.
    expect(await refusal({ cert, key, servername: 'localhost' })).toMatchObject(denied);
    // It is for another name.
    expect(await refusal({ ca, cert, key, servername: 'elsewhere' })).toMatchObject(denied);
    // The server asks for the client's.
    expect(await refusal({ ca, servername: 'localhost' })).toMatchObject(denied);
  });
});
