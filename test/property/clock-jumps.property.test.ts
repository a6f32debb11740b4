/**
 * Goal: a wall clock that jumps, forth or back, kills no node, loses and repeats no message, and leaves no call without an end. Only what
 * travels with a time of its own may end too early: a deadline of a node whose clock is behind.
 * Method: three nodes on one hub in virtual time, whose wall clocks jump between calls by up to a day; set right at last, all works as before.
 */

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { agent, ask, protocol, supervisor, tell } from '../../src/index.ts';
import { PRIORITIES } from '../../src/protocol/priority.ts';
import { type Ending, endingOf } from '../support/puppet.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { type ClusterNode, endClusters, testCluster } from '../support/test-cluster.ts';

const Clerk = protocol('clerk', { file: tell(z.number()), count: ask(z.number(), z.number()) });
const DAY_MS = 86_400_000;
const ASK_MS = 20_000;
const NODES = ['a', 'b', 'c'] as const;

const node = fc.constantFrom(...NODES);
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('tell' as const),
      from: node,
      to: node,
      priority: fc.constantFrom(...PRIORITIES),
      times: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('ask' as const), from: node, to: node }) },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 4_000 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('jump' as const),
      node,
      ms: fc.oneof(fc.integer({ min: -DAY_MS, max: DAY_MS }), fc.integer({ min: -2_000, max: 2_000 })),
    }),
  },
);

it(
  'wall clocks that jump kill no node, lose and repeat no message, and leave no call without an end',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 4, maxLength: 40 }),
        fc.nat(1_000),
        async (steps, seed) => {
          const cluster = testCluster({ order: { seed } });
          const shifts = new Map<string, number>();
          const filed = new Map<string, number[]>();
          const systems = new Map<string, ClusterNode<unknown>>();
          for (const name of NODES) {
            const clerk = agent(Clerk, {
              state: (): object => ({}),
              on: {
                file: (ctx, n) => {
                  const key = `${n % NODES.length} ${name} ${ctx.message.priority}`;
                  filed.set(key, [...(filed.get(key) ?? []), n]);
                },
                count: (_ctx, n) => 2 * n,
              },
            });
            const root = supervisor({ children: { clerk: clerk.child() } });
            const wallShiftMs = (): number => shifts.get(name) ?? 0;
            systems.set(name, await cluster.start(name, { root, wallShiftMs }));
          }
          await cluster.advance(1_000);
          const clerkOf = (from: string, to: string) =>
            systems.get(from)?.system.ref(Clerk, 'clerk', { node: to });
          const told = new Map<string, number[]>();
          const asked: Ending[] = [];
          let sent = 0;
          for (const each of steps) {
            if (each.type === 'advance') await cluster.advance(each.ms);
            else if (each.type === 'jump') shifts.set(each.node, each.ms);
            else if (each.from === each.to) continue;
            else if (each.type === 'ask')
              asked.push(
                endingOf(
                  clerkOf(each.from, each.to)?.ask('count', 1, { timeoutMs: ASK_MS }) ?? Promise.resolve(),
                ),
              );
            else
              for (let i = 0; i < each.times; i++) {
                const place = NODES.indexOf(each.from);
                const n = NODES.length * ++sent + place;
                const key = `${place} ${each.to} ${each.priority}`;
                if (clerkOf(each.from, each.to)?.tell('file', n, { priority: each.priority }) === 'accepted')
                  told.set(key, [...(told.get(key) ?? []), n]);
              }
          }
          await cluster.advance(2 * ASK_MS);
          expect(asked.filter(({ is }) => is === undefined)).toEqual([]);
          expect(Object.fromEntries(filed)).toEqual(Object.fromEntries(told));
          for (const { events } of systems.values())
            expect(events.filter(({ type: kind }) => kind === 'node-down')).toEqual([]);
          shifts.clear();
          for (const from of NODES)
            for (const to of NODES)
              if (from !== to)
                expect(
                  await cluster.during(Promise.resolve(clerkOf(from, to)?.ask('count', 4)), ASK_MS),
                ).toBe(8);
          await endClusters();
        },
      ),
      { numRuns: Math.ceil(RUNS / 10) },
    );
  },
  RUNS_TIMEOUT_MS,
);
