/**
 * Goal: a shutdown goes through its phases in order, once, within its deadline, and no accepted message is lost.
 * Method: random tasks, actors and loads on the virtual clock; the times of tasks are compared with a plain schedule.
 */

import fc from 'fast-check';
import { supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import type { Cell } from '../../runtime/actor/cell.ts';
import { Phases } from '../../runtime/host/phases.ts';
import { SHUTDOWN_PHASES, type ShutdownPhase } from '../../src/protocol/shutdown.ts';
import { orders } from '../support/checked-host.ts';
import { HandHost } from '../support/hand-host.ts';
import { endingOf, never, type PuppetContext, type PuppetRef, puppet } from '../support/puppet.ts';
import { unhandledDuring } from '../support/rejections.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { runTestSystem } from '../support/test-system.ts';

/** A run of a whole system costs what ten of a heap do. */
const SYSTEM_RUNS = Math.ceil(RUNS / 5);

interface Task {
  readonly phase: ShutdownPhase;
  /** Milliseconds it takes; `sync`, `throws` and `never` as they say. */
  readonly takes: number | 'sync' | 'throws' | 'never';
  readonly timeoutMs: number;
  /** Which of the earlier tasks of its phase it comes after. */
  readonly after: readonly number[];
}

const task: fc.Arbitrary<Task> = fc.record({
  phase: fc.constantFrom(...SHUTDOWN_PHASES),
  takes: fc.oneof(fc.integer({ min: 0, max: 60 }), fc.constantFrom('sync', 'throws', 'never')),
  timeoutMs: fc.constantFrom(1, 10, 30, 100, Infinity),
  after: fc.array(fc.nat(5), { maxLength: 3 }),
});

/** When each task starts, by name, and when all is over: phase after phase, each task after those that it names. */
function schedule(
  tasks: readonly (Task & { readonly name: string; readonly names: readonly string[] })[],
  cutOffAt: number,
  deadlineAt: number,
): { readonly starts: Map<string, number>; readonly endsAt: number } {
  const starts = new Map<string, number>();
  const ends = new Map<string, number>();
  let now = 0;
  for (const [place, phase] of SHUTDOWN_PHASES.entries()) {
    const limit = place <= SHUTDOWN_PHASES.indexOf('stop-actors') ? cutOffAt : deadlineAt;
    const mine = tasks.filter((each) => each.phase === phase);
    for (const { name, names, takes, timeoutMs } of mine) {
      const startsAt = Math.max(now, ...names.map((before) => ends.get(before) ?? now));
      const needs = typeof takes === 'number' ? takes : takes === 'never' ? Infinity : 0;
      starts.set(name, startsAt);
      ends.set(name, startsAt + Math.min(needs, timeoutMs, Math.max(0, limit - startsAt)));
    }
    now = Math.max(now, ...mine.map(({ name }) => ends.get(name) ?? now));
  }
  return { starts, endsAt: now };
}

describe('the phases of a shutdown', () => {
  it(
    'P116 start no task before all of the phases before, and those it comes after, have settled or timed out',
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(task, { maxLength: 14 }),
          fc.integer({ min: 10, max: 600 }),
          async (drawn, deadlineAt) => {
            const cutOffAt = Math.floor(deadlineAt * 0.9);
            const tasks = drawn.map((each, i) => {
              const before = drawn.flatMap(({ phase }, j) =>
                j < i && phase === each.phase ? [`t${j}`] : [],
              );
              const names = each.after.flatMap((n) => before[n] ?? []);
              return { ...each, name: `t${i}`, names };
            });
            const host = new HandHost();
            const starts = new Map<string, number>();
            const failed: string[] = [];
            const phases = new Phases(host, {
              entered: () => undefined,
              failed: (_phase, name) => failed.push(name),
            });
            // The order of registration is not that of the run.
            for (const { phase, name, names, takes, timeoutMs } of [...tasks].reverse()) {
              const run = (): unknown => {
                starts.set(name, host.clock.now());
                if (takes === 'throws') throw new Error('a task');
                if (takes === 'never') return never();
                if (takes === 'sync') return undefined;
                return new Promise<void>((resolve) => {
                  host.clock.setTimer(takes, resolve);
                });
              };
              phases.add(phase, name, run, { timeoutMs, after: names });
            }
            const expected = schedule(tasks, cutOffAt, deadlineAt);
            const settle = async (): Promise<void> => {
              for (let turn = 0; turn < 3; turn++)
                await new Promise<void>((resolve) => setImmediate(resolve));
            };
            let endedAt = -1;
            const ended = phases.run({ cutOffAt, deadlineAt }).then(() => {
              endedAt = host.clock.now();
            });
            await settle();
            await host.clock.advance(deadlineAt, settle);
            await ended;
            expect(Object.fromEntries(starts)).toEqual(Object.fromEntries(expected.starts));
            expect(endedAt).toBe(expected.endsAt);
            expect(endedAt).toBeLessThanOrEqual(deadlineAt);
            const throwing = tasks.filter(({ takes }) => takes === 'throws' || takes === 'never');
            for (const { name } of throwing) expect(failed.filter((each) => each === name)).toEqual([name]);
          },
        ),
        { numRuns: SYSTEM_RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );
});

describe('the tasks of a phase', () => {
  it('P116 are refused exactly when one would come after itself, whatever the way round', () => {
    const named = fc.nat(6).map((n) => `t${n}`);
    const added = fc.record({ name: named, after: fc.array(named, { maxLength: 3 }) });
    let refused = 0;
    fc.assert(
      fc.property(fc.array(added, { maxLength: 10, size: 'max' }), (tasks) => {
        const phases = new Phases(new HandHost(), { entered: () => undefined, failed: () => undefined });
        const afterOf = new Map<string, readonly string[]>();
        /** Whether `name` comes after `target`, at any distance, were this task among them. */
        const isAfter = (
          name: string,
          target: string,
          all: ReadonlyMap<string, readonly string[]>,
          seen = new Set<string>(),
        ): boolean =>
          (all.get(name) ?? []).some((before) => {
            if (before === target) return true;
            if (seen.has(before)) return false;
            seen.add(before);
            return isAfter(before, target, all, seen);
          });
        for (const { name, after } of tasks) {
          const isTaken = afterOf.has(name);
          const withIt = new Map([...afterOf, [name, after] as const]);
          const isCircle = !isTaken && isAfter(name, name, withIt);
          let code: unknown;
          try {
            phases.add('close', name, () => undefined, { after });
            afterOf.set(name, after);
          } catch (error) {
            code = (error as { readonly code?: unknown }).code; // whatever was thrown has one, or the next line fails
          }
          expect(code).toBe(isTaken ? 'ERR_NAME_TAKEN' : isCircle ? 'ERR_OPTION_INVALID' : undefined);
          if (isCircle) refused++;
        }
      }),
      { numRuns: RUNS },
    );
    expect(refused).toBeGreaterThan(RUNS / 10); // it looked at something
  });
});

/** What a message makes its actor do. */
const work = fc.oneof(
  fc.record({ does: fc.constantFrom('nothing', 'throw', 'continue', 'stash', 'stop-self', 'spawn') }),
  fc.record({ does: fc.constantFrom('wait', 'tell', 'ask'), ms: fc.integer({ min: 0, max: 400 }) }),
  fc.record({ does: fc.constantFrom('hang', 'hang-deaf') }),
);

type Work = { readonly does: string; readonly ms?: number };

const actor = fc.record({
  isInRoot: fc.boolean(),
  shutdownMs: fc.constantFrom(0, 10, 500, 100_000),
  stops: fc.constantFrom('at once', 'slowly', 'never'),
  retries: fc.boolean(),
  suspended: fc.constantFrom(false, false, false, true),
  load: fc.array(work, { maxLength: 8 }),
});

const load = fc.record({
  actors: fc.array(actor, { minLength: 1, maxLength: 4 }),
  drainMs: fc.constantFrom(0, 5, 300, 5_000),
  deadlineMs: fc.constantFrom(50, 400, 1_000, 60_000),
  callsFirst: fc.boolean(),
  tasks: fc.array(fc.record({ phase: fc.constantFrom(...SHUTDOWN_PHASES), hangs: fc.boolean() }), {
    maxLength: 3,
  }),
  order: orders,
});

type Load = typeof load extends fc.Arbitrary<infer T> ? T : never;

function wait(clock: { setTimer(ms: number, fire: () => void): object }, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.setTimer(ms, resolve);
  });
}

