/**
 * The broker port: what an adapter must do so that systems in different processes share messages. This comment is its contract,
 * and one suite (`test/contract/broker.contract.ts`) holds every adapter to it, against the real server.
 *
 * A broker moves frames: opaque bytes with a destination and a lane. It knows no actors, protocols, payloads or requests. What
 * is the same for all brokers lives once, above it: encoding, packing, deduplication, retries, tracing, request and reply.
 *
 * - **Lanes.** Each of the six priorities is a queue of its own at the broker, with its own bound and its own window of unsettled
 *   frames. Whatever fills one lane delays no other.
 * - **Order.** Frames of one (destination, lane) arrive in the order of the calls of `publish`, and in that of the list inside a
 *   call, as long as the caller has at most one `publish` for that lane in flight and, after a result that is not `ok`, publishes
 *   again from there. Redelivered frames may come after newer ones; they are marked.
 * - **At least once.** `ok` means that the broker holds the frame at the durability that `capabilities` name. From then on it is
 *   delivered until it is settled, to one consumer at a time, whatever becomes of connections, consumers, or a durable server.
 * - **Bounds.** A lane of a destination holds at most `maxLength` frames that nobody has got yet (`bound` says how exactly); one more
 *   is `full`. A consumption is given at most its window of unsettled frames per lane.
 * - **Settling.** Each delivery is acknowledged, dead-lettered or released, once. A delivery of an earlier connection is settled
 *   without effect and without error: the broker will deliver it again.
 * - **Nothing hangs.** Every promise settles within `publishTimeoutMs`, `connectTimeoutMs` or the time that is named, whatever the server or the network does.
 * - **Reconnecting.** Once open, an adapter reconnects for ever, with bounded random delays, and restores consumptions and interest
 *   by itself, each exactly once. What it was told meanwhile is not lost.
 * - **Names** reach the adapter checked (`checkNodeName`, `checkGroupName`, the grammar of topics), and all it creates is below its prefix.
 * - **Secrets** of URLs and options appear in no error, event or log.
 */

import type { Host } from './clock.ts';
import type { Membership, NodeIdentity } from './membership.ts';
import type { Rank } from './priority.ts';
import type { Shard, Sharding } from './sharding.ts';

export type { NodeIdentity } from './membership.ts';

/** The queue of a priority: 0 is `critical`, 5 is `background`. */
export type Lane = Rank;

/** All lanes, most urgent first. */
export const LANES: readonly Lane[] = [0, 1, 2, 3, 4, 5];

/** A number for each lane, most urgent first. */
export type PerLane = readonly [number, number, number, number, number, number];

/**
 * Where a frame goes. `node`: into the inbox of that node. `topic`: into the inbox of every node that listens to a pattern which
 * fits, one copy each, and to one member of every group whose pattern fits. `shard`: to whoever owns it, now or later.
 */
export type Destination =
  | { readonly kind: 'node'; readonly node: string }
  | { readonly kind: 'topic'; readonly topic: string }
  | ({ readonly kind: 'shard' } & Shard);

/** A frame to publish. */
export interface OutFrame {
  readonly to: Destination;
  readonly lane: Lane;
  /** At most `capabilities.frameBytesMax`. */
  readonly bytes: Uint8Array;
  /**
   * Milliseconds since 1970 after which nobody wants it: the broker may make it a dead letter `expired` then, or deliver it all the same, since readers
   * check. It never drops it in silence. Absent for never.
   */
  readonly expiresAtMs?: number | undefined;
}

/**
 * What became of a published frame.
 * - `full`: at least one place it goes to has no room in that lane. Others may have it: publishing it again is safe, since readers drop duplicates.
 * - `unroutable`: no such node, and the broker is one that knows; or a shard that nobody has claimed. A topic to which nobody listens is `ok`.
 * - `too-large`, `denied`: never to be had; `denied` is a lack of permission.
 * - `unavailable`: not sent, since there is no connection now or the broker refuses everything (an alarm, no memory).
 * - `unknown`: sent, and the connection or the time was gone before the answer. It may have arrived.
 */
export type PublishResult = 'ok' | 'full' | 'unroutable' | 'too-large' | 'denied' | 'unavailable' | 'unknown';

