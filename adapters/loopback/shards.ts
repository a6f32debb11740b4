/**
 * The shards that a node claims. What it owns, it owns for the life of its connection, which it notices to be over before the server gives
 * anything of it to others.
 */

import { checkShard } from '../../src/protocol/broker-options.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import type { Shard, ShardClaim, Sharding, ShardOwner } from '../../src/protocol/sharding.ts';
import type { LoopbackClient } from './client.ts';
import type { Session } from './session.ts';

interface OwnClaim {
  readonly shard: Shard;
  readonly owner: ShardOwner;
  isOwned: boolean;
}

/** What claims need of their broker. */
export interface ShardPorts {
  readonly client: () => LoopbackClient;
  readonly connectTimeoutMs: number;
  /** Ends the reading of a shard. */
  readonly unread: (shard: Shard) => Promise<void>;
}

/** The claims of one node. */
export class LoopbackShards implements Sharding {
  private readonly ports: ShardPorts;
  private readonly claims = new Map<string, OwnClaim>();

  constructor(ports: ShardPorts) {
    this.ports = ports;
  }

  owns(shard: Shard): boolean {
    return this.claims.get(keyOf(shard))?.isOwned === true;
  }

  async claim(given: Shard, owner: ShardOwner): Promise<ShardClaim> {
    const client = this.ports.client();
    const shard = checkShard(given);
    if (this.claims.has(keyOf(shard)))
      throw invalidOption('shard', 'one that this node does not claim yet', given);
    const claim: OwnClaim = { shard, owner, isOwned: false };
    this.claims.set(keyOf(shard), claim);
    try {
      await client.call(this.ports.connectTimeoutMs, { type: 'claim', shard });
    } catch (error) {
      await this.release(claim);
      throw error;
    }
    return { release: () => this.release(claim) };
  }

  /** Says on a new connection what is claimed. */
  restore(session: Session, ms: number): void {
    // Without an answer, the next connection begins by saying it.
    for (const { shard } of this.claims.values()) void session.ask({ type: 'claim', shard }, ms);
  }

  granted(shard: Shard, epoch: number): void {
    const claim = this.claims.get(keyOf(shard));
    if (claim === undefined) return;
    claim.isOwned = true;
    claim.owner.granted(epoch);
  }

  /** The connection has ended, and all that was owned by it. */
  loseAll(): void {
    for (const claim of this.claims.values()) {
      if (!claim.isOwned) continue;
      claim.isOwned = false;
      // It never rejects.
      void this.ports.unread(claim.shard);
      claim.owner.lost();
    }
  }

  /** All is given up, without a word to the server. */
  end(): void {
    this.claims.clear();
  }

  private async release(claim: OwnClaim): Promise<void> {
    const { shard } = claim;
    if (this.claims.get(keyOf(shard)) !== claim) return;
    this.claims.delete(keyOf(shard));
    await this.ports.unread(shard);
    const told = this.ports.client().call(this.ports.connectTimeoutMs, { type: 'release', shard });
    // Without an answer, the next connection begins without it.
    await told.catch(() => undefined);
  }
}

function keyOf({ group, shard, shards }: Shard): string {
  return `${group} ${shard}/${shards}`;
}
