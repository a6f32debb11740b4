/**
 * Goal: between nodes notices of death come exactly once for each watch, after the last word of the dead, and never after unwatch.
 * Method: random watches, words and ends over a hub that delays, duplicates, reorders and cuts, against a plain count of what is due.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryHub } from '../../adapters/memory/index.ts';
import { PRIORITIES } from '../../src/protocol/priority.ts';
import { orders } from '../support/checked-host.ts';
import { farWatch } from '../support/far-watch.ts';
import { endClusters, testCluster } from '../support/test-cluster.ts';

const RUNS = Number(process.env['FC_RUNS'] ?? 1_000);
const SUBJECTS = 3;
/** Less than a broker waits before it takes a node for dead. */
const CUT_MAX_MS = 4_000;
/** Within which it connects again. */
const RECONNECT_MS = 6_000;

const subject = fc.nat(SUBJECTS - 1);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('watch', 'watch', 'unwatch'), subject }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('say'),
      subject,
      ranks: fc.array(fc.nat(5), { minLength: 1, maxLength: 4 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('stop', 'sayAndStop', 'fail'), subject }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('pass'), ms: fc.nat(300) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('suspend', 'resume', 'crashWatcher', 'part', 'join') }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('cut'),
      nodes: fc.constantFrom(['a'], ['b'], ['a', 'b']),
      ms: fc.nat(CUT_MAX_MS),
    }),
  },
);
const faults = fc.record({
  seed: fc.nat(1_000),
  delayMs: fc.constantFrom(0, 5, 50),
  duplicate: fc.constantFrom(0, 0.3),
  reorder: fc.constantFrom(0, 0.4),
  capacity: fc.constantFrom(3, 1_000),
});
const ending = fc.constantFrom('heal', 'kill', 'cut', 'leave');

