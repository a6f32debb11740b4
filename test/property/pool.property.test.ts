/**
 * Goal: what a pool promises holds for any arrival of jobs, failures, resizes and ends.
 * Method: random commands on the virtual clock; at each start of a turn, and at the end, the law itself is the judge.
 */

import fc from 'fast-check';
import { agent, ask, type PoolOptions, protocol, supervisor, tell, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import { HashRing } from '../../runtime/pool/hash-ring.ts';
import { PRIORITIES } from '../../src/protocol/priority.ts';
import { type Deferred, deferred, endingOf } from '../support/puppet.ts';
import { unhandledDuring } from '../support/rejections.ts';
import { runTestSystem } from '../support/test-system.ts';

const RUNS = Number(process.env['FC_RUNS'] ?? 300);

const Work = protocol('work', {
  run: tell(type<Job>()),
  solve: ask(type<Job>(), type<number>()),
});

interface Job {
  readonly id: number;
  readonly key: string;
}

interface Run extends Job {
  readonly worker: string;
  readonly end: Deferred<number>;
  readonly signal: AbortSignal;
  isOver: boolean;
}

const command = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('tell'), n: fc.nat(5), key: fc.constantFrom('a', 'b', 'c') }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('ask'), n: fc.nat(5), key: fc.constantFrom('a', 'b', 'c') }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('finish'), n: fc.nat(9), key: fc.constant('') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('crash'), n: fc.nat(9), key: fc.constant('') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait'), n: fc.nat(60), key: fc.constant('') }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('resize'),
      n: fc.integer({ min: 1, max: 5 }),
      key: fc.constant(''),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('stop-worker'), n: fc.nat(9), key: fc.constant('') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel'), n: fc.nat(9), key: fc.constant('') }) },
);

interface Command {
  readonly do: string;
  readonly n: number;
  readonly key: string;
}

const commands = fc.array(command, { size: 'max', maxLength: 40 });

interface World {
  readonly runs: Run[];
  readonly running: () => Run[];
  /** Jobs that were accepted and that no worker has started, by priority, then by call. */
  readonly accepted: (Job & { readonly rank: number })[];
  readonly leaving: () => ReadonlySet<string>;
  readonly idle: () => number;
  readonly settled: () => boolean;
}