/** Runs a shutdown under load, and gives what came of it. */
async function shutDown({ actors, drainMs, deadlineMs, callsFirst, tasks, order }: Load) {
  const result = { endedAtMs: -1, accepted: 0, restarts: 0, sums: [] as number[][], promises: 0, phases: 0 };
  const agents = actors.map(({ stops, retries, ...rest }) => {
    const agent = puppet({
      mailbox: { capacity: 6 },
      onFailure: retries ? { retry: { attemptsMax: 2, backoff: { minMs: 20, jitter: 0 } } } : 'fail',
      onStop: () => (stops === 'never' ? never() : stops === 'slowly' ? Promise.resolve() : undefined),
    });
    return { agent, ...rest };
  });
  const children = Object.fromEntries(
    agents.flatMap(({ agent, isInRoot, shutdownMs }, i) =>
      isInRoot ? [[`a${i}`, agent.child({ shutdownMs, backoff: { minMs: 10, jitter: 0 } })]] : [],
    ),
  );
  await runTestSystem(
    { root: supervisor({ children }), order },
    async ({ system, clock, advance, settle, events }) => {
      const refs: PuppetRef[] = [];
      for (const [i, { agent, isInRoot, shutdownMs }] of agents.entries()) {
        const found = (system.refs as Readonly<Record<string, PuppetRef>>)[`a${i}`];
        refs.push(isInRoot && found !== undefined ? found : await system.spawn(agent, { shutdownMs }));
      }
      const cells = new Set<Cell>();
      const note = (ref: PuppetRef): void => {
        const cell = (ref as unknown as { target(): Cell | undefined }).target(); // what a ref of this process has
        if (cell !== undefined) cells.add(cell);
      };
      for (const ref of refs) note(ref);
      const act =
        ({ does, ms = 0 }: Work, peer: PuppetRef) =>
        (ctx: PuppetContext): unknown => {
          switch (does) {
            case 'throw':
              throw new Error('an actor');
            case 'continue':
              return ctx.continue('next', () => undefined);
            case 'stash':
              return ctx.stash();
            case 'stop-self':
              return ctx.stopSelf();
            case 'spawn':
              return ctx.spawn(puppet({ onStop: never }), { shutdownMs: 50_000 }).then((ref) => {
                note(ref);
                ctx.tell(ref, 'act', never);
                ctx.tell(ref, 'act', () => undefined);
              });
            case 'wait':
              return wait(clock, ms);
            case 'tell':
              return wait(clock, ms).then(() => ctx.tell(peer, 'act', () => undefined));
            case 'ask':
              return ctx.ask(peer, 'answer', () => wait(clock, ms).then(() => 1));
            case 'hang':
              return new Promise((_resolve, reject) => {
                ctx.signal.addEventListener('abort', () => reject(new Error('aborted')));
              });
            case 'hang-deaf':
              return never();
            default:
              return undefined;
          }
        };
      const promises = new Set<Promise<void>>();
      const call = (): void => void promises.add(system.shutdown({ drainMs, deadlineMs }));
      for (const [i, { phase, hangs }] of tasks.entries()) {
        system.onShutdown(phase, `t${i}`, () => {
          call();
          return hangs ? never() : undefined;
        });
      }
      let startsAtMs = 0;
      const send = (): void => {
        for (const [i, ref] of refs.entries()) {
          if (agents[i]?.suspended === true) system.suspend(ref);
          for (const each of agents[i]?.load ?? []) {
            const verdict = ref.tell('act', act(each, refs[(i + 1) % refs.length] ?? ref));
            if (verdict === 'accepted') result.accepted++;
          }
        }
      };
      send();
      if (!callsFirst) {
        await settle();
        await advance(15);
        send();
      }
      events.length = 0;
      startsAtMs = clock.now();
      for (let i = 0; i < 3; i++) call();
      for (const promise of promises) void promise.then(() => (result.endedAtMs = clock.now() - startsAtMs));
      const ending = endingOf(Promise.all(promises));
      await settle();
      call();
      await advance(deadlineMs / 2);
      call();
      await advance(deadlineMs / 2);
      call();
      expect(ending.is).toBe('resolved');
      result.promises = promises.size;
      result.phases = events.filter(({ type }) => type === 'shutdown-phase-entered').length;
      result.restarts = events.filter(({ type }) => type === 'actor-restarted').length;
      for (const { mailbox } of cells) {
        if (mailbox === undefined) continue;
        const { accepted, handled, failed, cancelled, deadLettered, queued, stashed } = mailbox;
        result.sums.push([accepted, handled + failed + cancelled + deadLettered, queued + stashed]);
      }
    },
  );
  return result;
}

describe('a shutdown under load', () => {
  it(
    'P117 P118 P119 is one run, ends within its deadline, and leaves no accepted message without an outcome',
    async () => {
      await fc.assert(
        fc.asyncProperty(load, async (drawn) => {
          let result: Awaited<ReturnType<typeof shutDown>> | undefined;
          const unheard = await unhandledDuring(async () => {
            result = await shutDown(drawn);
          });
          expect(unheard).toEqual([]);
          expect(result?.promises).toBe(1);
          expect(result?.phases).toBe(SHUTDOWN_PHASES.length);
          expect(result?.restarts).toBe(0);
          expect(result?.endedAtMs).toBeGreaterThanOrEqual(0);
          expect(result?.endedAtMs).toBeLessThanOrEqual(drawn.deadlineMs);
          for (const [accepted, ended, left] of result?.sums ?? [])
            expect([ended, left]).toEqual([accepted, 0]);
          const sum = (result?.sums ?? []).reduce((total, [accepted = 0]) => total + accepted, 0);
          expect(sum).toBeGreaterThanOrEqual(result?.accepted ?? 0);
        }),
        { numRuns: SYSTEM_RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );
});
