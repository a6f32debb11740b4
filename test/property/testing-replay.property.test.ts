// Goal: a seed replays a run exactly, whatever the program; other seeds take other orders; the laws hold in all of them.
// Method: random programs of actors that tell, ask, fail, stash, wait and stop; traces of two runs are compared line by line.

import fc from 'fast-check';
import { agent, ask, protocol, tell, type } from 'troupe';
import { createTestSystem, type FaultOptions } from 'troupe/testing';
import { describe, expect, it } from 'vitest';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';

const ACTORS = 4;

type Deed = 'nothing' | 'fail' | 'wait' | 'stash' | 'unstash' | 'stop';

interface Step {
  readonly by: number;
  readonly deed: Deed;
  /** Whom it writes to in its turn, and how. */
  readonly next: readonly { readonly to: number; readonly by: 'tell' | 'ask' }[];
  readonly afterMs: number;
}

interface Program {
  readonly steps: readonly Step[];
  readonly faults: readonly FaultOptions[];
}

const Worker = protocol('worker', { do: tell(type<Step>()), what: ask(type<number>(), type<number>()) });

const deed = fc.constantFrom<Deed>('nothing', 'nothing', 'wait', 'fail', 'stash', 'unstash', 'stop');
const step: fc.Arbitrary<Step> = fc.record({
  by: fc.nat(ACTORS - 1),
  deed,
  next: fc.array(
    fc.record({ to: fc.nat(ACTORS - 1), by: fc.constantFrom('tell' as const, 'ask' as const) }),
    {
      maxLength: 3,
    },
  ),
  afterMs: fc.constantFrom(0, 0, 0, 1, 50),
});
const fault: fc.Arbitrary<FaultOptions> = fc.oneof(
  fc.record({
    at: fc.constantFrom('before-accept' as const, 'after-accept' as const),
    nth: fc.integer({ min: 1, max: 5 }),
  }),
  fc.record({
    at: fc.constantFrom('turn-start' as const, 'turn-end' as const),
    nth: fc.integer({ min: 1, max: 5 }),
    does: fc.constantFrom('throw' as const, 'hang' as const, 'ignore-abort' as const),
  }),
);
const program: fc.Arbitrary<Program> = fc.record({
  steps: fc.array(step, { minLength: 3, maxLength: 20, size: 'max' }),
  faults: fc.array(fault, { maxLength: 2 }),
});

const NOTHING: Step = { by: 0, deed: 'nothing', next: [], afterMs: 0 };

/** Runs a program to its end and gives back what happened. */
async function run({ steps, faults }: Program, seed: number): Promise<readonly string[]> {
  const system = await createTestSystem({ seed });
  const worker = agent(Worker, {
    turnTimeoutMs: 200,
    mailbox: { capacity: 4, stashMax: 2 },
    on: {
      do: async (ctx, { deed: what, next }) => {
        if (what === 'wait') await Promise.resolve();
        for (const { to, by } of next) {
          const ref = ctx.system.ref(Worker, `w${to}`);
          if (by === 'tell') ctx.tell(ref, 'do', NOTHING);
          else await ctx.ask(ref, 'what', 1, { timeoutMs: 30 }).catch(() => 0);
        }
        if (what === 'fail') throw new Error('planned');
        if (what === 'stash') ctx.stash();
        if (what === 'unstash') ctx.unstash();
        if (what === 'stop') ctx.stopSelf();
      },
      what: (_, n) => n,
    },
  });
  const refs = [];
  for (let i = 0; i < ACTORS; i++) refs.push(await system.spawn(worker, { name: `w${i}` }));
  for (const each of faults) system.fault(each);
  for (const each of steps) {
    refs[each.by]?.send('do', each, { timeoutMs: 100 }).catch(() => undefined);
    if (each.afterMs > 0) await system.advance(each.afterMs);
  }
  await system.runUntilIdle();
  await system[Symbol.asyncDispose]();
  return system.trace;
}

describe('a seed', () => {
  it(
    'replays any program line by line, and the laws hold in every run',
    async () => {
      await fc.assert(
        fc.asyncProperty(program, fc.nat(1_000_000), async (given, seed) => {
          const trace = await run(given, seed);
          expect(await run(given, seed)).toEqual(trace);
        }),
        { numRuns: Math.ceil(RUNS / 4) },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it('is one order among many: programs run differently under different seeds', async () => {
    const traces = new Set<string>();
    const given: Program = {
      steps: Array.from({ length: 8 }, (_, i) => ({
        ...NOTHING,
        by: i % ACTORS,
        next: [{ to: (i + 1) % ACTORS, by: 'tell' }],
      })),
      faults: [],
    };
    for (let seed = 0; seed < 30; seed++) traces.add((await run(given, seed)).join('\n'));
    expect(traces.size).toBeGreaterThan(25);
  });
});
