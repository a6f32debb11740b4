import { Redis } from 'ioredis';
import { describe } from 'vitest';
import { redis } from '../../adapters/redis/index.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import { FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import type { BrokerHarness, ConnectedNode, ConnectRequest, LinkControl } from '../support/broker-harness.ts';
import { type Proxy, startProxy } from '../support/proxy.ts';
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

let server: TestServer | undefined;
let admin: Redis | undefined;
const proxies: Proxy[] = [];

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
    link: hasLink ? linkOf(proxy) : undefined,
    // Whatever it tries afterwards meets a closed port.
    kill: () => proxy.stop(),
  };
}

function linkOf(proxy: Proxy): LinkControl {
  return {
    // A cut lasts until `heal`: what comes meanwhile is reset as well.
    cutRst: () => {
      proxy.refuse();
      proxy.cutRst();
    },
    cutFin: () => {
      proxy.refuse();
      proxy.cutFin();
    },
    halfOpen: () => proxy.halfOpen(),
    oneWay: (direction) => proxy.oneWay(direction),
    latency: (ms) => proxy.latency(ms),
    byteByByte: () => proxy.byteByByte(),
    cutAfterBytes: (bytes, direction) => proxy.cutAfterBytes(direction, bytes),
    heal: () => proxy.heal(),
  };
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
    leavesNothing: true,
  },
  host: systemHost,
  start: async () => {
    server = await startRedis(usable.command === undefined ? {} : { command: usable.command });
    admin = new Redis(server.url, { maxRetriesPerRequest: null });
    admin.on('error', () => undefined); // the server is killed in some cases
  },
  stop: async () => {
    admin?.disconnect();
    for (const proxy of proxies.splice(0)) await proxy.stop();
    await server?.stop();
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
    link: ['cutRst', 'cutFin', 'halfOpen', 'oneWay', 'latency', 'byteByByte', 'cutAfterBytes'],
    refuseAll: async () => {
      const { admin: client } = started();
      await client.config('SET', 'maxmemory', '1');
      return async () => {
        await client.config('SET', 'maxmemory', '0');
      };
    },
  },
};

describe.skipIf(usable.isAbsent || usable.isForeign)('on a Redis of its own', () => brokerContract(harness));
