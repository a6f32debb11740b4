// Goal: a group gives each message to one member, loses and doubles none, whoever comes, goes and fails; P95 (work
// conservation), P96 (priority) and P102 (order) hold for groups and for `concurrency`; unsubscribing is a barrier.
// Method: random joins, leaves, publications and ends of handlers, against lists kept by hand.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PRIORITIES, type Priority, rankOf } from '../../src/protocol/priority.ts';
import type { Subscription } from '../../src/protocol/subscription.ts';
import type { System } from '../../src/protocol/system.ts';
import { orders } from '../support/checked-host.ts';
import { type Held, Holding, settles } from '../support/handlers.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { runTestSystem } from '../support/test-system.ts';

const anyPriority = fc.constantFrom(...PRIORITIES);

type Step =
  | { readonly kind: 'join'; readonly concurrency: number }
  | { readonly kind: 'leave'; readonly member: number }
  | { readonly kind: 'publish'; readonly priorities: readonly Priority[] }
  | { readonly kind: 'finish' | 'fail' | 'reject'; readonly member: number; readonly held: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('join' as const), concurrency: fc.constantFrom(1, 1, 2, 3) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), member: fc.nat(5) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('publish' as const),
      priorities: fc.array(anyPriority, { minLength: 1, maxLength: 5 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom('finish' as const, 'finish' as const, 'fail' as const, 'reject' as const),
      member: fc.nat(5),
      held: fc.nat(2),
    }),
  },
);

/** A message by its number, in the order of the calls. */
interface Sent {
  readonly n: number;
  readonly rank: number;
  attempts: number;
}

class Member {
  readonly handler = new Holding();
  readonly concurrency: number;
  readonly subscription: Subscription;
  left: { readonly hasSettled: boolean } | undefined;
  /** What it should have in hand. */
  holds: Sent[] = [];

  constructor(concurrency: number, subscription: Subscription, handler: Holding) {
    this.concurrency = concurrency;
    this.subscription = subscription;
    this.handler = handler;
  }
}

/** The group as it should be: plain lists. */
class Model {
  waiting: Sent[] = [];
  members: Member[] = [];
  readonly ended = { handled: 0, failed: 0, exhausted: 0, rejected: 0, stopped: 0, unheard: 0 };
  /** Messages that went from one member to another. */
  moved = 0;

  get present(): Member[] {
    return this.members.filter(({ left }) => left === undefined);
  }

  get free(): number {
    return this.present.reduce((sum, { concurrency, holds }) => sum + concurrency - holds.length, 0);
  }

  /** What starts now, wherever: the best of what waits, as many as there are free hands. */
  start(): Set<number> {
    this.waiting.sort((a, b) => a.rank - b.rank || a.n - b.n);
    return new Set(this.waiting.splice(0, this.free).map(({ n }) => n));
  }

  leave(member: Member): void {
    member.left = settles(member.subscription.unsubscribe());
    if (this.present.length > 0) return;
    this.ended.stopped += this.waiting.splice(0).length;
  }
}

const MAX_ATTEMPTS = 2;

async function join(system: System, concurrency: number): Promise<Member> {
  const handler = new Holding();
  const subscription = await system.subscribe('jobs', handler.handle, {
    group: 'g',
    concurrency,
    retry: { attemptsMax: MAX_ATTEMPTS, backoff: { minMs: 0, maxMs: 0 } },
  });
  return new Member(concurrency, subscription, handler);
}

