/**
 * The driver over kafkajs. Each client has sockets of its own, so that a fetch that waits holds up nothing else, and closing it
 * ends all that is under way. kafkajs is loaded when the first client connects; it logs nothing, since what it would log
 * may tell of credentials.
 */

import { isIP, connect as openSocket, type Socket } from 'node:net';
import { type ConnectionOptions, connect as openTlsSocket } from 'node:tls';
import type { Consumer, ISocketFactory, Kafka, KafkaConfig, PartitionAssigner } from 'kafkajs';
import type { Host } from '../../src/protocol/clock.ts';
import { pause, settledWithin } from '../../src/protocol/deadline.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import { assignSlots, type SlotMember } from './assignment.ts';
import {
  type Commit,
  type JoinRequest,
  type KafkaDriver,
  KafkaFailure,
  type Membership,
  type TopicSpec,
} from './driver.ts';
import { KafkajsClient } from './kafkajs-client.ts';
import { failureOf } from './kafkajs-failures.ts';
import { type InsideCluster, insideCluster, quieten } from './kafkajs-inside.ts';
import type { KafkaSettings } from './options.ts';

type Kafkajs = typeof import('kafkajs');

/** Milliseconds for which the fetches of a member wait: between them it says that it lives. */
const MEMBER_WAIT_MS = 250;
/** Milliseconds between looks for a topic that was made a moment ago. */
const AGAIN_MS = 20;

interface Made {
  readonly kafka: Kafka;
  readonly sockets: Sockets;
  readonly AssignerProtocol: Kafkajs['AssignerProtocol'];
}

let loaded: Promise<Kafkajs> | undefined;

/** kafkajs as a driver. @internal */
export function kafkajsDriver(settings: KafkaSettings, clientId: string, host: Host): KafkaDriver {
  const make = async (): Promise<Made> => {
    const { AssignerProtocol, Kafka: Client } = await kafkajs();
    const sockets = new Sockets(settings.tls);
    return { AssignerProtocol, sockets, kafka: new Client(configuration(settings, clientId, sockets)) };
  };
  return {
    connect: async (home) => {
      const { kafka, sockets } = await make();
      const cluster = insideCluster(kafka);
      const client = new KafkajsClient(cluster, settings, () => sockets.close());
      try {
        await settledWithin(
          host.clock,
          settings.connectTimeoutMs,
          arrive(cluster, client, { home, host }),
          () => {
            throw new KafkaFailure('not-sent', `no connection within ${settings.connectTimeoutMs} ms`);
          },
        );
        return client;
      } catch (error) {
        client.close();
        throw isTroupeError(error) ? error : failureOf(error, settings);
      }
    },
    join: async (request) => {
      const made = await make();
      return new KafkajsMembership(made, { request, settings, host }).begin();
    },
  };
}

async function kafkajs(): Promise<Kafkajs> {
  loaded ??= load();
  try {
    return await loaded;
  } catch (error) {
    loaded = undefined;
    throw error;
  }
}

async function load(): Promise<Kafkajs> {
  try {
    const module = await import('kafkajs');
    // Not a literal: it has no types.
    const inside: string = 'kafkajs/src/network/requestQueue/index.js';
    const requestQueue = (await import(inside).catch(() => undefined)) as
      | { readonly default?: unknown }
      | undefined;
    quieten(requestQueue?.default);
    return module;
  } catch (cause) {
    throw new TroupeError('ERR_DRIVER_MISSING', { package: 'kafkajs' }, { cause });
  }
}

function configuration(settings: KafkaSettings, clientId: string, sockets: Sockets): KafkaConfig {
  const { addresses, tls, sasl, connectTimeoutMs, publishTimeoutMs } = settings;
  return {
    brokers: [...addresses],
    clientId,
    ssl: tls !== undefined,
    ...(sasl === undefined ? {} : { sasl: { ...sasl } as NonNullable<KafkaConfig['sasl']> }),
    connectionTimeout: connectTimeoutMs,
    authenticationTimeout: connectTimeoutMs,
    requestTimeout: publishTimeoutMs,
    // As many attempts as there are addresses to begin with; all else is tried again by us.
    retry: { retries: addresses.length, initialRetryTime: 20, maxRetryTime: 200 },
    socketFactory: sockets.open,
    // The level alone would not do: KAFKAJS_LOG_LEVEL in the environment goes over it.
    logCreator: () => () => undefined,
  };
}

/** Until it can be asked for anything. */
async function arrive(
  cluster: InsideCluster,
  client: KafkajsClient,
  { home, host }: { readonly home: TopicSpec; readonly host: Host },
): Promise<void> {
  await cluster.connect();
  // With a topic of its own kafkajs asks for that one, and not for every topic of the cluster.
  cluster.targetTopics.add(home.name);
  for (;;) {
    try {
      await cluster.refreshMetadata();
      return;
    } catch (error) {
      const { kind } = failureOf(error);
      if (kind !== 'no-topic' && kind !== 'refused') throw error;
      // Any server passes it on to the one that decides.
      const server = await cluster.brokerPool.findConnectedBroker();
      if (kind === 'no-topic') await client.createTopic(home, server).catch(throwUnlessRefused);
    }
    // Whoever waits gives up after a while.
    await pause(host.clock, AGAIN_MS);
  }
}

function throwUnlessRefused(error: unknown): void {
  if (failureOf(error).kind !== 'refused') throw error;
}

/** The sockets of one client. */
class Sockets {
  private readonly all = new Set<Socket>();
  private readonly tls: ConnectionOptions | undefined;
  private isClosed = false;

  constructor(tls: KafkaSettings['tls']) {
    // The options have the names and meanings of Node's.
    this.tls = tls as ConnectionOptions | undefined;
  }

