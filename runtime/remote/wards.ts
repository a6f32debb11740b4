/**
 * Actors of this node that work for another one, and end with its life: the workers of its pools. A life that has ended on either side ends them,
 * so that nobody goes on working for a pool that is not there.
 */

import { lifeKey, type NodeIdentity } from '../../src/protocol/membership.ts';
import type { ActorRef } from '../actor/local-ref.ts';

/** The actors of one node that belong to others. */
export class Wards {
  private readonly stop: (ref: ActorRef) => void;
  private readonly byLife = new Map<string, Set<ActorRef>>();

  constructor(stop: (ref: ActorRef) => void) {
    this.stop = stop;
  }

  /** Takes one in; it is forgotten when it has ended. */
  add(node: NodeIdentity, ref: ActorRef): void {
    const key = lifeKey(node);
    const wards = this.byLife.get(key) ?? new Set();
    const isThere = ref.target()?.watches.tells({ hear: () => this.forget(key, ref) });
    if (isThere !== true) return;
    wards.add(ref);
    this.byLife.set(key, wards);
  }

  /** A life of a node has ended. */
  ended(node: NodeIdentity): void {
    for (const ref of this.byLife.get(lifeKey(node)) ?? []) this.stop(ref);
  }

  /** The others have given up this life of this node, and do without its actors. */
  endAll(): void {
    for (const wards of this.byLife.values()) for (const ref of wards) this.stop(ref);
  }

  private forget(key: string, ref: ActorRef): void {
    const wards = this.byLife.get(key);
    wards?.delete(ref);
    if (wards?.size === 0) this.byLife.delete(key);
  }
}
