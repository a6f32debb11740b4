/**
 * A consistent-hash ring: each node owns the arcs that end at its points, and a key belongs to the node whose point comes
 * next. Adding or removing a node moves only the keys of its own arcs. Positions depend on nothing but the nodes' numbers,
 * so equal membership gives equal mapping in every process.
 */

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

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/**
 * 32 bits of a string: FNV-1a over its UTF-16 units (low byte, then high byte), then the finaliser of MurmurHash3, without
 * which keys that differ only in their last characters would lie close together on the ring.
 */
export function hashOf(text: string): number {
  let hash = FNV_OFFSET;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    hash = Math.imul(hash ^ (unit & 0xff), FNV_PRIME);
    hash = Math.imul(hash ^ (unit >>> 8), FNV_PRIME);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
