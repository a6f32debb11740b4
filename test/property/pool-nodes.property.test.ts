/**
 * Goal: whatever becomes of the nodes of a pool, each job has exactly one outcome, nobody does a job that somebody else has begun unless it may be tried
 * again, no more workers live than the pool has, and none is left when it ends. Method: random jobs, losses, cuts, returns, departures and sizes over a hub
 * that delays, duplicates and reorders, then peace, and the books of all nodes against the ledger of the pool.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryHub } from '../../adapters/memory/index.ts';
import { arrangementOf } from '../../runtime/pool/arrangement.ts';
import { orders } from '../support/checked-host.ts';
import { aborted, farPool } from '../support/far-pool.ts';
import { deferred, type Ending, endingOf } from '../support/puppet.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { endClusters, testCluster } from '../support/test-cluster.ts';

const NAMES = ['b', 'c', 'd'];
/** Milliseconds after which a node is lost. */
const LOST_MS = 15_000;
/** Milliseconds after which all have settled who lives, and turns that were told to end have. */
const PEACE_MS = 60_000;
const LETTERS: readonly string[] = ['a', 'b', 'c', 'd', 'e', 'f'];
const RETRY = { retry: { attemptsMax: 2, backoff: { minMs: 10, maxMs: 10 } } } as const;

const node = fc.constantFrom(...NAMES);
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('tell' as const, 'ask' as const),
      does: fc.constantFrom('ends', 'ends', 'fails', 'waits', 'obeys'),
      patienceMs: fc.constantFrom(50, 5_000, 600_000),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(1, 20, 300, 15_000) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('release' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('kill' as const, 'leave' as const, 'join' as const), node }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('cut' as const),
      nodes: fc.subarray(['boss', ...NAMES], { minLength: 1 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('heal' as const) }) },
  // With something in hand, and long enough for the others to notice.
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('lose' as const),
      node: fc.constantFrom('boss', ...NAMES),
      how: fc.constantFrom('kill', 'cut'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('resize' as const), size: fc.integer({ min: 1, max: 5 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('stopWorker' as const), node }) },
);

