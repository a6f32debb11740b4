/** The shards of a room: what each holds, who owns it, and who would. Ownership outlives connections, and ends with its node. */

import type { Shard } from '../../src/protocol/sharding.ts';
import { FrameQueue } from './frame-queue.ts';
import type { Connection } from './link.ts';
import type { NodeRecord } from './node-record.ts';

/** What a node says of a claim each time it connects. @internal */
export interface Claim {
  readonly shard: Shard;
  /** By which epoch it owns the shard; 0 where it does not. */
  readonly epoch: number;
  /** The connection over which it is told. */
  readonly connection: Connection;
  /** Runs at the hub: it is the owner. */
  readonly grant: (epoch: number) => void;
}

interface ShardRecord {
  readonly queue: FrameQueue;
  readonly expiresMs: number;
  readonly claims: Map<NodeRecord, Claim>;
  owner: NodeRecord | undefined;
  epoch: number;
  /** Over which connection the owner was told. */
  grantedOver: Connection | undefined;
  /** When the last claim on it ended. */
  desertedAtMs: number;
}

/** All shards of one room. @internal */
export class ShardTable {
  private readonly shards = new Map<string, ShardRecord>();
  private readonly isApart: (publisher: string, reader: string) => boolean;
  private readonly epochBase: number;

  /** The first epoch of each shard is the one after `epochBase`. */
  constructor(isApart: (publisher: string, reader: string) => boolean, epochBase: number) {
    this.isApart = isApart;
    this.epochBase = epochBase;
  }

  get names(): readonly string[] {
    return [...this.shards.keys()].map((key) => `shard ${key}`);
  }

  get queues(): readonly FrameQueue[] {
    return [...this.shards.values()].map(({ queue }) => queue);
  }

  queueOf(shard: Shard): FrameQueue | undefined {
    return this.shards.get(shardKey(shard))?.queue;
  }

  isOwner(record: NodeRecord, shard: Shard): boolean {
    return this.shards.get(shardKey(shard))?.owner === record;
  }

  /** A node's claims are these and no others. */
  restore(record: NodeRecord, claims: readonly Claim[]): void {
    const wanted = new Set(claims.map(({ shard }) => shardKey(shard)));
    for (const [key, held] of this.shards) if (!wanted.has(key)) this.drop(record, held);
    for (const claim of claims) this.claim(record, claim);
  }

  claim(record: NodeRecord, claim: Claim): void {
    const held = this.shardFor(claim.shard, record);
    held.claims.set(record, claim);
    // What it was told over an earlier connection may not have arrived.
    const knows = held.epoch === claim.epoch || held.grantedOver === claim.connection;
    if (held.owner === record && !knows) held.owner = undefined;
    grantNext(held);
  }

  release(record: NodeRecord, shard: Shard): void {
    const held = this.shards.get(shardKey(shard));
    if (held !== undefined) this.drop(record, held);
  }

  /** A node is no more. */
  forsake(record: NodeRecord): void {
    for (const held of this.shards.values()) this.drop(record, held);
  }

  forgetOld(now: number): void {
    for (const [key, { claims, desertedAtMs, expiresMs }] of this.shards)
      if (claims.size === 0 && now - desertedAtMs >= expiresMs) this.shards.delete(key);
  }

  private drop(record: NodeRecord, held: ShardRecord): void {
    if (!held.claims.delete(record)) return;
    held.desertedAtMs = record.clock.now();
    if (held.owner !== record) return;
    held.owner = undefined;
    grantNext(held);
  }

  private shardFor(shard: Shard, { hello }: NodeRecord): ShardRecord {
    const key = shardKey(shard);
    let held = this.shards.get(key);
    if (held === undefined) {
      held = {
        queue: new FrameQueue(hello.maxLength, this.isApart),
        expiresMs: hello.expiresMs,
        claims: new Map(),
        owner: undefined,
        epoch: this.epochBase,
        grantedOver: undefined,
        desertedAtMs: 0,
      };
      this.shards.set(key, held);
    }
    return held;
  }
}

/** Whoever has claimed it first and is connected. */
function grantNext(held: ShardRecord): void {
  if (held.owner !== undefined) return;
  for (const [record, { grant, connection }] of held.claims) {
    if (record.connection !== connection) continue;
    held.owner = record;
    held.epoch++;
    held.grantedOver = connection;
    grant(held.epoch);
    return;
  }
}

/** A name of a shard that no other has. @internal */
export function shardKey({ group, shard, shards }: Shard): string {
  return `${group} ${shard}/${shards}`;
}