/**
 * What is read. `inbox`: what is sent to this node, and the topics that it listens to. `group`: what is published to a pattern, each
 * frame to one of the members that consume under this group's name, on any node. A group begins with its first
 * member, and keeps what it holds without members for `expiresMs`. Groups of one name and different patterns are different groups.
 * `shard`: what is sent to a shard that this node owns; its reading ends when the shard is lost.
 */
export type Source =
  | { readonly kind: 'inbox' }
  | { readonly kind: 'group'; readonly group: string; readonly pattern: string }
  | ({ readonly kind: 'shard' } & Shard);

/** A frame that has arrived. */
export interface Delivery {
  readonly lane: Lane;
  readonly bytes: Uint8Array;
  /** The topic it was published to; absent for one sent to this node by name. */
  readonly topic?: string | undefined;
  /** How often it was delivered, this time included: counted by the broker, or by this process where `deliveryCount` is `consumer`. */
  readonly deliveries: number;
  /** It was, or may have been, delivered before. */
  readonly isRedelivered: boolean;
}

/** Why a frame is given up, kept beside its bytes. */
export interface DeadFrameInfo {
  /** A reason of dead letters, or `deliveries-exhausted`, `frame-invalid`, `serialization`. */
  readonly reason: string;
  /** What went wrong, as a text of at most 1,000 characters. */
  readonly error?: string | undefined;
  /** What is kept, where it is only a part of what was delivered. */
  readonly bytes?: Uint8Array | undefined;
}

/** How a source is read. */
export interface ConsumeOptions {
  /** Frames of each lane that are given out unsettled, 1 to 65,535 each. */
  readonly windows: PerLane;
  /**
   * Called with frames as they come: synchronously one lane after the other, most urgent first. It must not throw, and what it
   * throws nevertheless is reported as `degraded` and loses nothing.
   */
  readonly receive: (deliveries: readonly Delivery[]) => void;
}

/** A source that is being read. */
export interface Consumption {
  /** Frames that are safe: the broker forgets them. Takes effect in the background; what a cut undoes is delivered again. */
  acknowledge(deliveries: readonly Delivery[]): void;
  /** Frames that somebody else may have: they go back to where they stood, as far as the broker can. */
  release(deliveries: readonly Delivery[]): void;
  /**
   * Moves a frame to the dead letters of the broker, which nothing but an operator empties, and acknowledges it once it is safe there.
   * Rejects, with the frame still unsettled, when that fails.
   */
  deadLetter(delivery: Delivery, info: DeadFrameInfo): Promise<void>;
  /**
   * Takes no further frame, waits up to `drainMs` (0 unless said) until those given out are settled, then releases the rest. Resolves
   * when acknowledgements have been sent, or cannot be.
   */
  stop(options?: { readonly drainMs?: number | undefined }): Promise<void>;
}

/** How an adapter is. `degraded`: connected, and something is refused or lost; `down`: no connection, and it is trying. */
export type BrokerState = 'up' | 'degraded' | 'down';

/** A change of state. */
export interface BrokerStateChange {
  readonly state: BrokerState;
  /** Why, without secrets; absent for `up`. */
  readonly cause?: Error | undefined;
}

/** What differs between brokers, as facts: the contract suite asserts each. */
export interface BrokerCapabilities {
  /** Where a frame is when it is `ok`: with this process, in the server's memory, on its disk. */
  readonly durability: 'process' | 'memory' | 'disk';
  /** `exact`: never above `maxLength`. `approximate`: at most a fifth above it. `advisory`: publishers hear of it, and are late. */
  readonly bound: 'exact' | 'approximate' | 'advisory';
  /** Who counts deliveries: after the death of a consumer only a broker still knows. */
  readonly deliveryCount: 'broker' | 'consumer';
  /** Whether a frame for a node that does not exist is `unroutable`. */
  readonly reportsUnroutable: boolean;
  /** A released or orphaned frame comes back before those behind it. */
  readonly keepsOrderOnRedelivery: boolean;
  readonly frameBytesMax: number;
  /** Milliseconds within which the frames and shards of a member that was killed go to another member. */
  readonly takeoverMs: number;
  /** Milliseconds within which others hear that a node was killed; absent where `members` is. */
  readonly downMs?: number;
  /** Milliseconds within which a shard that was released is granted to another claim; absent where `shards` is. */
  readonly grantMs?: number;
  /** Nothing of a node that was closed, and nothing of its groups after `expiresMs`, is left behind but dead letters. */
  readonly leavesNothing: boolean;
  /**
   * Frames for a topic that stand behind a `full` one in the same call may have been taken. They are published again from there, so that the
   * full one arrives late, and they twice. Absent where nothing is taken past a frame that is `full`.
   */
  readonly passesFullTopics?: true;
}