/** Runs commands against a pool; `onStart` sees each turn as it starts, `afterEach` the quiet world after a command. */
async function play(
  pool: PoolOptions<typeof Work, void>,
  retries: number,
  sequence: readonly Command[],
  look: { readonly onStart?: (run: Run, world: World) => void; readonly afterEach?: (world: World) => void },
): Promise<void> {
  const runs: Run[] = [];
  const accepted: World['accepted'] = [];
  const problems: unknown[] = [];
  let world: World | undefined;
  const start = (ctx: { self: { address: string }; signal: AbortSignal }, job: Job): Promise<number> => {
    const run: Run = {
      ...job,
      worker: ctx.self.address,
      end: deferred<number>(),
      signal: ctx.signal,
      isOver: false,
    };
    runs.push(run);
    try {
      if (world !== undefined) look.onStart?.(run, world);
    } catch (error) {
      problems.push(error); // a handler must not swallow what the test has found
    }
    return run.end.promise;
  };
  const worker = agent(Work, {
    onFailure:
      retries === 1 ? 'fail' : { retry: { attemptsMax: retries, backoff: { minMs: 20, jitter: 0 } } },
    on: { run: start, solve: start },
  });
  const root = supervisor({
    children: { pool: worker.pool({ ...pool, backoff: { minMs: 10, jitter: 0 } }) },
  });
  const outcomes = new Map<string, number>();
  const unheard = await unhandledDuring(() =>
    runTestSystem({ root }, async ({ system, settle, advance }) => {
      const ref = system.refs.pool;
      const running = (): Run[] => runs.filter(({ isOver }) => !isOver);
      const workers = () => system.inspect(ref)?.pool?.workers ?? [];
      const asks: { readonly ending: ReturnType<typeof endingOf>; readonly aborter: AbortController }[] = [];
      system.events.subscribe((event) => {
        if (event.type === 'message-dead') outcomes.set(event.id, (outcomes.get(event.id) ?? 0) + 1);
      });
      const present: World = {
        runs,
        running,
        accepted,
        leaving: () => new Set(workers().flatMap(({ address, isLeaving }) => (isLeaving ? [address] : []))),
        idle: () =>
          workers().filter(({ address, isBusy, isLeaving }) => {
            return !isBusy && !isLeaving && system.inspect(system.ref(Work, address))?.status === 'running';
          }).length,
        settled: () => asks.every(({ ending }) => ending.is !== undefined),
      };
      world = present;
      let ids = 0;
      for (const { do: what, n, key } of sequence) {
        const some = running()[n % Math.max(1, running().length)];
        if (what === 'tell') {
          const job = { id: ++ids, key };
          if (ref.tell('run', job, { priority: PRIORITIES[n] }) === 'accepted')
            accepted.push({ ...job, rank: n });
        } else if (what === 'ask') {
          const job = { id: ++ids, key };
          const aborter = new AbortController();
          const asked = ref.ask('solve', job, {
            priority: PRIORITIES[n],
            timeoutMs: 150,
            signal: aborter.signal,
          });
          accepted.push({ ...job, rank: n });
          asks.push({ ending: endingOf(asked), aborter });
        } else if (what === 'finish' && some !== undefined) {
          some.isOver = true;
          some.end.resolve(some.id);
        } else if (what === 'crash' && some !== undefined) {
          some.isOver = true;
          some.end.reject(new Error('crash'));
        } else if (what === 'wait') await advance(n);
        else if (what === 'resize') void system.resize(ref, n).catch(() => undefined);
        else if (what === 'stop-worker') {
          const chosen = workers()[n % Math.max(1, workers().length)];
          if (chosen !== undefined && workers().length > 1)
            void system.stop(system.ref(Work, chosen.address));
        } else if (what === 'cancel')
          asks[n % Math.max(1, asks.length)]?.aborter.abort(new Error('cancelled'));
        await settle();
        look.afterEach?.(present);
      }
      // Whatever still runs ends well; then everything that was accepted must have had its one outcome.
      for (let round = 0; round < 200 && (running().length > 0 || round < 3); round++) {
        for (const run of running()) {
          run.isOver = true;
          run.end.resolve(run.id);
        }
        await advance(50);
      }
      await advance(40_000);
      for (let round = 0; round < 200 && running().length > 0; round++) {
        for (const run of running()) {
          run.isOver = true;
          run.end.resolve(run.id);
        }
        await settle();
      }
      const inspected = system.inspect(ref);
      const {
        accepted: taken = 0,
        handled = 0,
        failed = 0,
        cancelled = 0,
        deadLettered = 0,
      } = inspected?.counts ?? {};
      expect(taken).toBe(handled + failed + cancelled + deadLettered);
      expect(inspected?.mailbox).toMatchObject({ queued: 0, waiting: 0 });
      expect(present.settled()).toBe(true);
      world = undefined;
    }),
  );
  expect(problems).toEqual([]);
  expect(unheard).toEqual([]);
  // One dead letter for each failed attempt's message at most; late replies have ids of their own.
  for (const [id, times] of outcomes) expect([id, times]).toEqual([id, 1]);
}

const anyPool = fc.record({
  size: fc.integer({ min: 1, max: 5 }),
  routing: fc.constantFrom(
    'work-pulling' as const,
    'round-robin' as const,
    'random' as const,
    'least-loaded' as const,
    'broadcast' as const,
    'scatter-gather-first' as const,
  ),
});

const keyed = fc.record({
  size: fc.integer({ min: 1, max: 5 }),
  routing: fc.constantFrom('consistent-hash' as const, 'sticky' as const),
});
const key = (_name: string, job: Job): string => job.key;
const asksNothing = ({ do: what }: Command): boolean => what !== 'ask';

