/**
 * Goal: whatever the wire does, a stream of an actor of another node is what it is here: parts in order, each once, never more than
 * demanded, one end, and nobody works for a reader who has gone. Method: random streams of two readers on a hub that cuts, delays, duplicates,
 * loses and reorders; afterwards the faults end, and what was made is compared with what was read.
 */

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { memoryHub } from '../../adapters/memory/index.ts';
import { agent, isTroupeError, protocol, stream, supervisor } from '../../src/index.ts';
import { PRIORITIES } from '../../src/protocol/priority.ts';
import { breakHub, hubFault, hubReordering } from '../support/hub-faults.ts';
import { RUNS } from '../support/runs.ts';
import { endClusters, testCluster } from '../support/test-cluster.ts';
import type { VirtualClock } from '../support/virtual-clock.ts';

const Order = z.object({
  id: z.number(),
  parts: z.number(),
  pauseMs: z.number(),
  ending: z.enum(['return', 'throw']),
});
const Teller = protocol('teller', { tell: stream(Order, z.number(), z.number()) });

const READERS = ['a', 'c'] as const;

const opening = fc.record({
  type: fc.constant('open' as const),
  reader: fc.constantFrom(...READERS),
  parts: fc.integer({ min: 0, max: 30 }),
  window: fc.integer({ min: 1, max: 6 }),
  /** Virtual milliseconds between parts: without any, all that are demanded travel in one frame. */
  pauseMs: fc.constantFrom(0, 0, 3, 20),
  priority: fc.constantFrom(...PRIORITIES),
  ending: fc.constantFrom('return' as const, 'throw' as const),
  /** Parts after which its reader breaks off. */
  breaksAt: fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined }),
  /** Virtual milliseconds after which its signal is aborted. */
  abortsMs: fc.option(fc.integer({ min: 0, max: 300 }), { nil: undefined, freq: 4 }),
});
const step = fc.oneof(
  { weight: 3, arbitrary: opening },
  {
    weight: 3,
    arbitrary: fc.oneof({ weight: 5, arbitrary: hubFault }, { weight: 1, arbitrary: hubReordering }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant('advance' as const), ms: fc.integer({ min: 0, max: 400 }) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('heal' as const) }) },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
type Opening = Step & { readonly type: 'open' };

/** One stream, as both sides have it. */
interface Told {
  readonly opening: Opening;
  readonly got: number[];
  calls: number;
  made: number;
  begun: number;
  ended: number;
  end: unknown;
}

/** Runs a play, and gives the books of both sides. No fault lasts as long as a node needs to be taken for dead. */
async function play(steps: readonly Step[], seed: number) {
  const hub = memoryHub({ seed });
  const cluster = testCluster({ hub, order: { seed } });
  const told: Told[] = [];
  const problems: string[] = [];
  const teller = agent(Teller, {
    state: (): object => ({}),
    on: {
      async *tell(_, { id, parts, pauseMs, ending }) {
        const own = told[id];
        if (own === undefined) throw new Error('nobody has asked for this');
        own.begun++;
        try {
          for (let n = 0; n < parts; n++) {
            if (n >= own.calls + own.opening.window)
              problems.push(`part ${n} of ${id} after ${own.calls} calls`);
            if (pauseMs > 0) await pause(cluster.clock, pauseMs);
            own.made++;
            yield n;
          }
          if (ending === 'throw') throw new Error('fail');
          return parts;
        } finally {
          own.ended++;
        }
      },
    },
  });
  // Silence is taken for death only after more than all of a play's time.
  const memory = { downAfterMs: 600_000, heartbeatMs: 3_000, publishTimeoutMs: 500, expiresMs: 3_600_000 };
  const a = await cluster.start('a', { memory });
  const c = await cluster.start('c', { memory });
  const pool = teller.pool({ size: 60 });
  const b = await cluster.start('b', { memory, root: supervisor({ children: { pool } }) });
  const systems = { a: a.system, c: c.system };
  const read = async (own: Told): Promise<void> => {
    const { reader, priority, window, parts: count, pauseMs, ending, breaksAt, abortsMs } = own.opening;
    const control = new AbortController();
    if (abortsMs !== undefined) cluster.clock.setTimer(abortsMs, () => control.abort(new Error('enough')));
    const options = { priority, window, signal: control.signal, timeoutMs: 10_000_000 };
    const order = { id: told.indexOf(own), parts: count, pauseMs, ending };
    const parts = systems[reader].ref(Teller, 'pool', { node: 'b' }).stream('tell', order, options);
    try {
      for (;;) {
        if (own.got.length === breaksAt) {
          await parts.return();
          own.end = 'broken off';
          return;
        }
        own.calls++;
        const { done, value } = await parts.next();
        if (done === true) {
          own.end = value;
          return;
        }
        own.got.push(value);
      }
    } catch (error) {
      own.end = isTroupeError(error) ? error.code : 'aborted';
    }
  };
  for (const each of steps) {
    switch (each.type) {
      case 'open': {
        const own: Told = { opening: each, got: [], calls: 0, made: 0, begun: 0, ended: 0, end: undefined };
        told.push(own);
        void read(own);
        break;
      }
      case 'cut':
      case 'silence':
      case 'lose':
      case 'delay':
      case 'duplicate':
      case 'reorder':
        breakHub(hub, each);
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
  await cluster.advance(60_000);
  const left = [a, c].map(({ kernel }) => kernel.asksInFlight);
  const dead = [a, b, c].flatMap(({ system }) => system.deadLetters.list().map(({ reason }) => reason));
  await endClusters();
  return { told, problems, left, dead };
}

function pause(clock: VirtualClock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.setTimer(ms, resolve);
  });
}

const count = (parts: number): number[] => Array.from({ length: parts }, (_, n) => n);

it('P131 is read in order, each part once and to its end, with no more in flight than its window, whatever the wire does', async () => {
  const ends = new Map<unknown, number>();
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 3, maxLength: 30, size: 'max' }),
      fc.nat(1_000),
      async (steps, seed) => {
        const { told, problems, left, dead } = await play(steps, seed);
        expect([problems, left]).toEqual([[], [0, 0]]);
        for (const { opening: asked, got, made, begun, ended, end } of told) {
          const { parts, ending, breaksAt = Infinity, abortsMs } = asked;
          expect(got).toEqual(count(got.length));
          expect(made).toBeGreaterThanOrEqual(got.length);
          expect(begun).toBeLessThanOrEqual(1);
          expect(ended).toBe(begun);
          const whole = ending === 'return' ? parts : 'ERR_ACTOR_FAILED';
          if (end !== 'aborted' || abortsMs === undefined)
            expect([got.length, end]).toEqual(breaksAt <= parts ? [breaksAt, 'broken off'] : [parts, whole]);
          const name = typeof end === 'number' ? 'whole' : end;
          ends.set(name, (ends.get(name) ?? 0) + 1);
        }
        // The end of a stream that was broken off meanwhile says what it returned to nobody.
        expect(dead.filter((reason) => reason !== 'handler-failed' && reason !== 'late-reply')).toEqual([]);
      },
    ),
    { numRuns: Math.ceil(RUNS / 5) },
  );
  if (RUNS < 1_000) return;
  for (const end of ['whole', 'ERR_ACTOR_FAILED', 'broken off', 'aborted'])
    expect([end, ends.get(end)]).toEqual([end, expect.any(Number)]);
}, 120_000);
