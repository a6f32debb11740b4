/** What only a Redis can do to its adapter: commands that arrive late, readers that are gone and still read, caches emptied, expiry while it is down. */

import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { redis } from '../../adapters/redis/index.ts';
import { PUBLISH, SETTLE } from '../../adapters/redis/scripts.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import type { Broker, BrokerOptions, BrokerStateChange, Source } from '../../src/protocol/broker.ts';
import type { Shard } from '../../src/protocol/sharding.ts';
import {
  BrokerPlay,
  frame,
  numberOf,
  type PlayNode,
  range,
  toNode,
  toShard,
  toTopic,
  windowOf,
} from '../support/broker-play.ts';
import { type Proxy, startProxy } from '../support/proxy.ts';
import { startRedis } from '../support/servers/redis.ts';
import type { TestServer } from '../support/servers/server.ts';
import { useServer } from '../support/servers/use-server.ts';

const usable = useServer('redis');
const TIMES = { heartbeatMs: 200, downAfterMs: 800, publishTimeoutMs: 1_000, connectTimeoutMs: 1_000 };
const RECONNECT = { minMs: 10, maxMs: 50 };
const GROUP: Source = { kind: 'group', group: 'workers', pattern: 'work' };
const SHARD: Shard = { group: 'accounts', shard: 1, shards: 8 };
const MIB = 1_048_576;

