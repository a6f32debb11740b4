/**
 * Goal: what is promised of one ask holds of any number of them: replies find their askers, deadlines and aborts reach whoever
 * works for them, and whoever would wait for itself is told at once.
 * Method: random orders of replies, random trees of asks, random chains that close.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { orders } from '../support/checked-host.ts';
import { type Ending, endingOf, type PuppetAskContext, type PuppetRef, puppet } from '../support/puppet.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { runTestSystem } from '../support/test-system.ts';

/** A turn that asks others at the same time, each within its own time. */
interface Node {
  readonly timeoutMs: number;
  readonly isSuspended: boolean;
  readonly asks: readonly Node[];
}

const asking = (depth: number): fc.Arbitrary<Node> =>
  fc.record({
    timeoutMs: fc.integer({ min: 20, max: 400 }),
    isSuspended: fc.constantFrom(false, false, true),
    asks: depth === 0 ? fc.constant([]) : fc.array(asking(depth - 1), { maxLength: 3, size: 'max' }),
  });
const tree = asking(3);

const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  });

describe('asks', () => {
  it(
    'P76 P77 each get their own reply, in any order and from anybody; every further one is a dead letter',
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.record({ place: fc.nat(9), isElsewhere: fc.boolean() }), {
            maxLength: 30,
            size: 'max',
          }),
          orders,
          async (replies, order) => {
            await runTestSystem({ order }, async ({ system, settle }) => {
              const ref = await system.spawn(puppet());
              const helper = await system.spawn(puppet());
              const tokens: { reply(value: unknown): void }[] = [];
              const asks = Array.from({ length: 10 }, (_, n) =>
                endingOf(
                  ref.ask('answer', (ctx) => {
                    const { replyTo } = ctx;
                    tokens[n] = replyTo;
                    return replyTo;
                  }),
                ),
              );
              await settle();
              for (const [turn, { place, isElsewhere }] of replies.entries()) {
                const reply = (): unknown => tokens[place]?.reply(`${place} at ${turn}`);
                if (isElsewhere) helper.tell('act', reply);
                else reply();
                await settle();
              }
              for (const [place, { value }] of asks.entries()) {
                const first = replies.findIndex((reply) => reply.place === place);
                expect(value).toBe(first < 0 ? undefined : `${place} at ${first}`);
              }
              const answered = new Set(replies.map(({ place }) => place)).size;
              const more = replies.length - answered;
              expect(system.deadLetters.stats().byReason).toEqual(
                more === 0 ? {} : { 'duplicate-reply': more },
              );
            });
          },
        ),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P79 P80 hand on deadlines that never grow, and an abort to every turn and message that works for them',
    async () => {
      let nodes = 0;
      await fc.assert(
        fc.asyncProperty(
          tree,
          fc.constantFrom('abort' as const, 'wait' as const),
          fc.nat(300),
          orders,
          async (root, ending, afterMs, order) => {
            await runTestSystem({ order }, async ({ system, clock, settle, advance }) => {
              const refs = new Map<Node, PuppetRef>();
              const signals: AbortSignal[] = [];
              const problems: string[] = [];
              const hire = async (node: Node): Promise<void> => {
                const ref = await system.spawn(puppet());
                refs.set(node, ref);
                if (node.isSuspended) system.suspend(ref);
                for (const each of node.asks) await hire(each);
              };
              await hire(root);
              nodes += refs.size;
              const ask = (from: PuppetAskContext | undefined, node: Node): Promise<unknown> => {
                const ref = refs.get(node);
                if (ref === undefined) throw new Error('nobody');
                const until = from?.message.deadline ?? Infinity;
                const work = async (ctx: PuppetAskContext): Promise<unknown> => {
                  const { deadline = Infinity } = ctx.message;
                  signals.push(ctx.signal);
                  if (deadline > until) problems.push(`${deadline} is after ${until}`);
                  if (clock.wallNow() > deadline) problems.push('a turn after its deadline');
                  // It goes on past those that do not answer in time: nothing but an abort ends it.
                  for (const each of node.asks) ask(ctx, each).catch(() => undefined);
                  return await untilAborted(ctx.signal);
                };
                const { timeoutMs } = node;
                return from === undefined
                  ? ref.ask('answer', work, { timeoutMs, signal: control.signal })
                  : from.ask(ref, 'answer', work, { timeoutMs });
              };
              const control = new AbortController();
              const asked = endingOf(ask(undefined, root));
              await advance(Math.min(afterMs, root.timeoutMs - 1));
              if (ending === 'abort') {
                const hadEnded = asked.is;
                control.abort(new Error('enough'));
                if (hadEnded === undefined) expect(signals.filter(({ aborted }) => !aborted)).toEqual([]);
                await settle();
                if (hadEnded === undefined) expect(asked.is).toBe('rejected');
              } else {
                await advance(root.timeoutMs);
              }
              // Whoever was suspended finds nothing to do for an ask that nobody waits for any more.
              const startedBefore = signals.length;
              for (const [node, ref] of refs) if (node.isSuspended) system.resume(ref);
              await settle();
              expect(asked.is).toBeDefined();
              expect(signals.length).toBe(startedBefore);
              expect(signals.filter(({ aborted }) => !aborted)).toEqual([]);
              expect(problems).toEqual([]);
              for (const ref of refs.values()) expect(system.inspect(ref)?.mailbox.queued).toBe(0);
            });
          },
        ),
        { numRuns: RUNS },
      );
      expect(nodes).toBeGreaterThan(RUNS * 1.5); // it looked at something
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P81 that would wait for themselves are refused at once with the path, however long the way round',
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 1, max: 7 }), fc.nat(6), orders, async (length, back, order) => {
          await runTestSystem({ order }, async ({ system, clock, settle }) => {
            const refs: PuppetRef[] = [];
            for (let n = 0; n < length; n++) refs.push(await system.spawn(puppet()));
            const entry = back % length;
            let innermost: Ending | undefined;
            const hop =
              (n: number) =>
              async (ctx: PuppetAskContext): Promise<unknown> => {
                const next = refs[n + 1] ?? refs[entry];
                if (next === undefined) throw new Error('nobody');
                const asking = ctx.ask(next, 'answer', hop(n + 1));
                if (n === length - 1) innermost = endingOf(asking);
                return await asking;
              };
            const asked = endingOf(refs[0]?.ask('answer', hop(0)) ?? Promise.reject(new Error('nobody')));
            await settle();
            expect(clock.now()).toBe(0);
            expect(asked.is).toBe('ERR_ACTOR_FAILED');
            expect(innermost).toMatchObject({
              is: 'ERR_ASK_CYCLE',
              error: { details: { path: [...refs.slice(entry), refs[entry]].map((ref) => ref?.address) } },
            });
          });
        }),
        { numRuns: Math.ceil(RUNS / 4) },
      );
    },
    RUNS_TIMEOUT_MS,
  );
});