describe('a group of subscribers', () => {
  it(
    'gives each message to one member, the most urgent first, at once where a hand is free, and loses none',
    async () => {
      const seen = { started: 0, moved: 0, stopped: 0, waited: 0 };
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 40, size: 'max' }), orders, (steps, order) =>
          runTestSystem({ order }, async ({ system, settle }) => {
            const model = new Model();
            const sent: Sent[] = [];
            const given = new Map<Held, Sent>();
            /** Everybody's new starts, against those that the model names. */
            const compare = async (): Promise<void> => {
              await settle();
              const due = model.start();
              for (const member of model.members) {
                for (const held of member.handler.held) {
                  if (given.has(held)) continue;
                  const message = sent[(held.message as { readonly n: number }).n];
                  if (message === undefined) throw new Error('it was never published');
                  expect(due.delete(message.n), `${message.n} started, and should not have`).toBe(true);
                  expect(member.left, 'a member that had left').toBeUndefined();
                  expect(held.meta.attempt).toBe(++message.attempts);
                  member.holds.push(message);
                  given.set(held, message);
                  seen.started++;
                }
                expect(member.holds.length).toBeLessThanOrEqual(member.concurrency);
                if (member.left !== undefined && member.holds.length > 0)
                  expect(member.left.hasSettled, 'it still handles a message').toBe(false);
              }
              expect([...due], 'these should have started').toEqual([]);
              seen.waited += model.waiting.length;
            };
            for (const each of steps) {
              const member =
                'member' in each ? model.members[each.member % Math.max(1, model.members.length)] : undefined;
              switch (each.kind) {
                case 'join':
                  // One group's life: whoever comes after its last member begins another one.
                  if (model.members.length === 0 || model.present.length > 0)
                    model.members.push(await join(system, each.concurrency));
                  break;
                case 'leave':
                  if (member !== undefined && member.left === undefined) model.leave(member);
                  break;
                case 'publish':
                  for (const priority of each.priorities) {
                    const message = { n: sent.length, rank: rankOf(priority), attempts: 0 };
                    sent.push(message);
                    void system.publish('jobs', { n: message.n }, { priority });
                    if (model.present.length > 0) model.waiting.push(message);
                    else model.ended.unheard++;
                  }
                  break;
                case 'finish':
                case 'fail':
                case 'reject': {
                  const held = member?.handler.held[each.held];
                  const message = held === undefined ? undefined : given.get(held);
                  if (member === undefined || held === undefined || message === undefined) break;
                  member.holds = member.holds.filter((one) => one !== message);
                  if (each.kind === 'finish') {
                    model.ended.handled++;
                    held.finish();
                    break;
                  }
                  if (each.kind === 'reject') {
                    model.ended.rejected++;
                    try {
                      held.meta.reject('no');
                    } catch (error) {
                      held.fail(error);
                    }
                    break;
                  }
                  held.fail(new Error('no'));
                  if (message.attempts >= MAX_ATTEMPTS) model.ended.exhausted++;
                  else if (model.present.length === 0)
                    model.ended.failed++; // nobody tries it again
                  else {
                    if (member.left !== undefined) seen.moved++;
                    // Its worker tries it again before anything else; without a worker it goes back to its place.
                    if (member.left === undefined) await again(member, message);
                    else model.waiting.push(message);
                  }
                }
              }
              await compare();
            }
            async function again(member: Member, message: Sent): Promise<void> {
              await settle();
              const held = member.handler.held.find(
                (one) => (one.message as { readonly n: number }).n === message.n,
              );
              expect(held?.meta.attempt).toBe(++message.attempts);
              if (held === undefined) throw new Error('it was not tried again');
              given.set(held, message);
              member.holds.push(message);
            }
            // Everybody lets go of what is left; every message has exactly one end then.
            for (const member of model.members) {
              if (member.left === undefined && model.present.length > 1) model.leave(member);
              await compare();
            }
            while (model.members.some(({ handler }) => handler.held.length > 0)) {
              for (const member of model.members) {
                model.ended.handled += member.holds.length;
                member.holds = [];
                member.handler.finishAll();
              }
              await compare();
            }
            for (const { left } of model.members) if (left !== undefined) expect(left.hasSettled).toBe(true);
            for (const member of model.present) model.leave(member);
            await settle();
            const { handled, failed, exhausted, rejected, stopped, unheard } = model.ended;
            const letters = system.deadLetters.stats().byReason;
            expect({
              failed: letters['handler-failed'] ?? 0,
              exhausted: letters['attempts-exhausted'] ?? 0,
              rejected: letters.rejected ?? 0,
              stopped: letters.stopped ?? 0,
            }).toEqual({ failed, exhausted, rejected, stopped });
            expect(handled + failed + exhausted + rejected + stopped + unheard).toBe(sent.length);
            expect(system.tree().children.find((top) => top.name === 'system')?.children).toEqual([]);
            seen.stopped += stopped;
          }),
        ),
        { numRuns: RUNS },
      );
      // Generators that never leave work behind, or never move any, would prove nothing.
      expect(seen.started).toBeGreaterThan(RUNS);
      expect(seen.waited).toBeGreaterThan(RUNS);
      expect(seen.stopped).toBeGreaterThan(RUNS / 20);
      expect(seen.moved).toBeGreaterThan(RUNS / 50);
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P102: keeps the order of a publisher and leaves no gap, whatever is full, whoever comes and goes',
    async () => {
      let waited = 0;
      const move = fc.oneof(
        {
          weight: 6,
          arbitrary: fc.record({
            kind: fc.constant('publish' as const),
            burst: fc.integer({ min: 1, max: 6 }),
          }),
        },
        {
          weight: 2,
          arbitrary: fc.record({
            kind: fc.constant('join' as const),
            concurrency: fc.integer({ min: 1, max: 3 }),
          }),
        },
        { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const) }) },
        { weight: 2, arbitrary: fc.record({ kind: fc.constant('settle' as const) }) },
      );
      await fc.assert(
        fc.asyncProperty(
          fc.array(move, { maxLength: 40, size: 'max' }),
          fc.integer({ min: 1, max: 3 }),
          fc.nat(3),
          orders,
          (moves, capacity, ticks, order) =>
            runTestSystem({ order }, async ({ system, settle, kernel }) => {
              const started: unknown[] = [];
              let atOnce = 0;
              let allowed = 0;
              const handle = async (message: unknown): Promise<void> => {
                started.push(message);
                expect(++atOnce).toBeLessThanOrEqual(allowed);
                for (let tick = 0; tick < ticks; tick++) await Promise.resolve();
                atOnce--;
              };
              const subscribe = (concurrency: number): Promise<Subscription> => {
                allowed += concurrency;
                return system.subscribe('jobs', handle, { group: 'g', capacity, concurrency });
              };
              // The first stays, so that the group does.
              await subscribe(1);
              const others: Subscription[] = [];
              const published: Promise<void>[] = [];
              let n = 0;
              for (const each of moves) {
                switch (each.kind) {
                  case 'publish':
                    for (let i = 0; i < each.burst; i++) published.push(system.publish('jobs', n++));
                    waited += kernel.timeouts.size;
                    break;
                  case 'join':
                    others.push(await subscribe(each.concurrency));
                    break;
                  case 'leave':
                    await others.shift()?.unsubscribe();
                    break;
                  case 'settle':
                    await settle();
                }
              }
              await Promise.all(published);
              await settle();
              expect(started).toEqual(Array.from({ length: n }, (_, i) => i));
              expect(system.deadLetters.stats().total).toBe(0);
            }),
        ),
        { numRuns: RUNS },
      );
      expect(waited).toBeGreaterThan(RUNS);
    },
    RUNS_TIMEOUT_MS,
  );
});
