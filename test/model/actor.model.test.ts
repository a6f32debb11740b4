/**
 * Goal: one running actor does what the plain model says, for any sequence of calls, aborts, failures, restarts and time.
 * Method: fast-check commands against the model on the virtual clock; everything visible is compared after each command.
 */

import fc from 'fast-check';
import { agent, ask, protocol, supervisor, tell, type } from 'troupe';
import { afterAll, describe, expect, it } from 'vitest';
import { PRIORITIES } from '../../src/protocol/priority.ts';
import type { Ref } from '../../src/protocol/ref.ts';
import { type Order, orders } from '../support/checked-host.ts';
import { type Ending, endingOf } from '../support/puppet.ts';
import { unhandledDuring } from '../support/rejections.ts';
import { runTestSystem, type TestSystem } from '../support/test-system.ts';
import { ActorModel, type ActorSettings, type Call, type Job } from './actor-model.ts';

const RUNS = Number(process.env['FC_RUNS'] ?? 200);

const Worker = protocol('worker', { job: tell(type<Job>()), query: ask(type<Job>(), type<number>()) });

type WorkerRef = Ref<typeof Worker>;

interface Real {
  readonly test: TestSystem<{ readonly worker: WorkerRef }>;
  readonly started: number[];
  readonly endings: Map<number, Ending>;
  readonly controllers: Map<number, AbortController>;
  readonly overlaps: number[];
}

interface TurnOf {
  readonly signal: AbortSignal;
  stash(): unknown;
  unstash(): void;
}

function workerTree(settings: ActorSettings, real: () => Real) {
  const stashed = new Set<number>();
  let inside = 0;
  const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const { clock } = real().test;
      const timer = clock.setTimer(ms, resolve);
      signal.addEventListener('abort', () => {
        clock.clearTimer(timer);
        reject(signal.reason);
      });
    });
  const turn = async (ctx: TurnOf, { id, act, turnMs }: Job): Promise<number> => {
    if (++inside > 1) real().overlaps.push(id);
    try {
      if (act === 'hang') {
        await new Promise<void>((resolve) => {
          ctx.signal.addEventListener('abort', () => resolve());
        });
        inside--; // it goes on as a zombie, or ignores its abortion
        await new Promise(() => undefined);
      }
      await sleep(turnMs, ctx.signal);
      if (act === 'crash') throw new Error(`crash ${id}`);
      return id;
    } finally {
      inside--;
    }
  };
  const handle = (ctx: TurnOf, job: Job): unknown => {
    const { id, act, turnMs } = job;
    real().started.push(id);
    if (inside > 0) real().overlaps.push(id);
    if (act === 'stash' && !stashed.has(id)) {
      const token = ctx.stash();
      stashed.add(id);
      return token;
    }
    if (act === 'unstash') ctx.unstash();
    if (act === 'hang' || turnMs > 0) return turn(ctx, job);
    if (act === 'crash') throw new Error(`crash ${id}`);
    return id;
  };
  const { capacity, criticalReserve, waitersMax, stashMax, attemptsMax, retryBackoff } = settings;
  const worker = agent(Worker, {
    mailbox: { capacity, criticalReserve, selfReserve: 0, waitersMax, stashMax },
    turnTimeoutMs: settings.turnTimeoutMs,
    onFailure:
      attemptsMax === 1 ? 'fail' : { retry: { attemptsMax, backoff: { ...retryBackoff, jitter: 0 } } },
    on: { job: handle, query: (ctx, job) => handle(ctx, job) as number },
  });
  const child = worker.child({
    shutdownMs: settings.shutdownMs,
    backoff: { ...settings.backoff, jitter: 0 },
  });
  return supervisor({
    intensity: { max: Infinity },
    restartsWithoutProgressMax: Infinity,
    children: { worker: child },
  });
}

type ActorCommand = fc.AsyncCommand<ActorModel, Real>;

abstract class Step implements ActorCommand {
  protected abstract act(model: ActorModel, real: Real): void | Promise<void>;
  abstract toString(): string;

  check(model: ActorModel): boolean {
    return !model.isTied;
  }

  async run(model: ActorModel, real: Real): Promise<void> {
    await this.act(model, real);
    await real.test.settle();
    if (!model.isTied) compare(model, real);
  }
}

type Template = Omit<Call, 'id'>;
let callsMade = 0;

/** Some calls in one piece of synchronous code. */
class Calls extends Step {
  private readonly templates: readonly Template[];

