/**
 * The shards that this node claims. The ledger says which of them it owns; what it does not own any more it loses before it is granted
 * anything, and it is granted nothing while it cannot be sure that the ledger it has read is not an old one.
 */

import type { ConsumeOptions, Consumption, NodeIdentity } from '../../src/protocol/broker.ts';
import { checkShard } from '../../src/protocol/broker-options.ts';
import { settledWithin } from '../../src/protocol/deadline.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { invalidOption, recordOption } from '../../src/protocol/options.ts';
import type { Shard, ShardClaim, ShardOwner } from '../../src/protocol/sharding.ts';
import { Committer } from './committer.ts';
import { LaneConsumption } from './consumption.ts';
import { KafkaFailure } from './driver.ts';
import type { Ledger } from './ledger.ts';
import type { Link } from './link.ts';
import type { ShardName, ShardProgress, Word } from './log-entries.ts';
import type { Names } from './names.ts';
import { OwnedShard } from './shard.ts';
import { ShardReading } from './shard-reading.ts';
import { ShardTopics } from './shard-topics.ts';
import type { Teller } from './teller.ts';

interface Claim {
  readonly shard: Shard;
  readonly owner: ShardOwner;
  /** Its topic is there. */
  isReady: boolean;
  /** The number of the word that claimed it last, in this life; 0 for none. */
  askedIn: number;
  held: OwnedShard | undefined;
  /** The last epoch that was, or may be, lost. */
  lostEpoch: number | undefined;
}

/** @internal */
export interface ClaimsParts {
  readonly link: Link;
  readonly names: Names;
  readonly node: NodeIdentity;
  readonly ledger: Ledger;
  readonly teller: Teller;
  /** How this life of the node is called. */
  readonly life: () => string;
  /** Nobody can have taken this node for dead yet. */
  readonly isSure: () => boolean;
}

/** @internal */
export class Claims {
  private readonly parts: ClaimsParts;
  private readonly topics: ShardTopics;
  private readonly reading: ShardReading;
  private readonly committer: Committer;
  private readonly standing = new Map<string, Claim>();
  /** What is let go and was not said yet. */
  private readonly releasing = new Set<Claim>();
  /** The number of the last word of this node that it has read. */
  private readBack = 0;
  private readonly waiting = new Set<() => void>();
  private mayTrim = true;
  private isOver = false;

  constructor(parts: ClaimsParts) {
    this.parts = parts;
    this.topics = new ShardTopics(parts.link, parts.names, parts.ledger);
    this.reading = new ShardReading(parts.link);
    this.committer = new Committer(parts.link.host, () => parts.teller.sayInTime());
  }

  async claim(given: Shard, owner: ShardOwner): Promise<ShardClaim> {
    const { link, teller } = this.parts;
    const shard = checkShard(given);
    for (const name of ['granted', 'lost'] as const)
      if (typeof recordOption('owner', owner)[name] !== 'function')
        throw invalidOption(`owner.${name}`, 'a function', recordOption('owner', owner)[name]);
    const key = keyOf(shard);
    if (this.standing.has(key))
      throw invalidOption('shard', 'one that this node does not claim already', key);
    const claim: Claim = {
      shard,
      owner,
      isReady: false,
      askedIn: 0,
      held: undefined,
      lostEpoch: undefined,
    };
    this.standing.set(key, claim);
    try {
      await link.ready(link.settings.connectTimeoutMs);
      this.checkSize(shard);
      await this.topics.make(shard);
      claim.isReady = true;
      await teller.sayInTime();
      await this.untilBack(claim);
      this.checkSize(shard);
    } catch (error) {
      // It may be in the log already.
      this.letGo(claim);
      teller.mention();
      throw link.errorOf(error);
    }
    let released: Promise<void> | undefined;
    return {
      release: () => {
        released ??= this.release(claim);
        return released;
      },
    };
  }

