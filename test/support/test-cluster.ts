/**
 * Systems of several nodes on one hub and one virtual clock, for tests: nothing sleeps, and everything they say is kept. They end with the
 * test, and the checker of the kit looks at each of them.
 */

import { afterEach } from 'vitest';
import { type MemoryHub, type MemoryOptions, memory, memoryHub } from '../../adapters/memory/index.ts';
import type { Kernel } from '../../runtime/actor/kernel.ts';
import { startSystem } from '../../runtime/system.ts';
import type { Broker } from '../../src/protocol/broker.ts';
import type { AnySupervisor, RefsOf } from '../../src/protocol/child-spec.ts';
import type { RuntimeEvent } from '../../src/protocol/events.ts';
import type { LogRecord, System, SystemOptions } from '../../src/protocol/system.ts';
import { CheckedHost, ORDER, type Order, quiet } from './checked-host.ts';
import { endingOf } from './puppet.ts';
import { VirtualClock } from './virtual-clock.ts';

/** A trip to a broker takes several macrotasks in which no system has work. */
const QUIET_ROUNDS = 20;
/** Milliseconds that opening, or any call that goes to the hub and back, takes at the most. */
const TRIP_MS = 100;

/** One node, and what it has said. */
export interface ClusterNode<Refs> {
  readonly system: System<Refs>;
  readonly kernel: Kernel;
  readonly events: RuntimeEvent[];
  readonly logs: LogRecord[];
}

type SystemRefs<Root extends AnySupervisor> = [Root] extends [never] ? Record<never, never> : RefsOf<Root>;

/** What a node may be given beside the options of its system. */
export type NodeOptions<Root extends AnySupervisor> = Partial<SystemOptions<Root>> & {
  readonly memory?: MemoryOptions;
  /** How far its wall clock is from the true time. */
  readonly wallShiftMs?: () => number;
  /** Does something to its broker before it is opened. */
  readonly prepare?: (broker: Broker) => void;
};

/** The nodes of one test. */
export interface Cluster {
  readonly hub: MemoryHub;
  readonly clock: VirtualClock;
  readonly start: <Root extends AnySupervisor = never>(
    node: string,
    options?: NodeOptions<Root>,
  ) => Promise<ClusterNode<SystemRefs<Root>>>;
  /** Lets everything happen that needs no time. */
  readonly settle: () => Promise<void>;
  /** Lets everything happen that needs no time, then lets `ms` virtual milliseconds pass. */
  readonly advance: (ms: number) => Promise<void>;
  /** Lets time pass until a promise has settled, and gives what it gives. */
  readonly during: <T>(promise: Promise<T>, withinMs?: number) => Promise<T>;
  /** The process of a node is no more: nothing of it is shut down. */
  readonly kill: (node: string) => void;
  /** A node has been shut down by the test. */
  readonly forget: (node: string) => void;
  /** Ends all nodes, and looks at them. */
  readonly end: () => Promise<void>;
}

interface Live {
  readonly name: string;
  readonly checked: CheckedHost;
  readonly node: ClusterNode<unknown>;
}

const clusters: Cluster[] = [];

/** Ends the clusters of the test, by itself after each test of a file that imports this one first. */
export async function endClusters(): Promise<void> {
  for (const cluster of clusters.splice(0)) await cluster.end();
}

afterEach(endClusters);

/** A cluster of its own for each test. */
export function testCluster({
  hub = memoryHub(),
  order = ORDER,
}: {
  hub?: MemoryHub;
  order?: Order;
} = {}): Cluster {
  const clock = new VirtualClock();
  const live = new Set<Live>();
  let drawn = 0;
  const random = (): number => ((drawn++ * 389) % 997) / 997;
  const hosts = new Set<CheckedHost>();
  const settle = (): Promise<void> => quiet(hosts, QUIET_ROUNDS);
  const advance = async (ms: number): Promise<void> => {
    await settle();
    await clock.advance(ms, settle);
  };
  const during = async <T>(promise: Promise<T>, withinMs = TRIP_MS): Promise<T> => {
    const ending = endingOf(promise);
    const until = clock.now() + withinMs;
    for (let ms = 1; clock.now() < until && ending.is === undefined; ms = Math.min(2 * ms, 50))
      await advance(ms);
    return promise;
  };
  const start = async <Root extends AnySupervisor = never>(
    name: string,
    { memory: bounds, wallShiftMs, prepare, ...options }: NodeOptions<Root> = {},
  ): Promise<ClusterNode<SystemRefs<Root>>> => {
    const checked = new CheckedHost({ clock, random, order, wallShiftMs });
    const logs: LogRecord[] = [];
    const events: RuntimeEvent[] = [];
    const broker = memory({ hub, ...bounds });
    prepare?.(broker);
    const open = broker.open.bind(broker);
    // The hub, which is nobody's machine, has the clock that all share.
    broker.open = (identity, host) => open(identity, { ...host, clock });
    const starting = startSystem<Root>(
      { name: 'test', node: name, broker, log: (record) => logs.push(record), ...options },
      checked.host,
    );
    const system = await during(starting);
    system.events.subscribe((event) => events.push(event));
    const { kernel } = system as unknown as { readonly kernel: Kernel }; // the local system carries its kernel
    const node = { system, kernel, events, logs };
    live.add({ name, checked, node });
    hosts.add(checked);
    return node;
  };
  const forget = (name: string): void => {
    for (const each of live) {
      if (each.name !== name) continue;
      live.delete(each);
      hosts.delete(each.checked);
    }
  };
  const kill = (name: string): void => {
    hub.kill(name);
    forget(name);
  };
  const end = async (): Promise<void> => {
    hub.heal();
    await settle();
    const problems: unknown[] = [];
    const judge = (look: () => void): void => {
      try {
        look();
      } catch (error) {
        problems.push(error);
      }
    };
    for (const { checked } of live) judge(() => checked.check());
    const ended = [...live].map(({ node }) => node.system.shutdown());
    await advance(100_000);
    await Promise.all(ended);
    for (const { checked, node, name } of live) {
      judge(() => checked.end());
      const { asksInFlight } = node.kernel;
      if (asksInFlight !== 0)
        problems.push(new Error(`${name} has ended, and ${asksInFlight} asks have not.`));
    }
    live.clear();
    hosts.clear();
    if (problems.length > 0) throw problems[0];
  };
  const cluster = { hub, clock, start, settle, advance, during, kill, forget, end };
  clusters.push(cluster);
  return cluster;
}
