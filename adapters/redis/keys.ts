/**
 * Names of everything at the server. All of it is in one hash slot, so that a script may touch an inbox, a group and the table of
 * interests at once, on a cluster as well.
 */

import type { Lane } from '../../src/protocol/broker.ts';

/** The keys below one prefix. */
export class Keys {
  /** Nodes by name: incarnation and the time of the last sign of life. */
  readonly nodes: string;
  /** Who listens to what: `n name pattern` and `g group pattern`. */
  readonly interests: string;
  /** Changes with every change of the interests. */
  readonly version: string;
  /** When each group had its last sign of life. */
  readonly groups: string;
  readonly dead: string;
  private readonly prefix: string;

  constructor(prefix: string) {
    this.prefix = `{${prefix}}`;
    this.nodes = `${this.prefix}:nodes`;
    this.interests = `${this.prefix}:interests`;
    this.version = `${this.prefix}:version`;
    this.groups = `${this.prefix}:groups`;
    this.dead = `${this.prefix}:dead`;
  }

  inbox(node: string, lane: Lane): string {
    return `${this.prefix}:in:${node}:${lane}`;
  }

  group(group: string, pattern: string, lane: Lane): string {
    return `${this.prefix}:gr:${group}:${pattern}:${lane}`;
  }
}

/** The consumer group of every stream. */
export const READERS = 'readers';
/** The consumer that holds what was released; nobody reads as it. */
export const RELEASED = '-released';
