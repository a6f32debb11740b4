/**
 * The broker over Kafka against a real one. Each node has a proxy and a listener of its own, since clients of Kafka go to the address
 * that the listener tells.
 */

import { Kafka } from 'kafkajs';
import { describe, it } from 'vitest';
import { type KafkaClient, KafkaFailure } from '../../adapters/kafka/driver.ts';
import { kafka } from '../../adapters/kafka/index.ts';
import { kafkajsDriver } from '../../adapters/kafka/kafkajs-driver.ts';
import { Names } from '../../adapters/kafka/names.ts';
import { kafkaSettings } from '../../adapters/kafka/options.ts';
import { busTopic } from '../../adapters/kafka/topics.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import type { BrokerHarness, ConnectedNode, ConnectRequest, DeadFrame } from '../support/broker-harness.ts';
import { type Proxy, startProxy } from '../support/proxy.ts';
import { killBehind, PROXY_LINK_FAULTS, proxyLink } from '../support/proxy-link.ts';
import { refusalInForce } from '../support/refusal-in-force.ts';
import { type KafkaListener, startKafka } from '../support/servers/kafka.ts';
import { freePorts, type TestServer } from '../support/servers/server.ts';
import { useServer } from '../support/servers/use-server.ts';
import { brokerContract } from './broker.contract.ts';

const available = useServer('kafka');

/** Nodes of one case at most. */
const LINKS = 40;
const USER = { name: 'ann', password: 'right-word' };
const WRONG_WORD = 'a-word-that-nobody-may-see';
/** A topic, as the resource of a setting. */
const TOPIC = 2;
/** The header of records that look whether the server takes any. */
const PROBE = 'probe';

/** What the wall clock is ahead. */
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

let server: TestServer | undefined;
let signInProxy: Proxy | undefined;
const proxies: Proxy[] = [];
const free: Proxy[] = [];
const taken = new Map<string, Proxy[]>();

function running(): TestServer {
  if (server === undefined) throw new Error('The Kafka was not started.');
  return server;
}

async function start(): Promise<void> {
  const ports = await freePorts(LINKS + 1);
  for (const port of ports) proxies.push(await startProxy(port));
  const [first, ...links] = proxies;
  signInProxy = first;
  free.push(...links);
  const listeners = proxies.map(
    (proxy, place): KafkaListener => ({
      port: ports[place] ?? 0,
      advertisedPort: proxy.port,
      wantsUser: proxy === first,
    }),
  );
  const command = available.command;
  server = await startKafka({ listeners, user: USER, ...(command === undefined ? {} : { command }) });
}

async function stop(): Promise<void> {
  for (const proxy of proxies) await proxy.stop();
  await server?.stop();
}

function connect({ options, hasLink }: ConnectRequest): ConnectedNode {
  const proxy = free.pop();
  if (proxy === undefined) throw new Error(`A case has more than ${LINKS} nodes.`);
  proxy.heal();
  taken.set(options.prefix, [...(taken.get(options.prefix) ?? []), proxy]);
  return {
    broker: kafka(`kafka://127.0.0.1:${proxy.port}`, options),
    link: hasLink ? proxyLink(proxy) : undefined,
    kill: async () => killBehind(proxy),
  };
}

/** Looks at the server beside the port. */
async function withAdmin<T>(look: (admin: ReturnType<Kafka['admin']>) => Promise<T>): Promise<T> {
  const brokers = [`127.0.0.1:${running().port}`];
  const admin = new Kafka({
    brokers,
    clientId: 'looks',
    retry: { retries: 0 },
    logCreator: () => () => undefined,
  }).admin();
  await admin.connect();
  try {
    return await look(admin);
  } finally {
    await admin.disconnect();
  }
}

async function namesBelow(prefix: string): Promise<{ readonly topics: string[]; readonly groups: string[] }> {
  return withAdmin(async (admin) => {
    const isBelow = (name: string): boolean => name.startsWith(`${prefix}.`);
    const { groups } = await admin.listGroups();
    return {
      topics: (await admin.listTopics()).filter(isBelow),
      groups: groups.map(({ groupId }) => groupId).filter(isBelow),
    };
  });
}

