/**
 * RabbitMQ under the contract of brokers: one server for the file, a proxy before each node, and an operator who looks at queues and
 * empties what a case has left.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { type Channel, connect as connectAmqp } from 'amqplib';
import { type RabbitmqOptions, rabbitmq } from '../../adapters/rabbitmq/index.ts';
import { rabbitmqSettings } from '../../adapters/rabbitmq/settings.ts';
import { Topology } from '../../adapters/rabbitmq/topology.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import { type Broker, type BrokerCapabilities, LANES, type Source } from '../../src/protocol/broker.ts';
import type { Host } from '../../src/protocol/clock.ts';
import type { Shard, ShardOwner } from '../../src/protocol/sharding.ts';
import type { BrokerHarness, ConnectedNode, ConnectRequest, DeadFrame } from './broker-harness.ts';
import { type Proxy, startProxy } from './proxy.ts';
import { killBehind, PROXY_LINK_FAULTS, proxyLink } from './proxy-link.ts';
import { type RabbitmqServer, startRabbitmq } from './servers/rabbitmq.ts';
import type { UsableServer } from './servers/use-server.ts';

const PASSWORD = 'sEcReT-of-the-tests';
/** Of the machine's memory: below what the server uses, and above it. */
const ALARM = 0.000_001;
const NO_ALARM = 0.9;

/** What a case has made, so that it can be removed: queues of groups outlive their members. */
interface World {
  readonly proxies: Proxy[];
  readonly nodes: Set<string>;
  readonly sources: Source[];
}