  readonly open: ISocketFactory = ({ host, port, onConnect }) => {
    if (this.isClosed) throw new KafkaFailure('not-sent', 'the client is closed');
    const { tls } = this;
    const socket =
      tls === undefined
        ? openSocket({ host, port, noDelay: true }, onConnect)
        : openTlsSocket({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ...tls }, onConnect);
    socket.setNoDelay(true);
    this.all.add(socket);
    socket.once('close', () => {
      this.all.delete(socket);
      // kafkajs listens for this and not for `close`: without it requests would go on waiting.
      socket.emit('end');
    });
    return socket;
  };

  close(): void {
    this.isClosed = true;
    for (const socket of this.all) socket.destroy(new Error('the client is closed'));
  }
}

interface MembershipParts {
  readonly request: JoinRequest;
  readonly settings: KafkaSettings;
  readonly host: Host;
}

/** A consumer of kafkajs that has nothing to read. */
class KafkajsMembership implements Membership {
  private readonly parts: MembershipParts;
  private readonly sockets: Sockets;
  private readonly consumer: Consumer;
  private isOver = false;

  constructor({ kafka, sockets, AssignerProtocol }: Made, parts: MembershipParts) {
    const { request } = parts;
    this.parts = parts;
    this.sockets = sockets;
    this.consumer = kafka.consumer({
      groupId: request.group,
      sessionTimeout: request.sessionTimeoutMs,
      rebalanceTimeout: request.sessionTimeoutMs,
      heartbeatInterval: request.heartbeatMs,
      maxWaitTimeInMs: Math.min(MEMBER_WAIT_MS, request.heartbeatMs),
      allowAutoTopicCreation: false,
      partitionAssigners: [stickyAssigner(request, AssignerProtocol)],
      retry: { retries: 2, restartOnFailure: async () => false },
    });
  }

  /** Resolves when it has begun to join. */
  async begin(): Promise<Membership> {
    const { consumer } = this;
    const { request, settings, host } = this.parts;
    const { GROUP_JOIN, REBALANCING, CRASH } = consumer.events;
    consumer.on(GROUP_JOIN, ({ payload }) => {
      if (!this.isOver) request.assigned(payload.memberAssignment[request.topic] ?? []);
    });
    consumer.on(REBALANCING, () => {
      if (!this.isOver) request.rebalancing();
    });
    consumer.on(CRASH, ({ payload }) => this.fail(payload.error));
    try {
      await settledWithin(host.clock, settings.connectTimeoutMs, this.arrive(), () => {
        throw new KafkaFailure('not-sent', `no connection within ${settings.connectTimeoutMs} ms`);
      });
      // It resolves when the member has joined, and ends in `CRASH` when it cannot.
      consumer
        .run({ autoCommit: false, eachBatch: () => Promise.resolve() })
        .catch((error: unknown) => this.fail(error));
      return this;
    } catch (error) {
      this.isOver = true;
      this.sockets.close();
      throw failureOf(error, settings);
    }
  }

  async commit(topic: string, commits: readonly Commit[]): Promise<void> {
    if (this.isOver) throw new KafkaFailure('fenced', 'the membership is over');
    try {
      await this.consumer.commitOffsets(
        commits.map(({ partition, offset, metadata }) => ({
          topic,
          partition,
          offset: String(offset),
          metadata,
        })),
      );
    } catch (error) {
      throw failureOf(error, this.parts.settings);
    }
  }

  async leave(): Promise<void> {
    this.isOver = true;
    const { settings, host } = this.parts;
    const left = this.consumer.disconnect().catch(() => undefined);
    await settledWithin(host.clock, settings.connectTimeoutMs, left, () => undefined);
    this.sockets.close();
  }

  private async arrive(): Promise<void> {
    const { topic } = this.parts.request;
    await this.consumer.connect();
    await this.consumer.subscribe({ topic, fromBeginning: true });
  }

  private fail(error: unknown): void {
    if (this.isOver) return;
    this.isOver = true;
    this.sockets.close();
    this.parts.request.lost(failureOf(error, this.parts.settings));
  }
}

/** Members tell what they have; the one that leads the group lets each keep what it may. */
function stickyAssigner(
  { topic, partitions, owned, sinceMs }: JoinRequest,
  { MemberAssignment, MemberMetadata }: Kafkajs['AssignerProtocol'],
): PartitionAssigner {
  const version = 1;
  return () => ({
    name: 'TroupeSlots',
    version,
    protocol: ({ topics }) => {
      const userData = Buffer.from(JSON.stringify({ s: sinceMs, o: owned() }));
      return { name: 'TroupeSlots', metadata: MemberMetadata.encode({ version, topics, userData }) };
    },
    assign: async ({ members }) => {
      const told = members.map(({ memberId, memberMetadata }) =>
        slotMember(memberId, MemberMetadata.decode(memberMetadata)?.userData),
      );
      return [...assignSlots(partitions, told)].map(([memberId, slots]) => ({
        memberId,
        memberAssignment: MemberAssignment.encode({
          version,
          assignment: { [topic]: [...slots] },
          userData: Buffer.alloc(0),
        }),
      }));
    },
  });
}

/** What a member says of itself; one whose words cannot be read is new, and has nothing. */
function slotMember(id: string, userData: Buffer | undefined): SlotMember {
  try {
    const { s, o } = JSON.parse(String(userData)) as { readonly s: unknown; readonly o: unknown };
    if (typeof s === 'number' && Array.isArray(o))
      return { id, sinceMs: s, owned: o.filter((slot) => Number.isInteger(slot)) };
  } catch {
    // As it says above.
  }
  return { id, sinceMs: Number.MAX_SAFE_INTEGER, owned: [] };
}
