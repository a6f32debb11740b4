/**
 * One node at the server, for as long as its connection lasts: what it says is done at the hub, and what the hub has for it is said to it.
 * It knows no sockets and no secrets.
 *
 * What is given out waits here, by lane, until the socket has room: it is in memory once, and what is urgent overtakes.
 */

import {
  type BrokerOptions,
  LANES,
  type Lane,
  type PerLane,
  type Source,
} from '../../src/protocol/broker.ts';
import {
  brokerSettings,
  checkAbout,
  checkGroupName,
  checkNodeName,
  checkShard,
  checkWindows,
} from '../../src/protocol/broker-options.ts';
import type { Host } from '../../src/protocol/clock.ts';
import {
  DELIVERY_BATCH_BYTES,
  DELIVERY_BATCH_MAX,
  LOOPBACK_UNSENT_BYTES_MAX,
} from '../../src/protocol/limits.ts';
import type { Census } from '../../src/protocol/member-view.ts';
import { lifeKey } from '../../src/protocol/membership.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import type { Shard } from '../../src/protocol/sharding.ts';
import { checkPattern, checkTopic } from '../../src/protocol/topic.ts';
import { type FrameQueue, Member as Seat } from '../memory/frame-queue.ts';
import type { Caller, Hub } from '../memory/hub.ts';
import type { HeldFrame } from '../memory/lane-queue.ts';
import type { Connection } from '../memory/link.ts';
import type { Hello, NodeRecord } from '../memory/node-record.ts';
import type { Room } from '../memory/room.ts';
import type { Claim } from '../memory/shard-table.ts';
import { type Call, CENSUS_BATCH_MAX, type Join, RESULTS, type ToNode, type ToServer } from './messages.ts';

/** The way to the node. */
export interface GuestPorts {
  readonly host: Host;
  readonly unsentBytes: () => number;
  readonly send: (message: ToNode) => void;
  /** The hub has ended it. */
  readonly ended: (problem: string) => void;
}

interface Reader {
  readonly seat: Seat;
  readonly queue: FrameQueue;
  readonly leave: () => void;
  /** Given out and not settled, by the number under which the node knows it. */
  readonly held: Map<number, HeldFrame>;
  given: number;
}

interface Given {
  readonly number: number;
  readonly reader: number;
  readonly frame: HeldFrame;
}

const INCARNATION = /^[a-z0-9]{1,32}$/;

/** A node that has proven that it may join. */
export class Guest implements Caller {
  readonly prefix: string;
  readonly hello: Hello;
  readonly host: Host;
  private readonly hub: Hub;
  private readonly ports: GuestPorts;
  private readonly connection: Connection;
  private readonly joined: Promise<NodeRecord>;
  private room: Room | undefined;
  private record: NodeRecord | undefined;
  private readonly readers = new Map<number, Reader>();
  private readonly given: readonly Given[][] = LANES.map(() => []);
  /** What it has said on this connection that shall hold. */
  private readonly patterns = new Set<string>();
  private readonly claims: Claim[] = [];
  private isRestored = false;
  /** What was full in the parts before, of a publish that comes in parts. */
  private full = new Set<string>();
  /** Whom it knows, and what each says of itself, as it was told last. */
  private readonly told: Map<string, string | undefined>;

  /** Throws `ERR_OPTION_INVALID` for a node that cannot be. */
  constructor(hub: Hub, join: Join, ports: GuestPorts) {
    const { prefix, maxLength, expiresMs, heartbeatMs, downAfterMs } = join;
    const options: BrokerOptions = { prefix, maxLength, expiresMs, heartbeatMs, downAfterMs };
    const { settings } = brokerSettings('loopback', options, []);
    if (!INCARNATION.test(join.incarnation) || join.life < 1)
      throw invalidOption(
        'incarnation',
        '1 to 32 of the characters a-z and 0-9, in a life from 1',
        join.incarnation,
      );
    const node = { name: checkNodeName(join.name), incarnation: join.incarnation };
    this.prefix = prefix;
    this.hello = { node, maxLength, expiresMs: settings.expiresMs, downAfterMs, life: join.life };
    this.host = ports.host;
    this.hub = hub;
    this.ports = ports;
    this.told = new Map(join.known.map((node) => [lifeKey(node), undefined]));
    hub.register(this);
    const { connection, joined } = hub.connect(this);
    this.connection = connection;
    this.joined = joined;
    connection.whenEnded(({ problem }) => this.ports.ended(problem));
  }

  /** Resolves when the node is known, and has been told who lives. Rejects with `ERR_NAME_TAKEN`. */
  async enter(): Promise<void> {
    this.record = await this.joined;
    this.room = this.hub.roomOf(this.prefix);
    this.ports.send({ type: 'joined' });
    if (this.hub.refusesPublishes) this.refused(true);
  }