  /** Reads a shard. Rejects with `ERR_SHARD_NOT_OWNED` when it is not this node's. */
  async consume(given: Shard, options: ConsumeOptions, whenStopped: () => void): Promise<Consumption> {
    const { link, names, node } = this.parts;
    const shard = checkShard(given);
    if (this.held(shard) === undefined) throw notOwned(shard);
    await link.ready(link.settings.connectTimeoutMs);
    const held = this.held(shard);
    if (held === undefined) throw notOwned(shard);
    if (held.isBeingRead)
      throw invalidOption('source', 'something else, since a shard is read once and is being read', 'shard');
    try {
      if (!(await held.prepare())) throw notOwned(shard);
    } catch (error) {
      throw link.errorOf(error);
    }
    held.attach(options);
    this.reading.add(held);
    return new LaneConsumption({
      link,
      names,
      node: node.name,
      lanes: held.lanes,
      halt: () => held.lanes.detach(),
      leave: async () => {
        whenStopped();
        this.stopReading(held);
        await this.committer.flush();
      },
    });
  }

  held({ group, shard, shards }: Shard): OwnedShard | undefined {
    const claim = this.standing.get(keyOf({ group, shard }));
    return claim?.shard.shards === shards ? claim.held : undefined;
  }

  /** What the next word says of shards; `count` is its number. */
  compose(count: number): Pick<Word, 'progress' | 'releases' | 'claims'> {
    const releasing = [...this.releasing];
    const holders = [...this.standing.values(), ...releasing];
    const claims = this.isOver ? [] : [...this.standing.values()].filter((claim) => this.isWanted(claim));
    for (const claim of claims) claim.askedIn = count;
    return {
      progress: holders
        .map(({ held }) => held?.progress())
        .filter((one): one is ShardProgress => one !== undefined && this.isNews(one)),
      releases: releasing.map(({ shard: { group, shard } }) => ({ group, shard })),
      claims: claims.map(({ shard }) => shard),
    };
  }

  /** The log has a word. */
  said({ releases }: Word): void {
    for (const { group, shard } of releases)
      for (const claim of this.releasing)
        if (claim.shard.group === group && claim.shard.shard === shard) this.releasing.delete(claim);
  }

  /** A word of this node was read. */
  cameBack(count: number): void {
    this.readBack = Math.max(this.readBack, count);
    for (const wake of this.waiting) wake();
  }

  /** The ledger has changed, or this node is sure again. */
  follow(): void {
    const { ledger, life, isSure, teller } = this.parts;
    if (this.isOver) return;
    if (!isSure()) this.loseAll();
    const asked = [...this.standing.values()].filter(
      ({ askedIn }) => askedIn > 0 && askedIn <= this.readBack,
    );
    for (const claim of asked) {
      const shard = ledger.shard(claim.shard);
      const isOwned = shard?.claims[0] === life() && shard.epoch === claim.held?.epoch;
      if (claim.held !== undefined && !isOwned) this.lose(claim);
    }
    for (const claim of asked) {
      const shard = ledger.shard(claim.shard);
      if (claim.held !== undefined || shard?.claims[0] !== life()) continue;
      if (!isSure()) claim.lostEpoch = shard.epoch;
      if (shard.epoch !== claim.lostEpoch) this.grant(claim);
    }
    if ([...this.standing.values()].some((claim) => this.isWanted(claim))) teller.mention();
  }

  /** This node may have been taken for dead. */
  loseAll(): void {
    for (const claim of this.standing.values()) if (claim.held !== undefined) this.lose(claim);
  }

  /** It was: what it claimed is claimed no more, and has to be claimed anew. */
  forget(): void {
    this.loseAll();
    this.releasing.clear();
    for (const claim of this.standing.values()) claim.askedIn = 0;
  }

  /** The connection for requests is gone, and what was given out over it counts no more. */
  lost(): void {
    this.reading.drop();
    for (const { held } of this.standing.values()) {
      held?.lanes.hold();
      held?.lanes.recall();
    }
  }

  /** It is back. */
  resume(): void {
    for (const { held } of this.standing.values()) held?.lanes.resume();
  }

  /** Cuts off what nobody needs any more. */
  async trim(): Promise<void> {
    const { ledger, link } = this.parts;
    for (const { held, shard } of this.standing.values()) {
      const known = ledger.shard(shard);
      if (held === undefined || known?.epoch !== held.epoch || !this.mayTrim) continue;
      const due = held.due(known);
      if (due.size === 0) continue;
      try {
        await link.call(link.settings.publishTimeoutMs, (client) => client.trim(held.topic, due));
      } catch (error) {
        if (!(error instanceof KafkaFailure) || error.kind !== 'denied') throw error;
        this.mayTrim = false;
        link.degrade(`logs of shards may not be cut, and grow: ${error.message}`);
      }
    }
  }