/** A broker, as one node uses it: made by an adapter's function, opened once, closed once. */
export interface Broker {
  /** The kind of broker: `memory`, `redis`, `rabbitmq`, `kafka`. */
  readonly kind: string;
  /** Where it is, for people: without user, password and parameters. */
  readonly url: string;
  readonly capabilities: BrokerCapabilities;
  /**
   * Connects, and makes this node's inbox, empty, before it resolves; from then on others can send to it. Time and chance are the host's. Rejects with `ERR_BROKER_UNAVAILABLE`
   * after a few attempts; with `ERR_BROKER_DENIED` at once for credentials, permissions or certificates; with `ERR_NAME_TAKEN` when a living node has that name;
   * `ERR_DRIVER_MISSING` names the package to install.
   */
  open(node: NodeIdentity, host: Host): Promise<void>;
  /** One result for each frame, in order. Never rejects; see `PublishResult`. */
  publish(frames: readonly OutFrame[]): Promise<readonly PublishResult[]>;
  /** Lets topics that fit a pattern into the inbox. Resolves when effective for every publisher. Calls are counted. */
  listen(pattern: string): Promise<void>;
  /** Takes one `listen` back. */
  unlisten(pattern: string): Promise<void>;
  /** Reads a source. The inbox is read once; one node may be in a group several times. Resolves when effective. */
  consume(source: Source, options: ConsumeOptions): Promise<Consumption>;
  /** Frames that wait at the broker and were given to nobody, by lane; undefined where it cannot be known. */
  backlog(source: Source): Promise<PerLane | undefined>;
  /** Tells of each change of state from now on, until the function it returns is called. */
  onState(listener: (change: BrokerStateChange) => void): () => void;
  /** Which nodes live; absent where the broker cannot tell. */
  readonly members?: Membership;
  /** Who owns which shard; absent where the broker cannot give each one owner. */
  readonly shards?: Sharding;
  /** Stops what is still consumed, gives up what is claimed, removes inbox and interest, and disconnects: no socket and no timer is left. Idempotent; never rejects. */
  close(): Promise<void>;
}

/** Options that every adapter has. */
export interface BrokerOptions {
  /** What everything at the broker is named below: `[a-z0-9-]{1,32}`; `troupe` unless said. */
  readonly prefix?: string | undefined;
  /** Frames that one lane of an inbox or a group holds for nobody yet; 10,000 unless said. */
  readonly maxLength?: number | undefined;
  /** Milliseconds for which an inbox without its node, or a group without members, is kept; 600,000 unless said. */
  readonly expiresMs?: number | undefined;
  /** Milliseconds for a connection to come up, each attempt; 5,000 unless said. */
  readonly connectTimeoutMs?: number | undefined;
  /** Milliseconds until a published frame whose answer is missing is `unknown`; 5,000 unless said. */
  readonly publishTimeoutMs?: number | undefined;
  /** Attempts to open before it rejects; 5 unless said. */
  readonly openAttemptsMax?: number | undefined;
  /** Pauses between attempts to connect: at random between nothing and `min * 2^n`, at most `max`. 100 ms to 5 s unless said. */
  readonly reconnect?:
    | { readonly minMs?: number | undefined; readonly maxMs?: number | undefined }
    | undefined;
  /** Milliseconds between signs of life; 3,000 unless said. */
  readonly heartbeatMs?: number | undefined;
  /** Milliseconds without a sign of life after which a node counts as dead; 10,000 unless said. */
  readonly downAfterMs?: number | undefined;
}