describe('notices of death between nodes', () => {
  it(
    'P40 P42 P43 P44 P47 come once for each watch that holds, after the last word, over a hub that delays, duplicates, reorders and cuts',
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { size: 'max', maxLength: 30 }),
          faults,
          ending,
          orders,
          async (steps, { seed, delayMs, duplicate, reorder, capacity }, end, order) => {
            const hub = memoryHub({ seed });
            const cluster = testCluster({ hub, order });
            const play = await farWatch({ cluster, capacity });
            const { a, b, watcher, notices, seen } = play;
            const subjects = [await play.subject(), await play.subject(), await play.subject()];
            /** Watches that hold, by subject: how many notices stand before their own. */
            const holds = new Map<number, number>();
            const told: number[] = [];
            const problems: string[] = [];
            const dead = new Set<number>();
            const sent = subjects.map((): string[] => []);
            let isOver = false;
            const look = (): void => {
              // Each notice is judged in the order in which it came.
              for (let n = told.length; n < notices.length; n++) {
                const notice = notices[n];
                const who = subjects.findIndex(({ far }) => far === notice?.ref);
                told.push(who);
                if (!holds.delete(who)) problems.push(`a notice of ${who} that nobody waits for`);
                if (!dead.has(who) && !isOver) problems.push(`${who} lives, and was told to have ended`);
                if (notice?.reason === 'nodedown' && !isOver) problems.push(`the node of ${who} is there`);
                const place = nth(seen, 'terminated', n);
                const late = (sent[who] ?? []).filter((word) => !seen.slice(0, place).includes(word));
                if (late.length > 0 && !['noproc', 'nodedown'].includes(notice?.reason ?? ''))
                  problems.push(`${late.join()} after the end of ${who}`);
                const after = seen.slice(place).filter((word) => word.startsWith(`${who}:`));
                if (after.length > 0 && notice?.reason !== 'noproc')
                  problems.push(`${after.join()} behind the end of ${who}`);
              }
            };
            const inWatcher = (act: Parameters<typeof play.inWatcher>[0]): void => {
              watcher.tell(
                'act',
                (ctx) => {
                  look();
                  act(ctx);
                },
                { priority: 'critical' },
              );
            };
            if (delayMs > 0) hub.delay({ minMs: 0, maxMs: delayMs });
            if (duplicate > 0) hub.duplicate(duplicate);
            if (reorder > 0) hub.reorder({ share: reorder, depth: 3 });
            let words = 0;
            let suspensions = 0;
            for (const each of steps) {
              const who = 'subject' in each ? each.subject : 0;
              const { here, far } = subjects[who] ?? subjects[0] ?? expect.fail();
              switch (each.kind) {
                case 'watch':
                  inWatcher((ctx) => {
                    ctx.watch(far);
                    if (!holds.has(who)) holds.set(who, notices.length);
                  });
                  break;
                case 'unwatch':
                  inWatcher((ctx) => {
                    ctx.unwatch(far);
                    holds.delete(who);
                  });
                  break;
                case 'say':
                case 'sayAndStop': {
                  if (dead.has(who)) break;
                  const ranks = 'ranks' in each ? each.ranks : [5, 0, 3];
                  const said = ranks.map(
                    (rank) => [`${who}:${++words}`, PRIORITIES[rank] ?? 'normal'] as const,
                  );
                  sent[who]?.push(...said.map(([word]) => word));
                  play.says(here, said, (ctx) => {
                    if (each.kind === 'sayAndStop') ctx.stopSelf();
                  });
                  if (each.kind === 'sayAndStop') dead.add(who);
                  break;
                }
                case 'stop':
                  here.tell('act', (ctx) => ctx.stopSelf());
                  dead.add(who);
                  break;
                case 'fail':
                  here.tell('act', () => {
                    throw new Error('fail');
                  });
                  dead.add(who);
                  break;
                case 'pass':
                  await cluster.advance('ms' in each ? each.ms : 0);
                  break;
                case 'cut':
                  hub.cut(...('nodes' in each ? each.nodes : []));
                  await cluster.advance('ms' in each ? each.ms : 0);
                  hub.heal('a', 'b');
                  await cluster.advance(RECONNECT_MS);
                  break;
                case 'part':
                  hub.partition(['a'], ['b']);
                  break;
                case 'join':
                  hub.partition();
                  break;
                case 'suspend':
                  a.system.suspend(watcher);
                  suspensions++;
                  break;
                case 'resume':
                  if (suspensions > 0) suspensions--;
                  a.system.resume(watcher);
                  break;
                case 'crashWatcher':
                  watcher.tell('act', () => {
                    throw new Error('fail');
                  });
                  break;
              }
            }
            for (; suspensions > 0; suspensions--) a.system.resume(watcher);
            hub.heal();
            await cluster.advance(30_000);
            look();
            expect(problems).toEqual([]);
            // Nobody has been lost so far: whoever has ended was told of, and nobody else.
            expect([...holds.keys()].filter((who) => dead.has(who))).toEqual([]);
            for (const [who, { here }] of subjects.entries())
              if (!dead.has(who)) expect(play.counts(b, here).watchers).toBe(holds.has(who) ? 1 : 0);
            expect(play.counts(a, watcher).watching).toBe(holds.size);
            isOver = end !== 'heal';
            if (end === 'kill') cluster.kill('b');
            if (end === 'cut') hub.cut('b');
            if (end === 'leave') void b.system.shutdown();
            await cluster.advance(60_000);
            look();
            expect(problems).toEqual([]);
            if (isOver) expect(holds.size).toBe(0);
            // After heal no more, and new watches of the old refs are told at once.
            hub.heal();
            await cluster.advance(30_000);
            const before = notices.length;
            if (isOver) {
              for (const [who, { far }] of subjects.entries())
                inWatcher((ctx) => {
                  ctx.watch(far);
                  holds.set(who, notices.length);
                });
              await cluster.settle();
              look();
              expect(notices.slice(before).map(({ reason }) => reason)).toEqual(
                subjects.map(() => 'nodedown'),
              );
            }
            expect(problems).toEqual([]);
            await endClusters();
          },
        ),
        { numRuns: Math.ceil(RUNS / 10) },
      );
    },
    60_000 + RUNS * 60,
  );
});

/** The place of the n-th of them, from 0. */
function nth(list: readonly string[], wanted: string, n: number): number {
  let place = -1;
  for (let count = 0; count <= n; count++) place = list.indexOf(wanted, place + 1);
  return place;
}
