/**
 * What the log of members has come to: who lives, who claims which shard, and how far its owners have come. It is a function of the log
 * alone, so every node that has read as far knows the same: no node decides anything. It knows no time and makes no requests.
 *
 * The first of those that claim a shard owns it, until it lets it go or its life is over; the offset of the entry by which a shard
 * came to its owner is the epoch. Offsets increase, and so do epochs.
 */

import { LANES, type NodeIdentity } from '../../src/protocol/broker.ts';
import { incarnationOf } from '../../src/protocol/member-view.ts';
import type { Member, MemberChange } from '../../src/protocol/membership.ts';
import type { Shard } from '../../src/protocol/sharding.ts';
import type {
  LogEntry,
  Progress,
  ShardName,
  ShardProgress,
  Snapshot,
  SnapshotShard,
  Word,
} from './log-entries.ts';

/** Lives that are over and remembered, so that nothing of them that comes late begins them again. */
const GONE_MAX = 1_000;

/** A node that lives. @internal */
export interface LedgerMember extends NodeIdentity {
  readonly node: string;
  readonly life: number;
  readonly sessionMs: number;
  readonly about: string;
  /** Of its last word: its number and where it stands. */
  readonly count: number;
  readonly at: number;
}

/** @internal */
export type LedgerShard = SnapshotShard;

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

interface Group {
  readonly shards: number;
  readonly owned: Map<number, Writable<LedgerShard>>;
}

/** @internal */
export class Ledger {
  /** The offset of the last entry. */
  at: number;
  /** The offset of the last snapshot that counts; -1 for none. */
  snapshotAt = -1;
  /** Words since then. */
  wordsSince = 0;
  /** By life, the oldest first. */
  readonly members: ReadonlyMap<string, LedgerMember>;
  private readonly living = new Map<string, LedgerMember>();
  private readonly groups = new Map<string, Group>();
  private readonly gone = new Map<string, number>();
  private knowsAll: boolean;

  /** Of a log that begins at this offset: after the first entry, it begins with a snapshot. */
  constructor(start: number) {
    this.at = start - 1;
    this.knowsAll = start === 0;
    this.members = this.living;
  }

  /** How many shards a group has, once somebody has claimed one of them. */
  shardsOf(group: string): number | undefined {
    return this.groups.get(group)?.shards;
  }

  shard({ group, shard }: ShardName): LedgerShard | undefined {
    return this.groups.get(group)?.owned.get(shard);
  }

  /** Who lives under a name. */
  named(name: string): LedgerMember | undefined {
    for (const member of this.living.values()) if (member.name === name) return member;
    return undefined;
  }

  /** Takes the next entry, and tells what has become of members. */
  apply(offset: number, entry: LogEntry | undefined): MemberChange[] {
    if (offset <= this.at) return [];
    const before = this.at;
    this.at = offset;
    switch (entry?.kind) {
      case undefined:
        return [];
      case 'word':
        this.wordsSince++;
        return this.hear(offset, entry);
      case 'down': {
        const member = this.living.get(entry.life);
        return member?.at === entry.at ? [this.end(offset, member, 'down')] : [];
      }
      case 'snapshot':
        if (entry.at !== before) return [];
        this.snapshotAt = offset;
        this.wordsSince = 0;
        return this.knowsAll ? [] : this.load(entry);
    }
  }

  /** There is nothing before this offset that it has not taken. */
  skipTo(next: number): void {
    this.at = Math.max(this.at, next - 1);
  }

  /** Of all that it knows. */
  snapshot(): Snapshot {
    return {
      kind: 'snapshot',
      at: this.at,
      members: [...this.living.values()].map(({ node, life, name, sessionMs, about, count, at }) => ({
        node,
        life,
        name,
        sessionMs,
        about,
        count,
        at,
      })),
      groups: [...this.groups].map(([group, { shards, owned }]) => ({
        group,
        shards,
        owned: [...owned.values()].map((shard) => ({ ...shard })),
      })),
      gone: [...this.gone],
    };
  }

  private hear(offset: number, word: Word): MemberChange[] {
    const id = incarnationOf(word.node, word.life);
    const changes: MemberChange[] = [];
    let member = this.living.get(id);
    if (member === undefined) {
      const { join } = word;
      if (join === undefined || (this.gone.get(word.node) ?? 0) >= word.life) return [];
      const holder = this.named(join.name);
      if (holder !== undefined) {
        // Whoever opens has seen to it that its name is free; one that comes back finds it taken.
        if (word.life > 1) return [];
        changes.push(this.end(offset, holder, 'down'));
      }
      member = { ...join, node: word.node, life: word.life, incarnation: id, count: word.count, at: offset };
      changes.push({ kind: 'up', member: shown(member) });
    } else if (word.count <= member.count) return [];
    const { about = member.about } = word;
    const next: LedgerMember = { ...member, about, count: word.count, at: offset };
    this.living.set(id, next);
    if (about !== member.about) changes.push({ kind: 'changed', member: shown(next) });
    for (const progress of word.progress) this.note(id, progress);
    for (const name of word.releases) this.release(offset, id, this.shard(name));
    for (const shard of word.claims) this.claim(offset, id, shard);
    if (word.isLast) changes.push(this.end(offset, next, 'left'));
    return changes;
  }

