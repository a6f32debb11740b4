import { type MemoryHub, memory, memoryHub } from '../../adapters/memory/index.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import type { BrokerHarness, ConnectedNode, ConnectRequest, LinkControl } from '../support/broker-harness.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { brokerContract } from './broker.contract.ts';

const clock = new VirtualClock();
/** What the wall clock is ahead. */
let wallShiftMs = 0;
const host: Host = {
  clock: {
    now: () => clock.now(),
    wallNow: () => clock.wallNow() + wallShiftMs,
    setTimer: (delayMs, fire) => clock.setTimer(delayMs, fire),
    clearTimer: (timer) => clock.clearTimer(timer),
  },
  random: seededRandom(1),
  soon: (task) => queueMicrotask(task),
  later: (task) => {
    setImmediate(task);
  },
};

const hubs = new Map<string, MemoryHub>();

/** Nodes of one prefix share a hub; the server is all of them. */
function hubOf(prefix: string): MemoryHub {
  let hub = hubs.get(prefix);
  if (hub === undefined) {
    hub = memoryHub();
    hubs.set(prefix, hub);
  }
  return hub;
}

function onEach(act: (hub: MemoryHub) => void): void {
  for (const hub of hubs.values()) act(hub);
}

/** What `later` was given has run, and what that gave it, a few times. */
async function settle(): Promise<void> {
  for (let round = 0; round < 4; round++) await new Promise((resolve) => setImmediate(resolve));
}

/** A link is the hub's faults of one node. What is about bytes does not exist here. */
function linkOf({ node: { name }, options: { prefix } }: ConnectRequest): LinkControl {
  const hub = hubOf(prefix);
  const noBytes = (): never => {
    throw new Error('No bytes pass between memory brokers.');
  };
  const only = (fault: () => void) => (): void => {
    hub.heal(name);
    fault();
  };
  return {
    cutRst: only(() => hub.cut(name)),
    cutFin: only(() => hub.cut(name)),
    halfOpen: only(() => hub.silence('both', name)),
    oneWay: (direction) => only(() => hub.silence(direction === 'to-server' ? 'to-hub' : 'to-node', name))(),
    latency: (ms) => only(() => hub.delay({ minMs: ms, maxMs: ms }, name))(),
    heal: () => hub.heal(name),
    byteByByte: noBytes,
    cutAfterBytes: noBytes,
  };
}

function connect(request: ConnectRequest): ConnectedNode {
  const { node, options, hasLink } = request;
  const hub = hubOf(options.prefix);
  return {
    broker: memory({ ...options, hub }),
    link: hasLink ? linkOf(request) : undefined,
    kill: async () => hub.kill(node.name),
  };
}

const harness: BrokerHarness = {
  name: 'memory',
  capabilities: {
    durability: 'process',
    bound: 'exact',
    deliveryCount: 'broker',
    reportsUnroutable: true,
    keepsOrderOnRedelivery: true,
    frameBytesMax: FRAME_BYTES_MAX,
    takeoverMs: 0,
    downMs: 0,
    grantMs: 0,
    leavesNothing: true,
  },
  host,
  connect: async (request) => connect(request),
  advance: async (ms) => {
    await settle();
    await clock.advance(ms, settle);
  },
  deadFrames: async (prefix) =>
    hubOf(prefix)
      .deadFrames(prefix)
      .map(({ bytes, reason, error }) => ({ bytes, reason, error })),
  leftovers: async (prefix) => hubOf(prefix).names(prefix),
  clean: async (prefix) => {
    hubs.delete(prefix);
  },
  // Nothing but this process is asked, so there may be more of everything.
  sizes: { nodes: 200, topics: 1_000, ordered: 10_000, backlog: 9_500, schedules: 30, scheduleSteps: 100 },
  faults: {
    server: {
      kill: async () => onEach((hub) => hub.cut()),
      restart: async () => onEach((hub) => hub.heal()),
      pause: async () => onEach((hub) => hub.silence('both')),
      resume: async () => onEach((hub) => hub.heal()),
    },
    link: ['cutRst', 'cutFin', 'halfOpen', 'oneWay', 'latency'],
    refuseAll: async () => {
      onEach((hub) => hub.refusePublishes());
      return async () => onEach((hub) => hub.heal());
    },
    refuseDeadLetters: async (prefix) => {
      hubOf(prefix).refuseDeadLetters();
      return async () => hubOf(prefix).heal();
    },
    jumpWallClock: (ms) => {
      wallShiftMs += ms;
    },
  },
};

brokerContract(harness);
