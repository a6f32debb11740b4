/**
 * Goal: every shard has one node, no node has more than one shard more than another, views in another order agree, and a node that comes or
 * goes moves few shards more than it must. Method: random groups and nodes, with one more of them.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { placementOf } from '../../runtime/keyed/placement.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';

const names = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9-]{0,11}$/), { minLength: 1, maxLength: 12 });
const groups = fc.stringMatching(/^[a-z]{1,8}$/);
const shardCounts = fc.oneof(fc.constantFrom(1, 2, 64), fc.integer({ min: 1, max: 200 }));

function countsOf(placement: readonly string[], nodes: readonly string[]): readonly number[] {
  return nodes.map((node) => placement.filter((each) => each === node).length);
}

describe('the placement of shards', () => {
  it(
    'gives every shard a node, and every node its share',
    () => {
      fc.assert(
        fc.property(groups, shardCounts, names, (group, shards, nodes) => {
          const placement = placementOf(group, shards, nodes);
          expect(placement).toHaveLength(shards);
          const counts = countsOf(placement, nodes);
          expect(counts.reduce((sum, each) => sum + each, 0)).toBe(shards);
          expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
          expect(placementOf(group, shards, [...nodes].reverse())).toEqual(placement);
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'moves fewer than twice as many shards on average as the node that comes or goes has',
    () => {
      let moves = 0;
      let shares = 0;
      fc.assert(
        fc.property(groups, names, (group, nodes) => {
          fc.pre(nodes.length >= 2);
          const shards = 64;
          const before = placementOf(group, shards, nodes.slice(1));
          const after = placementOf(group, shards, nodes);
          const moved = after.filter((node, shard) => before[shard] !== node).length;
          moves += moved;
          shares += shards / nodes.length;
          expect(moved).toBeLessThanOrEqual(3.5 * Math.ceil(shards / nodes.length));
        }),
        { numRuns: RUNS },
      );
      expect(moves / shares).toBeLessThan(2);
    },
    RUNS_TIMEOUT_MS,
  );

  it('has no place without nodes', () => {
    expect(placementOf('a', 4, [])).toEqual([]);
  });
});
