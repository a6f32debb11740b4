import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type MemoryHub, memoryHub } from '../../adapters/memory/index.ts';
import { agent, ask, protocol, supervisor } from '../../src/index.ts';
import type { Census } from '../../src/protocol/member-view.ts';
import { costTable, nodeCost } from '../bench/node-costs.ts';
import { IS_SOAKING } from '../support/soak.ts';
import { type ClusterNode, endClusters, testCluster } from '../support/test-cluster.ts';

/** Others that each node speaks to at the most. */
const SPOKEN_TO_MAX = 100;
const MINUTE_MS = 60_000;
const LARGE_MS = 120_000;
const SOAK_MS = 1_200_000;

const Echo = protocol('echo', { say: ask(z.number(), z.number()) });
const echo = agent(Echo, { state: (): object => ({}), on: { say: (_, value) => value } });

/** Counts what a hub tells its nodes about one another: each name is a word, and whoever has the list before needs only what has changed. */
function wordsOf(hub: MemoryHub): { words: number } {
  const counted = { words: 0 };
  // What a hub has inside: every broker registers with it before it connects.
  const inside = hub as unknown as {
    register(caller: { hears(census: Census): void }): void;
  };
  const register = inside.register.bind(inside);
  inside.register = (caller) => {
    const hears = caller.hears.bind(caller);
    let held: Census['members'] | undefined;
    caller.hears = (census) => {
      counted.words += (census.before === held ? census.changes : census.members).length;
      held = census.members;
      hears(census);
    };
    register(caller);
  };
  return counted;
}

/** `n` systems come, rest, speak to one another, and lose one of them. */
async function costsWhatTheModelSays(n: number): Promise<void> {
  const hub = memoryHub();
  const told = wordsOf(hub);
  const { start, settle, advance, during, kill } = testCluster({ hub });
  const cost = nodeCost('memory', n);
  const root = supervisor({ children: { echo: echo.child() } });
  const nodes: ClusterNode<unknown>[] = [];
  for (let at = 0; at < n - 1; at++) nodes.push(await start(`n${at}`, { root }));
  await settle();
  const before = told.words;
  nodes.push(await start('last', { root }));
  await settle();
  expect(told.words - before).toBe(cost.wordsPerJoin);
  expect(new Set(nodes.map(({ system }) => system.nodes.length))).toEqual(new Set([n]));
  const atRest = told.words;
  await advance(MINUTE_MS);
  expect(told.words - atRest).toBe(60 * cost.wordsPerSecond);
  // Each speaks to others, to all of them where they are few: nobody has to be told anything for that.
  const spokenTo = Math.min(n - 1, SPOKEN_TO_MAX);
  const asks = nodes.flatMap(({ system }, at) =>
    Array.from({ length: spokenTo }, (_, step) => {
      const to = (at + 1 + step) % n;
      const node = to === n - 1 ? 'last' : `n${to}`;
      return system.ref(Echo, 'echo', { node }).ask('say', to);
    }),
  );
  expect((await during(Promise.all(asks), MINUTE_MS)).length).toBe(n * spokenTo);
  expect(told.words).toBe(atRest);
  kill('last');
  await advance(MINUTE_MS);
  const heard = nodes
    .slice(0, -1)
    .map(({ events }) => events.filter(({ type }) => type === 'node-down').length);
  expect(heard).toEqual(nodes.slice(0, -1).map(() => 1));
  await endClusters(); // here, where it may take its time
}

describe('the costs of nodes', () => {
  it('are those of the model for 10 simulated nodes', () => costsWhatTheModelSays(10));

  it('are those of the model for 100 simulated nodes', () => costsWhatTheModelSays(100), LARGE_MS);

  it.runIf(IS_SOAKING)(
    'are those of the model for 1,000 simulated nodes',
    () => costsWhatTheModelSays(1_000),
    SOAK_MS,
  );

  it('are in the documentation as the model has them', () => {
    const page = readFileSync(fileURLToPath(new URL('../../docs/operations.md', import.meta.url)), 'utf8');
    expect(page).toContain(costTable().join('\n'));
  });
});
