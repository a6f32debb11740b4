// Goal: P101 (snapshot), P102 (order, gap-free), P103 (isolation, exact drops) and P105 (cleanup) of the topic router.
// Method: random subscriptions, ends and publications from outside and from actors, against lists kept by hand.

import fc from 'fast-check';
import { agent, protocol, tell, topic, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import type { Router } from '../../runtime/routing/router.ts';
import type { Subscription, SubscriptionOverflow } from '../../src/protocol/subscription.ts';
import type { System } from '../../src/protocol/system.ts';
import { testSystem } from '../support/test-system.ts';

const TOPICS = ['a', 'b', 'a.b', 'a.c'] as const;
const PATTERNS = ['a', 'a.b', 'a.*', '*', 'a.#', '#'] as const;

/** Which of the topics each pattern reaches, written down by hand. */
const REACHED: { readonly [P in (typeof PATTERNS)[number]]: readonly string[] } = {
  a: ['a'],
  'a.b': ['a.b'],
  'a.*': ['a.b', 'a.c'],
  '*': ['a', 'b'],
  'a.#': ['a', 'a.b', 'a.c'],
  '#': ['a', 'b', 'a.b', 'a.c'],
};

interface Sent {
  readonly publisher: number;
  readonly n: number;
}

function routerOf(system: System): Router {
  return (system as unknown as { readonly topics: { readonly router: Router } }).topics.router; // the local system carries them
}

interface Burst {
  readonly topic: string;
  readonly sent: readonly Sent[];
}

const Publisher = protocol('publisher', { publish: tell(type<Burst>()) });
const publisher = agent(Publisher, {
  on: {
    // Not awaited, as a careless publisher does it: the waits outlive the turn.
    publish: (ctx, { topic: to, sent }) => {
      for (const each of sent) void ctx.publish(to, each);
    },
  },
});

const anyTopic = fc.constantFrom(...TOPICS);
const anyPattern = fc.constantFrom(...PATTERNS);

type Step =
  | {
      readonly kind: 'subscribe';
      readonly pattern: (typeof PATTERNS)[number];
      readonly capacity: number;
      readonly ticks: number;
    }
  | { readonly kind: 'unsubscribe'; readonly which: number }
  | {
      readonly kind: 'publish';
      readonly topic: (typeof TOPICS)[number];
      readonly from: 0 | 1 | 2;
      readonly burst: number;
    }
  | { readonly kind: 'settle' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('subscribe' as const),
      pattern: anyPattern,
      capacity: fc.integer({ min: 1, max: 3 }),
      ticks: fc.nat(3),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('unsubscribe' as const), which: fc.nat(9) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('publish' as const),
      topic: anyTopic,
      from: fc.constantFrom(0, 1, 2),
      burst: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ kind: 'settle' as const }) },
);

/** A subscriber with backpressure, what it got, and what it must get. */
interface Listener {
  readonly pattern: (typeof PATTERNS)[number];
  readonly subscription: Subscription;
  readonly got: Sent[];
  readonly due: Sent[];
  hasLeft: boolean;
}