  /** Its connection is gone; `isDead` when its process is. Answers with what is remembered of it. */
  exit(isDead: boolean, problem: string): NodeRecord | undefined {
    this.connection.end({ isGone: isDead, problem });
    this.hub.unregister(this);
    return this.record;
  }

  /** It is known to have ended, if it has not come back. */
  isOver(): boolean {
    return this.record === undefined || this.record.isDead || this.record.connection !== undefined;
  }

  /** Whether it is of the node that joins. */
  isOf({ prefix, name, incarnation }: Join): boolean {
    const { node } = this.hello;
    return prefix === this.prefix && name === node.name && incarnation === node.incarnation;
  }

  /** Its process is gone. */
  died(): void {
    if (this.record !== undefined && !this.isOver()) this.room?.presence.ended(this.record);
  }

  hears({ members, endOf }: Census): void {
    const now = new Map(members.map((member) => [lifeKey(member), member]));
    const ended: Extract<ToNode, { type: 'census' }>['ended'][number][] = [];
    for (const key of this.told.keys()) {
      if (now.has(key)) continue;
      this.told.delete(key);
      const [name = '', incarnation = ''] = key.split(' ');
      ended.push({ name, incarnation, hasLeft: endOf({ name, incarnation, about: '' }) === 'left' });
    }
    const living = [...now].filter(([key, { about }]) => this.told.get(key) !== about);
    for (const [key, { about }] of living) this.told.set(key, about);
    for (let at = 0; at < Math.max(ended.length, living.length); at += CENSUS_BATCH_MAX)
      this.ports.send({
        type: 'census',
        ended: ended.slice(at, at + CENSUS_BATCH_MAX),
        living: living.slice(at, at + CENSUS_BATCH_MAX).map(([, member]) => member),
      });
  }

  killed(): void {
    this.ports.ended('its node was killed');
  }

  refused(isRefused: boolean): void {
    if (this.room !== undefined) this.ports.send({ type: 'refuses', isRefused });
  }

  /** Does what the node says. Throws for what no node says. */
  received(message: Exclude<ToServer, Join>): void {
    switch (message.type) {
      case 'ask': {
        const values = this.answerTo(message.call);
        this.ports.send({ type: 'answer', number: message.number, values });
        return;
      }
      case 'restored':
        this.restored();
        return;
      case 'quiet': {
        const reader = this.readers.get(message.reader);
        if (reader !== undefined) reader.seat.isStopping = true;
        return;
      }
      case 'settle':
        this.settle(message);
        return;
    }
  }

  /** Says what waits, most urgent first, as far as there is room. */
  pump(): void {
    while (this.ports.unsentBytes() < LOOPBACK_UNSENT_BYTES_MAX) {
      const lane = LANES.find((each) => (this.given[each]?.length ?? 0) > 0);
      if (lane === undefined) return;
      this.sendSome(lane);
    }
  }

  private answerTo(call: Call): readonly number[] {
    const { room, record } = this.present();
    switch (call.type) {
      case 'ping':
        return [];
      case 'publish':
        return this.publish(call);
      case 'listen':
        this.patterns.add(checkPattern(call.pattern));
        this.tellPatterns();
        return [];
      case 'unlisten':
        this.patterns.delete(call.pattern);
        this.tellPatterns();
        return [];
      case 'describe':
        if (record.about === call.about) return [];
        record.about = checkAbout(call.about);
        room.presence.tell();
        return [];
      case 'consume':
        return [this.consume(call) ? 1 : 0];
      case 'stop':
        this.readers.get(call.reader)?.leave();
        this.readers.delete(call.reader);
        return [];
      case 'bury':
        return [this.bury(call) ? 1 : 0];
      case 'backlog':
        return room.queueOf(record, checkSource(call.source))?.backlog() ?? [0, 0, 0, 0, 0, 0];
      case 'claim':
        this.claim(checkShard(call.shard));
        return [];
      case 'release':
        room.shards.release(record, checkShard(call.shard));
        return [];
      case 'leave':
        room.leave(record);
        return [];
    }
  }

  private publish({ isContinued, frames }: Extract<Call, { type: 'publish' }>): readonly number[] {
    const { room } = this.present();
    if (this.hub.refusesPublishes) return frames.map(() => RESULTS.indexOf('unavailable'));
    if (!isContinued) this.full = new Set();
    // Copied out of what came over the socket: a small frame would keep all of that.
    const own = frames.map((frame) => ({ ...frame, bytes: new Uint8Array(frame.bytes) }));
    for (const { to } of own) if (to.kind === 'topic') checkTopic(to.topic);
    const results = room.publish(own, this.hello.node.name, this.connection, this.full);
    return results.map((result) => RESULTS.indexOf(result));
  }

