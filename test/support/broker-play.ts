/**
 * A world of nodes for one case of the contract of brokers: it opens them, keeps what arrives, waits for what shall become true,
 * and at the end closes everything and looks for what is left. Waiting is never a sleep: it ends when the condition holds.
 */

import { expect } from 'vitest';
import type {
  Broker,
  BrokerOptions,
  BrokerStateChange,
  Consumption,
  Delivery,
  Lane,
  NodeIdentity,
  OutFrame,
  PerLane,
  PublishResult,
  Source,
} from '../../src/protocol/broker.ts';
import { LANE_WINDOWS } from '../../src/protocol/limits.ts';
import type { Member, Membership } from '../../src/protocol/membership.ts';
import type { Shard, ShardOwner } from '../../src/protocol/sharding.ts';
import type { BrokerHarness, ConnectedNode, LinkControl } from './broker-harness.ts';

/** Milliseconds that something may take which should be there at once: only a failing case waits so long. */
const SOON_MS = 15_000;
/** Milliseconds between two looks at a condition. */
const STEP_MS = 5;
/** Milliseconds between two looks that count at the most. */
const STILL_MS = 1_000;

const RUN = Date.now().toString(36);
let worldsMade = 0;
let livesMade = 0;

export interface NodeOptions {
  readonly name?: string;
  /** Beside the prefix. */
  readonly options?: BrokerOptions;
  readonly hasLink?: boolean;
}

export interface ReadOptions {
  readonly windows?: PerLane;
  /** What happens to a batch: acknowledged at once unless said. `keep` leaves it to the test. */
  readonly settle?: 'acknowledge' | 'keep' | ((deliveries: readonly Delivery[], reading: Reading) => void);
}

/** What one consumption has got so far. */
export class Reading {
  readonly deliveries: Delivery[] = [];
  readonly batches: (readonly Delivery[])[] = [];
  /** There before the first delivery is handed to `settle`; a broker that delivers before `consume` resolves is waited for. */
  consumption: Consumption | undefined;
  private readonly early: (readonly Delivery[])[] = [];
  private readonly settle: NonNullable<ReadOptions['settle']>;

  constructor(settle: NonNullable<ReadOptions['settle']>) {
    this.settle = settle;
  }

  readonly receive = (deliveries: readonly Delivery[]): void => {
    this.deliveries.push(...deliveries);
    this.batches.push(deliveries);
    if (this.consumption === undefined) this.early.push(deliveries);
    else this.handle(deliveries);
  };

  begin(consumption: Consumption): this {
    this.consumption = consumption;
    for (const deliveries of this.early.splice(0)) this.handle(deliveries);
    return this;
  }

  /** The consumption, once it has begun. */
  get open(): Consumption {
    if (this.consumption === undefined) throw new Error('The source is not being read.');
    return this.consumption;
  }

  get numbers(): number[] {
    return this.deliveries.map(numberOf);
  }

  /** Numbers, each as often as it came, in order of size. */
  get sorted(): number[] {
    return this.numbers.toSorted((a, b) => a - b);
  }

  get distinct(): number {
    return new Set(this.numbers).size;
  }

  private handle(deliveries: readonly Delivery[]): void {
    if (this.settle === 'keep') return;
    if (this.settle === 'acknowledge') this.open.acknowledge(deliveries);
    else this.settle(deliveries, this);
  }
}

/** A claim of a node on a shard, and what it was told. */
export interface Claiming {
  /** Epochs, and `lost`, as they came. */
  readonly told: readonly (number | 'lost')[];
  /** The epoch by which the node owns the shard; undefined while it does not. */
  readonly epoch: () => number | undefined;
  readonly release: () => Promise<void>;
}

/** A node that is open. */
export class PlayNode {
  readonly identity: NodeIdentity;
  readonly broker: Broker;
  readonly states: BrokerStateChange[] = [];
  /** Changes of members, as `kind name.incarnation`. */
  readonly changes: string[] = [];
  isKilled = false;
  private readonly play: BrokerPlay;
  private readonly connected: ConnectedNode;

  constructor(play: BrokerPlay, connected: ConnectedNode, identity: NodeIdentity) {
    this.play = play;
    this.connected = connected;
    this.broker = connected.broker;
    this.identity = identity;
    this.broker.onState((change) => this.states.push(change));
    this.broker.members?.onChange(({ kind, member }) => this.changes.push(`${kind} ${lifeOf(member)}`));
  }

  get name(): string {
    return this.identity.name;
  }

  get link(): LinkControl {
    if (this.connected.link === undefined) throw new Error('The node was connected without a link.');
    return this.connected.link;
  }

  /** Where it is now: `up` until something else is told. */
  get isUp(): boolean {
    return (this.states.at(-1)?.state ?? 'up') === 'up';
  }

  /** Lives of all members that it knows, as `name.incarnation`, in order. */
  get living(): readonly string[] {
    return this.members.view().map(lifeOf).toSorted();
  }