describe('the topic router', () => {
  it('P101, P102, P105: each subscriber gets what was published while it was there, once, in order, without gaps', async () => {
    let received = 0;
    let waited = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (steps) => {
        const { system, settle, kernel } = await testSystem();
        const publishers = [await system.spawn(publisher), await system.spawn(publisher)];
        const listeners: Listener[] = [];
        const published: Promise<void>[] = [];
        let n = 0;
        for (const each of steps) {
          switch (each.kind) {
            case 'subscribe': {
              const got: Sent[] = [];
              const hear = async (message: unknown): Promise<void> => {
                got.push(message as Sent);
                for (let tick = 0; tick < each.ticks; tick++) await Promise.resolve();
              };
              const subscription = await system.subscribe(each.pattern, hear, { capacity: each.capacity });
              listeners.push({ pattern: each.pattern, subscription, got, due: [], hasLeft: false });
              break;
            }
            case 'unsubscribe': {
              const leaver = listeners[each.which];
              if (leaver === undefined || leaver.hasLeft) break;
              // What it has not been given yet is withdrawn; what it got must be the beginning of what was due.
              await leaver.subscription.unsubscribe();
              leaver.hasLeft = true;
              expect(leaver.got).toEqual(leaver.due.slice(0, leaver.got.length));
              leaver.due.splice(leaver.got.length);
              break;
            }
            case 'publish': {
              const sent = Array.from({ length: each.burst }, () => ({ publisher: each.from, n: n++ }));
              const actor = publishers[each.from - 1];
              if (actor === undefined) {
                for (const one of sent) published.push(system.publish(each.topic, one));
                waited += kernel.timeouts.size;
              } else {
                actor.tell('publish', { topic: each.topic, sent });
                // From here on the calls are made: what subscribes later must not get them.
                await settle();
              }
              for (const listener of listeners) {
                if (!listener.hasLeft && REACHED[listener.pattern].includes(each.topic))
                  listener.due.push(...sent);
              }
              break;
            }
            case 'settle':
              await settle();
          }
        }
        await Promise.all(published);
        await settle();
        for (const { got, due } of listeners) {
          for (const from of [0, 1, 2]) {
            const by = (sent: Sent): boolean => sent.publisher === from;
            expect(got.filter(by)).toEqual(due.filter(by));
          }
          expect(got).toHaveLength(due.length);
          received += got.length;
        }
        expect(system.deadLetters.stats().total).toBe(0);
        expect(routerOf(system).size).toBe(listeners.filter((each) => !each.hasLeft).length);
        for (const { subscription } of listeners) await subscription.unsubscribe();
        expect(routerOf(system).size).toBe(0);
      }),
      { numRuns: 300 },
    );
    // Generators that publish into nothing, or never fill a subscriber, would prove nothing.
    expect(received).toBeGreaterThan(1_000);
    expect(waited).toBeGreaterThan(100);
  });

  type Policy = Exclude<SubscriptionOverflow, 'backpressure'>;
  const POLICIES: readonly Policy[] = ['reject', 'drop-newest', 'drop-oldest', 'drop-lowest', 'latest'];

  /** What a subscriber that never drains holds and drops: plain lists, one rule for each policy. */
  class Stuck {
    turn: number | undefined;
    readonly queue: { readonly topic: string; readonly n: number }[] = [];
    readonly dropped: number[] = [];
    private readonly policy: Policy;
    private readonly capacity: number;

    constructor(policy: Policy, capacity: number) {
      this.policy = policy;
      this.capacity = capacity;
    }

    publish(to: string, n: number): void {
      if (this.policy === 'latest') this.drop(this.queue.findIndex((each) => each.topic === to));
      if (this.queue.length < this.capacity) this.queue.push({ topic: to, n });
      else if (this.policy === 'drop-oldest' || this.policy === 'latest') {
        this.drop(0);
        this.queue.push({ topic: to, n });
      } else this.dropped.push(n);
    }

    settle(): void {
      if (this.turn === undefined) this.turn = this.queue.shift()?.n;
    }

    private drop(at: number): void {
      if (at < 0) return;
      for (const { n } of this.queue.splice(at, 1)) this.dropped.push(n);
    }
  }

  type Move = { readonly topic: (typeof TOPICS)[number] } | 'settle';

  /** Plays the moves with or without the stuck subscriber; answers what everybody else saw of them. */
  async function play(
    moves: readonly Move[],
    stuck: { readonly policy: Policy; readonly capacity: number } | undefined,
  ) {
    // What all of them saw is one row, so both plays need the same order of turns.
    const { system, settle } = await testSystem({ order: 'engine' });
    const seen: string[] = [];
    const model = stuck === undefined ? undefined : new Stuck(stuck.policy, stuck.capacity);
    await system.subscribe('#', (message) => seen.push(`all ${String(message)}`), { capacity: 1_000 });
    if (stuck !== undefined) {
      const { policy: overflow, capacity } = stuck;
      await system.subscribe('#', () => new Promise(() => undefined), { overflow, capacity });
    }
    await system.subscribe('a.*', (message) => seen.push(`some ${String(message)}`), { capacity: 1 });
    for (const [n, move] of moves.entries()) {
      if (move === 'settle') {
        await settle();
        model?.settle();
      } else {
        model?.publish(move.topic, n);
        void system.publish(move.topic, n).then(() => seen.push(`published ${n}`));
      }
    }
    await settle();
    model?.settle();
    return { seen, system, model };
  }

  it.each(POLICIES)(
    'P103: a subscriber that never drains under %s changes nothing for the others, and its drops are exact',
    async (policy) => {
      let dropped = 0;
      const move: fc.Arbitrary<Move> = fc.oneof(
        { weight: 4, arbitrary: fc.record({ topic: anyTopic }) },
        { weight: 1, arbitrary: fc.constant('settle' as const) },
      );
      await fc.assert(
        fc.asyncProperty(
          fc.array(move, { maxLength: 40, size: 'max' }),
          fc.integer({ min: 1, max: 4 }),
          async (moves, capacity) => {
            const without = await play(moves, undefined);
            const { seen, system, model } = await play(moves, { policy, capacity });
            expect(seen).toEqual(without.seen);
            const letters = system.deadLetters.list({ reason: 'overflow-dropped' });
            const drops = letters.map((letter) => letter.payload);
            expect(drops).toEqual(model?.dropped);
            expect(system.deadLetters.stats().total).toBe(drops.length);
            dropped += drops.length;
          },
        ),
        { numRuns: 60 },
      );
      expect(dropped).toBeGreaterThan(50);
    },
  );

  it('P105: the table is empty after agents that were fed have stopped, in any order, whatever they did', async () => {
    const Any = topic('{any}', type<object>());
    const Reader = protocol('reader', { hear: tell(type<object>()), more: tell(), end: tell() });
    const reader = agent(Reader, {
      subscribe: [
        { topic: Any, as: 'hear', overflow: 'latest' },
        { topic: topic('a.b', type<object>()), as: 'hear' },
      ],
      state: () => ({ ends: [] as (() => Promise<void>)[] }),
      on: {
        hear: () => undefined,
        more: async (ctx) => {
          const subscription = await ctx.subscribe(Any, { as: 'hear' });
          ctx.state.ends.push(() => subscription.unsubscribe());
        },
        end: (ctx) => ctx.state.ends.pop()?.(),
      },
    });
    const deed = fc.record({ who: fc.nat(2), what: fc.constantFrom('more', 'end', 'publish', 'stop') });
    await fc.assert(
      fc.asyncProperty(fc.array(deed, { maxLength: 30, size: 'max' }), async (deeds) => {
        const { system, settle } = await testSystem();
        const refs = [await system.spawn(reader), await system.spawn(reader), await system.spawn(reader)];
        const held = [2, 2, 2];
        for (const { who, what } of deeds) {
          const ref = refs[who];
          const before = held[who];
          if (ref === undefined || before === undefined) continue;
          if (what === 'publish') void system.publish('a.b', {});
          else if (what === 'stop') {
            await system.stop(ref);
            held[who] = 0;
          } else if (ref.tell(what) === 'accepted') {
            held[who] = what === 'more' ? before + 1 : Math.max(2, before - 1);
            await settle();
          }
          expect(routerOf(system).size).toBe(held.reduce((sum, each) => sum + each, 0));
        }
        for (const ref of refs) await system.stop(ref);
        expect(routerOf(system).size).toBe(0);
      }),
      { numRuns: 100 },
    );
  });
});
