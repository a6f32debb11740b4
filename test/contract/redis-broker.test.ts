import { Redis } from 'ioredis';
import { describe } from 'vitest';
import { redis } from '../../adapters/redis/index.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import type { Broker } from '../../src/protocol/broker.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import type { BrokerHarness, ConnectedNode, ConnectRequest } from '../support/broker-harness.ts';
import { type Proxy, startProxy } from '../support/proxy.ts';
import { killBehind, PROXY_LINK_FAULTS, proxyLink } from '../support/proxy-link.ts';
import { startRedis } from '../support/servers/redis.ts';
import type { TestServer } from '../support/servers/server.ts';
import { useServer } from '../support/servers/use-server.ts';
import { brokerContract } from './broker.contract.ts';

const usable = useServer('redis');

/** Short, so that the cases about silence need no minutes; the ratios are those of the defaults. */
const TIMES = {
  heartbeatMs: 300,
  downAfterMs: 1_500,
  publishTimeoutMs: 2_000,
  connectTimeoutMs: 2_000,
} as const;

const PASSWORD = 'a-password-that-nobody-may-see';
/** What a reader needs, and nothing that writes. */
const READ_ONLY = ['ON', '~*', '+ping', '+client|id', '+eval', '+evalsha', '+hget', `>${PASSWORD}`] as const;

let server: TestServer | undefined;
/** One that asks for a password. */
let locked: TestServer | undefined;
let admin: Redis | undefined;
const proxies: Proxy[] = [];
/** What the wall clock is ahead. */
let wallShiftMs = 0;
/** Connections that were tried by brokers that are to be denied. */
let lockedProxy: Proxy | undefined;
let openProxy: Proxy | undefined;

/** Time by which the suite goes on, and a wall clock that can jump. */
const host: Host = {
  ...systemHost,
  clock: {
    now: () => systemHost.clock.now(),
    wallNow: () => systemHost.clock.wallNow() + wallShiftMs,
    setTimer: (delayMs, fire) => systemHost.clock.setTimer(delayMs, fire),
    clearTimer: (timer) => systemHost.clock.clearTimer(timer),
  },
};

function started(): { readonly server: TestServer; readonly admin: Redis } {
  if (server === undefined || admin === undefined) throw new Error('The Redis has not started.');
  return { server, admin };
}

async function connect({ options, hasLink }: ConnectRequest): Promise<ConnectedNode> {
  const { url, port } = started().server;
  const proxy = await startProxy(port);
  proxies.push(proxy);
  return {
    broker: redis(proxy.through(url), { ...TIMES, ...options }),
    link: hasLink ? proxyLink(proxy) : undefined,
    kill: async () => killBehind(proxy),
  };
}

/** A broker through a proxy that counts, with these credentials. */
function stranger(proxy: Proxy | undefined, credentials: string, prefix: string): Broker {
  if (proxy === undefined) throw new Error('The proxies have not started.');
  return redis(`redis://${credentials}@127.0.0.1:${proxy.port}`, { ...TIMES, prefix });
}

async function keysBelow(prefix: string): Promise<string[]> {
  return started().admin.keys(`{${prefix}}:*`);
}

const harness: BrokerHarness = {
  name: 'redis',
  capabilities: {
    durability: 'disk',
    bound: 'exact',
    deliveryCount: 'broker',
    reportsUnroutable: true,
    keepsOrderOnRedelivery: false,
    frameBytesMax: FRAME_BYTES_MAX,
    takeoverMs: TIMES.downAfterMs + 3 * TIMES.heartbeatMs,
    downMs: TIMES.downAfterMs + 2 * TIMES.heartbeatMs,
    grantMs: 1_000,
    leavesNothing: true,
  },
  host,
  start: async () => {
    const program = usable.command === undefined ? {} : { command: usable.command };
    server = await startRedis(program);
    locked = await startRedis({ ...program, password: PASSWORD });
    openProxy = await startProxy(server.port);
    lockedProxy = await startProxy(locked.port);
    proxies.push(openProxy, lockedProxy);
    admin = new Redis(server.url, { maxRetriesPerRequest: null });
    admin.on('error', () => undefined); // the server is killed in some cases
    await admin.acl('SETUSER', 'reader', ...READ_ONLY);
  },
  stop: async () => {
    admin?.disconnect();
    for (const proxy of proxies.splice(0)) await proxy.stop();
    await server?.stop();
    await locked?.stop();
  },
  connect,
  advance: (ms) =>
    new Promise((resolve) => {
      setTimeout(resolve, ms);
    }),
  deadFrames: async (prefix) => {
    const entries = await started().admin.xrangeBuffer(`{${prefix}}:dead`, '-', '+');
    return entries.map(([, parts]) => {
      const field = (name: string): Buffer | undefined => {
        for (let n = 0; n < parts.length; n += 2) if (parts[n]?.toString() === name) return parts[n + 1];
        return undefined;
      };
      return {
        bytes: new Uint8Array(field('b') ?? []),
        reason: field('reason')?.toString() ?? '',
        error: field('error')?.toString(),
      };
    });
  },
  leftovers: async (prefix) => (await keysBelow(prefix)).filter((key) => !key.endsWith(':dead')),
  clean: async (prefix) => {
    const keys = await keysBelow(prefix);
    if (keys.length > 0) await started().admin.del(keys);
  },
  faults: {
    server: {
      kill: () => started().server.kill(),
      restart: () => started().server.restart(),
      pause: async () => started().server.pause(),
      resume: async () => started().server.resume(),
    },
    link: PROXY_LINK_FAULTS,
    refuseAll: async () => {
      const { admin: client } = started();
      await client.config('SET', 'maxmemory', '1');
      return async () => {
        await client.config('SET', 'maxmemory', '0');
      };
    },
    refuseDeadLetters: async (prefix) => {
      const { admin: client } = started();
      await client.set(`{${prefix}}:dead`, 'not a stream');
      return async () => {
        await client.del(`{${prefix}}:dead`);
      };
    },
    denied: [
      {
        problem: 'a wrong password',
        secret: `${PASSWORD}-no`,
        connect: (prefix) => stranger(lockedProxy, `:${PASSWORD}-no`, prefix),
      },
      {
        problem: 'no password',
        secret: PASSWORD,
        connect: (prefix) => redis(`redis://127.0.0.1:${lockedProxy?.port}`, { ...TIMES, prefix }),
      },
      {
        problem: 'a user without permission',
        secret: PASSWORD,
        connect: (prefix) => stranger(openProxy, `reader:${PASSWORD}`, prefix),
      },
    ],
    connectAttempts: () => (lockedProxy?.opened ?? 0) + (openProxy?.opened ?? 0),
    jumpWallClock: (ms) => {
      wallShiftMs += ms;
    },
  },
};

describe.skipIf(usable.isAbsent || usable.isForeign)('on a Redis of its own', () => brokerContract(harness));