  get members(): Membership {
    if (this.broker.members === undefined) throw new Error('The broker tells no members.');
    return this.broker.members;
  }

  /** Claims a shard; `granted` and `lost` are called after they are written down. */
  async claim(shard: Shard, { granted, lost }: Partial<ShardOwner> = {}): Promise<Claiming> {
    const told: (number | 'lost')[] = [];
    const claiming = this.broker.shards?.claim(shard, {
      granted: (epoch) => {
        told.push(epoch);
        granted?.(epoch);
      },
      lost: () => {
        told.push('lost');
        lost?.();
      },
    });
    if (claiming === undefined) throw new Error('The broker gives shards no owner.');
    const claim = await this.play.within(claiming, 'claim');
    return {
      told,
      epoch: () => {
        const last = told.at(-1);
        return last === 'lost' ? undefined : last;
      },
      release: () => this.play.within(claim.release(), 'release'),
    };
  }

  /** Tells of all that is given to whoever consumes on this node from now on. */
  onDeliveries(hear: (deliveries: readonly Delivery[]) => void): void {
    const { broker } = this;
    const consume = broker.consume.bind(broker);
    const heard: Broker['consume'] = (source, options) =>
      consume(source, {
        ...options,
        receive: (deliveries) => {
          hear(deliveries);
          options.receive(deliveries);
        },
      });
    Object.assign(broker, { consume: heard });
  }

  /** Publishes in one call. */
  publish(frames: readonly OutFrame[]): Promise<readonly PublishResult[]> {
    return this.play.within(this.broker.publish(frames), 'publish');
  }

  /** Publishes in calls of `batch` frames and expects each to be taken. */
  async publishAll(frames: readonly OutFrame[], batch = 100): Promise<void> {
    for (let from = 0; from < frames.length; from += batch) {
      const part = frames.slice(from, from + batch);
      expect(await this.publish(part)).toEqual(part.map(() => 'ok'));
    }
  }

  /** Publishes until all are taken, again from the first that was not; as the port asks of callers. */
  async publishUntilTaken(frames: readonly OutFrame[], withinMs = 60_000): Promise<void> {
    const { clock } = this.play.harness.host;
    const end = clock.now() + withinMs;
    for (let from = 0; from < frames.length; ) {
      const results = await this.publish(frames.slice(from, from + 100));
      const refused = results.findIndex((result) => result !== 'ok');
      from += refused < 0 ? results.length : refused;
      if (refused < 0) continue;
      if (clock.now() > end) throw new Error(`After ${withinMs} ms a frame is still ${results[refused]}.`);
      await this.play.pass(20);
    }
  }

  listen(pattern: string): Promise<void> {
    return this.play.within(this.broker.listen(pattern), `listen ${pattern}`);
  }

  unlisten(pattern: string): Promise<void> {
    return this.play.within(this.broker.unlisten(pattern), `unlisten ${pattern}`);
  }

  async read(
    source: Source = { kind: 'inbox' },
    { windows = LANE_WINDOWS, settle = 'acknowledge' }: ReadOptions = {},
  ): Promise<Reading> {
    const reading = new Reading(settle);
    const consuming = this.broker.consume(source, { windows, receive: reading.receive });
    return reading.begin(await this.play.within(consuming, 'consume'));
  }

  backlog(source: Source = { kind: 'inbox' }): Promise<PerLane | undefined> {
    return this.play.within(this.broker.backlog(source), 'backlog');
  }

  async close(): Promise<void> {
    await this.play.within(this.broker.close(), 'close', 30_000);
  }

  async kill(): Promise<void> {
    this.isKilled = true;
    await this.connected.kill();
  }
}

/** The world of one case. */
export class BrokerPlay {
  readonly harness: BrokerHarness;
  readonly prefix = `t${RUN}-${++worldsMade}`;
  private readonly nodes: PlayNode[] = [];
  private readonly endings: (() => Promise<void>)[] = [];
  private passing: Promise<void> | undefined;

  constructor(harness: BrokerHarness) {
    this.harness = harness;
  }

  /** A new node, open. */
  async node(options: NodeOptions = {}): Promise<PlayNode> {
    const node = await this.newNode(options);
    await this.within(this.openNode(node), 'open', 60_000);
    // That it is up now is no news.
    node.states.length = 0;
    node.changes.length = 0;
    return node;
  }

  /** A new node that is not open. */
  async newNode({ name, options, hasLink = false }: NodeOptions = {}): Promise<PlayNode> {
    const incarnation = `${RUN}${(++livesMade).toString(36)}`;
    const identity: NodeIdentity = { name: name ?? `node-${livesMade}`, incarnation };
    const own = { ...options, prefix: this.prefix };
    const node = new PlayNode(
      this,
      await this.harness.connect({ node: identity, options: own, hasLink }),
      identity,
    );
    this.nodes.push(node);
    return node;
  }

  openNode(node: PlayNode): Promise<void> {
    return node.broker.open(node.identity, this.harness.host);
  }

