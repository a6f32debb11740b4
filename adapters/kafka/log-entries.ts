/**
 * What nodes write into the log of members, as texts. There are three kinds of entries: a word, in which a node says all that it has to say
 * at once; an accusation, by which somebody says that he has heard nothing of a node; a snapshot of what all of it has come to.
 */

import { LANES } from '../../src/protocol/broker.ts';
import type { Shard } from '../../src/protocol/sharding.ts';
import type { OutRecord } from './driver.ts';
import { isCount, isListOf, isString, parsed } from './json.ts';

/** Settled frames behind the first unsettled one that are told for a shard: what is not told comes again. */
const AHEAD_MAX = 256;

/** A shard, where the size of its group is known. @internal */
export interface ShardName {
  readonly group: string;
  readonly shard: number;
}

/** How far the owner of a shard has come: a number for each lane. @internal */
export interface Progress {
  /** All before it was given to an owner. */
  readonly given: readonly number[];
  /** All before it is settled. */
  readonly safe: readonly number[];
  /** And these behind it. */
  readonly ahead: readonly (readonly number[])[];
}

/** @internal */
export interface ShardProgress extends ShardName, Progress {
  /** Under which it was owned: of an earlier owner it does not count. */
  readonly epoch: number;
}

/** @internal */
export interface Word {
  readonly kind: 'word';
  /** The incarnation that the node was opened with, and which of its lives this is, from 1 on. */
  readonly node: string;
  readonly life: number;
  /** Grows with each word: one that comes late, or a second time, does not count. */
  readonly count: number;
  /** Until it is a member. */
  readonly join?: Joining | undefined;
  /** What it says of itself from now on. */
  readonly about?: string | undefined;
  readonly progress: readonly ShardProgress[];
  readonly releases: readonly ShardName[];
  readonly claims: readonly Shard[];
  /** It leaves. */
  readonly isLast: boolean;
}

/** @internal */
export interface Joining {
  readonly name: string;
  /** Milliseconds without a word after which it counts as dead. */
  readonly sessionMs: number;
  readonly about: string;
}

/** Counts when the last word of that life is still at that offset. @internal */
export interface Accusation {
  readonly kind: 'down';
  readonly life: string;
  readonly at: number;
}

/** Counts when it comes right behind that offset. @internal */
export interface Snapshot {
  readonly kind: 'snapshot';
  readonly at: number;
  readonly members: readonly SnapshotMember[];
  readonly groups: readonly SnapshotGroup[];
  /** Lives that are over: the last one of each node. */
  readonly gone: readonly (readonly [node: string, life: number])[];
}

/** @internal */
export interface SnapshotMember extends Joining {
  readonly node: string;
  readonly life: number;
  readonly count: number;
  readonly at: number;
}

/** @internal */
export interface SnapshotGroup {
  readonly group: string;
  readonly shards: number;
  readonly owned: readonly SnapshotShard[];
}

/** @internal */
export interface SnapshotShard extends Progress {
  readonly shard: number;
  readonly epoch: number;
  readonly isExact: boolean;
  readonly wasExact: boolean;
  /** Lives that claim it; the first one owns it. */
  readonly claims: readonly string[];
}

/** @internal */
export type LogEntry = Word | Accusation | Snapshot;

/** @internal */
export function writeEntry(entry: LogEntry): OutRecord {
  return { value: new TextEncoder().encode(JSON.stringify(entry)), headers: {} };
}

/** What can be told of a shard's accounts, as far as there is room. @internal */
export function progressOf(
  accounts: readonly { readonly given: number; readonly safe: number; readonly ahead: readonly number[] }[],
): Progress {
  const ahead = accounts.map((account) => account.ahead);
  const isShort = ahead.reduce((sum, { length }) => sum + length, 0) <= AHEAD_MAX;
  return {
    given: accounts.map(({ given }) => given),
    safe: accounts.map(({ safe }) => safe),
    ahead: isShort ? ahead : ahead.map(() => []),
  };
}

/** An entry; undefined for anything else. @internal */
export function readEntry(bytes: Uint8Array): LogEntry | undefined {
  const fields = parsed(new TextDecoder().decode(bytes));
  switch (fields['kind']) {
    case 'word':
      return readWord(fields);
    case 'down':
      return isString(fields['life']) && isCount(fields['at'])
        ? { kind: 'down', life: fields['life'], at: fields['at'] }
        : undefined;
    case 'snapshot':
      return readSnapshot(fields);
    default:
      return undefined;
  }
}

type Fields = Readonly<Record<string, unknown>>;

function readWord(fields: Fields): Word | undefined {
  const { node, life, count, join, about, progress, releases, claims, isLast } = fields;
  const isWhole =
    isString(node) &&
    isLife(life) &&
    isCount(count) &&
    (join === undefined || isJoining(join)) &&
    (about === undefined || isString(about)) &&
    isListOf(progress, isShardProgress) &&
    isListOf(releases, isShardName) &&
    isListOf(claims, isShard);
  if (!isWhole) return undefined;
  return {
    kind: 'word',
    node,
    life,
    count,
    join,
    about,
    progress,
    releases,
    claims,
    isLast: isLast === true,
  };
}

function readSnapshot({ at, members, groups, gone }: Fields): Snapshot | undefined {
  const isWhole =
    Number.isSafeInteger(at) &&
    isListOf(members, isSnapshotMember) &&
    isListOf(groups, isSnapshotGroup) &&
    isListOf(gone, isGone);
  return isWhole ? { kind: 'snapshot', at: Number(at), members, groups, gone } : undefined;
}

function isLife(value: unknown): value is number {
  return isCount(value) && value >= 1;
}

function isJoining(value: unknown): value is Joining {
  const { name, sessionMs, about } = fieldsOf(value);
  return isString(name) && isCount(sessionMs) && isString(about);
}

function isShardName(value: unknown): value is ShardName {
  const { group, shard } = fieldsOf(value);
  return isString(group) && isCount(shard);
}

function isShard(value: unknown): value is Shard {
  const { shard, shards } = fieldsOf(value);
  return isShardName(value) && isCount(shards) && Number(shard) < shards;
}

function isShardProgress(value: unknown): value is ShardProgress {
  return isShardName(value) && isProgress(value) && isCount(fieldsOf(value)['epoch']);
}

function isProgress(value: unknown): value is Progress {
  const { given, safe, ahead } = fieldsOf(value);
  const isRow = (row: unknown): row is number[] => isListOf(row, isCount);
  return (
    isRow(given) &&
    isRow(safe) &&
    isListOf(ahead, isRow) &&
    [given, safe, ahead].every(({ length }) => length === LANES.length)
  );
}

function isSnapshotMember(value: unknown): value is SnapshotMember {
  const { node, life, count, at } = fieldsOf(value);
  return isJoining(value) && isString(node) && isLife(life) && isCount(count) && isCount(at);
}

function isSnapshotGroup(value: unknown): value is SnapshotGroup {
  const { group, shards, owned } = fieldsOf(value);
  return isString(group) && isCount(shards) && isListOf(owned, isSnapshotShard);
}

function isSnapshotShard(value: unknown): value is SnapshotShard {
  const { shard, epoch, isExact, wasExact, claims } = fieldsOf(value);
  const areFlags = typeof isExact === 'boolean' && typeof wasExact === 'boolean';
  return isProgress(value) && isCount(shard) && isCount(epoch) && areFlags && isListOf(claims, isString);
}

function isGone(value: unknown): value is [string, number] {
  return Array.isArray(value) && value.length === 2 && isString(value[0]) && isLife(value[1]);
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
