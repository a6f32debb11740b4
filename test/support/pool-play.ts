/**
 * Plays random commands against a pool whose turns last until the player ends them, on the virtual clock: in the order of the
 * engine's own scheduler, or in one that a seed decides. Looks at each start and after each command are the test's.
 */

import fc from 'fast-check';
import { agent, ask, type PoolOptions, protocol, type Ref, supervisor, tell, type } from 'troupe';
import { withTestSystem } from 'troupe/testing';
import { expect } from 'vitest';
import { PRIORITIES } from '../../src/protocol/priority.ts';
import type { Inspection, System } from '../../src/protocol/system.ts';
import { type Deferred, deferred, type Ending, endingOf, puppet } from './puppet.ts';
import { unhandledDuring } from './rejections.ts';
import { runTestSystem } from './test-system.ts';

export interface Job {
  readonly id: number;
  readonly key: string;
}

export const Work = protocol('work', {
  run: tell(type<Job>()),
  solve: ask(type<Job>(), type<number>()),
});

/** A turn. */
export interface Run extends Job {
  readonly worker: string;
  /** Virtual milliseconds. */
  readonly atMs: number;
  readonly end: Deferred<number>;
  readonly signal: AbortSignal;
  /** The player has ended it. */
  isOver: boolean;
}

/** What the player does; `n` says to whom, how urgently, how many or how long. */
export interface Command {
  readonly do: string;
  readonly n: number;
  readonly key: string;
}

/** What a test may look at. */
export interface World {
  readonly runs: readonly Run[];
  readonly running: () => readonly Run[];
  /** Jobs that were accepted, in order of the calls, each with the rank of its priority. */
  readonly accepted: readonly (Job & { readonly rank: number })[];
  /** Addresses of the workers that take no job any more. */
  readonly leaving: () => ReadonlySet<string>;
  /** Workers that could take a job. */
  readonly idle: () => number;
  readonly inspection: () => Inspection | undefined;
}

/** What a test looks at: each turn as it starts, and the quiet world after each command. */
export interface Look {
  readonly onStart?: (run: Run, world: World) => void;
  readonly afterEach?: (world: World) => void;
}

/** The pool of a play. */
export interface Setting {
  readonly pool: PoolOptions<typeof Work, void>;
  /** Attempts at each job. */
  readonly attempts: number;
  /** Decides the order of turns; undefined for the engine's own. */
  readonly seed: number | undefined;
  /** The pool is a child that an agent has spawned, not one of a supervisor. */
  readonly isSpawned?: boolean;
}

const of = (word: string, n: fc.Arbitrary<number>, key: fc.Arbitrary<string> = fc.constant('')) =>
  fc.record({ do: fc.constant(word), n, key });
const KEY = fc.constantFrom('a', 'b', 'c');

/** Sequences of commands. */
export const commands: fc.Arbitrary<readonly Command[]> = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: of('tell', fc.nat(5), KEY) },
    { weight: 4, arbitrary: of('ask', fc.nat(5), KEY) },
    { weight: 12, arbitrary: of('finish', fc.nat(9)) },
    { weight: 4, arbitrary: of('crash', fc.nat(9)) },
    { weight: 4, arbitrary: of('wait', fc.nat(60)) },
    { weight: 2, arbitrary: of('resize', fc.integer({ min: 1, max: 5 })) },
    { weight: 2, arbitrary: of('stop-worker', fc.nat(9)) },
    { weight: 1, arbitrary: of('kill-worker', fc.nat(9)) },
    { weight: 2, arbitrary: of('cancel', fc.nat(9)) },
    { weight: 1, arbitrary: of('suspend', fc.constant(0)) },
    { weight: 2, arbitrary: of('resume', fc.constant(0)) },
  ),
  { size: 'max', maxLength: 40 },
);

/** Seeds, and the engine's own order as often. */
export const seeds: fc.Arbitrary<number | undefined> = fc.option(fc.nat(2 ** 31 - 1), { nil: undefined });