  constructor(templates: readonly Template[]) {
    super();
    this.templates = templates;
  }

  protected act(model: ActorModel, { test, endings, controllers }: Real): void {
    const { worker } = test.system.refs;
    for (const template of this.templates) {
      const call: Call = { ...template, id: ++callsMade };
      const { id, act, turnMs, rank, verb, waitMs } = call;
      const job: Job = { id, act, turnMs };
      const priority = PRIORITIES[rank];
      const expected = model.call(call);
      if (verb === 'tell') {
        expect(worker.tell('job', job, { priority, ttlMs: waitMs })).toBe(expected);
        continue;
      }
      const controller = new AbortController();
      const options = { priority, timeoutMs: waitMs, signal: controller.signal };
      controllers.set(id, controller);
      endings.set(
        id,
        endingOf(verb === 'send' ? worker.send('job', job, options) : worker.ask('query', job, options)),
      );
    }
    model.run();
  }

  toString(): string {
    return this.templates
      .map((t) => `${t.verb}(${PRIORITIES[t.rank]} ${t.act} ${t.turnMs} wait ${t.waitMs})`)
      .join(', ');
  }
}

class Abort extends Step {
  private readonly nth: number;

  constructor(nth: number) {
    super();
    this.nth = nth;
  }

  override check(model: ActorModel): boolean {
    return super.check(model) && model.open.size > 0;
  }

  protected act(model: ActorModel, { controllers }: Real): void {
    const ids = [...model.open.keys()];
    const id = ids[this.nth % ids.length];
    if (id === undefined) return;
    controllers.get(id)?.abort(ABORTED);
    model.abort(id);
  }

  toString(): string {
    return `abort(${this.nth})`;
  }
}

const ABORTED = Object.assign(new Error('aborted'), { code: 'aborted' });

class Advance extends Step {
  private readonly ms: number | 'next';

  constructor(ms: number | 'next') {
    super();
    this.ms = ms;
  }

  protected async act(model: ActorModel, { test }: Real): Promise<void> {
    const ms = this.ms === 'next' ? Math.min(model.nextIn, 1_000) : this.ms;
    model.advance(ms);
    await test.advance(ms);
  }

  toString(): string {
    return `advance(${this.ms})`;
  }
}

class Signal extends Step {
  private readonly kind: 'suspend' | 'resume' | 'stop';

  constructor(kind: 'suspend' | 'resume' | 'stop') {
    super();
    this.kind = kind;
  }

  protected act(model: ActorModel, { test }: Real): void {
    const { system } = test;
    const { worker } = system.refs;
    model[this.kind]();
    if (this.kind === 'stop') void system.stop(worker);
    else system[this.kind](worker);
  }

  toString(): string {
    return this.kind;
  }
}

/** Everything visible of the actor is what the model says, and the laws hold for it by themselves. */
function compare(model: ActorModel, { test, started, endings, overlaps }: Real): void {
  const { system } = test;
  const seen = system.inspect(system.refs.worker);
  if (seen === undefined) throw new Error('the worker is gone');
  const { counts, mailbox } = seen;
  // P1 by itself, then against the model.
  const inFlight = model.turn === undefined ? 0 : 1;
  expect(
    counts.handled +
      counts.failed +
      counts.cancelled +
      counts.deadLettered +
      mailbox.queued +
      mailbox.stashed +
      inFlight,
  ).toBe(counts.accepted);
  expect(counts).toEqual(model.counts);
  expect({ queued: mailbox.queued, stashed: mailbox.stashed, waiting: mailbox.waiting }).toEqual({
    queued: model.queue.length,
    stashed: model.stash.length,
    waiting: model.waiters.length,
  });
  expect(seen.status).toBe(model.status === 'running' && model.suspensions > 0 ? 'suspended' : model.status);
  expect(seen.generation).toBe(model.generation);
  expect(seen.turn === undefined).toBe(model.turn === undefined);
  // P48, P53: no more inside than the bound; nobody waits beside room.
  const { capacity } = mailbox;
  expect(mailbox.queued + mailbox.stashed).toBeLessThanOrEqual(capacity + RESERVE + 1);
  if (mailbox.queued + mailbox.stashed < capacity) expect(mailbox.waiting).toBe(0);
  // P50, P2, P3.
  expect(started).toEqual(model.started);
  expect(system.deadLetters.list().map(({ payload, reason }) => `${(payload as Job).id} ${reason}`)).toEqual(
    model.dead,
  );
  for (const [id, ending] of endings) expect([id, ending.is]).toEqual([id, model.ended.get(id)]);
  expect(overlaps).toEqual([]);
}

