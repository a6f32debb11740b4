/**
 * What the hub holds for one prefix: nodes with their inboxes and patterns, groups, dead letters; and who gets what is published.
 * Its time is that of whoever calls. What nobody uses is forgotten at the next call after its time, so there is no timer for it.
 */

import type {
  DeadFrameInfo,
  Destination,
  OutFrame,
  PublishResult,
  Source,
} from '../../src/protocol/broker.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { DEAD_LETTERS_MAX } from '../../src/protocol/limits.ts';
import { patternMatcher } from '../../src/protocol/pattern.ts';
import { FrameQueue, type Member } from './frame-queue.ts';
import type { HeldFrame } from './lane-queue.ts';
import type { Connection } from './link.ts';
import type { Hello, NodeRecord } from './node-record.ts';
import { Presence } from './presence.ts';
import { ShardTable } from './shard-table.ts';

/** A frame that was given up. */
export interface MemoryDeadFrame {
  readonly bytes: Uint8Array;
  /** The topic it was published to; absent for one sent to a node by name. */
  readonly topic?: string | undefined;
  /** The node that gave it up. */
  readonly node: string;
  readonly reason: string;
  readonly error?: string | undefined;
  readonly deliveries: number;
}

interface Group {
  readonly queue: FrameQueue;
  readonly fits: (topic: string) => boolean;
  readonly expiresMs: number;
  /** When its last member went. */
  desertedAtMs: number;
}

/** All below one prefix. @internal */
export class Room {
  readonly deadFrames: MemoryDeadFrame[] = [];
  readonly presence: Presence;
  readonly shards: ShardTable;
  private readonly nodes = new Map<string, NodeRecord>();
  private readonly groups = new Map<string, Group>();
  private readonly isApart: (publisher: string, reader: string) => boolean;

  constructor(isApart: (publisher: string, reader: string) => boolean, epochBase: number) {
    this.isApart = isApart;
    this.shards = new ShardTable(isApart, epochBase);
    this.presence = new Presence(this.nodes, (record) => this.shards.forsake(record));
  }

  get isEmpty(): boolean {
    return this.nodes.size + this.groups.size + this.shards.names.length + this.deadFrames.length === 0;
  }

  /** Names of all there is but dead letters. */
  get names(): readonly string[] {
    return [
      ...[...this.nodes.keys()].map((name) => `node ${name}`),
      ...[...this.groups.keys()].map((key) => `group ${key}`),
      ...this.shards.names,
    ];
  }

  /** A node comes, or comes again. Answers with the name's holder where that is somebody else who lives. */
  join(hello: Hello, connection: Connection, hears: NodeRecord['hears']): NodeRecord | string {
    const now = connection.host.clock.now();
    this.forgetOld(now);
    const { name, incarnation } = hello.node;
    const known = this.nodes.get(name);
    const isItself = known?.hello.node.incarnation === incarnation;
    if (known !== undefined && !isItself && isAlive(known, now)) return known.hello.node.incarnation;
    known?.connection?.end({ isGone: !isItself, problem: 'another connection has taken its place' });
    if (known !== undefined && !isItself) this.presence.ended(known);
    const record: NodeRecord =
      known !== undefined && isItself
        ? known
        : {
            hello,
            inbox: new FrameQueue(hello.maxLength, this.isApart),
            patterns: new Map(),
            clock: connection.host.clock,
            connection,
            hears,
            goneAtMs: 0,
            isDead: false,
            life: hello.life ?? 1,
            about: '',
          };
    record.connection = connection;
    record.hears = hears;
    this.nodes.set(name, record);
    connection.whenEnded(({ isGone }) => {
      if (record.connection !== connection) return;
      record.connection = undefined;
      record.goneAtMs = connection.host.clock.now();
      if (isGone) this.presence.ended(record);
      else this.presence.lost(record);
    });
    this.presence.came(record);
    return record;
  }

  /** A node was killed. */
  markDead(name: string): void {
    const record = this.nodes.get(name);
    if (record !== undefined) this.presence.ended(record);
  }

  /** A node goes, with all that is its own. */
  leave(record: NodeRecord): void {
    if (this.nodes.get(record.hello.node.name) !== record) return;
    this.nodes.delete(record.hello.node.name);
    this.presence.closed(record);
  }

  /** Takes exactly these patterns for a node. */
  listen(record: NodeRecord, patterns: Iterable<string>): void {
    const wanted = new Set(patterns);
    for (const pattern of record.patterns.keys()) if (!wanted.has(pattern)) record.patterns.delete(pattern);
    for (const pattern of wanted)
      if (!record.patterns.has(pattern)) record.patterns.set(pattern, patternMatcher(pattern));
  }

  /** A member begins to read; what it holds comes back when its connection ends. Answers with its queue, and how it leaves. */
  attach(
    record: NodeRecord,
    source: Source,
    member: Member,
  ): { readonly queue: FrameQueue; readonly leave: () => void } {
    this.forgetOld(member.connection.host.clock.now());
    const group = source.kind === 'group' ? this.groupFor(source, record) : undefined;
    const queue = group?.queue ?? this.queueOf(record, source) ?? record.inbox;
    queue.attach(member);
    const { connection } = member;
    const leave = (): void => {
      stayed();
      queue.detach(member);
      if (group !== undefined) group.desertedAtMs = connection.host.clock.now();
    };
    const stayed = connection.whenEnded(leave);
    return { queue, leave };
  }

