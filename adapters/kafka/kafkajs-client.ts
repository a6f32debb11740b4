/** Requests over the cluster of kafkajs. Leaders and coordinators are remembered until one says that it is none. */

import {
  type Ask,
  type Commit,
  type Fetched,
  type InRecord,
  type KafkaClient,
  KafkaFailure,
  type OutRecord,
  type TopicSpec,
} from './driver.ts';
import { failureOf } from './kafkajs-failures.ts';
import type { InsideCluster, InsideMessage, InsideServer } from './kafkajs-inside.ts';
import type { KafkaSettings } from './options.ts';

/** Bytes that a fetch gives of one partition, and of all, unless a single record is larger. */
const PARTITION_BYTES = 262_144;
const FETCH_BYTES = 4_194_304;
/** What ListOffsets takes for the first and for the next offset. */
const PLACES = { start: -2, end: -1 } as const;
const READ_UNCOMMITTED = 0;
const GROUP_COORDINATOR = 0;
const ALL_REPLICAS = -1;
/** Topics whose leaders are remembered: then all are asked for again. */
const LEADERS_MAX = 1_000;

/** @internal */
export class KafkajsClient implements KafkaClient {
  /** It knows passwords, and is not to be seen. */
  readonly #cluster: InsideCluster;
  private readonly settings: KafkaSettings;
  private readonly closeSockets: () => void;
  private readonly known = new Map<string, readonly number[]>();
  private readonly coordinators = new Map<string, number>();

  constructor(cluster: InsideCluster, settings: KafkaSettings, closeSockets: () => void) {
    this.#cluster = cluster;
    this.settings = settings;
    this.closeSockets = closeSockets;
  }

  createTopic(spec: TopicSpec, server?: InsideServer): Promise<void> {
    return this.createTopics([spec], server);
  }