const RESERVE = 1;

const settings: fc.Arbitrary<ActorSettings> = fc.record({
  capacity: fc.integer({ min: 1, max: 5 }),
  criticalReserve: fc.constant(RESERVE),
  waitersMax: fc.integer({ min: 0, max: 5 }),
  stashMax: fc.integer({ min: 0, max: 3 }),
  attemptsMax: fc.constantFrom(1, 1, 2, 3),
  turnTimeoutMs: fc.constant(50_021),
  shutdownMs: fc.constant(20_011),
  backoff: fc.constant({ minMs: 1_009, maxMs: 17_011 }),
  retryBackoff: fc.constant({ minMs: 503, maxMs: 5_003 }),
});

const template: fc.Arbitrary<Template> = fc.record({
  verb: fc.constantFrom('tell', 'tell', 'send', 'ask'),
  rank: fc.constantFrom(0, 1, 3, 3, 3, 5),
  act: fc.constantFrom('work', 'work', 'work', 'work', 'crash', 'hang', 'stash', 'stash', 'unstash'),
  turnMs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 60_000 })),
  waitMs: fc.integer({ min: 1, max: 200_000 }),
});

const commands = [
  fc.array(template, { minLength: 1, maxLength: 6, size: 'max' }).map((templates) => new Calls(templates)),
  fc.array(template, { minLength: 1, maxLength: 2, size: 'max' }).map((templates) => new Calls(templates)),
  fc.nat(20).map((nth) => new Abort(nth)),
  fc.integer({ min: 0, max: 60_000 }).map((ms) => new Advance(ms)),
  fc.constant(new Advance('next')),
  fc.constantFrom('suspend', 'resume', 'resume').map((kind) => new Signal(kind)),
  // Rarely: nothing much happens to an actor that has stopped.
  fc.oneof(
    { weight: 12, arbitrary: fc.constant(new Advance('next')) },
    { weight: 1, arbitrary: fc.constant(new Signal('stop')) },
  ),
];

const reached = { restarts: 0, ties: 0 };

async function checkRun(
  actorSettings: ActorSettings,
  order: Order,
  sequence: Iterable<ActorCommand>,
): Promise<void> {
  let real: Real | undefined;
  const inRun = (): Real => {
    if (real === undefined) throw new Error('too early');
    return real;
  };
  await runTestSystem({ root: workerTree(actorSettings, inRun), order }, async (test) => {
    const made: Real = { test, started: [], endings: new Map(), controllers: new Map(), overlaps: [] };
    real = made;
    const model = new ActorModel(actorSettings);
    const unheard = await unhandledDuring(async () => {
      await fc.asyncModelRun(() => ({ model, real: made }), sequence);
      const { system, kernel, clock } = test;
      const { worker } = system.refs;
      reached.restarts += model.generation;
      reached.ties += model.isTied ? 1 : 0;
      while (system.inspect(worker)?.status === 'suspended') system.resume(worker);
      await test.advance(1_000_000);
      const stopped = system.stop(worker);
      await test.advance(1_000_000);
      await stopped;
      // P55, P74: everything has settled, and nothing is left.
      for (const [id, ending] of made.endings) expect([id, ending.is]).not.toEqual([id, undefined]);
      const seen = system.inspect(worker);
      const counts = seen?.counts ?? { accepted: -1, handled: 0, failed: 0, cancelled: 0, deadLettered: 0 };
      expect(counts.handled + counts.failed + counts.cancelled + counts.deadLettered).toBe(counts.accepted);
      expect([kernel.asksInFlight, kernel.timeouts.size]).toEqual([0, 0]);
      await test.settle();
      expect(clock.pending).toBe(0);
      expect(made.overlaps).toEqual([]);
    });
    expect(unheard).toEqual([]); // P39
  });
}

afterAll(() => {
  if (process.env['FC_STATS'] !== undefined) console.log(reached);
});

describe('a running actor', () => {
  it('P1 P2 P3 P5 P39 P48 P50 P53 P55 P74 does what the model does', async () => {
    await fc.assert(
      fc.asyncProperty(settings, orders, fc.commands(commands, { size: 'max', maxCommands: 100 }), checkRun),
      { numRuns: RUNS },
    );
    expect(reached.restarts).toBeGreaterThan(RUNS); // it looked at something
  });
});