  private consume({ reader, source, windows }: Extract<Call, { type: 'consume' }>): boolean {
    const { room, record } = this.present();
    if (this.readers.has(reader)) throw invalidOption('reader', 'a number that is not in use', reader);
    // Checked next: six numbers.
    const perLane = windows as unknown as PerLane;
    checkWindows(perLane);
    checkSource(source);
    if (source.kind === 'shard' && !room.shards.isOwner(record, source)) return false;
    const held = new Map<number, HeldFrame>();
    const { connection, hello } = this;
    const seat = new Seat(connection, hello.node.name, perLane, (frames) => this.arrived(reader, frames));
    this.readers.set(reader, { seat, held, given: 0, ...room.attach(record, source, seat) });
    return true;
  }

  private arrived(number: number, frames: readonly HeldFrame[]): void {
    const reader = this.readers.get(number);
    if (reader === undefined) return;
    for (const frame of frames) {
      reader.given++;
      reader.held.set(reader.given, frame);
      this.given[frame.lane]?.push({ number: reader.given, reader: number, frame });
    }
    this.pump();
  }

  /** Frames that stand together in a lane and go to one reader. */
  private sendSome(lane: Lane): void {
    const waiting = this.given[lane] ?? [];
    const number = waiting[0]?.reader ?? 0;
    const held = this.readers.get(number)?.held;
    let size = 0;
    let count = 0;
    for (; count < DELIVERY_BATCH_MAX && size < DELIVERY_BATCH_BYTES; count++) {
      const next = waiting[count];
      if (next?.reader !== number) break;
      if (count > 0 && size + next.frame.bytes.length > DELIVERY_BATCH_BYTES) break;
      size += next.frame.bytes.length;
    }
    const frames = waiting
      .splice(0, count)
      // Its reader may have stopped meanwhile.
      .filter((given) => held?.get(given.number) === given.frame)
      .map(({ number: delivery, frame: { deliveries, topic, bytes } }) => ({
        delivery,
        deliveries,
        topic,
        bytes,
      }));
    if (frames.length > 0) this.ports.send({ type: 'deliveries', reader: number, lane, frames });
  }

  private settle({ reader: number, how, deliveries }: Extract<ToServer, { type: 'settle' }>): void {
    const reader = this.readers.get(number);
    if (reader === undefined) return;
    const { queue, seat, held } = reader;
    const frames: HeldFrame[] = [];
    for (const delivery of deliveries) {
      const frame = held.get(delivery);
      if (frame !== undefined) frames.push(frame);
      held.delete(delivery);
    }
    if (how === 'acknowledge') queue.acknowledge(seat, frames);
    else queue.putBack(seat, frames);
  }

  private bury({ reader: number, delivery, reason, error, bytes }: Extract<Call, { type: 'bury' }>): boolean {
    const { room } = this.present();
    if (this.hub.refusesDeadLetters) return false;
    const reader = this.readers.get(number);
    const frame = reader?.held.get(delivery);
    if (reader === undefined || frame === undefined) return true;
    const kept = bytes === undefined ? undefined : new Uint8Array(bytes);
    if (!room.bury(frame, this.hello.node.name, { reason, error, bytes: kept })) return false;
    reader.held.delete(delivery);
    reader.queue.acknowledge(reader.seat, [frame]);
    return true;
  }

  private claim(shard: Shard): void {
    const { room, record } = this.present();
    const { connection } = this;
    const grant = (epoch: number): void => {
      connection.carry('answers', () => this.ports.send({ type: 'granted', shard, epoch }));
    };
    // A node gives up what it owned when its connection ends, so it owns nothing at the beginning of one.
    const claim: Claim = { shard, epoch: 0, connection, grant };
    if (this.isRestored) room.shards.claim(record, claim);
    else this.claims.push(claim);
  }

  private tellPatterns(): void {
    const { room, record } = this.present();
    if (this.isRestored) room.listen(record, this.patterns);
  }

  private restored(): void {
    const { room, record } = this.present();
    this.isRestored = true;
    room.listen(record, this.patterns);
    room.shards.restore(record, this.claims.splice(0));
  }

  private present(): { readonly room: Room; readonly record: NodeRecord } {
    const { room, record } = this;
    if (room === undefined || record === undefined)
      throw invalidOption('message', 'nothing before it has joined', 'a call');
    return { room, record };
  }
}

function checkSource(source: Source): Source {
  if (source.kind === 'shard') checkShard(source);
  if (source.kind === 'group') {
    checkGroupName(source.group);
    checkPattern(source.pattern);
  }
  return source;
}
