/**
 * Goal: among actors that ask, crash, hang, stop, escalate and come back, every call settles and every message has one outcome.
 * Method: random scripts over a tree of puppets on the virtual clock; the ledgers, the dead letters and the loop are audited.
 */

import fc from 'fast-check';
import { supervisor } from 'troupe';
import { afterAll, describe, expect, it } from 'vitest';
import { PRIORITIES } from '../../src/protocol/priority.ts';
import { orders } from '../support/checked-host.ts';
import { type Ending, endingOf, type PuppetContext, type PuppetRef, puppet } from '../support/puppet.ts';
import { unhandledDuring } from '../support/rejections.ts';
import { runTestSystem } from '../support/test-system.ts';

const RUNS = Number(process.env['FC_RUNS'] ?? 400);
const ACTORS = 5;

const KINDS = [
  'ask',
  'ask',
  'ask',
  'tell',
  'send',
  'throw',
  'hang',
  'sleep',
  'ignore',
  'stash',
  'unstash',
  'reply',
  'token',
  'stopSelf',
] as const;
const SIGNALS = [
  'suspend',
  'resume',
  'stop',
  'kill',
  'drain',
  'abort',
  'advance',
  'advance',
  'spawnChild',
  'escalateChild',
  'watch',
  'respawn',
] as const;

/** What a turn does, one after the other. */
const script = fc.array(
  fc.record({ kind: fc.constantFrom(...KINDS), whom: fc.nat(ACTORS - 1), n: fc.nat(99) }),
  {
    size: 'max',
    maxLength: 4,
  },
);
type Script = typeof script extends fc.Arbitrary<infer T> ? T : never;

const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('call' as const),
      whom: fc.nat(ACTORS - 1),
      n: fc.nat(99),
      scripts: fc.array(script, { minLength: 1, maxLength: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom(...SIGNALS), whom: fc.nat(ACTORS - 1), n: fc.nat(99) }),
  },
);

const reached = { asks: 0, deadReasons: new Set<string>(), codes: new Set<string>() };

afterAll(() => {
  if (process.env['FC_STATS'] !== undefined) console.log(reached);
});

