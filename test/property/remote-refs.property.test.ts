/**
 * Goal: whatever the wire does, what is sent to actors of another node is handled once, in the order of its sender and priority, and every
 * call settles. Method: random plays of two senders against two actors on a hub that cuts, delays, duplicates, loses and reorders; afterwards the
 * faults end, and the books of both sides are compared.
 */

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { memoryHub } from '../../adapters/memory/index.ts';
import { agent, ask, protocol, supervisor, tell } from '../../src/index.ts';
import { PRIORITIES, type Priority } from '../../src/protocol/priority.ts';
import { breakHub, type HubFault, hubFault, hubReordering } from '../support/hub-faults.ts';
import { type Ending, endingOf } from '../support/puppet.ts';
import { RUNS } from '../support/runs.ts';
import { endClusters, testCluster } from '../support/test-cluster.ts';
import type { VirtualClock } from '../support/virtual-clock.ts';

const item = z.object({ n: z.number(), from: z.string() });
const Clerk = protocol('clerk', { file: tell(item), count: ask(item, z.number()) });

const SENDERS = ['a', 'c'] as const;
const ACTORS = ['quick', 'slow'] as const;

const call = fc.record({
  type: fc.constant('call' as const),
  verb: fc.constantFrom('tell', 'send', 'receipt', 'ask'),
  from: fc.constantFrom(...SENDERS),
  to: fc.constantFrom(...ACTORS),
  priority: fc.constantFrom(...PRIORITIES),
  times: fc.integer({ min: 1, max: 6 }),
});
const time = fc.record({ type: fc.constant('advance' as const), ms: fc.integer({ min: 0, max: 400 }) });
const healing = fc.record({ type: fc.constant('heal' as const) });

type Step =
  | (typeof call extends fc.Arbitrary<infer T> ? T : never)
  | HubFault
  | (typeof time extends fc.Arbitrary<infer T> ? T : never)
  | (typeof healing extends fc.Arbitrary<infer T> ? T : never);

const ordered: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: call },
  { weight: 2, arbitrary: hubFault },
  { weight: 2, arbitrary: time },
  { weight: 1, arbitrary: healing },
);
const disordered: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: ordered },
  { weight: 2, arbitrary: hubReordering },
);

interface Handled {
  readonly actor: string;
  readonly n: number;
  readonly from: string;
  readonly priority: Priority;
}

/** Runs a play, and gives the books of both sides. No fault lasts as long as a node needs to be taken for dead. */
async function play(steps: readonly Step[], seed: number) {
  const hub = memoryHub({ seed });
  const cluster = testCluster({ hub, order: { seed } });
  const handled: Handled[] = [];
  const clerk = (actor: string, pauseMs: number) =>
    agent(Clerk, {
      state: (): object => ({}),
      mailbox: { capacity: 3, waitersMax: 2 },
      on: {
        file: async (ctx, { n, from }) => {
          handled.push({ actor, n, from, priority: ctx.message.priority });
          if (pauseMs > 0) await pause(cluster.clock, pauseMs);
        },
        count: async (ctx, { n, from }) => {
          handled.push({ actor, n, from, priority: ctx.message.priority });
          if (pauseMs > 0) await pause(cluster.clock, pauseMs);
          return n;
        },
      },
    });
  const children = { quick: clerk('quick', 0).child(), slow: clerk('slow', 7).child() };
  // Silence is taken for death only after more than all of a play's time.
  const memory = { downAfterMs: 600_000, heartbeatMs: 3_000, publishTimeoutMs: 500, expiresMs: 3_600_000 };
  const a = await cluster.start('a', { memory });
  const c = await cluster.start('c', { memory });
  const b = await cluster.start('b', { memory, root: supervisor({ children }) });
  const systems = { a: a.system, c: c.system };
  const sent: (Handled & { readonly verb: string; readonly ending: Ending })[] = [];
  for (const step of steps) {
    switch (step.type) {
      case 'call': {
        const ref = systems[step.from].ref(Clerk, step.to, { node: 'b' });
        const { priority, verb, from, to: actor } = step;
        for (let i = 0; i < step.times; i++) {
          const n = sent.length;
          const payload = { n, from };
          const options = { priority, timeoutMs: 10_000_000 };
          const made =
            verb === 'tell'
              ? Promise.resolve(ref.tell('file', payload, { priority }))
              : verb === 'ask'
                ? ref.ask('count', payload, options)
                : ref.send('file', payload, { ...options, receipt: verb === 'receipt' });
          sent.push({ actor, n, from, priority, verb, ending: endingOf(made) });
        }
        break;
      }
      case 'cut':
      case 'silence':
      case 'lose':
      case 'delay':
      case 'duplicate':
      case 'reorder':
        breakHub(hub, step);
        break;
      case 'heal':
        hub.heal();
        break;
      case 'advance':
        await cluster.advance(step.ms);
        break;
    }
  }
  hub.heal();
  await cluster.advance(30_000);
  const dead = [a, b, c].flatMap(({ system }) => system.deadLetters.list());
  const ends = [a, b, c].flatMap(({ events }) => events.filter(({ type }) => type === 'node-down'));
  await endClusters();
  return { sent, handled, dead, ends };
}

function pause(clock: VirtualClock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.setTimer(ms, resolve);
  });
}

const keyOf = ({ actor, from, priority }: Handled): string => `${from} ${actor} ${priority}`;

function numbersBy(items: readonly Handled[]): Map<string, number[]> {
  const groups = new Map<string, number[]>();
  for (const each of items) groups.set(keyOf(each), [...(groups.get(keyOf(each)) ?? []), each.n]);
  return groups;
}

it('P67, P68, P72, P73: handles each message of another node once, in the order of its sender and priority, whatever the wire does short of reordering', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(ordered, { minLength: 5, maxLength: 40 }),
      fc.nat(1_000),
      async (steps, seed) => {
        const { sent, handled, dead, ends } = await play(steps, seed);
        expect(ends).toEqual([]);
        expect(dead).toEqual([]);
        expect(numbersBy(handled)).toEqual(numbersBy(sent));
        const settled = sent.filter(({ ending }) => ending.is === 'resolved');
        expect(settled.length).toBe(sent.length);
        for (const { verb, ending, n } of sent)
          expect(ending.value).toBe(verb === 'tell' ? 'accepted' : verb === 'ask' ? n : undefined);
      },
    ),
    { numRuns: Math.ceil(RUNS / 5) },
  );
}, 120_000);

it('P67, P72: handles each message once where redeliveries come late as well', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(disordered, { minLength: 5, maxLength: 40 }),
      fc.nat(1_000),
      async (steps, seed) => {
        const { sent, handled, dead } = await play(steps, seed);
        expect(dead).toEqual([]);
        const numbers = (items: readonly Handled[]) => items.map(({ n }) => n).sort((x, y) => x - y);
        expect(numbers(handled)).toEqual(numbers(sent));
        expect(sent.filter(({ ending }) => ending.is !== 'resolved')).toEqual([]);
      },
    ),
    { numRuns: Math.ceil(RUNS / 5) },
  );
}, 120_000);