/** The commands that are none of these. */
export function without(sequence: readonly Command[], ...words: readonly string[]): readonly Command[] {
  return sequence.filter((command) => !words.includes(command.do));
}

interface Stage {
  readonly system: System;
  readonly pool: Ref<typeof Work>;
  readonly settle: () => Promise<void>;
  readonly advance: (ms: number) => Promise<void>;
}

/** Plays, and then looks for what holds of any pool: each job has one outcome, and no rejection is unheard. */
export async function play(
  { pool, attempts, seed, isSpawned = false }: Setting,
  sequence: readonly Command[],
  look: Look = {},
): Promise<void> {
  const player = new Player(look);
  const worker = agent(Work, {
    onFailure:
      attempts === 1 ? 'fail' : { retry: { attemptsMax: attempts, backoff: { minMs: 20, jitter: 0 } } },
    on: { run: (ctx, job) => player.starts(ctx, job), solve: (ctx, job) => player.starts(ctx, job) },
  });
  const made = worker.pool({ ...pool, backoff: { minMs: 10, jitter: 0 } });
  const lead = puppet({
    state: async (_args, ctx) => {
      await ctx.spawn(made, { name: 'pool' });
      return [];
    },
  });
  const root = supervisor({ children: isSpawned ? { lead: lead.child() } : { pool: made } });
  const refIn = (system: System): Ref<typeof Work> => system.ref(Work, isSpawned ? 'lead/pool' : 'pool');
  const unheard = await unhandledDuring(() =>
    seed === undefined
      ? runTestSystem({ root }, (test) => player.plays({ ...test, pool: refIn(test.system) }, sequence))
      : withTestSystem({ root, seed }, (system) => {
          const settle = (): Promise<void> => system.settle();
          const advance = (ms: number): Promise<void> => system.advance(ms);
          return player.plays({ system, pool: refIn(system), settle, advance }, sequence);
        }),
  );
  expect(player.problems).toEqual([]);
  expect(unheard).toEqual([]);
  // A message dies once at most; late replies have ids of their own.
  for (const [id, deaths] of player.deaths) expect([id, deaths]).toEqual([id, 1]);
}

class Player implements World {
  readonly runs: Run[] = [];
  readonly accepted: (Job & { readonly rank: number })[] = [];
  readonly problems: unknown[] = [];
  readonly deaths = new Map<string, number>();
  private readonly look: Look;
  private readonly asks: { readonly ending: Ending; readonly aborter: AbortController }[] = [];
  private stage: Stage | undefined = undefined;
  /** The pool has ended for good; one that was spawned is nowhere to be looked up then. */
  private hadEnd = false;
  private clock: { now(): number } = { now: () => 0 };

  constructor(look: Look) {
    this.look = look;
  }

  readonly running = (): readonly Run[] => this.runs.filter(({ isOver }) => !isOver);

  readonly inspection = (): Inspection | undefined => this.stage?.system.inspect(this.stage.pool);

  readonly leaving = (): ReadonlySet<string> =>
    new Set(this.workers().flatMap(({ address, isLeaving }) => (isLeaving ? [address] : [])));

  readonly idle = (): number =>
    this.workers().filter(({ address, isBusy, isLeaving }) => {
      const system = this.stage?.system;
      return !isBusy && !isLeaving && system?.inspect(system.ref(Work, address))?.status === 'running';
    }).length;

  /** A worker has started on a job. */
  starts(ctx: { self: { address: string }; signal: AbortSignal }, job: Job): Promise<number> {
    const run: Run = {
      ...job,
      worker: ctx.self.address,
      atMs: this.clock.now(),
      end: deferred<number>(),
      signal: ctx.signal,
      isOver: false,
    };
    this.runs.push(run);
    this.judge(() => this.look.onStart?.(run, this));
    return run.end.promise;
  }