  private note(life: string, { epoch, given, safe, ahead, ...name }: ShardProgress): void {
    const shard = this.shard(name);
    if (shard?.claims[0] !== life || shard.epoch !== epoch) return;
    Object.assign<Writable<LedgerShard>, Progress>(shard, { given, safe, ahead });
  }

  private claim(offset: number, life: string, { group, shard, shards }: Shard): void {
    let known = this.groups.get(group);
    if (known === undefined) {
      known = { shards, owned: new Map() };
      this.groups.set(group, known);
    }
    if (known.shards !== shards) return;
    let claimed = known.owned.get(shard);
    if (claimed === undefined) {
      const none = LANES.map(() => 0);
      const progress = { given: none, safe: none, ahead: LANES.map(() => []) };
      claimed = { shard, epoch: 0, isExact: true, wasExact: true, claims: [], ...progress };
      known.owned.set(shard, claimed);
    }
    if (!claimed.claims.includes(life)) claimed.claims = [...claimed.claims, life];
    // Its owner claims it again after it had to fear that it was not.
    if (claimed.claims[0] === life) grant(offset, claimed);
  }

  private release(offset: number, life: string, shard: Writable<LedgerShard> | undefined): void {
    const place = shard?.claims.indexOf(life) ?? -1;
    if (shard === undefined || place < 0) return;
    shard.claims = shard.claims.filter((one) => one !== life);
    if (place > 0) return;
    // Its last words told how far it had come.
    shard.isExact = true;
    if (shard.claims.length > 0) grant(offset, shard);
  }

  private end(offset: number, member: LedgerMember, kind: 'down' | 'left'): MemberChange {
    const { incarnation: life } = member;
    this.living.delete(life);
    this.gone.delete(member.node);
    this.gone.set(member.node, member.life);
    for (const node of this.gone.keys()) {
      if (this.gone.size <= GONE_MAX) break;
      this.gone.delete(node);
    }
    for (const { owned } of this.groups.values())
      for (const shard of owned.values()) {
        if (kind === 'left') this.release(offset, life, shard);
        else lose(offset, life, shard);
      }
    return { kind, member: shown(member) };
  }

  private load(snapshot: Snapshot): MemberChange[] {
    const before = [...this.living.values()];
    this.knowsAll = true;
    this.living.clear();
    this.groups.clear();
    this.gone.clear();
    for (const { node, life, ...rest } of snapshot.members) {
      const incarnation = incarnationOf(node, life);
      this.living.set(incarnation, { ...rest, node, life, incarnation });
    }
    for (const { group, shards, owned } of snapshot.groups)
      this.groups.set(group, { shards, owned: new Map(owned.map((one) => [one.shard, { ...one }])) });
    for (const [node, life] of snapshot.gone) this.gone.set(node, life);
    return changesBetween(before, this.living);
  }

  /** The log is another one, or was cut before we had read it: all begins anew, from what was known of members. */
  restart(start: number): MemberChange[] {
    const before = [...this.living.values()];
    this.at = start - 1;
    this.snapshotAt = -1;
    this.knowsAll = start === 0;
    // What it begins with tells who lives; where it begins with nothing, nobody does.
    if (!this.knowsAll) return [];
    this.living.clear();
    this.groups.clear();
    this.gone.clear();
    return changesBetween(before, this.living);
  }
}

/** The shard is its first claimant's from this offset on. */
function grant(offset: number, shard: Writable<LedgerShard>): void {
  shard.epoch = offset;
  shard.wasExact = shard.isExact;
  shard.isExact = false;
}

/** Who claimed it is gone without a word. */
function lose(offset: number, life: string, shard: Writable<LedgerShard>): void {
  const isOwner = shard.claims[0] === life;
  if (!shard.claims.includes(life)) return;
  shard.claims = shard.claims.filter((one) => one !== life);
  if (isOwner && shard.claims.length > 0) grant(offset, shard);
}

/** As others are told of it. @internal */
export function shown({ name, incarnation, about }: LedgerMember): Member {
  return { name, incarnation, about };
}

function changesBetween(
  before: readonly LedgerMember[],
  after: ReadonlyMap<string, LedgerMember>,
): MemberChange[] {
  const known = new Map(before.map((member) => [member.incarnation, member]));
  const changes: MemberChange[] = [];
  for (const member of before)
    if (!after.has(member.incarnation)) changes.push({ kind: 'down', member: shown(member) });
  for (const member of after.values()) {
    const earlier = known.get(member.incarnation);
    if (earlier === undefined) changes.push({ kind: 'up', member: shown(member) });
    else if (earlier.about !== member.about) changes.push({ kind: 'changed', member: shown(member) });
  }
  return changes;
}
