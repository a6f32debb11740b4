/**
 * Where the shards of a group ought to be: rendezvous hashing with an equal share for everybody. Nodes with one view find one placement,
 * and a change of the view moves few shards more than it must. It is a hint; who owns a shard is the broker's to say.
 */

import { hashOf } from '../../src/protocol/hash.ts';

interface Pair {
  readonly shard: number;
  readonly node: string;
  readonly score: number;
}

/** The node of each shard, from 0 on; no two nodes differ by more than one shard. Empty without nodes. */
export function placementOf(group: string, shards: number, nodes: readonly string[]): readonly string[] {
  const pairs: Pair[] = [];
  for (const node of nodes)
    for (let shard = 0; shard < shards; shard++)
      pairs.push({ shard, node, score: hashOf(`${group} ${shard} ${node}`) });
  pairs.sort((a, b) => b.score - a.score || a.shard - b.shard || (a.node < b.node ? -1 : 1));
  const placed: string[] = [];
  const counts = new Map<string, number>();
  const least = Math.floor(shards / nodes.length);
  let oneMore = shards % nodes.length;
  // The best pairs first, as far as both have need of one another.
  for (const { shard, node } of pairs) {
    if (placed[shard] !== undefined) continue;
    const count = counts.get(node) ?? 0;
    if (count > least || (count === least && oneMore === 0)) continue;
    if (count === least) oneMore--;
    placed[shard] = node;
    counts.set(node, count + 1);
  }
  return placed;
}
