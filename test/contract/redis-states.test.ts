import { inspect } from 'node:util';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisStatesOptions, redisStates } from '../../adapters/redis/states.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import { RECONNECT_MIN_MS } from '../../src/protocol/limits.ts';
import type { StateStore } from '../../src/protocol/state-store.ts';
import { closing } from '../support/closing.ts';
import { type Proxy, startProxy } from '../support/proxy.ts';
import { startRedis } from '../support/servers/redis.ts';
import type { TestServer } from '../support/servers/server.ts';
import { useServer } from '../support/servers/use-server.ts';
import { moves, play } from '../support/state-play.ts';
import { HOSTILE_KEYS, stateStoreContract } from './state-store.contract.ts';

const usable = useServer('redis');
const PASSWORD = 'a-password-that-nobody-may-see';
const TIMES = { connectTimeoutMs: 1_000, callTimeoutMs: 1_000 } as const;
const KEY = { kind: 'customer', key: '42' };
const CLAIM = { epoch: 1, owner: 'north@1' };

describe.skipIf(usable.isAbsent || usable.isForeign)('on a Redis of its own', () => {
  let server: TestServer;
  let proxy: Proxy;
  let admin: Redis;
  let places = 0;

  beforeAll(async () => {
    server = await startRedis({
      ...(usable.command === undefined ? {} : { command: usable.command }),
      password: PASSWORD,
    });
    proxy = await startProxy(server.port);
    admin = new Redis(`redis://:${PASSWORD}@127.0.0.1:${server.port}`);
  }, 60_000);
  afterAll(async () => {
    admin.disconnect();
    await proxy.stop();
    await server.stop();
  });

  const storeAt = (prefix: string, options?: RedisStatesOptions, port = server.port): StateStore =>
    redisStates(`redis://:${PASSWORD}@127.0.0.1:${port}`, { ...TIMES, ...options, prefix });

  stateStoreContract('a state store in Redis', async (options) => storeAt(`place-${++places}`, options));

  it('P113 fences owners that use stores of their own', async () => {
    await fc.assert(
      fc.asyncProperty(moves, async (made) => {
        const prefix = `place-${++places}`;
        const stores = new Map(['a', 'b', 'c'].map((owner) => [owner, storeAt(prefix)]));
        try {
          for (const store of stores.values()) await store.open(systemHost);
          await play((owner) => stores.get(owner) ?? storeAt(prefix), made);
        } finally {
          for (const store of stores.values()) await store.close();
        }
      }),
      { numRuns: Number(process.env['FC_RUNS'] ?? 20) },
    );
  }, 60_000);

  it('touches no key but those below its prefix', async () => {
    const store = closing(storeAt('apart'));
    await store.open(systemHost);
    const before = new Set(await admin.keys('*'));
    for (const key of HOSTILE_KEYS) await store.activate({ kind: 'k', key }, CLAIM);
    const made = (await admin.keys('*')).filter((key) => !before.has(key));
    expect(made.sort()).toEqual(HOSTILE_KEYS.map((key) => `{apart}:state:k:${key}`).sort());
  });

  it('fails in bounded time during an outage with ERR_BROKER_UNAVAILABLE, and goes on afterwards', async () => {
    const store = closing(storeAt('outage', {}, proxy.port));
    let aheadMs = 0;
    const { clock } = systemHost;
    await store.open({
      ...systemHost,
      clock: {
        now: () => clock.now() + aheadMs,
        wallNow: () => clock.wallNow(),
        setTimer: (delayMs, fire) => clock.setTimer(delayMs, fire),
        clearTimer: (timer) => clock.clearTimer(timer),
      },
    });
    await store.activate(KEY, CLAIM);
    await store.save(KEY, CLAIM, Buffer.from('before'));
    await server.pause();
    const saved = store.save(KEY, CLAIM, Buffer.from('lost'));
    await expect(saved).rejects.toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE', retryable: true });
    await expect(store.activate(KEY, CLAIM)).rejects.toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
    server.resume();
    await admin.ping();
    aheadMs = RECONNECT_MIN_MS; // until then it does not connect again
    await store.save(KEY, CLAIM, Buffer.from('after'));
    expect(Buffer.from((await store.activate(KEY, CLAIM)) ?? []).toString()).toBe('after');
  });

  it('lets nothing take effect that arrives after a later change of the same claim', async () => {
    const store = closing(storeAt('late'));
    await store.open(systemHost);
    await store.activate(KEY, CLAIM);
    await store.save(KEY, CLAIM, Buffer.from('new'));
    const row = '{late}:state:customer:42';
    // As if the number had been given out before a call that went ahead over another connection.
    await admin.hset(row, 'change', 100);
    await store.save(KEY, CLAIM, Buffer.from('old'));
    await store.remove(KEY, CLAIM);
    expect(await admin.hget(row, 'snapshot')).toBe('new');
    expect(await admin.hget(row, 'change')).toBe('100');
  });

  it('refuses one call more than may wait with ERR_STORE_BUSY', async () => {
    const store = closing(storeAt('busy', { waitingMax: 1 }));
    await store.open(systemHost);
    const first = store.activate(KEY, CLAIM);
    await expect(store.activate(KEY, CLAIM)).rejects.toMatchObject({ code: 'ERR_STORE_BUSY' });
    await first;
    await store.save(KEY, CLAIM, Buffer.from('x'));
  });

  it('says ERR_STORE_FAILED when the server takes nothing, and changes nothing', async () => {
    const store = closing(storeAt('full'));
    await store.open(systemHost);
    await store.activate(KEY, CLAIM);
    await store.save(KEY, CLAIM, Buffer.from('kept'));
    await admin.config('SET', 'maxmemory', '1');
    try {
      await expect(store.save(KEY, CLAIM, Buffer.from('x'))).rejects.toMatchObject({
        code: 'ERR_STORE_FAILED',
      });
    } finally {
      await admin.config('SET', 'maxmemory', '0');
    }
    expect(Buffer.from((await store.activate(KEY, CLAIM)) ?? []).toString()).toBe('kept');
  });

  it('is denied with a wrong password, and shows no password anywhere', async () => {
    const wrong = `${PASSWORD}-no`;
    const store = closing(redisStates(`redis://:${wrong}@127.0.0.1:${server.port}`, TIMES));
    const error: unknown = await store.open(systemHost).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: 'ERR_BROKER_DENIED' });
    expect(inspect([store, error], { depth: 9, showHidden: true })).not.toContain(PASSWORD);
  });
});
