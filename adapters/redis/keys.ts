/**
 * Names of everything at the server. All of it is in one hash slot, so that a script may touch an inbox, a group and the table of
 * interests at once, on a cluster as well.
 */

import { LANES, type Lane, type Source } from '../../src/protocol/broker.ts';
import type { Shard } from '../../src/protocol/sharding.ts';

/** The keys below one prefix. */
export class Keys {
  /** Nodes by name: see `scripts.ts` for their values. */
  readonly nodes: string;
  /** Who listens to what: `n name pattern` and `g group pattern`. */
  readonly interests: string;
  /** Changes with every change of the interests. */
  readonly version: string;
  /** Signs of life of each group, counted. */
  readonly groups: string;
  /** What nodes say of themselves. */
  readonly about: string;
  /** Who owns which shard: see `shard-scripts.ts`. */
  readonly shards: string;
  readonly dead: string;
  private readonly prefix: string;

  constructor(prefix: string) {
    this.prefix = `{${prefix}}`;
    this.nodes = `${this.prefix}:nodes`;
    this.interests = `${this.prefix}:interests`;
    this.version = `${this.prefix}:version`;
    this.groups = `${this.prefix}:groups`;
    this.about = `${this.prefix}:about`;
    this.shards = `${this.prefix}:shards`;
    this.dead = `${this.prefix}:dead`;
  }

  /** Those that most scripts begin with. */
  get tables(): readonly string[] {
    return [this.nodes, this.interests, this.version, this.groups, this.about, this.shards];
  }

  inbox(node: string, lane: Lane): string {
    return `${this.prefix}:in:${node}:${lane}`;
  }

  /** The six streams of an inbox. */
  inboxes(node: string): readonly string[] {
    return LANES.map((lane) => this.inbox(node, lane));
  }

  group(group: string, pattern: string, lane: Lane): string {
    return `${this.prefix}:gr:${group}:${pattern}:${lane}`;
  }

  /** The six streams of the group that has this field among the interests. */
  groupsOf(field: string): readonly string[] {
    const [, group = '', pattern = ''] = field.split(' ');
    return LANES.map((lane) => this.group(group, pattern, lane));
  }

  shard(group: string, shard: number | string, lane: Lane): string {
    return `${this.prefix}:sh:${group}:${shard}:${lane}`;
  }

  /** The six streams of the shard that has this field among the shards. */
  shardsOf(field: string): readonly string[] {
    const [group = '', shard = ''] = field.split(' ');
    return LANES.map((lane) => this.shard(group, shard, lane));
  }

  /** The six streams of what `node` reads. */
  streamsOf(source: Source, node: string): readonly string[] {
    switch (source.kind) {
      case 'inbox':
        return this.inboxes(node);
      case 'group':
        return this.groupsOf(groupField(source.group, source.pattern));
      case 'shard':
        return this.shardsOf(shardField(source));
    }
  }
}

/** The field of a node's interest. */
export function nodeField(node: string, pattern: string): string {
  return `n ${node} ${pattern}`;
}

/** The field of a group's interest. */
export function groupField(group: string, pattern: string): string {
  return `g ${group} ${pattern}`;
}

/** The field of a shard. */
export function shardField({ group, shard }: Pick<Shard, 'group' | 'shard'>): string {
  return `${group} ${shard}`;
}

/** The consumer group of every stream. */
export const READERS = 'readers';
