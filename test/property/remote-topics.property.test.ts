/**
 * Goal: over a wire that cuts, delays, duplicates and loses, each subscriber of a topic gets each message once and in the order of its publisher and
 * priority, and each message of a group gets to one member of all nodes, whoever joins and leaves meanwhile.
 * Method: random plays of three nodes on one hub in virtual time; afterwards the faults end, and what was published is compared with what came.
 */

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { memoryHub } from '../../adapters/memory/index.ts';
import { PRIORITIES, type Priority } from '../../src/protocol/priority.ts';
import type { Subscription } from '../../src/protocol/subscription.ts';
import { type Ending, endingOf } from '../support/puppet.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { endClusters, testCluster } from '../support/test-cluster.ts';

const NODES = ['a', 'b', 'c'] as const;
const node = fc.constantFrom(...NODES);
const priority = fc.constantFrom(...PRIORITIES);
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ type: fc.constant('publish' as const), node, priority }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('subscribe' as const), node }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('unsubscribe' as const), which: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('join' as const), node }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('leave' as const), which: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('cut' as const), node }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('lose' as const),
      node,
      loss: fc.constantFrom('publishes', 'confirms', 'deliveries', 'settlements'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('delay' as const), node, ms: fc.integer({ min: 1, max: 60 }) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('duplicate' as const), node }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('heal' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 300 }) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Faults after which the broker may hold a frame twice, or give it out again. */
const COPYING: ReadonlySet<string> = new Set(['cut', 'lose', 'duplicate']);

interface Message {
  readonly n: number;
  readonly node: string;
  readonly priority: Priority;
}

interface Listener {
  readonly got: Message[];
  /** Messages published so far when it was effective, and when its end began. */
  from: number;
  until: number;
  subscription: Subscription | undefined;
  ending: Ending | undefined;
}

async function play(steps: readonly Step[], seed: number) {
  const hub = memoryHub({ seed });
  const cluster = testCluster({ hub, order: { seed } });
  const memory = { publishTimeoutMs: 300, downAfterMs: 600_000, heartbeatMs: 3_000 };
  const systems = {
    a: (await cluster.start('a', { memory })).system,
    b: (await cluster.start('b', { memory })).system,
    c: (await cluster.start('c', { memory })).system,
  };
  const published: Message[] = [];
  const endings: Ending[] = [];
  const listeners: Listener[] = [];
  const members: Listener[] = [];
  const listen = (at: (typeof NODES)[number], group: string | undefined): Listener => {
    const listener: Listener = {
      got: [],
      from: Infinity,
      until: Infinity,
      subscription: undefined,
      ending: undefined,
    };
    const handle = (message: unknown): void => {
      listener.got.push(message as Message);
    };
    void systems[at].subscribe('t', handle, group === undefined ? {} : { group }).then((subscription) => {
      listener.subscription = subscription;
      listener.from = published.length;
    });
    return listener;
  };
  // Somebody is in the group all the time: what nobody can have is nobody's loss.
  members.push(listen('b', 'g'));
  await cluster.advance(20);
  for (const each of steps) {
    switch (each.type) {
      case 'publish': {
        const message = { n: published.length, node: each.node, priority: each.priority };
        published.push(message);
        const options = { priority: each.priority, timeoutMs: 10_000_000 };
        endings.push(endingOf(systems[each.node].publish('t', message, options)));
        break;
      }
      case 'subscribe':
        listeners.push(listen(each.node, undefined));
        break;
      case 'join':
        members.push(listen(each.node, 'g'));
        break;
      case 'unsubscribe':
      case 'leave': {
        const listener = each.type === 'leave' ? members[1 + each.which] : listeners[each.which];
        if (listener?.subscription === undefined || listener.ending !== undefined) break;
        listener.until = published.length;
        listener.ending = endingOf(listener.subscription.unsubscribe());
        break;
      }
      case 'cut':
        hub.cut(each.node);
        break;
      case 'lose':
        hub.lose(each.loss, each.node);
        break;
      case 'delay':
        hub.delay({ minMs: 0, maxMs: each.ms }, each.node);
        break;
      case 'duplicate':
        hub.duplicate(0.5, each.node);
        break;
      case 'heal':
        hub.heal();
        break;
      case 'advance':
        await cluster.advance(each.ms);
        break;
    }
  }
  hub.heal();
  await cluster.advance(120_000);
  const dead = NODES.flatMap((name) => systems[name].deadLetters.list());
  await endClusters();
  return { published, endings, listeners, members, dead };
}

it(
  'P101 P102 P104: gives each subscriber each message once, in the order of its publisher and priority, and a group each message',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 5, maxLength: 50 }),
        fc.nat(1_000_000),
        async (steps, seed) => {
          const { published, endings, listeners, members, dead } = await play(steps, seed);
          expect(dead).toEqual([]);
          expect(endings.filter(({ is }) => is !== 'resolved')).toEqual([]);
          for (const { got, from, until } of listeners) {
            const numbers = got.map(({ n }) => n);
            expect(new Set(numbers).size).toBe(numbers.length);
            const wanted = published.filter(({ n }) => n >= from && n < until).map(({ n }) => n);
            if (until === Infinity) expect(wanted.filter((n) => !numbers.includes(n))).toEqual([]);
            for (const name of NODES)
              for (const rank of PRIORITIES) {
                const own = got
                  .filter((message) => message.node === name && message.priority === rank)
                  .map(({ n }) => n);
                expect(own).toEqual(own.toSorted((x, y) => x - y));
              }
          }
          const shared = members.flatMap(({ got }) => got.map(({ n }) => n)).toSorted((x, y) => x - y);
          const all = published.map(({ n }) => n);
          // A frame that the broker has twice may go to two members, of which neither knows what the other has handled.
          expect([...new Set(shared)]).toEqual(all);
          if (!steps.some(({ type }) => COPYING.has(type))) expect(shared).toEqual(all);
        },
      ),
      { numRuns: Math.ceil(RUNS / 5) },
    );
  },
  RUNS_TIMEOUT_MS,
);
