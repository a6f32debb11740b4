/**
 * Streams as they are read: a stream of the server, what is read of it here by one or more consumptions, and what was given out. It counts room
 * and hands out; it does no reading.
 */

import type { Delivery, Lane } from '../../src/protocol/broker.ts';
import { FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import { listIn, textIn } from './client.ts';

/** Entries of one stream in one answer, and bytes that it should not go far beyond. */
const COUNT_MAX = 256;
const ANSWER_BYTES = 8 * 1_048_576;
const COUNT_MIN = ANSWER_BYTES / FRAME_BYTES_MAX;

/** The right to read a shard, as the table of shards has it: what was given out under another one is not settled under this one. */
export interface Lease {
  readonly field: string;
  readonly value: string;
}

/** A frame that was given out. */
export class RedisDelivery implements Delivery {
  readonly lane: Lane;
  readonly bytes: Uint8Array;
  readonly topic: string | undefined;
  readonly deliveries: number;
  /** Its place in its stream. */
  readonly id: string;
  readonly outlet: Outlet;

  constructor(outlet: Outlet, { id, bytes, topic, deliveries }: Entry) {
    this.outlet = outlet;
    this.lane = outlet.lane;
    this.id = id;
    this.bytes = bytes;
    this.topic = topic;
    this.deliveries = deliveries;
  }

  get isRedelivered(): boolean {
    return this.deliveries > 1;
  }
}

/** One lane of one consumption. */
export class Outlet {
  readonly key: string;
  readonly lane: Lane;
  readonly window: number;
  readonly receive: (deliveries: readonly RedisDelivery[]) => void;
  /** The right by which it is read, where it is of a shard. */
  readonly lease: Lease | undefined;
  readonly unsettled = new Set<RedisDelivery>();
  isStopped = false;

  constructor(
    key: string,
    lane: Lane,
    window: number,
    receive: (deliveries: readonly RedisDelivery[]) => void,
    lease?: Lease,
  ) {
    this.key = key;
    this.lane = lane;
    this.window = window;
    this.receive = receive;
    this.lease = lease;
  }

  get room(): number {
    return this.isStopped ? 0 : this.window - this.unsettled.size;
  }
}

/** One stream of the server, in one session. */
export class ReadStream {
  readonly key: string;
  readonly lane: Lane;
  readonly outlets: Outlet[] = [];
  /** The right by which it is read, where it is of a shard. */
  readonly lease: Lease | undefined;
  /** There may be something to take over: what another session was given, or what was released. */
  isBehind = true;
  /** The last answer was as long as it could be, so that there may be more. */
  isHot = false;
  /** Entries in one answer: as if all were the largest, until some were seen. */
  private countMax = COUNT_MIN;
  private turn = 0;

  constructor({ key, lane, lease }: Pick<Outlet, 'key' | 'lane' | 'lease'>) {
    this.key = key;
    this.lane = lane;
    this.lease = lease;
  }

  get room(): number {
    let room = 0;
    for (const outlet of this.outlets) room += outlet.room;
    return room;
  }

  /** How many entries to ask for: a power of two, so that many streams can be asked by few commands. 0 for no room. */
  get count(): number {
    const most = Math.min(this.room, this.countMax);
    return most < 1 ? 0 : 2 ** Math.floor(Math.log2(most));
  }

  /** Gives entries out, in turn to each that has room. Answers the ids that nobody has room for any more. */
  handOut(entries: readonly Entry[]): readonly string[] {
    if (entries.length === 0) return [];
    const batches = new Map<Outlet, RedisDelivery[]>();
    const left: string[] = [];
    let largest = 1;
    for (const entry of entries) {
      largest = Math.max(largest, entry.bytes.length);
      const outlet = this.nextOutlet();
      if (outlet === undefined) {
        left.push(entry.id);
        continue;
      }
      const delivery = new RedisDelivery(outlet, entry);
      outlet.unsettled.add(delivery);
      const batch = batches.get(outlet);
      if (batch === undefined) batches.set(outlet, [delivery]);
      else batch.push(delivery);
    }
    this.countMax = Math.min(COUNT_MAX, Math.max(COUNT_MIN, Math.floor(ANSWER_BYTES / largest)));
    for (const [outlet, batch] of batches) outlet.receive(batch);
    return left;
  }

  private nextOutlet(): Outlet | undefined {
    for (let tries = 0; tries < this.outlets.length; tries++) {
      const outlet = this.outlets[this.turn++ % this.outlets.length];
      if (outlet !== undefined && outlet.room > 0) return outlet;
    }
    return undefined;
  }
}

/** An entry of a stream. */
export interface Entry {
  readonly id: string;
  readonly bytes: Uint8Array;
  readonly topic: string | undefined;
  /** How often it was delivered, with this time. */
  readonly deliveries: number;
}

/** Entries as XREADGROUP answers them, or as they are taken over, with a count of earlier deliveries behind each. */
export function entriesIn(reply: unknown): readonly Entry[] {
  return listIn(reply).map((each) => {
    const [id, fields, before] = listIn(each);
    const parts = listIn(fields);
    let bytes: Uint8Array = new Uint8Array(0);
    let topic: string | undefined;
    for (let n = 0; n + 1 < parts.length; n += 2) {
      const name = textIn(parts[n]);
      const value = parts[n + 1];
      if (name === 'b' && Buffer.isBuffer(value)) bytes = value;
      else if (name === 't') topic = textIn(value);
    }
    return { id: textIn(id), bytes, topic, deliveries: Number(before ?? 0) + 1 };
  });
}