describe('a pool', () => {
  it('P1 P2 P39 P74 P99 gives each accepted job exactly one outcome, whatever crashes, stops, grows or shrinks', async () => {
    await fc.assert(
      fc.asyncProperty(anyPool, fc.integer({ min: 1, max: 3 }), commands, async (pool, retries, sequence) => {
        await play(pool, retries, pool.routing === 'broadcast' ? sequence.filter(asksNothing) : sequence, {});
      }),
      { numRuns: RUNS },
    );
  }, 120_000);

  it('P95 P96 has no idle worker while a job waits, and starts jobs in heap order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 5 }), commands, async (size, sequence) => {
        const isPlain = ({ do: what }: Command): boolean => what !== 'cancel' && what !== 'ask';
        await play({ size }, 1, sequence.filter(isPlain), {
          onStart: (run, { accepted, runs }) => {
            const started = new Set(runs.map(({ id }) => id));
            const mine = accepted.find(({ id }) => id === run.id);
            const better = accepted.filter(
              (job) =>
                !started.has(job.id) && mine !== undefined && (job.rank - mine.rank || job.id - mine.id) < 0,
            );
            expect(better).toEqual([]);
          },
          afterEach: ({ accepted, runs, idle }) => {
            const started = new Set(runs.map(({ id }) => id));
            if (accepted.some(({ id }) => !started.has(id))) expect(idle()).toBe(0);
          },
        });
      }),
      { numRuns: RUNS },
    );
  }, 120_000);

  it('P98 never runs two jobs of one sticky key at a time, and runs them in order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 5 }), commands, async (size, sequence) => {
        const flat = sequence.filter(({ do: what }) => what !== 'ask' && what !== 'cancel');
        const same = flat.map((each) => (each.do === 'tell' ? { ...each, n: 3 } : each));
        await play({ size, routing: 'sticky', key }, 1, same, {
          onStart: (run, { running, runs }) => {
            const others = running().filter(
              (each) => each !== run && each.key === run.key && !each.signal.aborted,
            );
            expect(others).toEqual([]);
            const later = runs.filter((each) => each.key === run.key && each.id > run.id);
            expect(later).toEqual([]);
          },
        });
      }),
      { numRuns: RUNS },
    );
  }, 120_000);

  it('P98 P99 loses no job of a keyed routing, retries included', async () => {
    await fc.assert(
      fc.asyncProperty(keyed, fc.integer({ min: 1, max: 3 }), commands, async (pool, retries, sequence) => {
        await play({ ...pool, key }, retries, sequence, {});
      }),
      { numRuns: RUNS },
    );
  }, 120_000);

  it('P99 gives a worker that leaves no new job, and lets it end the present one', async () => {
    await fc.assert(
      fc.asyncProperty(anyPool, commands, async (pool, sequence) => {
        const quiet = sequence.filter(
          ({ do: what }) => what !== 'stop-worker' && what !== 'cancel' && what !== 'ask',
        );
        await play(pool, 1, quiet, {
          onStart: (run, { leaving }) => expect(leaving().has(run.worker)).toBe(false),
          afterEach: ({ running }) => expect(running().filter(({ signal }) => signal.aborted)).toEqual([]),
        });
      }),
      { numRuns: RUNS },
    );
  }, 120_000);

  it('P100 lets exactly one reply of a scatter through and cancels all other turns', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 6 }),
        fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
        fc.nat(5),
        async (size, fails, firstPlace) => {
          const runs: Run[] = [];
          const worker = agent(Work, {
            on: {
              run: () => undefined,
              solve: (ctx, job) => {
                runs.push({
                  ...job,
                  worker: ctx.self.address,
                  end: deferred<number>(),
                  signal: ctx.signal,
                  isOver: false,
                });
                return runs.at(-1)?.end.promise ?? 0;
              },
            },
          });
          await runTestSystem({}, async ({ system, settle }) => {
            const pool = await system.spawn(worker.pool({ size, routing: 'scatter-gather-first' }));
            const ending = endingOf(pool.ask('solve', { id: 1, key: '' }));
            await settle();
            expect(runs).toHaveLength(size);
            let winner: number | undefined;
            for (let step = 0; step < size; step++) {
              const place = (firstPlace + step) % size;
              const run = runs[place];
              if (winner !== undefined) expect(run?.signal.aborted).toBe(true);
              if (fails[place] === true) run?.end.reject(new Error('fails'));
              else {
                run?.end.resolve(place);
                winner ??= place;
              }
              await settle();
            }
            if (winner === undefined) expect(ending.is).toBe('ERR_ACTOR_FAILED');
            else expect(ending).toMatchObject({ is: 'resolved', value: winner });
            const counts = system.inspect(pool)?.counts;
            expect(counts?.accepted).toBe(size);
            expect((counts?.handled ?? 0) + (counts?.failed ?? 0) + (counts?.cancelled ?? 0)).toBe(size);
          });
        },
      ),
      { numRuns: RUNS },
    );
  }, 120_000);
});

describe('a hash ring', () => {
  it('P97 moves about 1/n of 10,000 keys when a node comes or goes, and only to or from it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 12 }), fc.nat(1_000_000), (nodes, salt) => {
        const keys = Array.from({ length: 10_000 }, (_, n) => `${salt}-${n}`);
        const ring = new HashRing();
        for (let node = 1; node <= nodes; node++) ring.add(node);
        const before = keys.map((each) => ring.nodeOf(each));
        ring.add(nodes + 1);
        const after = keys.map((each) => ring.nodeOf(each));
        const moved = keys.flatMap((_, n) => (before[n] === after[n] ? [] : [after[n]]));
        expect(new Set(moved)).toEqual(new Set([nodes + 1]));
        expect(moved.length).toBeLessThanOrEqual((10_000 / (nodes + 1)) * 1.2);
        ring.remove(nodes + 1);
        expect(keys.map((each) => ring.nodeOf(each))).toEqual(before);
      }),
      { numRuns: 30 },
    );
  });
});
