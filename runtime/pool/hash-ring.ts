/**
 * A consistent-hash ring: each node owns the arcs that end at its points, and a key belongs to the node whose point comes
 * next. Adding or removing a node moves only the keys of its own arcs. Positions depend on nothing but the nodes' numbers,
 * so equal membership gives equal mapping in every process.
 */

import { hashOf } from '../../src/protocol/hash.ts';
import { RING_POINTS } from '../../src/protocol/limits.ts';

interface Point {
  readonly at: number;
  readonly node: number;
}

/** Nodes by number, and the keys that belong to them. */
export class HashRing {
  private points: readonly Point[] = [];

  /** Whether no node is in the ring. */
  get isEmpty(): boolean {
    return this.points.length === 0;
  }

  /** Adds a node; one that is in the ring already stays as it is. */
  add(node: number): void {
    if (this.points.some((point) => point.node === node)) return;
    const own = Array.from({ length: RING_POINTS }, (_, nth) => ({
      at: hashOf(`worker ${node} point ${nth}`),
      node,
    }));
    this.points = [...this.points, ...own].sort((a, b) => a.at - b.at || a.node - b.node);
  }

  remove(node: number): void {
    this.points = this.points.filter((point) => point.node !== node);
  }

  /** The node of a key; undefined in an empty ring. */
  nodeOf(key: string): number | undefined {
    const { points } = this;
    const hash = hashOf(key);
    let low = 0;
    let high = points.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((points[middle]?.at ?? hash) < hash) low = middle + 1;
      else high = middle;
    }
    return (points[low] ?? points[0])?.node;
  }
}
