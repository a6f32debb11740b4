/**
 * Goal: what a pool promises holds for any arrival of jobs, failures, resizes and ends, in any order of turns.
 * Method: random commands on the virtual clock; at each start of a turn, and at the end, the law itself is the judge.
 */

import fc from 'fast-check';
import { agent, type PoolOptions } from 'troupe';
import { describe, expect, it } from 'vitest';
import { HashRing } from '../../runtime/pool/hash-ring.ts';
import {
  commands,
  type Job,
  play,
  type Run,
  seeds,
  Work,
  type World,
  without,
} from '../support/pool-play.ts';
import { deferred, endingOf } from '../support/puppet.ts';
import { RUNS as ALL_RUNS } from '../support/runs.ts';
import { runTestSystem } from '../support/test-system.ts';

/** A run is forty commands and a system: a third of them takes as long as all runs of a smaller property. */
const RUNS = Math.ceil(ALL_RUNS / 3);
const RUNS_TIMEOUT_MS = 120_000;

const size = fc.integer({ min: 1, max: 5 });
const attempts = fc.integer({ min: 1, max: 3 });
const key = (_name: string, job: Job): string => job.key;

const anyPool = fc.record({
  size,
  routing: fc.constantFrom(
    'work-pulling' as const,
    'round-robin' as const,
    'random' as const,
    'least-loaded' as const,
    'broadcast' as const,
    'scatter-gather-first' as const,
  ),
});

const keyedPool = fc.record({
  size,
  routing: fc.constantFrom('consistent-hash' as const, 'sticky' as const),
  key: fc.constant(key),
});

const mailbox = fc.record({
  capacity: fc.integer({ min: 1, max: 6 }),
  criticalReserve: fc.integer({ min: 0, max: 2 }),
  overflow: fc.constantFrom(
    'backpressure' as const,
    'reject' as const,
    'drop-oldest' as const,
    'drop-newest' as const,
    'drop-lowest' as const,
  ),
});

/** At least as many tokens as the costliest job needs. */
const limits = fc.record({
  concurrencyMax: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
  rateLimit: fc.option(
    fc.record({
      tokens: fc.integer({ min: 3, max: 10 }),
      perMs: fc.integer({ min: 10, max: 300 }),
      cost: fc.constantFrom(undefined, (_name: string, job: Job) => costOf(job)),
    }),
    { nil: undefined },
  ),
});

const costOf = ({ id }: Job): number => id % 4;

/** Workers that live at once: five that stay and five that leave. Each may give back one job whose slot is taken by then. */
const LIVING_MAX = 10;

/** A pool that gives each message to every worker takes no asks, or no orders of its own. */
const askable = (pool: { readonly routing?: string | undefined }, sequence: Parameters<typeof without>[0]) =>
  pool.routing === 'broadcast' ? without(sequence, 'ask') : sequence;