describe('a pool over nodes', () => {
  it(
    'P1 P2 P39 P71 P74 gives each job one outcome and leaves no worker behind, whatever becomes of its nodes',
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { maxLength: 25 }),
          fc.record({
            seed: fc.nat(1_000),
            delayMs: fc.constantFrom(0, 5, 50),
            duplicate: fc.constantFrom(0, 0.3),
            reorder: fc.constantFrom(0, 0.4),
            isRetried: fc.boolean(),
            ending: fc.constantFrom('stop' as const, 'killBoss' as const),
          }),
          orders,
          async (steps, { seed, delayMs, duplicate, reorder, isRetried, ending }, order) => {
            const hub = memoryHub({ seed });
            const cluster = testCluster({ hub, order });
            const options = isRetried ? { onFailure: RETRY } : {};
            const { boss, own, book, nodes, join, inspect, spread, actorsOn } = await farPool(
              NAMES,
              options,
              cluster,
            );
            let gate = deferred();
            const tasks: string[] = [];
            for (const name of NAMES) {
              book(name).turn = (n, signal) => {
                if (tasks[n] === 'fails') throw new Error('no');
                if (tasks[n] === 'waits') return gate.promise;
                return tasks[n] === 'obeys' ? Promise.race([gate.promise, aborted(signal)]) : undefined;
              };
            }
            const pool = await boss.system.spawn(own.pool({ size: 3, nodes: 'all', shutdownMs: 2_000 }));
            await cluster.advance(50);
            if (delayMs > 0) hub.delay({ maxMs: delayMs });
            if (duplicate > 0) hub.duplicate(duplicate);
            if (reorder > 0) hub.reorder({ share: reorder });
            const asks = new Map<number, Ending>();
            const leaving: Promise<void>[] = [];
            let size = 3;
            for (const each of steps) {
              switch (each.kind) {
                case 'tell':
                case 'ask': {
                  const n = tasks.push(each.does) - 1;
                  if (each.kind === 'tell') pool.tell('note', { n });
                  else asks.set(n, endingOf(pool.ask('double', { n }, { timeoutMs: each.patienceMs })));
                  break;
                }
                case 'pass':
                  await cluster.advance(each.ms);
                  break;
                case 'release':
                  gate.resolve();
                  gate = deferred();
                  break;
                case 'kill':
                  if (nodes.delete(each.node)) cluster.kill(each.node);
                  break;
                case 'leave': {
                  const left = nodes.get(each.node);
                  if (left === undefined || !nodes.delete(each.node)) break;
                  leaving.push(left.system.shutdown({ deadlineMs: 5_000 }));
                  break;
                }
                case 'join':
                  // A name is free when its last life is over.
                  if (nodes.has(each.node) || boss.system.nodes.some(({ name }) => name === each.node)) break;
                  hub.heal(); // a node that cannot reach the broker does not start
                  await join(each.node);
                  break;
                case 'cut':
                  hub.cut(...each.nodes);
                  break;
                case 'lose':
                  await cluster.advance(50);
                  if (each.how === 'cut' || each.node === 'boss') hub.cut(each.node);
                  else if (nodes.delete(each.node)) cluster.kill(each.node);
                  await cluster.advance(LOST_MS);
                  hub.heal();
                  break;
                case 'heal':
                  hub.heal();
                  break;
                case 'resize':
                  size = each.size;
                  void boss.system.resize(pool, size);
                  break;
                case 'stopWorker': {
                  const { system } = nodes.get(each.node) ?? {};
                  const [worker] =
                    system?.tree().children.find(({ address }) => address === '/user')?.children ?? [];
                  if (system !== undefined && worker !== undefined)
                    void system.stop(system.ref(own.protocol, worker.address));
                  break;
                }
              }
              expect(inspect(pool)?.workers.filter(({ isLeaving }) => !isLeaving).length).toBeLessThanOrEqual(
                size,
              );
            }
            hub.heal();
            gate.resolve();
            for (const name of NAMES)
              book(name).turn = (n) => (tasks[n] === 'fails' ? Promise.reject(new Error('no')) : undefined);
            await cluster.advance(PEACE_MS);
            for (const name of NAMES) if (!nodes.has(name)) await join(name);
            for (let n = 0; n < 30; n++) await cluster.advance(500);
            await Promise.all(leaving);

            const counts = boss.system.inspect(pool)?.counts;
            const accepted = tasks.length;
            const { handled = 0, failed = 0, cancelled = 0, deadLettered = 0 } = counts ?? {};
            expect(handled + failed + cancelled + deadLettered).toBe(accepted);
            expect(counts?.accepted).toBe(accepted);
            expect(boss.system.inspect(pool)?.mailbox).toMatchObject({ queued: 0, stashed: 0 });
            expect([...asks.values()].filter(({ is }) => is === undefined)).toEqual([]);
            for (const [n, { is, value }] of asks) if (is === 'resolved') expect(value).toBe(2 * n);
            const begun = NAMES.flatMap((name) => book(name).begun);
            const done = NAMES.flatMap((name) => book(name).done);
            const times = (list: readonly number[], n: number): number =>
              list.filter((each) => each === n).length;
            for (const n of tasks.keys()) {
              expect(times(begun, n)).toBeLessThanOrEqual(isRetried ? 4 : 1); // two attempts on each of two nodes
              if (!isRetried) expect(times(done, n)).toBeLessThanOrEqual(1);
              if (asks.get(n)?.is === 'resolved') expect(times(done, n)).toBeGreaterThanOrEqual(1);
            }
            expect(new Set(done).size).toBeGreaterThanOrEqual(handled);
            // Who fails too often without a job that ends well ends for good: then the pool has fewer, or had to begin anew.
            const present = Object.values(spread(pool)).reduce((sum, count) => sum + count, 0);
            expect(present).toBeLessThanOrEqual(size);
            if (!tasks.includes('fails')) expect(present).toBe(size);
            for (const name of NAMES) expect([name, actorsOn(name)]).toEqual([name, spread(pool)[name] ?? 0]);

            if (ending === 'stop') await cluster.during(boss.system.stop(pool), 10_000);
            else cluster.kill('boss');
            await cluster.advance(PEACE_MS);
            expect(NAMES.map(actorsOn)).toEqual([0, 0, 0]);
            await endClusters();
          },
        ),
        { numRuns: Math.ceil(RUNS / 5) },
      );
    },
    60_000 + RUNS * 120,
  );
});

describe('the arrangement of workers', () => {
  const counts = fc
    .dictionary(fc.constantFrom(...LETTERS), fc.nat(6))
    .map((each) => new Map<string, number>(Object.entries(each)));
  const nodes = fc.uniqueArray(fc.constantFrom(...LETTERS));

  it(
    'gives every node its share, give or take one, moves no more than it must, and leaves it so',
    () => {
      fc.assert(
        fc.property(counts, nodes, fc.nat(20), (present, names, size) => {
          const { come, go } = arrangementOf(present, names, size);
          const after = new Map(present);
          for (const [name, count] of come) after.set(name, (after.get(name) ?? 0) + count);
          for (const [name, count] of go) after.set(name, (after.get(name) ?? 0) - count);
          const shares = names.map((name) => after.get(name) ?? 0);
          expect(shares.reduce((sum, share) => sum + share, 0)).toBe(names.length === 0 ? 0 : size);
          if (names.length > 0) expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
          for (const [name, count] of after) if (!names.includes(name)) expect(count).toBe(0);
          expect([...come.keys()].filter((name) => go.has(name))).toEqual([]);
          // No other fair arrangement keeps more where they are: the fullest nodes have the larger shares.
          const kept = (name: string): number => Math.min(present.get(name) ?? 0, after.get(name) ?? 0);
          const share = names.length === 0 ? 0 : Math.floor(size / names.length);
          const rest = names.length === 0 ? 0 : size % names.length;
          const best = names
            .map((name) => present.get(name) ?? 0)
            .sort((a, b) => b - a)
            .reduce((sum, count, index) => sum + Math.min(count, share + (index < rest ? 1 : 0)), 0);
          expect(names.reduce((sum, name) => sum + kept(name), 0)).toBe(best);
          const again = arrangementOf(after, names, size);
          expect([again.come.size, again.go.size]).toEqual([0, 0]);
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );
});
