/**
 * Goal: ticks come when they are due, once, never from a timer that was cancelled, replaced or left behind by a restart,
 * whatever the steps in which time goes on; and `onIdle` runs for each gap that is long enough and for no other.
 * Method: random schedules on the virtual clock, played twice in different steps, with every tick judged when its turn
 * begins, and the receive timeout against a plain count of gaps.
 */

import fc from 'fast-check';
import { supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import type { Cell } from '../../runtime/actor/cell.ts';
import { type Order, orders } from '../support/checked-host.ts';
import { type Act, type PuppetContext, puppet } from '../support/puppet.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { runTestSystem } from '../support/test-system.ts';
import type { VirtualClock } from '../support/virtual-clock.ts';

const KEYS = ['a', 'b', 'c'] as const;
type Repeat = 'once' | 'delay' | 'rate';

const call = fc.oneof(
  fc.record({
    kind: fc.constant('start' as const),
    key: fc.constantFrom(...KEYS),
    repeat: fc.constantFrom<Repeat>('once', 'delay', 'rate'),
    ms: fc.integer({ min: 1, max: 12 }),
    /** How long the turn of each of its ticks takes. */
    turnMs: fc.constantFrom(0, 0, 1, 5, 30),
  }),
  fc.record({ kind: fc.constant('cancel' as const), key: fc.constantFrom(...KEYS) }),
);
type Call = typeof call extends fc.Arbitrary<infer T> ? T : never;

const step = fc.record({
  gapMs: fc.integer({ min: 0, max: 25 }),
  act: fc.oneof(
    fc.record({
      kind: fc.constant('turn' as const),
      beforeMs: fc.constantFrom(0, 0, 3, 20),
      calls: fc.array(call, { maxLength: 4, size: 'max' }),
      afterMs: fc.constantFrom(0, 0, 4, 25),
      isFailing: fc.constantFrom(false, false, false, true),
    }),
    fc.record({ kind: fc.constantFrom('suspend' as const, 'resume' as const) }),
  ),
});
const schedule = fc.array(step, { size: 'max', minLength: 1, maxLength: 20 });
/** Time goes on in steps of these lengths, again and again. */
const strides = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 });

interface Live {
  readonly id: number;
  readonly repeat: Repeat;
  readonly ms: number;
  readonly startedAt: number;
  readonly generation: number;
  /** For a grid: ticks and missed ones so far. */
  told: number;
  dueAt: number;
  isInTurn: boolean;
}

/** What a puppet does to its timers, and what must then be true of their ticks. */
class Judge {
  readonly log: string[] = [];
  readonly problems: string[] = [];
  readonly live = new Map<string, Live>();
  private ids = 0;
  private readonly clock: VirtualClock;

  constructor(clock: VirtualClock) {
    this.clock = clock;
  }

  wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.clock.setTimer(ms, resolve);
    });
  }

  apply(ctx: PuppetContext, each: Call): void {
    if (each.kind === 'cancel') {
      ctx.timers.cancel(each.key);
      this.live.delete(each.key);
      return;
    }
    const { key, repeat, ms, turnMs } = each;
    const now = this.clock.now();
    const timer: Live = {
      id: ++this.ids,
      repeat,
      ms,
      startedAt: now,
      generation: ctx.generation,
      told: 0,
      dueAt: now + ms,
      isInTurn: false,
    };
    const tick = (own: PuppetContext): unknown => this.tick(own, key, timer, turnMs);
    if (repeat === 'once') ctx.timers.once(key, ms, 'next', tick);
    else ctx.timers.every(key, ms, 'next', tick, { fixedRate: repeat === 'rate' });
    this.live.set(key, timer);
  }

  /** A tick's turn begins. */
  private tick(ctx: PuppetContext, key: string, timer: Live, turnMs: number): unknown {
    const now = this.clock.now();
    const { missed } = ctx.message;
    this.log.push(`${key}${timer.id} at ${now}, missed ${missed}`);
    this.expect(this.live.get(key) === timer, `P83 P85: ${key}${timer.id} is over`);
    this.expect(ctx.generation === timer.generation, `P85: ${key}${timer.id} is of an older generation`);
    this.expect(now >= timer.dueAt, `${key}${timer.id} is due at ${timer.dueAt}, not at ${now}`);
    timer.told += 1 + missed;
    const due = Math.floor((now - timer.startedAt) / timer.ms);
    if (timer.repeat === 'rate') this.expect(timer.told === due, `P84: ${timer.told} told, ${due} due`);
    else this.expect(missed === 0, 'P84: only a grid has missed ticks');
    timer.isInTurn = true;
    const end = (): void => {
      timer.isInTurn = false;
      const endedAt = this.clock.now();
      if (timer.repeat === 'once' && this.live.get(key) === timer) this.live.delete(key);
      const passed = Math.floor((endedAt - timer.startedAt) / timer.ms) + 1;
      timer.dueAt = timer.repeat === 'rate' ? timer.startedAt + passed * timer.ms : endedAt + timer.ms;
    };
    if (turnMs > 0) return this.wait(turnMs).then(end);
    end();
    return undefined;
  }

  /** Nothing runs and nothing is suspended: whatever was due has had its turn. */
  atRest(): void {
    for (const [key, { id, dueAt, isInTurn }] of this.live)
      this.expect(isInTurn || dueAt > this.clock.now(), `${key}${id} was due at ${dueAt}`);
  }

  expect(holds: boolean, problem: string): void {
    if (!holds) this.problems.push(problem);
  }
}