  async plays(stage: Stage, sequence: readonly Command[]): Promise<void> {
    const { system, settle } = stage;
    this.stage = stage;
    this.clock = kernelOf(system);
    system.events.subscribe((event) => {
      if (event.type === 'actor-stopped' && /\/pool#\d+$/.test(event.address)) this.hadEnd = true;
      if (event.type !== 'message-dead') return;
      this.deaths.set(event.messageId, (this.deaths.get(event.messageId) ?? 0) + 1);
    });
    for (const command of sequence) {
      await this.obey(stage, command);
      await settle();
      this.judge(() => this.look.afterEach?.(this));
    }
    await this.ends(stage);
  }

  /** Lets everything end well; then each accepted message must have had its one outcome. */
  private async ends({ system, pool, settle, advance }: Stage): Promise<void> {
    for (let times = 0; times < 40; times++) system.resume(pool);
    for (let round = 0; round < 2_000 && (round < 3 || this.isAtWork); round++) {
      this.finishAll();
      await advance(100);
    }
    await advance(40_000);
    this.finishAll();
    await settle();
    // Whoever asked has heard, also of a pool that is gone: one whose last worker was stopped ends.
    expect(this.asks.filter(({ ending }) => ending.is === undefined)).toEqual([]);
    const { counts, mailbox } = this.inspection() ?? {};
    if (counts === undefined && this.hadEnd) return;
    if (counts === undefined) throw new Error('the pool is gone');
    expect(counts.accepted).toBe(counts.handled + counts.failed + counts.cancelled + counts.deadLettered);
    expect(mailbox).toMatchObject({ queued: 0, waiting: 0 });
    this.stage = undefined;
  }

  private get isAtWork(): boolean {
    const { counts } = this.inspection() ?? {};
    if (counts === undefined) return !this.hadEnd;
    return counts.accepted > counts.handled + counts.failed + counts.cancelled + counts.deadLettered;
  }

  private finishAll(): void {
    for (const run of this.running()) this.over(run).resolve(run.id);
  }

  private over(run: Run): Deferred<number> {
    run.isOver = true;
    return run.end;
  }

  private async obey({ system, pool, advance }: Stage, { do: what, n, key }: Command): Promise<void> {
    const run = this.running()[n % Math.max(1, this.running().length)];
    const worker = this.workers()[n % Math.max(1, this.workers().length)];
    const priority = PRIORITIES[n];
    const job = { id: this.accepted.length + 1, key };
    switch (what) {
      case 'tell':
        if (pool.tell('run', job, { priority }) === 'accepted') this.accepted.push({ ...job, rank: n });
        break;
      case 'ask': {
        const aborter = new AbortController();
        const asked = pool.ask('solve', job, { priority, timeoutMs: 150, signal: aborter.signal });
        this.accepted.push({ ...job, rank: n });
        this.asks.push({ ending: endingOf(asked), aborter });
        break;
      }
      case 'finish':
        if (run !== undefined) this.over(run).resolve(run.id);
        break;
      case 'crash':
        if (run !== undefined) this.over(run).reject(new Error('crash'));
        break;
      case 'wait':
        await advance(n);
        break;
      case 'resize':
        void system.resize(pool, n).catch(() => undefined); // it rejects where a new worker is stopped at once
        break;
      case 'stop-worker':
        if (worker !== undefined && this.workers().length > 1)
          void system.stop(system.ref(Work, worker.address)); // ends with its turn
        break;
      case 'kill-worker':
        if (worker !== undefined) void system.kill(system.ref(Work, worker.address)); // ends by itself
        break;
      case 'cancel':
        this.asks[n % Math.max(1, this.asks.length)]?.aborter.abort(new Error('cancelled'));
        break;
      case 'suspend':
        system.suspend(pool);
        break;
      case 'resume':
        system.resume(pool);
        break;
    }
  }

  private workers() {
    return this.inspection()?.pool?.workers ?? [];
  }

  /** A handler must not swallow what a look has found. */
  private judge(looks: () => void): void {
    if (this.stage === undefined) return;
    try {
      looks();
    } catch (error) {
      this.problems.push(error);
    }
  }
}

/** The local system carries its kernel, whose clock is the virtual one. */
function kernelOf(system: unknown): { now(): number } {
  return (system as { readonly kernel: { now(): number } }).kernel;
}