  /** Lets about `ms` pass; calls at once share it. */
  pass(ms: number): Promise<void> {
    this.passing ??= this.harness.advance(ms).finally(() => {
      this.passing = undefined;
    });
    return this.passing;
  }

  /** Lets `ms` pass, whatever else waits. */
  async passAll(ms: number): Promise<void> {
    const { clock } = this.harness.host;
    for (const end = clock.now() + ms; clock.now() < end; ) await this.pass(Math.min(50, end - clock.now()));
  }

  /** Waits until a condition holds; what did not become true is named by the error. */
  async until(condition: () => boolean | Promise<boolean>, what: string, withinMs = SOON_MS): Promise<void> {
    const isLate = this.lateAfter(withinMs);
    while (!(await condition())) {
      if (isLate()) throw new Error(`Not within ${withinMs} ms: ${what}`);
      await this.pass(STEP_MS);
    }
  }

  /** What a promise gives, while time passes; an error when it does not settle. */
  async within<T>(promise: Promise<T>, what: string, withinMs = SOON_MS): Promise<T> {
    let isSettled = false;
    const settled = promise.then(
      () => {
        isSettled = true;
      },
      () => {
        isSettled = true;
      },
    );
    const isLate = this.lateAfter(withinMs);
    while (!isSettled) {
      if (isLate()) throw new Error(`Not settled within ${withinMs} ms: ${what}`);
      await Promise.race([settled, this.pass(STEP_MS)]);
    }
    return promise;
  }

  /** Whether `ms` are over, not counting those in which this process stood still: nothing could have happened then. */
  private lateAfter(ms: number): () => boolean {
    const { clock } = this.harness.host;
    let lastMs = clock.now();
    let waitedMs = 0;
    return () => {
      const now = clock.now();
      waitedMs += Math.min(now - lastMs, STILL_MS);
      lastMs = now;
      return waitedMs > ms;
    };
  }

  /** Waits until a reading has this many deliveries, and a little longer, so that one too many is seen. */
  async untilGot(reading: Reading, count: number, withinMs?: number): Promise<void> {
    const what = (): string => `${count} deliveries (there are ${reading.deliveries.length})`;
    try {
      await this.until(() => reading.deliveries.length >= count, 'deliveries', withinMs);
    } catch (error) {
      throw new Error(what(), { cause: error });
    }
  }

  /** Time in which something wrong would arrive: what comes in order on the same way has come, and then some. */
  async quiet(ms = 100): Promise<void> {
    await this.passAll(ms);
  }

  /** Has this done before its nodes are closed. */
  beforeEnd(ending: () => Promise<void>): void {
    this.endings.push(ending);
  }

  /** Closes all nodes and removes what is left. */
  async end(): Promise<void> {
    for (const ending of this.endings) await ending();
    const living = this.nodes.filter((node) => !node.isKilled);
    await Promise.all(living.map((node) => node.close()));
    await Promise.all(this.nodes.map((node) => this.within(node.broker.close(), 'close', 30_000)));
    await this.within(this.harness.clean(this.prefix), 'clean', 60_000);
  }
}

const HEADER_BYTES = 8;

/** A frame with a number inside, for a node or a topic. */
export function frame(
  to: OutFrame['to'],
  number: number,
  {
    lane = 3,
    sizeBytes = HEADER_BYTES,
    sender = 0,
  }: { lane?: Lane; sizeBytes?: number; sender?: number } = {},
): OutFrame {
  const bytes = new Uint8Array(Math.max(HEADER_BYTES, sizeBytes));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, number);
  view.setUint32(4, sender);
  return { to, lane, bytes };
}

export function toNode({ name }: PlayNode): OutFrame['to'] {
  return { kind: 'node', node: name };
}

export function toShard(shard: Shard): OutFrame['to'] {
  return { kind: 'shard', ...shard };
}

export function toTopic(topic: string): OutFrame['to'] {
  return { kind: 'topic', topic };
}

/** The number in a frame. */
export function numberOf({ bytes }: Pick<Delivery, 'bytes'>): number {
  return viewOf(bytes).getUint32(0);
}

/** The sender in a frame. */
export function senderOf({ bytes }: Pick<Delivery, 'bytes'>): number {
  return viewOf(bytes).getUint32(4);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** One life of a node. */
export function lifeOf({ name, incarnation }: Pick<Member, 'name' | 'incarnation'>): string {
  return `${name}.${incarnation}`;
}

/** From 0 to `count - 1`. */
export function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** The same window for each lane. */
export function windowOf(size: number): PerLane {
  return [size, size, size, size, size, size];
}

/** Deliveries that came while another with the same number was there before, not told as such. */
export function silentRepeats(deliveries: readonly Delivery[]): number[] {
  const seen = new Set<number>();
  return deliveries.flatMap((delivery) => {
    const number = numberOf(delivery);
    const isRepeat = seen.has(number) && !delivery.isRedelivered;
    seen.add(number);
    return isRepeat ? [number] : [];
  });
}