/** Plays a schedule; answers what the ticks said, and what was wrong with them. */
async function play(
  steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[],
  lengths: readonly number[],
  order: Order,
): Promise<Judge> {
  const root = supervisor({
    intensity: { max: Infinity },
    restartsWithoutProgressMax: Infinity,
    children: { subject: puppet().child({ backoff: { minMs: 0 } }) },
  });
  let judge: Judge | undefined;
  await runTestSystem({ root, order }, async ({ system, clock, settle, advance }) => {
    const own = new Judge(clock);
    judge = own;
    const { subject } = system.refs;
    const cell = (): Cell => (subject as unknown as { target(): Cell }).target(); // every local ref has it
    let strideIndex = 0;
    let suspensions = 0;
    const look = (): void => {
      own.expect((cell().mailbox?.controls ?? 0) <= KEYS.length, 'P84: one tick queued for each key at most');
      if (system.inspect(subject)?.status === 'running' && cell().turn === undefined) own.atRest();
    };
    const goOn = async (ms: number): Promise<void> => {
      for (let left = ms; left > 0; strideIndex++) {
        const stride = Math.min(left, lengths[strideIndex % lengths.length] ?? 1);
        left -= stride;
        await advance(stride);
        look();
      }
    };
    for (const { gapMs, act } of steps) {
      if (act.kind === 'turn') {
        const { beforeMs, calls, afterMs, isFailing } = act;
        const turn: Act = async (ctx) => {
          if (beforeMs > 0) await own.wait(beforeMs);
          for (const each of calls) own.apply(ctx, each);
          if (afterMs > 0) await own.wait(afterMs);
          if (!isFailing) return;
          own.live.clear();
          throw new Error('fail');
        };
        subject.tell('act', turn);
      } else if (act.kind === 'suspend') {
        suspensions++;
        system.suspend(subject);
      } else if (suspensions > 0) {
        suspensions--;
        system.resume(subject);
      }
      await settle();
      look();
      await goOn(gapMs);
    }
    while (suspensions-- > 0) system.resume(subject);
    await settle();
    await goOn(60);
    const stopped = system.stop(subject);
    own.live.clear();
    await advance(1_000);
    await stopped;
  });
  if (judge === undefined) throw new Error('nothing was played');
  return judge;
}

describe('timers', () => {
  it(
    'P83 P84 P85 P87 tick when they are due and only then, in whatever steps time goes on',
    async () => {
      let ticks = 0;
      let missed = 0;
      await fc.assert(
        fc.asyncProperty(schedule, strides, orders, async (steps, lengths, order) => {
          const inSteps = await play(steps, lengths, order);
          expect(inSteps.problems).toEqual([]);
          const atOnce = await play(steps, [1_000], order);
          expect(atOnce.problems).toEqual([]);
          expect(inSteps.log).toEqual(atOnce.log);
          ticks += inSteps.log.length;
          missed += inSteps.log.filter((line) => !line.endsWith('missed 0')).length;
        }),
        { numRuns: RUNS },
      );
      // What was looked at, so that nobody takes an empty run for a proof.
      expect(Math.min(ticks, missed)).toBeGreaterThan(RUNS / 20);
    },
    RUNS_TIMEOUT_MS,
  );
});

/** Times of arrival and lengths of turns are multiples of 4, timeouts are not: no two things ever fall together. */
const QUARTER_MS = 4;
const message = fc.record({
  gap: fc.nat(12),
  length: fc.constantFrom(0, 0, 1, 5, 15),
  isWithdrawn: fc.constantFrom(false, false, true),
});

describe('the idle timeout', () => {
  it(
    'P86 P87 fires for each gap that is long enough, once, and for no other',
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(message, { size: 'max', maxLength: 15 }),
          fc.nat(10),
          fc.constantFrom(0, 3, 7),
          strides,
          async (messages, units, tickMs, lengths) => {
            const timeoutMs = units * QUARTER_MS + 2;
            const fired: number[] = [];
            const expected: number[] = [];
            await runTestSystem({}, async ({ system, clock, settle, advance }) => {
              const ref = await system.spawn(puppet({ onIdle: () => fired.push(clock.now()) }));
              ref.tell('act', (ctx) => {
                ctx.setIdleTimeout(timeoutMs);
                if (tickMs > 0) ctx.timers.every('noise', tickMs, 'next', () => undefined);
              });
              await settle();
              let strideIndex = 0;
              let freeAt = 0;
              let isDue = true;
              const goOn = async (ms: number): Promise<void> => {
                for (let left = ms; left > 0; strideIndex++) {
                  const stride = Math.min(left, lengths[strideIndex % lengths.length] ?? 1);
                  left -= stride;
                  await advance(stride);
                }
              };
              for (const { gap, length, isWithdrawn } of messages) {
                await goOn(gap * QUARTER_MS);
                const now = clock.now();
                if (isDue && freeAt + timeoutMs < now) {
                  expected.push(freeAt + timeoutMs);
                  isDue = false;
                }
                const isQueued = freeAt > now;
                if (isWithdrawn && isQueued) {
                  const cancel = new AbortController();
                  ref.ask('answer', () => 0, { signal: cancel.signal }).catch(() => undefined);
                  cancel.abort();
                  await settle();
                  continue;
                }
                const lengthMs = length * QUARTER_MS;
                ref.tell('act', () =>
                  lengthMs === 0
                    ? undefined
                    : new Promise<void>((resolve) => {
                        clock.setTimer(lengthMs, resolve);
                      }),
                );
                freeAt = Math.max(freeAt, now) + lengthMs;
                isDue = true;
                await settle();
              }
              await goOn(freeAt - clock.now() + timeoutMs + 200);
              if (isDue) expected.push(freeAt + timeoutMs);
            });
            expect(fired).toEqual(expected);
          },
        ),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );
});
