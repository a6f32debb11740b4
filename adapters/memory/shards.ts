/** The shards that a node claims: what it owns, what it would, and what it loses when it is not connected for too long. */

import { checkShard } from '../../src/protocol/broker-options.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import type { Shard, ShardClaim, Sharding, ShardOwner } from '../../src/protocol/sharding.ts';
import type { HubClient, Session } from './client.ts';
import { type Claim, shardKey } from './shard-table.ts';

/** The share of `downAfterMs` after which an owner without a connection owns nothing: before anybody else can. */
const LOST_SHARE = 0.8;

interface OwnClaim {
  readonly shard: Shard;
  readonly owner: ShardOwner;
  /** By which epoch it owns the shard; 0 where it does not. */
  epoch: number;
}

/** What claims need of their broker. @internal */
export interface ShardPorts {
  readonly client: () => HubClient;
  readonly connectTimeoutMs: number;
  readonly downAfterMs: number;
  /** Ends the reading of a shard. */
  readonly unread: (shard: Shard) => Promise<void>;
}

/** The claims of one node. @internal */
export class MemoryShards implements Sharding {
  private readonly ports: ShardPorts;
  private readonly claims = new Map<string, OwnClaim>();
  /** Stops the time that runs without a connection. */
  private reconnected: () => void = () => undefined;

  constructor(ports: ShardPorts) {
    this.ports = ports;
  }

  owns(shard: Shard): boolean {
    return (this.claims.get(shardKey(shard))?.epoch ?? 0) > 0;
  }

  async claim(given: Shard, owner: ShardOwner): Promise<ShardClaim> {
    const client = this.ports.client();
    const shard = checkShard(given);
    const key = shardKey(shard);
    if (this.claims.has(key)) throw invalidOption('shard', 'one that this node does not claim yet', given);
    const claim: OwnClaim = { shard, owner, epoch: 0 };
    this.claims.set(key, claim);
    try {
      await client.call(this.ports.connectTimeoutMs, ({ room, record, connection }) =>
        room.shards.claim(record, this.told(claim, connection)),
      );
    } catch (error) {
      await this.release(claim);
      throw error;
    }
    return { release: () => this.release(claim) };
  }

  /** On each connection; runs at the hub. */
  restore({ room, record, connection }: Session): void {
    this.reconnected();
    room.shards.restore(
      record,
      [...this.claims.values()].map((claim) => this.told(claim, connection)),
    );
  }

  /** The connection has ended. */
  disconnected({ host: { clock } }: HubClient): void {
    const timer = clock.setTimer(LOST_SHARE * this.ports.downAfterMs, () => this.loseAll());
    this.reconnected = () => clock.clearTimer(timer);
  }

  /** All is given up, without a word to the hub. */
  end(): void {
    this.reconnected();
    this.claims.clear();
  }

  private loseAll(): void {
    for (const claim of this.claims.values()) {
      if (claim.epoch === 0) continue;
      claim.epoch = 0;
      // It never rejects.
      void this.ports.unread(claim.shard);
      claim.owner.lost();
    }
  }

  private told(claim: OwnClaim, connection: Session['connection']): Claim {
    const { shard, epoch } = claim;
    const granted = (next: number): void => {
      if (this.claims.get(shardKey(shard)) !== claim) return;
      claim.epoch = next;
      claim.owner.granted(next);
    };
    return { shard, epoch, connection, grant: (next) => connection.carry('answers', () => granted(next)) };
  }

  private async release(claim: OwnClaim): Promise<void> {
    const { shard } = claim;
    if (this.claims.get(shardKey(shard)) !== claim) return;
    this.claims.delete(shardKey(shard));
    await this.ports.unread(shard);
    // Without an answer, the next connection begins by telling it.
    await this.ports
      .client()
      .call(this.ports.connectTimeoutMs, ({ room, record }) => room.shards.release(record, shard))
      .catch(() => undefined);
  }
}
