/**
 * What kafkajs 2.2.4 has inside and does not export: its cluster, which sends any request to any server. The package has had no
 * release since February 2023; what is used here is looked for when it is loaded, and its absence is an error, not a surprise.
 */

import type { Kafka } from 'kafkajs';
import { TroupeError } from '../../src/protocol/errors.ts';

/** The one version whose inside is known. */
const PACKAGE = 'kafkajs@2.2.4';

/** A message as kafkajs encodes and decodes it. @internal */
export interface InsideMessage {
  readonly offset: string;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, Buffer | readonly Buffer[] | undefined>>;
  readonly isControlRecord: boolean;
}

interface ByTopic<Partition> {
  readonly topic: string;
  readonly partitions: readonly Partition[];
}

interface Answered<Partition> {
  readonly responses: readonly ByTopic<Partition>[];
}

/** One server. Every method is a request, and rejects when its answer holds an error. @internal */
export interface InsideServer {
  metadata(topics: readonly string[]): Promise<{
    readonly topicMetadata: readonly {
      readonly partitionMetadata: readonly { readonly partitionId: number; readonly leader: number }[];
    }[];
  }>;
  produce(request: {
    readonly acks: number;
    readonly timeout: number;
    readonly topicData: readonly ByTopic<{
      readonly partition: number;
      readonly messages: readonly {
        readonly value: Buffer;
        readonly headers: Readonly<Record<string, string>>;
      }[];
    }>[];
  }): Promise<{
    readonly topics: readonly { readonly partitions: readonly { readonly baseOffset: string }[] }[];
  }>;
  fetch(request: {
    readonly isolationLevel: number;
    readonly maxWaitTime: number;
    readonly minBytes: number;
    readonly maxBytes: number;
    readonly topics: readonly ByTopic<{
      readonly partition: number;
      readonly fetchOffset: string;
      readonly maxBytes: number;
    }>[];
  }): Promise<{
    readonly responses: readonly {
      readonly topicName: string;
      readonly partitions: readonly {
        readonly partition: number;
        readonly messages: readonly InsideMessage[];
      }[];
    }[];
  }>;
  listOffsets(request: {
    readonly topics: readonly ByTopic<{ readonly partition: number; readonly timestamp: number }>[];
  }): Promise<Answered<{ readonly partition: number; readonly offset: string }>>;
  findGroupCoordinator(request: {
    readonly groupId: string;
    readonly coordinatorType: number;
  }): Promise<{ readonly coordinator: { readonly nodeId: number } }>;
  offsetCommit(request: {
    readonly groupId: string;
    readonly groupGenerationId: number;
    readonly memberId: string;
    readonly topics: readonly ByTopic<{
      readonly partition: number;
      readonly offset: string;
      readonly metadata: string;
    }>[];
  }): Promise<unknown>;
  joinGroup(request: {
    readonly groupId: string;
    readonly sessionTimeout: number;
    readonly rebalanceTimeout: number;
    readonly memberId: string;
    readonly groupProtocols: readonly { readonly name: string; readonly metadata: Buffer }[];
  }): Promise<{
    readonly generationId: number;
    readonly leaderId: string;
    readonly memberId: string;
    readonly members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[];
  }>;
  syncGroup(request: {
    readonly groupId: string;
    readonly generationId: number;
    readonly memberId: string;
    readonly groupAssignment: readonly { readonly memberId: string; readonly memberAssignment: Buffer }[];
  }): Promise<{ readonly memberAssignment: Buffer }>;
  heartbeat(request: {
    readonly groupId: string;
    readonly groupGenerationId: number;
    readonly memberId: string;
  }): Promise<unknown>;
  leaveGroup(request: { readonly groupId: string; readonly memberId: string }): Promise<unknown>;
  offsetFetch(request: {
    readonly groupId: string;
    readonly topics: readonly ByTopic<{ readonly partition: number }>[];
  }): Promise<
    Answered<{ readonly partition: number; readonly offset: string; readonly metadata: string | null }>
  >;
  createTopics(request: {
    readonly topics: readonly {
      readonly topic: string;
      readonly numPartitions: number;
      readonly replicationFactor: number;
      readonly configEntries: readonly { readonly name: string; readonly value: string }[];
    }[];
  }): Promise<unknown>;
  deleteTopics(request: { readonly topics: readonly string[] }): Promise<unknown>;
  deleteRecords(request: {
    readonly topics: readonly ByTopic<{ readonly partition: number; readonly offset: string }>[];
  }): Promise<unknown>;
  listGroups(): Promise<{ readonly groups: readonly { readonly groupId: string }[] }>;
  deleteGroups(groups: readonly string[]): Promise<unknown>;
}

/** A cluster and the connections to it. @internal */
export interface InsideCluster {
  readonly targetTopics: Set<string>;
  readonly brokerPool: { findConnectedBroker(): Promise<InsideServer> };
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  refreshMetadata(): Promise<void>;
  getNodeIds(): readonly string[];
  findBroker(request: { readonly nodeId: number | string }): Promise<InsideServer>;
  findControllerBroker(): Promise<InsideServer>;
}

const METHODS = ['connect', 'disconnect', 'refreshMetadata', 'findBroker', 'findControllerBroker'];
const CREATE_CLUSTER = 'private:Kafka:createCluster';

/** A cluster of this client's configuration. Throws `ERR_DRIVER_MISSING` when this is another kafkajs than the one that is known. @internal */
export function insideCluster(kafka: Kafka): InsideCluster {
  const key = Object.getOwnPropertySymbols(kafka).find(({ description }) => description === CREATE_CLUSTER);
  const create: unknown = key === undefined ? undefined : Reflect.get(kafka, key);
  if (typeof create !== 'function') throw new TroupeError('ERR_DRIVER_MISSING', { package: PACKAGE });
  const cluster: unknown = create.call(kafka, { allowAutoTopicCreation: false, metadataMaxAge: 300_000 });
  const isKnown =
    typeof cluster === 'object' &&
    cluster !== null &&
    METHODS.every((name) => typeof Reflect.get(cluster, name) === 'function') &&
    Reflect.get(cluster, 'targetTopics') instanceof Set;
  if (!isKnown) throw new TroupeError('ERR_DRIVER_MISSING', { package: PACKAGE });
  return cluster as InsideCluster; // looked at above, as far as can be
}

interface RequestQueue {
  readonly pending: readonly unknown[];
  canSendSocketRequestImmediately(): boolean;
  scheduleCheckPendingRequests(): void;
}

const QUIETED = new WeakSet<object>();

/**
 * Keeps kafkajs from setting a timer of 1 ms again and again for every connection, whether there is something to do or not
 * (tulios/kafkajs#1751). Where the class looks different nothing is done. @internal
 */
export function quieten(requestQueue: unknown): boolean {
  if (typeof requestQueue !== 'function') return false;
  const queue = requestQueue.prototype as Partial<RequestQueue>;
  const { scheduleCheckPendingRequests: schedule, canSendSocketRequestImmediately: canSend } = queue;
  if (typeof schedule !== 'function' || typeof canSend !== 'function' || QUIETED.has(queue)) return false;
  QUIETED.add(queue);
  queue.scheduleCheckPendingRequests = function (this: RequestQueue): void {
    // Unless it is throttled, a request that waits is sent when one before it is answered.
    const isIdle = Array.isArray(this.pending) && this.pending.length === 0;
    if (!isIdle || !canSend.call(this)) schedule.call(this);
  };
  return true;
}