/** Uses the server by the adapter's own client, beside its nodes. */
async function withClient<T>(use: (client: KafkaClient) => Promise<T>): Promise<T> {
  const settings = kafkaSettings(running().url, { prefix: 'looks' });
  const client = await kafkajsDriver(settings, host, {
    clientId: 'looks',
    home: busTopic(new Names('looks'), settings),
  }).connect(() => undefined);
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

async function deadFrames(prefix: string): Promise<readonly DeadFrame[]> {
  return withClient(async (client) => {
    const { deadLetters: topic } = new Names(prefix);
    const [leader = -1] = await client.leaders(topic);
    const [end = 0] = await client.offsets(topic, 'end');
    const found: DeadFrame[] = [];
    for (let offset = 0; offset < end; ) {
      const [fetched] = await client.fetch(leader, [{ topic, partition: 0, offset }], 0);
      for (const { value, headers } of fetched?.records ?? [])
        if (!(PROBE in headers))
          found.push({ bytes: value, reason: headers['reason'] ?? '', error: headers['error'] });
      offset = fetched?.next ?? end;
    }
    return found;
  });
}

/** Whether the server takes a dead letter now. What it takes is no dead frame. */
async function takesDeadLetter(prefix: string): Promise<boolean | undefined> {
  const probe = { value: new Uint8Array(64), headers: { [PROBE]: 'yes' } };
  try {
    await withClient((client) => client.produce(new Names(prefix).deadLetters, 0, [probe]));
    return true;
  } catch (error) {
    // Anything else says nothing of the setting: a topic that is new has no leader yet.
    return error instanceof KafkaFailure && error.kind === 'too-large' ? false : undefined;
  }
}

/** The setting of a topic is answered by who keeps it, and is in force a few milliseconds later where the log is. */
function refuseDeadLetters(prefix: string): Promise<() => Promise<void>> {
  const resource = { type: TOPIC, name: new Names(prefix).deadLetters };
  const name = 'max.message.bytes';
  const usual = [{ name, value: String(2 * FRAME_BYTES_MAX) }];
  return refusalInForce({
    clock: host.clock,
    begin: () => withSetting(resource, { name, value: '1' }, usual),
    takes: () => takesDeadLetter(prefix),
  });
}

async function clean(prefix: string): Promise<void> {
  const { topics, groups } = await namesBelow(prefix);
  await withAdmin(async (admin) => {
    // A server may still list what is gone.
    for (const topic of topics) await admin.deleteTopics({ topics: [topic] }).catch(() => undefined);
    // One whose member was killed a moment ago still counts as in use.
    for (const group of groups) await admin.deleteGroups([group]).catch(() => undefined);
  });
  for (const proxy of taken.get(prefix) ?? []) {
    proxy.heal();
    free.unshift(proxy);
  }
  taken.delete(prefix);
}

/** Changes a setting until the answer is called. */
async function withSetting(
  resource: { readonly type: number; readonly name: string },
  during: { readonly name: string; readonly value: string },
  after: { readonly name: string; readonly value: string }[],
): Promise<() => Promise<void>> {
  const set = (configEntries: { name: string; value: string }[]): Promise<unknown> =>
    withAdmin((admin) =>
      admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries }] }),
    );
  await set([{ ...during }]);
  return async () => {
    await set(after);
  };
}

const harness: BrokerHarness = {
  name: 'kafka 4.1',
  capabilities: {
    durability: 'disk',
    bound: 'advisory',
    deliveryCount: 'consumer',
    reportsUnroutable: true,
    keepsOrderOnRedelivery: true,
    frameBytesMax: FRAME_BYTES_MAX,
    takeoverMs: 13_000,
    downMs: 12_000,
    grantMs: 1_000,
    leavesNothing: false,
  },
  host,
  start,
  stop,
  connect: async (request) => connect(request),
  advance: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  deadFrames,
  leftovers: async (prefix) => {
    const names = new Names(prefix);
    const { topics, groups } = await namesBelow(prefix);
    return [...topics, ...groups].filter(
      (name) => ![names.bus, names.deadLetters, names.members].includes(name),
    );
  },
  clean,
  faults: {
    server: {
      kill: () => running().kill(),
      restart: () => running().restart(),
      pause: async () => running().pause(),
      resume: async () => running().resume(),
    },
    link: PROXY_LINK_FAULTS,
    refuseDeadLetters,
    denied: [
      {
        problem: 'a wrong password',
        secret: WRONG_WORD,
        connect: (prefix) =>
          kafka(`kafka://${USER.name}:${WRONG_WORD}@127.0.0.1:${signInProxy?.port}`, { prefix }),
      },
    ],
    connectAttempts: () => proxies.reduce((sum, { opened }) => sum + opened, 0),
    jumpWallClock: (ms) => {
      wallShiftMs += ms;
    },
  },
};

if (available.isForeign)
  describe.skip('broker: kafka', () => it.skip('there is no Kafka that the tests may break'));
else brokerContract(harness);