describe.skipIf(usable.isForeign)('redis, broken in its own ways', () => {
  let server: TestServer;
  let admin: Redis;
  let play: BrokerPlay;
  const proxies = new Map<Broker, Proxy>();

  beforeAll(async () => {
    server = await startRedis(usable.command === undefined ? {} : { command: usable.command });
    admin = new Redis(server.url, { protocol: 2, maxRetriesPerRequest: null });
    admin.on('error', () => undefined); // the server is killed in one case
  }, 60_000);
  afterAll(async () => {
    admin.disconnect();
    for (const proxy of proxies.values()) await proxy.stop();
    await server.stop();
  });
  afterEach(() => play.end());

  /** A world of nodes, each behind a proxy of its own. */
  function begin(): void {
    play = new BrokerPlay({
      name: 'redis',
      capabilities: redis(server.url).capabilities,
      host: systemHost,
      connect: async ({ options }) => {
        const proxy = await startProxy(server.port);
        const broker = redis(proxy.through(server.url), { ...TIMES, reconnect: RECONNECT, ...options });
        proxies.set(broker, proxy);
        return { broker, link: undefined, kill: () => proxy.stop() };
      },
      advance: (ms) =>
        new Promise((resolve) => {
          setTimeout(resolve, ms);
        }),
      deadFrames: async () => [],
      leftovers: async () => [],
      clean: async (prefix) => {
        const keys = await admin.keys(`{${prefix}}:*`);
        if (keys.length > 0) await admin.del(keys);
      },
      faults: { link: [] },
    });
  }

  function proxyOf({ broker }: PlayNode): Proxy {
    const proxy = proxies.get(broker);
    if (proxy === undefined) throw new Error('The node has no proxy.');
    return proxy;
  }

  function node(name: string, options: BrokerOptions = {}): Promise<PlayNode> {
    return play.node({ name, options });
  }

  it('refuses a publish that arrives after its connection was given up', async () => {
    begin();
    const [from, to] = [await node('from'), await node('to')];
    const reading = await to.read();
    proxyOf(from).latency(3_000);
    expect(await from.publish([frame(toNode(to), 1)])).toEqual(['unknown']);
    proxyOf(from).latency(0);
    await play.until(() => from.isUp, 'the node is back');
    await from.publishAll([frame(toNode(to), 2)]);
    await play.untilGot(reading, 1);
    // The first one arrives at the server now, and is refused.
    await play.passAll(3_000);
    expect(reading.numbers).toEqual([2]);
  });

  it('gives again what a reader took that was gone already', async () => {
    begin();
    const [from, to] = [await node('from'), await node('to')];
    const reading = await to.read(undefined, { settle: 'keep' });
    const changes = to.states.length;
    proxyOf(to).cutRst();
    await play.until(() => to.states.length >= changes + 2 && to.isUp, 'a second session');
    // What a half-open connection of the first session still does at the server. The present reader is as quick, so it takes a few attempts.
    const key = `{${play.prefix}}:in:to:3`;
    const ghost = `to.${to.identity.incarnation}.1`;
    let taken = 0;
    for (let number = 0; taken === 0; number++) {
      const reply = admin
        .multi()
        .xadd(key, '*', 'b', Buffer.from(frame(toNode(to), number).bytes))
        .xreadgroup('GROUP', 'readers', ghost, 'COUNT', 1, 'STREAMS', key, '>')
        .exec();
      taken = ((await reply)?.[1]?.[1] as unknown[] | null)?.length ?? 0;
    }
    await play.untilGot(reading, 1, 5_000);
    expect(reading.deliveries.at(-1)).toMatchObject({ isRedelivered: true });
    await from.publishAll([frame(toNode(to), 100)]);
    await play.until(() => reading.numbers.includes(100), 'what came after');
    // The consumer of the first session is removed.
    await play.until(
      async () => !JSON.stringify(await admin.xinfo('CONSUMERS', key, 'readers')).includes(ghost),
      'no ghost',
    );
  });

  it('takes nothing from members that live, however long they hold it, and whoever comes and goes', async () => {
    begin();
    const [from, slow] = [await node('from'), await node('slow')];
    const held = await slow.read(GROUP, { windows: windowOf(50), settle: 'keep' });
    await from.publishAll(range(50).map((number) => frame(toTopic('work'), number)));
    await play.untilGot(held, 50);
    for (const visitor of range(4)) {
      const other = await node(`visitor-${visitor}`);
      const reading = await other.read(GROUP);
      await play.passAll(TIMES.downAfterMs);
      expect(reading.deliveries).toEqual([]);
      await other.close();
    }
    held.open.acknowledge(held.deliveries);
    await play.within(held.open.stop(), 'stop');
    const next = await from.read(GROUP);
    await play.quiet(TIMES.downAfterMs);
    expect(next.deliveries).toEqual([]);
  });

  it('gives a node that was taken for dead what it was sent before, when it comes back', async () => {
    begin();
    const [from, to] = [await node('from'), await node('to')];
    await to.listen('news');
    const group = await to.read(GROUP, { settle: 'keep' });
    await from.publishAll(range(10).map((number) => frame(toNode(to), number)));
    await from.publishAll([frame(toTopic('news'), 10), frame(toTopic('work'), 11)]);
    await play.untilGot(group, 1);
    proxyOf(to).halfOpen();
    await play.until(
      async () => (await from.publish([frame(toNode(to), 20)]))[0] === 'unroutable',
      'it is taken for dead',
    );
    const heir = await from.read(GROUP);
    await play.untilGot(heir, 1);
    proxyOf(to).heal();
    await play.until(() => to.isUp && to.states.length > 0, 'it is back');
    const reading = await to.read();
    await play.until(() => range(11).every((number) => reading.numbers.includes(number)), 'what it was sent');
    await from.publishAll([frame(toTopic('news'), 12)]);
    await play.until(() => reading.numbers.includes(12), 'what it listens to');
    await play.quiet();
    expect(group.deliveries).toHaveLength(1);
  });

  it('takes nobody for dead when the server stands still, nor lets anybody have a name then', async () => {
    begin();
    const nodes = [await node('one'), await node('two')];
    await server.pause();
    await play.passAll(3 * TIMES.downAfterMs);
    server.resume();
    const stranger = await play.newNode({ name: 'one' });
    await expect(play.within(play.openNode(stranger), 'open')).rejects.toMatchObject({
      code: 'ERR_NAME_TAKEN',
    });
    await play.until(() => nodes.every(({ isUp }) => isUp), 'both are back');
    await play.passAll(2 * TIMES.downAfterMs);
    const values = await admin.hvals(`{${play.prefix}}:nodes`);
    expect(values.filter((value) => value.startsWith('- '))).toEqual([]);
    expect(values).toHaveLength(2);
  });

  it('keeps what it holds while the server is down for longer than expiresMs', async () => {
    begin();
    const options = { expiresMs: 1_000 };
    const [from, to] = [await node('from', options), await node('to', options)];
    const group = await to.read(GROUP);
    await play.within(group.open.stop(), 'stop');
    await from.publishAll([frame(toNode(to), 1), frame(toTopic('work'), 2)]);
    await server.kill();
    await play.passAll(1_500);
    await server.restart();
    await play.until(() => from.isUp && to.isUp && to.states.length > 0, 'both are back');
    const [inbox, again] = [await to.read(), await to.read(GROUP)];
    await play.untilGot(inbox, 1);
    await play.untilGot(again, 1);
  });

  it('goes on when its scripts are thrown away', async () => {
    begin();
    const [from, to] = [await node('from'), await node('to')];
    const reading = await to.read();
    for (const number of range(3)) {
      await from.publishAll([frame(toNode(to), number)]);
      await admin.script('FLUSH');
    }
    await from.publishAll([frame(toNode(to), 3)]);
    await play.untilGot(reading, 4);
    expect(reading.numbers).toEqual(range(4));
    expect([...from.states, ...to.states]).toEqual([]);
  });

  it('enters again when everything is deleted, and goes on', async () => {
    begin();
    const [from, to] = [await node('from'), await node('to')];
    await to.listen('news.#');
    const [reading, group] = [await to.read(), await to.read(GROUP)];
    await from.publishAll([frame(toTopic('news.old'), 0)]);
    await admin.flushall();
    const isThere = async (): Promise<boolean> => (await from.publish([frame(toNode(to), 1)]))[0] === 'ok';
    await play.until(isThere, 'it is there again');
    await play.until(async () => {
      await from.publish([frame(toTopic('news.new'), 2), frame(toTopic('work'), 3)]);
      return reading.numbers.includes(2) && group.numbers.includes(3);
    }, 'what it listens to');
  });

  it('brings 64 frames of a mebibyte in one call, in their order, in parts that do not stop the server for long', async () => {
    begin();
    const options = { publishTimeoutMs: 20_000 };
    const [from, to] = [await node('from', options), await node('to', options)];
    const reading = await to.read();
    await admin.config('SET', 'slowlog-log-slower-than', '0', 'slowlog-max-len', '100000');
    const frames = range(64).map((number) => frame(toNode(to), number, { sizeBytes: MIB }));
    expect(await from.publish(frames)).toEqual(frames.map(() => 'ok'));
    await play.untilGot(reading, 64, 30_000);
    expect(reading.numbers).toEqual(range(64));
    // Sixteen words say where all of them go, one more is each frame, and four frames are a part.
    const log = (await admin.call('SLOWLOG', 'GET', '-1')) as [unknown, unknown, unknown, string[]][];
    const publishes = log.map(([, , , words]) => words).filter(([, digest]) => digest === PUBLISH.digest);
    expect(publishes.length).toBeGreaterThanOrEqual(15);
    for (const words of publishes) expect(words.length).toBeLessThanOrEqual(20);
    await admin.config('SET', 'slowlog-log-slower-than', '-1');
    expect([...from.states, ...to.states]).toEqual([]);
  });

  it('settles together what is acknowledged one by one, a promise behind the other', async () => {
    begin();
    const [from, to] = [await node('from'), await node('to')];
    let before = Promise.resolve();
    const reading = await to.read(undefined, {
      settle: (deliveries, { open }) => {
        for (const delivery of deliveries) before = before.then(() => open.acknowledge([delivery]));
      },
    });
    await admin.config('SET', 'slowlog-log-slower-than', '0', 'slowlog-max-len', '100000');
    await admin.call('SLOWLOG', 'RESET');
    await from.publishAll(range(50).map((number) => frame(toNode(to), number)));
    await play.untilGot(reading, 50);
    const [inbox = ''] = await admin.keys(`*:in:${to.name}:3`);
    await play.until(async () => (await admin.xlen(inbox)) === 0, 'all are settled');
    const log = (await admin.call('SLOWLOG', 'GET', '-1')) as [unknown, unknown, unknown, string[]][];
    await admin.config('SET', 'slowlog-log-slower-than', '-1');
    // The first one is sent whole, and cut in the log.
    const isSettle = ([, , , words]: (typeof log)[number]): boolean =>
      words[1] === SETTLE.digest || words[1]?.startsWith(SETTLE.text.slice(0, 40)) === true;
    const settles = log.filter(isSettle).length;
    expect(settles).toBeGreaterThan(0);
    expect(settles).toBeLessThan(10);
  });

  it('answers for each frame of a call in its place, whichever ways they go by turns', async () => {
    begin();
    const [from, to] = [await node('from', { maxLength: 3 }), await node('to', { maxLength: 3 })];
    const nobody = { kind: 'node', node: 'nobody' } as const;
    const reading = await to.read(undefined, { windows: windowOf(1), settle: 'keep' });
    await from.publishAll([frame(toNode(to), 0)]);
    await play.untilGot(reading, 1);
    const ways = [
      toNode(to),
      toNode(to),
      nobody,
      toNode(to),
      toTopic('unheard'),
      toNode(to),
      nobody,
      toNode(to),
    ];
    const results = await from.publish(ways.map((way, n) => frame(way, n + 1)));
    expect(results).toEqual(['ok', 'ok', 'unroutable', 'ok', 'ok', 'full', 'unroutable', 'full']);
  });

  it('refuses the rest of a call behind a part that found no room, though there is room again', async () => {
    begin();
    const options = { maxLength: 2, publishTimeoutMs: 20_000 };
    const [from, to] = [await node('from', options), await node('to', options)];
    const reading = await to.read();
    const frames = range(40).map((number) => frame(toNode(to), number, { sizeBytes: MIB }));
    const results = await from.publish([...frames, frame(toNode(to), 40, { lane: 0 })]);
    const full = results.indexOf('full');
    expect(full).toBeGreaterThan(0);
    expect(results.slice(full)).toEqual([...range(40 - full).map(() => 'full'), 'ok']);
    await play.untilGot(reading, full + 1);
  });

  it('publishes what was there at the call, though it has to send it again for other listeners', async () => {
    begin();
    const [from, to] = [await node('from'), await node('to')];
    await to.listen('news');
    const reading = await to.read();
    // It does not know of the listener yet, and hears of it by the refusal of what it sends.
    const one = frame(toTopic('news'), 7);
    const publishing = from.broker.publish([one]);
    one.bytes.fill(0xff);
    expect(await play.within(publishing, 'publish')).toEqual(['ok']);
    await play.untilGot(reading, 1);
    expect(reading.numbers).toEqual([7]);
  });

  it('refuses what the earlier owner of a shard settles when it arrives after another was granted', async () => {
    begin();
    const [owner, heir] = [await node('owner'), await node('heir')];
    const first = await owner.claim(SHARD);
    await play.until(() => first.epoch() !== undefined, 'an owner');
    const held = await owner.read({ kind: 'shard', ...SHARD }, { settle: 'keep' });
    await heir.publishAll(range(6).map((number) => frame(toShard(SHARD), number)));
    await play.untilGot(held, 6);
    const second = await heir.claim(SHARD);
    // Its acknowledgement is on its way for so long that others take the owner for dead meanwhile.
    proxyOf(owner).latency(3_000);
    held.open.acknowledge(held.deliveries);
    await play.until(() => second.epoch() !== undefined, 'an heir');
    expect(first.told).toEqual([first.told[0], 'lost']);
    const reading = await heir.read({ kind: 'shard', ...SHARD }, { settle: 'keep' });
    await play.untilGot(reading, 6);
    expect(reading.numbers).toEqual(range(6));
    await play.passAll(3_000);
    proxyOf(owner).latency(0);
    // All six are still there, as the heir has not settled them.
    expect(await admin.xlen(`{${play.prefix}}:sh:accounts:1:3`)).toBe(6);
  });

  it('gives the next owner all in order that a released shard held, whatever was being read', async () => {
    begin();
    const [from, one, two] = [await node('from'), await node('one'), await node('two')];
    const handled: number[] = [];
    const publishing = from.publishUntilTaken(range(2_000).map((number) => frame(toShard(SHARD), number)));
    let [owner, next] = [one, two];
    for (let round = 0; round < 6; round++) {
      const claim = await owner.claim(SHARD);
      await play.until(() => claim.epoch() !== undefined, 'an owner');
      const reading = await owner.read(
        { kind: 'shard', ...SHARD },
        {
          settle: (deliveries, { open }) => {
            // The last ones of each batch are given back by the release.
            const done = deliveries.slice(0, Math.ceil(deliveries.length / 2));
            handled.push(...done.map(numberOf));
            open.acknowledge(done);
          },
        },
      );
      await play.untilGot(reading, 20);
      await claim.release();
      [owner, next] = [next, owner];
    }
    const claim = await owner.claim(SHARD);
    await play.until(() => claim.epoch() !== undefined, 'the last owner');
    await owner.read(
      { kind: 'shard', ...SHARD },
      {
        settle: (deliveries, { open }) => {
          handled.push(...deliveries.map(numberOf));
          open.acknowledge(deliveries);
        },
      },
    );
    await publishing;
    await play.until(() => new Set(handled).size === 2_000, 'all of them', 30_000);
    expect(handled).toHaveLength(2_000);
  });

  it('forgets a shard without an owner after expiresMs, while other shards and nodes live', async () => {
    begin();
    const options = { expiresMs: 1_000 };
    const [owner, other] = [await node('owner', options), await node('other', options)];
    const claims = [await owner.claim(SHARD), await owner.claim({ ...SHARD, shard: 2 })] as const;
    await play.until(() => claims.every(({ epoch }) => epoch() !== undefined), 'both');
    await claims[0].release();
    const isThere = async (shard: number): Promise<string | undefined> =>
      (await other.publish([frame(toShard({ ...SHARD, shard }), 1)]))[0];
    expect(await isThere(1)).toBe('ok');
    await play.until(async () => (await isThere(1)) === 'unroutable', 'that it is forgotten');
    expect(await isThere(2)).toBe('ok');
    const fields = await admin.hkeys(`{${play.prefix}}:shards`);
    expect(fields.toSorted()).toEqual(['accounts', 'accounts 2']);
    // Its epochs go on.
    const again = await other.claim(SHARD);
    await play.until(() => again.epoch() !== undefined, 'a new owner');
    expect(again.epoch()).toBeGreaterThan(claims[0].told[0] as number);
    await expect(other.claim({ ...SHARD, shard: 3, shards: 16 })).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
      details: { option: 'shards' },
    });
  });

  it('keeps a frame whose dead letter fails, though it was acknowledged meanwhile', async () => {
    begin();
    const [from, to] = [await node('from'), await node('to')];
    const reading = await to.read(undefined, { settle: 'keep' });
    await from.publishAll([frame(toNode(to), 1)]);
    await play.untilGot(reading, 1);
    const [delivery] = reading.deliveries;
    if (delivery === undefined) throw new Error('A delivery was expected.');
    await admin.set(`{${play.prefix}}:dead`, 'not a stream');
    const both = [1, 2].map(() => reading.open.deadLetter(delivery, { reason: 'tired' }));
    reading.open.acknowledge([delivery]);
    for (const burying of both)
      await expect(burying).rejects.toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
    await play.within(reading.open.stop(), 'stop');
    const next = await to.read();
    await play.untilGot(next, 1);
  });

  it('makes no stream again for a group that has expired', async () => {
    begin();
    const [from, to] = [await node('from'), await node('to')];
    const group = await to.read(GROUP);
    await play.within(group.open.stop(), 'stop');
    const keys = range(6).map((lane) => `{${play.prefix}}:gr:workers:work:${lane}`);
    expect(await admin.del(keys)).toBe(6);
    await from.publishAll([frame(toTopic('work'), 1)]);
    expect(await admin.exists(keys)).toBe(0);
  });

  it('ends what it listened to, though it could not say so before its connection was back', async () => {
    begin();
    const options = { downAfterMs: 30_000 };
    const [from, to] = [await node('from', options), await node('to', options)];
    await to.listen('old');
    await to.listen('kept');
    const reading = await to.read();
    proxyOf(to).refuse();
    proxyOf(to).cutRst();
    await play.until(() => !to.isUp, 'the cut');
    await to.unlisten('old');
    proxyOf(to).heal();
    await play.until(() => to.isUp, 'it is back');
    await from.publishAll([frame(toTopic('old'), 1), frame(toTopic('kept'), 2), frame(toNode(to), 3)]);
    await play.untilGot(reading, 2);
    await play.quiet();
    expect(reading.sorted).toEqual([2, 3]);
  });

  it('wakes its reader at once each time that a full window has room again', async () => {
    begin();
    const [from, to] = [await node('from'), await node('to')];
    const reading = await to.read(undefined, { windows: windowOf(1), settle: 'keep' });
    await from.publishAll(range(300).map((number) => frame(toNode(to), number)));
    let slowestMs = 0;
    for (const place of range(300)) {
      const begun = performance.now();
      await play.untilGot(reading, place + 1);
      slowestMs = Math.max(slowestMs, performance.now() - begun);
      const delivery = reading.deliveries[place];
      if (delivery !== undefined) reading.open.acknowledge([delivery]);
    }
    // A wake that is lost costs as long as a read waits at the server: 5 s.
    expect(slowestMs).toBeLessThan(2_500);
  });

  it('tells of a server that forgets, and goes on', async () => {
    begin();
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
    try {
      const unwarned = await play.newNode({ name: 'warned' });
      const told: BrokerStateChange[] = [];
      unwarned.broker.onState((change) => told.push(change));
      await play.openNode(unwarned);
      await play.until(() => told.length >= 2, 'a warning');
      expect(told.map(({ state }) => state).slice(0, 2)).toEqual(['up', 'degraded']);
      expect(String(told[1]?.cause)).toContain("its maxmemory-policy is 'allkeys-lru'");
      await play.until(() => told.at(-1)?.state === 'up', 'it goes on');
    } finally {
      await admin.config('SET', 'maxmemory-policy', 'noeviction');
    }
  });
});