describe('actors in disorder', () => {
  it('P1 P2 P3 P5 P39 P48 P55 P74 P82 settle every call, give every message one outcome, and leave nothing behind', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { size: 'max', maxLength: 50 }), orders, async (steps, order) => {
        const agent = puppet({
          mailbox: { capacity: 3, criticalReserve: 1, selfReserve: 1, waitersMax: 3, stashMax: 2 },
          turnTimeoutMs: 400,
          onTerminated: () => undefined,
          onRestart: () => Promise.resolve(),
        });
        const options = { shutdownMs: 150, backoff: { minMs: 20, maxMs: 200 } };
        const branch = supervisor({
          intensity: { max: 3, withinMs: 1_000 },
          children: { a: agent.child(options), b: agent.child(options) },
        });
        const root = supervisor({
          intensity: { max: Infinity },
          restartsWithoutProgressMax: Infinity,
          children: { branch },
        });
        const endings: Ending[] = [];
        const handled = new Map<string, number>();
        const seen = new Set<PuppetRef>();
        const overlaps: string[] = [];
        const running = new Map<string, number>();
        const unheard = await unhandledDuring(() =>
          runTestSystem({ root, order }, async ({ system, settle, advance, clock, kernel }) => {
            const refs: PuppetRef[] = [system.refs.branch.a, system.refs.branch.b];
            while (refs.length < ACTORS) refs.push(await system.spawn(agent, options));
            const controllers: AbortController[] = [];

            const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
              new Promise((resolve, reject) => {
                const timer = clock.setTimer(ms, resolve);
                signal.addEventListener('abort', () => {
                  clock.clearTimer(timer);
                  reject(signal.reason);
                });
              });
            const perform = async (ctx: PuppetContext, todo: readonly Script[]): Promise<unknown> => {
              const key = `${ctx.self.address} ${ctx.generation}`;
              const { id, attempt } = ctx.message;
              seen.add(ctx.self);
              if ((running.get(key) ?? 0) > 0) overlaps.push(key);
              running.set(key, 1);
              ctx.signal.addEventListener('abort', () => running.set(key, 0));
              if (attempt === 1) handled.set(id, (handled.get(id) ?? 0) + 1);
              try {
                const [mine = [], ...rest] = todo;
                for (const { kind, whom, n } of mine) {
                  const target = refs[whom];
                  if (target === undefined) continue;
                  const asAsk =
                    'reply' in ctx
                      ? (ctx as PuppetContext & { reply(value: unknown): unknown; replyTo: unknown })
                      : undefined;
                  if (kind === 'ask')
                    await ctx.ask(target, 'answer', (own) => perform(own, rest), { timeoutMs: 50 + n * 5 });
                  else if (kind === 'tell')
                    ctx.tell(target, 'act', (own) => perform(own, rest), {
                      priority: PRIORITIES[n % 6],
                      ttlMs: n * 9,
                    });
                  else if (kind === 'send')
                    await ctx.send(target, 'act', (own) => perform(own, rest), { timeoutMs: 1 + n * 3 });
                  else if (kind === 'throw') throw n % 2 === 0 ? undefined : new Error('fail');
                  else if (kind === 'hang') await new Promise(() => undefined);
                  else if (kind === 'sleep') await sleep(n * 6, ctx.signal);
                  else if (kind === 'ignore') await sleep(n * 6, new AbortController().signal);
                  else if (kind === 'stash' && !ctx.state.includes(id)) {
                    ctx.state.push(id);
                    handled.delete(id);
                    return ctx.stash();
                  } else if (kind === 'unstash') ctx.unstash();
                  else if (kind === 'stopSelf') ctx.stopSelf();
                  else if (kind === 'reply' && asAsk?.message.name === 'answer') return asAsk.reply(n);
                  else if (kind === 'token' && asAsk?.message.name === 'answer' && n % 2 === 0)
                    return asAsk.replyTo;
                }
                return 'done';
              } finally {
                running.set(key, 0);
              }
            };

            for (const each of steps) {
              const target = refs[each.whom] ?? system.refs.branch.a;
              const { n } = each;
              if (each.kind === 'call') {
                const controller = new AbortController();
                controllers.push(controller);
                const act = (ctx: PuppetContext): unknown => perform(ctx, each.scripts);
                if (n % 3 === 0) target.tell('act', act, { priority: PRIORITIES[n % 6] });
                else if (n % 3 === 1)
                  endings.push(
                    endingOf(target.send('act', act, { timeoutMs: 1 + n * 4, signal: controller.signal })),
                  );
                else
                  endings.push(
                    endingOf(target.ask('answer', act, { timeoutMs: 1 + n * 8, signal: controller.signal })),
                  );
              } else if (each.kind === 'abort')
                controllers[n % (controllers.length + 1)]?.abort(new Error('aborted'));
              else if (each.kind === 'advance') await advance(n * 3);
              else if (each.kind === 'suspend' || each.kind === 'resume') system[each.kind](target);
              else if (each.kind === 'stop' && n % 3 === 0) void system.stop(target);
              else if (each.kind === 'kill' && n % 3 === 0) void system.kill(target);
              else if (each.kind === 'drain' && n % 3 === 0) void system.drain(target);
              else if (each.kind === 'watch')
                target.tell('act', (ctx) => ctx.watch(refs[n % ACTORS] ?? target));
              else if (
                each.kind === 'respawn' &&
                system.inspect(target)?.status === 'stopped' &&
                each.whom > 1
              ) {
                refs[each.whom] = await system.spawn(agent, options);
              } else if (each.kind === 'spawnChild' || each.kind === 'escalateChild') {
                const child = puppet(each.kind === 'escalateChild' ? { decide: () => 'escalate' } : {});
                target.tell('act', async (ctx) => {
                  const ref = await ctx.spawn(child, { shutdownMs: 50 });
                  ref.tell('act', () => {
                    throw new Error('in the child');
                  });
                  await sleep(n, ctx.signal);
                });
              }
              if (n % 4 !== 0) await settle();
              for (const ref of refs) {
                const mailbox = system.inspect(ref)?.mailbox;
                expect((mailbox?.queued ?? 0) + (mailbox?.stashed ?? 0)).toBeLessThanOrEqual(3 + 1 + 1 + 1);
              }
              for (const ref of refs) seen.add(ref);
            }
            for (const ref of seen) for (let i = 0; i < steps.length; i++) system.resume(ref);
            await advance(10_000);
            const ended = system.shutdown();
            await advance(10_000);
            await ended;
            await settle();
            for (const ending of endings) {
              expect(ending.is).toBeDefined();
              reached.codes.add(String(ending.is));
            }
            for (const ref of seen) {
              const counts = system.inspect(ref)?.counts;
              if (counts === undefined) continue;
              expect([
                ref.address,
                counts.handled + counts.failed + counts.cancelled + counts.deadLettered,
              ]).toEqual([ref.address, counts.accepted]);
            }
            // One dead letter for one message; a reply is a message of its own.
            const dead = system.deadLetters.list().map(({ messageId }) => messageId);
            expect(new Set(dead).size).toBe(dead.length);
            for (const { reason } of system.deadLetters.list()) reached.deadReasons.add(reason);
            for (const [id, times] of handled) expect([id, times]).toEqual([id, 1]);
            expect([kernel.asksInFlight, kernel.timeouts.size]).toEqual([0, 0]);
            await settle();
            expect(clock.pending).toBe(0);
            expect(overlaps).toEqual([]);
            reached.asks += endings.length;
          }),
        );
        expect(unheard).toEqual([]);
      }),
      { numRuns: RUNS },
    );
    expect(reached.deadReasons.size).toBeGreaterThan(4); // it looked at something
  });
});