/** A harness for the server that was found. */
export function rabbitmqHarness(
  found: UsableServer,
  capabilities: BrokerCapabilities,
  own: RabbitmqOptions = {},
): BrokerHarness {
  // A single RabbitMQ before version 4 can lose the leader of a quorum queue in a crash: rabbitmq/rabbitmq-server#10070.
  const canRestart = own.groupQueues !== 'quorum';
  let server: RabbitmqServer | undefined;
  /** Before the server, for brokers that are refused: it counts their attempts. */
  let door: Proxy | undefined;
  const worlds = new Map<string, World>();
  let wallShiftMs = 0;
  const host: Host = {
    ...systemHost,
    clock: {
      now: () => systemHost.clock.now(),
      wallNow: () => systemHost.clock.wallNow() + wallShiftMs,
      setTimer: (delayMs, fire) => systemHost.clock.setTimer(delayMs, fire),
      clearTimer: (timer) => systemHost.clock.clearTimer(timer),
    },
  };

  const url = (): string => {
    const known = found.url ?? server?.url;
    if (known === undefined) throw new Error('The server was not started.');
    return known;
  };
  const running = (): RabbitmqServer => {
    if (server === undefined) throw new Error('The server was not started.');
    return server;
  };
  const worldOf = (prefix: string): World => {
    const world = worlds.get(prefix) ?? { proxies: [], nodes: new Set(), sources: [] };
    worlds.set(prefix, world);
    return world;
  };
  const topologyOf = (prefix: string): Topology =>
    new Topology(rabbitmqSettings('amqp://127.0.0.1', { ...own, prefix }));

  /** Something that an operator does, on a connection of their own. */
  const operate = async <T>(work: (channel: Channel) => Promise<T>): Promise<T> => {
    const model = await connectAmqp(url(), { noDelay: true });
    model.on('error', () => undefined);
    try {
      const channel = await model.createChannel();
      channel.on('error', () => undefined);
      return await work(channel);
    } finally {
      await model.close().catch(() => undefined);
    }
  };

  /** Names that the nodes of a world may have used. */
  const namesOf = (prefix: string): string[] => {
    const topology = topologyOf(prefix);
    const { nodes, sources } = worldOf(prefix);
    const inboxes = [...nodes].flatMap((node) => LANES.map((lane) => topology.inbox(node, lane)));
    return [
      ...inboxes,
      ...sources.flatMap((source) => LANES.map((lane) => topology.queue(source, '', lane))),
      ...sources.flatMap((source) => (source.kind === 'shard' ? [topology.token(source)] : [])),
    ];
  };

  const connect = async ({ options, hasLink, node }: ConnectRequest): Promise<ConnectedNode> => {
    const proxy = await startProxy(Number(new URL(url()).port));
    const world = worldOf(options.prefix);
    world.proxies.push(proxy);
    world.nodes.add(node.name);
    const broker = rabbitmq(proxy.through(url()), { ...own, ...options });
    const consume = broker.consume.bind(broker);
    const noting: Broker = Object.assign(broker, {
      consume: (source: Source, how: Parameters<Broker['consume']>[1]) => {
        if (source.kind === 'group') world.sources.push(source);
        return consume(source, how);
      },
    });
    const claim = broker.shards?.claim.bind(broker.shards);
    if (broker.shards !== undefined && claim !== undefined)
      Object.assign(broker.shards, {
        claim: (shard: Shard, owner: ShardOwner) => {
          world.sources.push({ kind: 'shard', ...shard });
          return claim(shard, owner);
        },
      });
    return {
      broker: noting,
      link: hasLink ? proxyLink(proxy) : undefined,
      kill: async () => killBehind(proxy),
    };
  };

  const deadFrames = (prefix: string): Promise<readonly DeadFrame[]> =>
    operate(async (channel) => {
      const frames: DeadFrame[] = [];
      const queue = topologyOf(prefix).deadLetters;
      for (let message = await channel.get(queue); message !== false; message = await channel.get(queue)) {
        const headers = message.properties.headers ?? {};
        const error: unknown = headers['error'];
        frames.push({
          bytes: message.content,
          reason: String(headers['reason'] ?? headers['x-first-death-reason']),
          error: typeof error === 'string' ? error : undefined,
        });
      }
      return frames; // which go back when the connection closes
    });

  const known = async (prefix: string): Promise<string[]> => {
    const there: string[] = [];
    for (const name of namesOf(prefix)) {
      const isThere = await operate((channel) => channel.checkQueue(name)).catch(() => undefined);
      if (isThere !== undefined) there.push(name);
    }
    return there;
  };

  return {
    name: `rabbitmq (${own.groupQueues ?? 'classic'})`,
    capabilities,
    // RabbitMQ 3.10 takes seconds to make the hundreds of quorum queues of 64 shards.
    ...(own.groupQueues === 'quorum' ? { sizes: { shards: 8 } } : {}),
    host,
    start: async () => {
      if (found.url !== undefined) return;
      server = await startRabbitmq(found.command === undefined ? {} : { command: found.command });
      door = await startProxy(server.port);
      await server.control('add_user', 'stranger', PASSWORD);
      await server.control('add_user', 'reader', PASSWORD);
      await server.control('set_permissions', 'reader', '^$', '^$', '.*');
    },
    stop: async () => {
      await door?.stop();
      await server?.stop();
    },
    connect,
    advance: async (ms) => {
      await delay(ms);
    },
    deadFrames,
    leftovers: async (prefix) => {
      if (server === undefined) return known(prefix);
      const { deadLetters } = topologyOf(prefix);
      const names = (await server.control('list_queues', '--no-table-headers', 'name')).split('\n');
      return names.filter((name) => name.startsWith(`${prefix}.`) && name !== deadLetters);
    },
    clean: async (prefix) => {
      const names = namesOf(prefix);
      const { proxies } = worldOf(prefix);
      worlds.delete(prefix);
      await Promise.all(proxies.map((proxy) => proxy.stop()));
      const topology = topologyOf(prefix);
      await operate(async (channel) => {
        for (const name of [...names, topology.deadLetters]) await channel.deleteQueue(name);
        await channel.deleteExchange(topology.exchange);
        await channel.deleteExchange(topology.members);
      });
    },
    faults: found.isForeign
      ? { link: PROXY_LINK_FAULTS }
      : {
          link: PROXY_LINK_FAULTS,
          server: canRestart
            ? {
                kill: () => running().kill(),
                restart: () => running().restart(),
                pause: async () => running().pause(),
                resume: async () => running().resume(),
              }
            : undefined,
          refuseAll: async () => {
            await running().setMemoryWatermark(ALARM);
            return () => running().setMemoryWatermark(NO_ALARM);
          },
          refuseDeadLetters: async (prefix) => {
            const topology = topologyOf(prefix);
            await operate((channel) => channel.deleteQueue(topology.deadLetters));
            return () => operate((channel) => topology.declareShared(channel));
          },
          denied: (
            [
              ['a wrong password', 'stranger', `${PASSWORD}-not`, ''],
              ['a virtual host that does not exist', 'stranger', PASSWORD, 'nowhere'],
              ['a virtual host that is closed to the user', 'stranger', PASSWORD, ''],
              ['a user who may create nothing', 'reader', PASSWORD, ''],
            ] as const
          ).map(([problem, user, password, vhost]) => ({
            problem,
            secret: password,
            connect: (prefix) =>
              rabbitmq(`amqp://${user}:${password}@127.0.0.1:${door?.port}/${vhost}`, { ...own, prefix }),
          })),
          connectAttempts: () => door?.opened ?? 0,
          jumpWallClock: (ms) => {
            wallShiftMs += ms;
          },
        },
  };
}
