/**
 * Goal: on any schedule of cuts, losses, copies, reorderings and killed members, every publish that resolved is handled or a dead letter
 * of the broker, one publisher's messages of one topic and priority come in his order, and an inbox never sees a copy.
 * Method: seeded schedules on the memory broker and the virtual clock; a failing one is printed and can be played again.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type MemoryHub, memory, memoryHub } from '../../adapters/memory/index.ts';
import type { MessageBus } from '../../runtime/bus/bus.ts';
import type { Priority } from '../../src/protocol/priority.ts';
import { type Ending, endingOf } from '../support/puppet.ts';
import { busBench } from '../support/test-bus.ts';

const SCHEDULES = Number(process.env['FC_RUNS'] ?? 60);

type Step =
  | {
      readonly do: 'publish';
      readonly from: number;
      readonly topic: string;
      readonly priority: Priority;
      readonly count: number;
    }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'cut' | 'heal'; readonly node: number }
  | {
      readonly do: 'lose';
      readonly what: 'publishes' | 'confirms' | 'deliveries' | 'settlements';
      readonly node: number;
    }
  | { readonly do: 'duplicate' | 'reorder'; readonly share: number; readonly node: number }
  | { readonly do: 'kill' };

const node = fc.nat(2);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('publish' as const),
      from: fc.nat(1),
      topic: fc.constantFrom('inbox.one', 'inbox.two', 'jobs'),
      priority: fc.constantFrom<Priority>('critical', 'normal', 'background'),
      count: fc.integer({ min: 1, max: 20 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 3_000 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cut' as const), node }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('heal' as const), node }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('lose' as const),
      what: fc.constantFrom(
        'publishes' as const,
        'confirms' as const,
        'deliveries' as const,
        'settlements' as const,
      ),
      node,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('duplicate' as const, 'reorder' as const),
      share: fc.constantFrom(0.2, 0.9),
      node,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('kill' as const) }) },
);

interface Sent {
  readonly key: string;
  readonly n: number;
  readonly ending: Ending;
}

const NODES = ['a', 'b', 'c'];

async function play(schedule: readonly Step[]): Promise<void> {
  const bench = busBench();
  const hub: MemoryHub = memoryHub();
  const buses: MessageBus[] = [];
  for (const name of [...NODES, 'd']) {
    const connecting = bench.connect({ broker: memory({ hub }), node: name });
    await bench.advance(20);
    buses.push(await connecting);
  }
  const inbox = new Map<string, string[]>();
  const jobs: string[] = [];
  const note = (list: Map<string, string[]>, key: string, text: string): void => {
    list.set(key, [...(list.get(key) ?? []), text]);
  };
  const [a, b, c, d] = buses;
  if (a === undefined || b === undefined || c === undefined || d === undefined)
    throw new Error('a bus is missing');
  const subscribing = Promise.all([
    c.subscribe('inbox.*', ({ payload, topic, priority }) => {
      const [from, n] = String(payload).split(' ');
      note(inbox, `${from} ${topic} ${priority}`, n ?? '');
    }),
    c.subscribe(
      'jobs',
      ({ payload }) => {
        jobs.push(String(payload));
      },
      { group: 'g' },
    ),
    // The member that may be killed: it holds what it has for a while.
    d.subscribe(
      'jobs',
      async ({ payload }) => {
        await new Promise<void>((resolve) => {
          bench.clock.setTimer(50, resolve);
        });
        jobs.push(String(payload));
      },
      { group: 'g' },
    ),
  ]);
  await bench.advance(50);
  await subscribing;
  const sent: Sent[] = [];
  let made = 0;
  for (const each of schedule) {
    switch (each.do) {
      case 'publish': {
        const publisher = each.from === 0 ? a : b;
        for (let i = 0; i < each.count; i++) {
          const n = ++made;
          const { topic, priority } = each;
          const options = { priority, timeoutMs: 1_000_000 };
          const ending = endingOf(publisher.publish(topic, `${NODES[each.from]} ${n}`, options));
          sent.push({ key: `${NODES[each.from]} ${topic} ${priority}`, n, ending });
        }
        break;
      }
      case 'advance':
        await bench.advance(each.ms);
        break;
      case 'cut':
        hub.cut(NODES[each.node] ?? '');
        break;
      case 'heal':
        hub.heal(NODES[each.node] ?? '');
        break;
      case 'lose':
        hub.lose(each.what, NODES[each.node] ?? '');
        break;
      case 'duplicate':
        hub.duplicate(each.share, NODES[each.node] ?? '');
        break;
      case 'reorder':
        hub.reorder({ share: each.share }, NODES[each.node] ?? '');
        break;
      case 'kill':
        hub.kill('d');
        break;
    }
  }
  hub.heal();
  await bench.advance(120_000);
  expect(sent.filter(({ ending }) => ending.is !== 'resolved')).toEqual([]);
  expect(hub.deadFrames()).toEqual([]);
  for (const key of new Set(sent.filter(({ key: each }) => !each.includes('jobs')).map((each) => each.key))) {
    const expected = sent.filter((each) => each.key === key).map(({ n }) => String(n));
    const got = inbox.get(key) ?? [];
    // Nothing lost, no copy seen; in order, but for what the broker itself brought late.
    expect([key, [...got].sort()]).toEqual([key, [...expected].sort()]);
    if (!schedule.some((each) => each.do === 'reorder' || (each.do === 'lose' && each.what === 'deliveries')))
      expect([key, got]).toEqual([key, expected]);
  }
  const done = new Set(jobs);
  const jobsSent = sent.filter(({ key }) => key.includes('jobs'));
  expect(jobsSent.filter(({ key, n }) => !done.has(`${key.slice(0, 1)} ${n}`))).toEqual([]);
}

describe('buses on a broker', () => {
  it('lose nothing, see no copy and keep the order of each publisher, on any schedule of faults', async () => {
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 25 }), play), {
      numRuns: SCHEDULES,
    });
  }, 120_000);
});