  /** The queue of a source; none for a group or a shard that does not exist. */
  queueOf(record: NodeRecord, source: Source): FrameQueue | undefined {
    if (source.kind === 'inbox') return record.inbox;
    return source.kind === 'group' ? this.groups.get(keyOf(source))?.queue : this.shards.queueOf(source);
  }

  /**
   * Keeps frames wherever they go, if there is room. After a `full` nothing else of the call is taken for that lane there, so that
   * whoever publishes again from there keeps the order. A call that comes in parts brings `full` along: what was full in the parts before.
   */
  publish(
    frames: readonly OutFrame[],
    publisher: string,
    { host, link }: Connection,
    full = new Set<string>(),
  ): PublishResult[] {
    this.forgetOld(host.clock.now());
    return frames.map((frame) => {
      const key = `${frame.lane} ${placeOf(frame.to)}`;
      if (full.has(key)) return 'full';
      const result = this.store(frame, publisher);
      if (result === 'full') full.add(key);
      if (result === 'ok' && link.isDuplicated()) this.store(frame, publisher);
      return result;
    });
  }

  /** Keeps what a member gives up; `false` when there is no room for more. */
  bury(frame: HeldFrame, node: string, info: DeadFrameInfo): boolean {
    if (this.deadFrames.length >= DEAD_LETTERS_MAX) return false;
    const { topic, deliveries } = frame;
    const { reason, error, bytes = frame.bytes } = info;
    this.deadFrames.push({ bytes, topic, node, reason, error, deliveries });
    return true;
  }

  /** Looks at all queues again: something that kept frames from their readers is over. */
  wake(): void {
    for (const { inbox } of this.nodes.values()) inbox.wake();
    for (const { queue } of this.groups.values()) queue.wake();
    for (const queue of this.shards.queues) queue.wake();
  }

  private store(frame: OutFrame, publisher: string): PublishResult {
    const queues = this.placesFor(frame.to);
    if (queues === undefined) return 'unroutable';
    const topic = frame.to.kind === 'topic' ? frame.to.topic : undefined;
    const { lane, bytes } = frame;
    let result: PublishResult = 'ok';
    for (const queue of queues) if (!queue.offer({ lane, bytes, topic, publisher })) result = 'full';
    return result;
  }

  private placesFor(to: Destination): readonly FrameQueue[] | undefined {
    if (to.kind === 'node') {
      const inbox = this.nodes.get(to.node)?.inbox;
      return inbox && [inbox];
    }
    if (to.kind === 'shard') {
      const queue = this.shards.queueOf(to);
      return queue && [queue];
    }
    const { topic } = to;
    const places: FrameQueue[] = [];
    for (const { inbox, patterns } of this.nodes.values()) if (listens(patterns, topic)) places.push(inbox);
    for (const { queue, fits } of this.groups.values()) if (fits(topic)) places.push(queue);
    return places;
  }

  private groupFor(source: Source & { kind: 'group' }, { hello }: NodeRecord): Group {
    const key = keyOf(source);
    let group = this.groups.get(key);
    if (group === undefined) {
      group = {
        queue: new FrameQueue(hello.maxLength, this.isApart),
        fits: patternMatcher(source.pattern),
        expiresMs: hello.expiresMs,
        desertedAtMs: 0,
      };
      this.groups.set(key, group);
    }
    return group;
  }

  private forgetOld(now: number): void {
    for (const [name, { connection, goneAtMs, hello }] of this.nodes)
      if (connection === undefined && now - goneAtMs >= hello.expiresMs) this.nodes.delete(name);
    for (const [key, { queue, desertedAtMs, expiresMs }] of this.groups)
      if (!queue.isRead && now - desertedAtMs >= expiresMs) this.groups.delete(key);
    this.shards.forgetOld(now);
  }
}

function isAlive({ connection, isDead, goneAtMs, hello }: NodeRecord, now: number): boolean {
  return connection !== undefined || (!isDead && now - goneAtMs < hello.downAfterMs);
}

function listens(patterns: NodeRecord['patterns'], topic: string): boolean {
  // Most patterns are topics.
  if (patterns.has(topic)) return true;
  for (const fits of patterns.values()) if (fits(topic)) return true;
  return false;
}

function placeOf(to: Destination): string {
  switch (to.kind) {
    case 'node':
      return `node ${to.node}`;
    case 'topic':
      return `topic ${to.topic}`;
    case 'shard':
      return `shard ${to.group} ${to.shard}`;
  }
}

function keyOf({ group, pattern }: Source & { kind: 'group' }): string {
  return `${group} ${pattern}`;
}

/** The error of a broker that cannot be used. @internal */
export function unavailable(problem: string): TroupeError<'ERR_BROKER_UNAVAILABLE'> {
  return new TroupeError('ERR_BROKER_UNAVAILABLE', { broker: 'memory', url: 'memory:', problem });
}