describe('a pool', () => {
  it(
    'P1 P2 P39 P74 P99 gives each accepted job exactly one outcome, whatever crashes, stops, grows or shrinks',
    async () => {
      await fc.assert(
        fc.asyncProperty(
          anyPool,
          attempts,
          seeds,
          fc.boolean(),
          commands,
          async (pool, tries, seed, isSpawned, sequence) => {
            await play({ pool, attempts: tries, seed, isSpawned }, askable(pool, sequence));
          },
        ),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P39 P48 keeps its capacity, and gives each job one outcome, under each policy of overflow',
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.oneof(anyPool, keyedPool),
          mailbox,
          fc.integer({ min: 1, max: 2 }),
          seeds,
          commands,
          async (shape, box, tries, seed, sequence) => {
            const pool = { ...shape, mailbox: box };
            const roomMax = box.capacity + box.criticalReserve;
            await play({ pool, attempts: tries, seed }, askable(pool, sequence), {
              afterEach: ({ inspection }) => {
                expect(inspection()?.mailbox.queued ?? 0).toBeLessThanOrEqual(roomMax + LIVING_MAX);
              },
            });
          },
        ),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P95 P96 has no idle worker while a job waits, and starts jobs in heap order',
    async () => {
      await fc.assert(
        fc.asyncProperty(size, seeds, commands, async (workers, seed, sequence) => {
          const plain = without(sequence, 'cancel', 'ask', 'suspend', 'kill-worker');
          await play({ pool: { size: workers }, attempts: 1, seed }, plain, {
            onStart: (run, world) => expect(moreUrgent(run, world)).toEqual([]),
            afterEach: (world) => {
              if (waiting(world).length > 0) expect(world.idle()).toBe(0);
            },
          });
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P98 never runs two jobs of one sticky key at a time, and runs them in order',
    async () => {
      await fc.assert(
        fc.asyncProperty(size, seeds, commands, async (workers, seed, sequence) => {
          const same = without(sequence, 'ask', 'cancel').map((each) =>
            each.do === 'tell' ? { ...each, n: 3 } : each,
          );
          await play({ pool: { size: workers, routing: 'sticky', key }, attempts: 1, seed }, same, {
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
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P98 P99 loses no job of a keyed routing, retries included',
    async () => {
      await fc.assert(
        fc.asyncProperty(keyedPool, attempts, seeds, commands, async (pool, tries, seed, sequence) => {
          await play({ pool, attempts: tries, seed }, sequence);
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P99 gives a worker that leaves no new job, and lets it end the present one',
    async () => {
      await fc.assert(
        fc.asyncProperty(anyPool, seeds, commands, async (pool, seed, sequence) => {
          const quiet = without(sequence, 'stop-worker', 'kill-worker', 'cancel', 'ask');
          await play({ pool, attempts: 1, seed }, quiet, {
            onStart: (run, { leaving }) => expect(leaving().has(run.worker)).toBe(false),
            afterEach: ({ running }) => expect(running().filter(({ signal }) => signal.aborted)).toEqual([]),
          });
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

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
                  atMs: 0,
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

/** Accepted jobs that have had no turn. */
function waiting({ accepted, runs }: World): World['accepted'] {
  const started = new Set(runs.map(({ id }) => id));
  return accepted.filter(({ id }) => !started.has(id));
}

/** Jobs that should have started before this one. */
function moreUrgent(run: Run, world: World): World['accepted'] {
  const own = world.accepted.find(({ id }) => id === run.id);
  return waiting(world).filter((job) => own !== undefined && (job.rank - own.rank || job.id - own.id) < 0);
}

describe('the limits of a pool', () => {
  it(
    'P1 P2 P39 P74 lose no job, under any routing, retries included',
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.oneof(anyPool, keyedPool),
          limits,
          attempts,
          seeds,
          commands,
          async (shape, limit, tries, seed, sequence) => {
            const pool = { ...shape, ...limit } as PoolOptions<typeof Work, void>; // with and without a key
            await play({ pool, attempts: tries, seed }, askable(pool, sequence));
          },
        ),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P95 hold: no window has more than tokens + elapsed * tokens / perMs started, no instant more turns than may run',
    async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.oneof(anyPool, keyedPool),
          limits,
          attempts,
          seeds,
          commands,
          async (shape, limit, tries, seed, sequence) => {
            const pool = { ...shape, ...limit } as PoolOptions<typeof Work, void>; // with and without a key
            const { concurrencyMax = Infinity, rateLimit } = limit;
            await play({ pool, attempts: tries, seed }, askable(pool, sequence), {
              onStart: (run, { runs, running }) => {
                const turns = running().filter(({ signal }) => !signal.aborted);
                expect(turns.length).toBeLessThanOrEqual(concurrencyMax);
                if (rateLimit === undefined) return;
                const { tokens, perMs, cost } = rateLimit;
                let started = 0;
                for (const each of runs.toReversed()) {
                  started += cost === undefined ? 1 : costOf(each);
                  expect(started * perMs).toBeLessThanOrEqual(
                    tokens * perMs + (run.atMs - each.atMs) * tokens,
                  );
                }
              },
            });
          },
        ),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P95 P96 leave no worker idle while they allow the most urgent job to start',
    async () => {
      await fc.assert(
        fc.asyncProperty(size, limits, seeds, commands, async (workers, limit, seed, sequence) => {
          const plain = without(sequence, 'cancel', 'ask', 'suspend', 'kill-worker');
          const { concurrencyMax = Infinity, rateLimit } = limit;
          await play({ pool: { size: workers, ...limit }, attempts: 1, seed }, plain, {
            onStart: (run, world) => expect(moreUrgent(run, world)).toEqual([]),
            afterEach: (world) => {
              const [next] = [...waiting(world)].sort((a, b) => a.rank - b.rank || a.id - b.id);
              const { inFlight = 0, tokens = Infinity } = world.inspection()?.pool ?? {};
              if (next === undefined || world.idle() === 0) return;
              const cost = rateLimit?.cost === undefined ? 1 : costOf(next);
              const isAllowed = inFlight < concurrencyMax && tokens >= (rateLimit === undefined ? 0 : cost);
              expect(isAllowed).toBe(false);
            },
          });
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );
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
