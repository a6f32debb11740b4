/**
 * What the adapter needs of a client for Kafka, and no more: requests to explicit partitions at explicit offsets, offsets of groups,
 * and membership in one. Another client can follow behind it. It retries nothing and knows no frames.
 */

/** How a request failed. */
export type KafkaFailureKind =
  /** Credentials, certificates, permissions. */
  | 'denied'
  | 'no-topic'
  | 'too-large'
  /** Before the first record or behind the last one. */
  | 'out-of-range'
  /** The server has answered that nothing was done, and that it may be asked again. */
  | 'refused'
  /** Membership is over. */
  | 'fenced'
  /** Members are about to be given their parts anew: join again. */
  | 'rebalancing'
  /** It did not leave this process. */
  | 'not-sent'
  /** No answer: it may have been done. */
  | 'lost';

/** A request that failed. Its message holds no secrets. @internal */
export class KafkaFailure extends Error {
  readonly kind: KafkaFailureKind;
  /** The partition of which it tells, where it does. */
  readonly at: { readonly topic: string; readonly partition: number } | undefined;

  constructor(kind: KafkaFailureKind, problem: string, at?: { topic: string; partition: number }) {
    super(problem);
    this.name = 'KafkaFailure';
    this.kind = kind;
    this.at = at;
  }
}

/** A record to write. @internal */
export interface OutRecord {
  readonly value: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/** A record of a log. @internal */
export interface InRecord {
  readonly offset: number;
  readonly value: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/** What is read of one partition. @internal */
export interface Ask {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** The records from an offset on; `next` is the offset after the last of them. @internal */
export interface Fetched {
  readonly topic: string;
  readonly partition: number;
  readonly records: readonly InRecord[];
  readonly next: number;
}

/** An offset that a group has committed, with a text beside it. @internal */
export interface Commit {
  readonly partition: number;
  readonly offset: number;
  readonly metadata: string;
}

/** A topic to make. @internal */
export interface TopicSpec {
  readonly name: string;
  readonly partitions: number;
  readonly settings: Readonly<Record<string, string>>;
}

/** Connections to a cluster. All requests reject with `KafkaFailure`. @internal */
export interface KafkaClient {
  /** Makes a topic if there is none. */
  createTopic(spec: TopicSpec): Promise<void>;
  /** The same for several. */
  createTopics(specs: readonly TopicSpec[]): Promise<void>;
  /** The node that leads each partition. */
  leaders(topic: string): Promise<readonly number[]>;
  /** Writes to all replicas, and gives the offset of the first record. */
  produce(topic: string, partition: number, records: readonly OutRecord[]): Promise<number>;
  /** Asks one node for partitions that it leads, and waits there until there is something. */
  fetch(leader: number, asks: readonly Ask[], waitMs: number): Promise<readonly Fetched[]>;
  /** The offsets at which each partition begins, or goes on. */
  offsets(topic: string, place: 'start' | 'end'): Promise<readonly number[]>;
  /** What a group has committed, by partition; absent where nothing. */
  committed(
    group: string,
    topic: string,
    partitions: readonly number[],
  ): Promise<ReadonlyMap<number, Commit>>;
  /** Commits from outside: only for groups without members. */
  commit(group: string, topic: string, commits: readonly Commit[]): Promise<void>;
  /** The names of all groups. */
  groups(): Promise<readonly string[]>;
  /** Forgets the records before these offsets, by partition. */
  trim(topic: string, offsets: ReadonlyMap<number, number>): Promise<void>;
  removeTopic(topic: string): Promise<void>;
  removeGroup(group: string): Promise<void>;
  /** Ends all connections; what is under way rejects. */
  close(): void;
}

/** How to be a member. Members describe themselves in words of their own, and one of them answers with the part of each. @internal */
export interface JoinRequest {
  readonly group: string;
  readonly topic: string;
  /** Milliseconds without a sign of life after which a member is thrown out. */
  readonly sessionTimeoutMs: number;
  readonly heartbeatMs: number;
  /** Before each joining. */
  readonly describe: () => string;
  /** Called for one of the members: the part of each, by id. */
  readonly assign: (
    members: readonly { readonly id: string; readonly text: string }[],
  ) => ReadonlyMap<string, string>;
  /** Its part from now on, until it is asked to describe itself again. */
  readonly assigned: (part: string) => void;
  /** It is about to join again; commits count until this is done. Never rejects. */
  readonly rebalancing: () => Promise<void>;
  /** It is a member no more, and has to begin anew. Called once at most. */
  readonly lost: (failure: KafkaFailure) => void;
}

/** A place in a group. @internal */
export interface Membership {
  /** Commits as a member: refused (`fenced`, `rebalancing`) when it is none at present. */
  commit(topic: string, commits: readonly Commit[]): Promise<void>;
  /** Joins again soon, since it would describe itself otherwise now. */
  rejoin(): void;
  /** Leaves, so that others need not wait for the end of its session. Never rejects. */
  leave(): Promise<void>;
}

/** A client library. @internal */
export interface KafkaDriver {
  /** Connects, and makes the topic that all share if there is none. `lost` is called once, when the client is good for nothing more. */
  connect(lost: (failure: KafkaFailure) => void): Promise<KafkaClient>;
  /** Resolves when it has begun to join. */
  join(request: JoinRequest): Promise<Membership>;
}