  /** Nothing is read and nothing is granted any more. How far it came is still told. */
  end(): void {
    this.isOver = true;
    for (const { held } of this.standing.values()) if (held !== undefined) this.retire(held);
    this.reading.stop();
    this.committer.cancel();
  }

  private checkSize({ group, shards }: Shard): void {
    const known = this.parts.ledger.shardsOf(group) ?? shards;
    if (known !== shards) throw invalidOption('shards', `${known}, as the group '${group}' has`, shards);
  }

  /** Until the word that claims it was read: then the ledger says what became of it. */
  private async untilBack(claim: Claim): Promise<void> {
    const { link } = this.parts;
    const { publishTimeoutMs } = link.settings;
    let wake: () => void = () => undefined;
    const isBack = new Promise<void>((resolve) => {
      wake = (): void => {
        if (claim.askedIn > 0 && claim.askedIn <= this.readBack) resolve();
      };
    });
    this.waiting.add(wake);
    wake();
    try {
      await link.within(publishTimeoutMs, isBack);
    } finally {
      this.waiting.delete(wake);
    }
  }

  private async release(claim: Claim): Promise<void> {
    const { link, teller } = this.parts;
    this.letGo(claim);
    const { publishTimeoutMs } = link.settings;
    const said = teller.say().catch(() => undefined);
    await settledWithin(link.host.clock, publishTimeoutMs, said, () => undefined);
  }

  /** It is claimed no more; its last progress goes with the word that says so. */
  private letGo(claim: Claim): void {
    this.standing.delete(keyOf(claim.shard));
    if (claim.held !== undefined) this.retire(claim.held);
    if (claim.askedIn > 0) this.releasing.add(claim);
  }

  private isWanted(claim: Claim): boolean {
    const { ledger, life } = this.parts;
    if (!claim.isReady || claim.askedIn > this.readBack) return false;
    if (claim.askedIn === 0) return true;
    const shard = ledger.shard(claim.shard);
    // The word that claimed it did not count; unless that is since the group has another size, and none would.
    if (shard?.claims.includes(life()) !== true)
      return (ledger.shardsOf(claim.shard.group) ?? claim.shard.shards) === claim.shard.shards;
    return shard.claims[0] === life() && claim.held === undefined && shard.epoch === claim.lostEpoch;
  }

  /** Whether the ledger knows less. */
  private isNews({ epoch, given, safe, ahead, ...name }: ShardProgress): boolean {
    const known = this.parts.ledger.shard(name);
    if (known === undefined || known.epoch !== epoch) return true;
    const isSame = (a: readonly number[], b: readonly number[]): boolean =>
      a.length === b.length && a.every((value, place) => value === b[place]);
    return !(
      isSame(known.given, given) &&
      isSame(known.safe, safe) &&
      known.ahead.every((row, lane) => isSame(row, ahead[lane] ?? []))
    );
  }

  private grant(claim: Claim): void {
    const { ledger, link, names } = this.parts;
    const from = ledger.shard(claim.shard);
    if (from === undefined) return;
    claim.held = new OwnedShard(link, {
      shard: claim.shard,
      topic: names.shard(claim.shard),
      from,
      listener: {
        moved: (settled) => this.committer.moved(settled),
        freed: () => this.reading.wake(),
      },
    });
    this.tell(() => claim.owner.granted(from.epoch));
  }

  private lose(claim: Claim): void {
    const { held } = claim;
    if (held === undefined) return;
    claim.held = undefined;
    claim.lostEpoch = held.epoch;
    held.end();
    this.reading.remove(held);
    this.tell(() => claim.owner.lost());
  }

  private stopReading(held: OwnedShard): void {
    held.detach();
    this.reading.remove(held);
  }

  private retire(held: OwnedShard): void {
    this.stopReading(held);
    held.retire();
  }

  private tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.parts.link.degrade(`the owner of a shard threw: ${String(error)}`);
    }
  }
}

function notOwned({ group, shard }: Shard): TroupeError<'ERR_SHARD_NOT_OWNED'> {
  return new TroupeError('ERR_SHARD_NOT_OWNED', { group, shard });
}

function keyOf({ group, shard }: ShardName): string {
  return `${group}/${shard}`;
}
