/**
 * Goal: what a restart keeps, loses and counts holds for any schedule of messages and failures.
 * Method: random schedules on the virtual clock, judged by the law itself: a sort, a formula, a grammar.
 */

import fc from 'fast-check';
import { supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import { PRIORITIES } from '../../src/protocol/priority.ts';
import { orders } from '../support/checked-host.ts';
import { puppet } from '../support/puppet.ts';
import { unhandledDuring } from '../support/rejections.ts';
import { runTestSystem } from '../support/test-system.ts';

const RUNS = Number(process.env['FC_RUNS'] ?? 1_000);
const NONE = { minMs: 0, jitter: 0 };

const message = fc.record({
  rank: fc.integer({ min: 0, max: 5 }),
  failures: fc.constantFrom(0, 0, 0, 1, 2, 5),
  isAsync: fc.boolean(),
});

describe('a restart', () => {
  it('P32 P33 P34 keeps the mailbox: everything is handled in order, as often as it may be tried and no more', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(message, { size: 'max', maxLength: 30 }),
        fc.integer({ min: 1, max: 4 }),
        orders,
        async (messages, attemptsMax, order) => {
          const agent = puppet({
            onFailure: attemptsMax === 1 ? 'fail' : { retry: { attemptsMax, backoff: NONE } },
          });
          const root = supervisor({
            intensity: { max: Infinity },
            restartsWithoutProgressMax: Infinity,
            children: { a: agent.child({ backoff: NONE }) },
          });
          await runTestSystem({ root, order }, async ({ system, advance }) => {
            const { a } = system.refs;
            const tried: number[] = [];
            system.suspend(a);
            messages.forEach(({ rank, failures, isAsync }, id) => {
              a.tell(
                'act',
                (ctx) => {
                  tried.push(id);
                  const isFailing = ctx.message.attempt <= failures;
                  if (isAsync) return isFailing ? Promise.reject(new Error('fail')) : Promise.resolve();
                  if (isFailing) throw new Error('fail');
                  return undefined;
                },
                { priority: PRIORITIES[rank] },
              );
            });
            system.resume(a);
            await advance(100);
            const order = messages
              .map((_, id) => id)
              .sort((x, y) => (messages[x]?.rank ?? 0) - (messages[y]?.rank ?? 0) || x - y);
            const attempts = (id: number): number => Math.min((messages[id]?.failures ?? 0) + 1, attemptsMax);
            expect(tried).toEqual(order.flatMap((id) => Array.from({ length: attempts(id) }, () => id)));
            const lost = messages.filter(({ failures }) => failures >= attemptsMax).length;
            const reason = attemptsMax === 1 ? 'handler-failed' : 'attempts-exhausted';
            expect(system.deadLetters.stats().byReason).toEqual(lost === 0 ? {} : { [reason]: lost });
            expect(system.inspect(a)?.counts).toMatchObject({
              accepted: messages.length,
              handled: messages.length - lost,
            });
          });
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('P16 is refused at exactly the first failure that breaks the formula, for any schedule', async () => {
    const gap = fc.oneof(fc.integer({ min: 0, max: 1_500 }), fc.constantFrom(1_000, 1_001, 999));
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 4 }),
        fc.array(gap, { size: 'max', maxLength: 15 }),
        orders,
        async (max, gaps, order) => {
          const withinMs = 1_000;
          const root = supervisor({
            intensity: { max, withinMs },
            restartsWithoutProgressMax: Infinity,
            children: { a: puppet().child({ backoff: NONE }), b: puppet().child({ backoff: NONE }) },
          });
          await runTestSystem({ root, order }, async ({ system, clock, settle, advance }) => {
            const times: number[] = [];
            for (const [place, ms] of gaps.entries()) {
              await advance(ms);
              const { a, b } = system.refs;
              (place % 3 === 0 ? b : a).tell('act', () => {
                throw new Error('fail');
              });
              await settle();
              times.push(clock.now());
              const isAllowed = times.filter((time) => clock.now() - time <= withinMs).length <= max;
              expect([system.inspect(a)?.status, system.inspect(b)?.status]).toEqual(
                isAllowed ? ['running', 'running'] : ['stopped', 'stopped'],
              );
              if (!isAllowed) return;
            }
          });
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('P4 P5 P9 P38 P39 keeps the grammar of hooks, whatever fails in which of them', async () => {
    const chance = fc.infiniteStream(fc.integer({ min: 0, max: 9 }));
    const steps = fc.array(fc.constantFrom('turn', 'turn', 'turn', 'fail', 'wait', 'stop'), {
      size: 'max',
      maxLength: 25,
    });
    await fc.assert(
      fc.asyncProperty(steps, chance, async (sequence, chances) => {
        const next = (): number => chances.next().value ?? 0;
        let log = '';
        let inside = 0;
        let overlaps = 0;
        let children = 0;
        const hook = async (letter: string): Promise<void> => {
          log += letter;
          if (++inside > 1) overlaps++;
          const n = next();
          for (let i = 0; i < n % 4; i++) await Promise.resolve();
          inside--;
          if (n === 9) throw new Error(`fail in ${letter}`);
        };
        const child = puppet({
          state: () => {
            children++;
            return [];
          },
          onStop: async () => {
            await Promise.resolve();
            children--;
          },
        });
        const agent = puppet({
          state: async (_args, ctx) => {
            expect(children).toBe(0);
            await hook('i');
            await ctx.spawn(child);
            return [];
          },
          onRestart: () => hook('r'),
          onStop: () => hook('s'),
        });
        const unheard = await unhandledDuring(() =>
          runTestSystem({}, async ({ system, settle, advance }) => {
            const ref = await system.spawn(agent, { backoff: { minMs: 10 } }).catch(() => undefined);
            if (ref === undefined) {
              await settle();
              expect(log).toBe('i');
              expect(children).toBe(0);
              return;
            }
            for (const step of sequence) {
              if (step === 'turn') ref.tell('act', () => hook('t'));
              else if (step === 'wait') await advance(7);
              else if (step === 'stop') void system.stop(ref);
              else {
                ref.tell('act', () => {
                  log += 't';
                  throw new Error('fail');
                });
              }
            }
            await advance(1_000);
            await system.stop(ref);
            await settle();
            expect(log).toMatch(/^it*(ri*t*)*s$/);
            expect(children).toBe(0);
          }),
        );
        expect(unheard).toEqual([]);
        expect(overlaps).toBe(0);
      }),
      { numRuns: RUNS },
    );
  });
});