  createTopics(specs: readonly TopicSpec[], server?: InsideServer): Promise<void> {
    return this.tried(async () => {
      const decider = server ?? (await this.#cluster.findControllerBroker());
      const topics = specs.map(({ name: topic, partitions: numPartitions, settings }) => {
        const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }));
        return { topic, numPartitions, replicationFactor: this.settings.replicationFactor, configEntries };
      });
      const failures = new Map<string | undefined, KafkaFailure>();
      try {
        await decider.createTopics({ topics });
      } catch (error) {
        for (const one of severalOf(error)) {
          if (isAbout(one, 'TOPIC_ALREADY_EXISTS')) continue;
          const failure = failureOf(one, this.settings);
          // Who may not make topics may use those that an operator has made.
          if (failure.kind !== 'refused' && failure.kind !== 'denied') throw failure;
          failures.set(topicOf(one), failure);
        }
      }
      // Servers hear of them one after the other.
      for (const { name } of specs)
        if (!(await this.exists(name)))
          throw (
            failures.get(name) ??
            failures.get(undefined) ??
            new KafkaFailure('refused', `topic ${name} is not there yet`)
          );
    });
  }

  leaders(topic: string): Promise<readonly number[]> {
    return this.tried(() => this.leadersOf(topic));
  }

  async produce(topic: string, partition: number, records: readonly OutRecord[]): Promise<number> {
    const leader = await this.beforeSending(() => this.leaderOf(topic, partition));
    const messages = records.map(({ value, headers }) => ({ value: Buffer.from(value), headers }));
    return this.tried(async () => {
      const { topics } = await this.forgetting(topic, () =>
        leader.produce({
          acks: ALL_REPLICAS,
          timeout: this.settings.publishTimeoutMs,
          topicData: [{ topic, partitions: [{ partition, messages }] }],
        }),
      );
      return Number(topics[0]?.partitions[0]?.baseOffset);
    });
  }

  fetch(leader: number, asks: readonly Ask[], waitMs: number): Promise<readonly Fetched[]> {
    return this.tried(async () => {
      const server = await this.#cluster.findBroker({ nodeId: leader });
      const { responses } = await server.fetch({
        isolationLevel: READ_UNCOMMITTED,
        maxWaitTime: waitMs,
        minBytes: 1,
        maxBytes: FETCH_BYTES,
        topics: asks.map(({ topic, partition, offset }) => ({
          topic,
          partitions: [{ partition, fetchOffset: String(offset), maxBytes: PARTITION_BYTES }],
        })),
      });
      const from = new Map(asks.map(({ topic, partition, offset }) => [`${topic} ${partition}`, offset]));
      return responses.flatMap(({ topicName, partitions }) =>
        partitions.map(({ partition, messages }) => {
          // A batch is given whole, also if only its end was asked for.
          const offset = from.get(`${topicName} ${partition}`) ?? 0;
          const last = messages.at(-1);
          const next = last === undefined ? offset : Math.max(offset, Number(last.offset) + 1);
          const wanted = messages.filter((one) => !one.isControlRecord && Number(one.offset) >= offset);
          return { topic: topicName, partition, records: wanted.map(toRecord), next };
        }),
      );
    });
  }

  offsets(topic: string, place: 'start' | 'end'): Promise<readonly number[]> {
    return this.tried(async () => {
      const found: number[] = [];
      for (const [server, partitions] of await this.byLeader(topic)) {
        const asked = partitions.map((partition) => ({ partition, timestamp: PLACES[place] }));
        const { responses } = await this.forgetting(topic, () =>
          server.listOffsets({ topics: [{ topic, partitions: asked }] }),
        );
        for (const { partition, offset } of responses.flatMap((one) => one.partitions))
          found[partition] = Number(offset);
      }
      return found;
    });
  }

  committed(
    group: string,
    topic: string,
    partitions: readonly number[],
  ): Promise<ReadonlyMap<number, Commit>> {
    return this.tried(async () => {
      const request = {
        groupId: group,
        topics: [{ topic, partitions: partitions.map((partition) => ({ partition })) }],
      };
      const { responses } = await this.atCoordinator(group, (server) => server.offsetFetch(request));
      const commits = responses
        .flatMap((one) => one.partitions)
        .map(({ partition, offset, metadata }) => ({
          partition,
          offset: Number(offset),
          metadata: metadata ?? '',
        }))
        .filter(({ offset }) => offset >= 0);
      return new Map(commits.map((commit) => [commit.partition, commit]));
    });
  }

  commit(group: string, topic: string, commits: readonly Commit[]): Promise<void> {
    const partitions = commits.map(({ partition, offset, metadata }) => ({
      partition,
      offset: String(offset),
      metadata,
    }));
    const request = { groupId: group, groupGenerationId: -1, memberId: '', topics: [{ topic, partitions }] };
    return this.tried(async () => {
      await this.atCoordinator(group, (server) => server.offsetCommit(request));
    });
  }

  groups(): Promise<readonly string[]> {
    return this.tried(async () => {
      const found: string[] = [];
      for (const nodeId of this.#cluster.getNodeIds()) {
        const { groups } = await (await this.#cluster.findBroker({ nodeId })).listGroups();
        for (const { groupId } of groups) found.push(groupId);
      }
      return found;
    });
  }

  trim(topic: string, offsets: ReadonlyMap<number, number>): Promise<void> {
    return this.tried(async () => {
      for (const [server, own] of await this.byLeader(topic)) {
        const partitions = own.flatMap((partition) => {
          const offset = offsets.get(partition);
          return offset === undefined ? [] : [{ partition, offset: String(offset) }];
        });
        if (partitions.length > 0) await server.deleteRecords({ topics: [{ topic, partitions }] });
      }
    });
  }

  removeTopic(topic: string): Promise<void> {
    return this.tried(async () => {
      this.known.delete(topic);
      await (await this.#cluster.findControllerBroker()).deleteTopics({ topics: [topic] });
    });
  }

  removeGroup(group: string): Promise<void> {
    return this.tried(async () => {
      await this.atCoordinator(group, (server) => server.deleteGroups([group]));
    });
  }

  close(): void {
    this.closeSockets();
    // It clears its timers; its sockets are gone.
    this.#cluster.disconnect().catch(() => undefined);
  }

  private async tried<T>(request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      throw failureOf(error, this.settings);
    }
  }

  /** What fails here has written nothing. */
  private async beforeSending<T>(request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      const failure = failureOf(error, this.settings);
      throw failure.kind === 'lost' ? new KafkaFailure('not-sent', failure.message) : failure;
    }
  }

  private async leaderOf(topic: string, partition: number): Promise<InsideServer> {
    const nodeId = (await this.leadersOf(topic))[partition];
    if (nodeId === undefined || nodeId < 0)
      throw new KafkaFailure('no-topic', `topic ${topic} has no partition ${partition}`);
    return this.forgetting(topic, () => this.#cluster.findBroker({ nodeId }));
  }

  private async leadersOf(topic: string): Promise<readonly number[]> {
    const known = this.known.get(topic);
    if (known !== undefined) return known;
    const server = await this.#cluster.brokerPool.findConnectedBroker();
    const { topicMetadata } = await server.metadata([topic]);
    const leaders: number[] = [];
    for (const { partitionId, leader } of topicMetadata[0]?.partitionMetadata ?? [])
      leaders[partitionId] = leader;
    if (this.known.size >= LEADERS_MAX) this.known.clear();
    this.known.set(topic, leaders);
    return leaders;
  }

  private async byLeader(topic: string): Promise<Map<InsideServer, number[]>> {
    const found = new Map<number, number[]>();
    for (const [partition, leader] of (await this.leadersOf(topic)).entries())
      found.set(leader, [...(found.get(leader) ?? []), partition]);
    const servers = new Map<InsideServer, number[]>();
    for (const [nodeId, partitions] of found)
      servers.set(await this.forgetting(topic, () => this.#cluster.findBroker({ nodeId })), partitions);
    return servers;
  }

  /** After a failure somebody else may be the leader. */
  private async forgetting<T>(topic: string, request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      this.known.delete(topic);
      throw error;
    }
  }

  /** Asks the server that keeps a group. */
  async atCoordinator<T>(group: string, request: (server: InsideServer) => Promise<T>): Promise<T> {
    try {
      let nodeId = this.coordinators.get(group);
      if (nodeId === undefined) {
        const any = await this.#cluster.brokerPool.findConnectedBroker();
        const found = await any.findGroupCoordinator({ groupId: group, coordinatorType: GROUP_COORDINATOR });
        nodeId = found.coordinator.nodeId;
        if (this.coordinators.size >= LEADERS_MAX) this.coordinators.clear();
        this.coordinators.set(group, nodeId);
      }
      return await request(await this.#cluster.findBroker({ nodeId }));
    } catch (error) {
      this.coordinators.delete(group);
      throw error;
    }
  }

  private async exists(topic: string): Promise<boolean> {
    this.known.delete(topic);
    return this.leadersOf(topic).then(
      (leaders) => leaders.length > 0 && leaders.every((leader) => leader >= 0),
      () => false,
    );
  }
}

function toRecord({ offset, value, headers }: InsideMessage): InRecord {
  const texts: Record<string, string> = {};
  for (const [name, header] of Object.entries(headers))
    if (Buffer.isBuffer(header)) texts[name] = header.toString();
  const bytes = value ?? Buffer.alloc(0);
  // A view, not a copy; and not a Buffer, since nobody is told of one.
  return {
    offset: Number(offset),
    value: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    headers: texts,
  };
}

/** The errors of several topics, or the one of all. */
function severalOf(error: unknown): readonly unknown[] {
  const several: unknown = error instanceof Error ? Reflect.get(error, 'errors') : undefined;
  return Array.isArray(several) && several.length > 0 ? several : [error];
}

function isAbout(error: unknown, type: string): boolean {
  return error instanceof Error && Reflect.get(error, 'type') === type;
}

function topicOf(error: unknown): string | undefined {
  const topic: unknown = error instanceof Error ? Reflect.get(error, 'topic') : undefined;
  return typeof topic === 'string' ? topic : undefined;
}
