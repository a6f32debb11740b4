// Goal: no turn starts for a message whose time is up, wherever it waited, and it has one outcome: handled in time, or expired.
// Method: one message is held in a place drawn at random while time passes, with its timers or, as under load, before them.

import fc from 'fast-check';
import { topic, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import type { ChildOptions } from '../../src/protocol/child-spec.ts';
import type { DeadLetter } from '../../src/protocol/dead-letters.ts';
import type { PoolOptions } from '../../src/protocol/pool.ts';
import {
  type Act,
  deferred,
  type Ending,
  endingOf,
  Puppet,
  type PuppetContext,
  type PuppetProtocol,
  type PuppetRef,
  puppet,
} from '../support/puppet.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';
import { runTestSystem, type TestSystem } from '../support/test-system.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const News = topic('news', type<Act>());

const LONG_MS = 1_000_000;

/** A clock that can go on without its timers: the thread was busy. */
class BusyClock extends VirtualClock {
  private lostMs = 0;

  override now(): number {
    return super.now() + this.lostMs;
  }

  override wallNow(): number {
    return super.wallNow() + this.lostMs;
  }

  work(ms: number): void {
    this.lostMs += ms;
  }
}

/** One run: a message whose turns are noted, and what holds it up. */
class World {
  readonly test: TestSystem<Record<never, never>>;
  readonly clock: BusyClock;
  /** Its time to live; it was sent at clock time 0. */
  readonly ttlMs: number;
  /** How the ask ended, if it is one. */
  asked: Ending | undefined = undefined;
  /** Clock times at which its turns began. */
  readonly turns: number[] = [];
  /** Turns that were its end. */
  handled = 0;
  /** Outcomes it should have: one for each copy. */
  copies = 1;
  private readonly held = deferred();

  constructor(test: TestSystem<Record<never, never>>, clock: BusyClock, ttlMs: number) {
    this.test = test;
    this.clock = clock;
    this.ttlMs = ttlMs;
  }

  /** Its turn; the first may do something else than end it. */
  readonly act: Act = () => this.ends();

  ends(): void {
    this.turns.push(this.clock.now());
    this.handled++;
  }

  /** A turn that does something else than end the message, then one that ends it. */
  twice(first: (ctx: PuppetContext) => unknown): Act {
    return (ctx) => {
      if (this.turns.length > 0) return this.ends();
      this.turns.push(this.clock.now());
      return first(ctx);
    };
  }

  readonly hold = (): Promise<void> => this.held.promise;

  readonly release = (): void => this.held.resolve();

  spawn(options?: Parameters<typeof puppet>[0], policy?: ChildOptions): Promise<PuppetRef> {
    return this.test.system.spawn(puppet(options), { name: 'ref', ...policy });
  }

  pool(options: PoolOptions<PuppetProtocol, void>, agent?: Parameters<typeof puppet>[0]): Promise<PuppetRef> {
    return this.test.system.spawn(puppet(agent).pool(options), { name: 'ref' });
  }

  /** Keeps an actor, or every worker, at its turn. */
  async busy(ref: PuppetRef, turns = 1): Promise<PuppetRef> {
    for (let n = 0; n < turns; n++) ref.tell('act', this.hold);
    await this.test.settle();
    return ref;
  }

  tell(ref: PuppetRef, act: Act = this.act): () => void {
    ref.tell('act', act, { ttlMs: this.ttlMs });
    return this.release;
  }
}

/** Puts the message where it waits; answers what sets it free. */
type Place = (world: World) => Promise<() => unknown>;

const AGAIN = { retry: { attemptsMax: 3, backoff: { minMs: 20, maxMs: 20, jitter: 0 } } };
const SLOWLY = { backoff: { minMs: 20, maxMs: 20, jitter: 0 } };
const fail = (): never => {
  throw new Error('fail');
};
const ignore = (): void => undefined;

const PLACES: Readonly<Record<string, Place>> = {
  'a queue behind a turn': async (world) => world.tell(await world.busy(await world.spawn())),
  'a queue with aging': async (world) =>
    world.tell(await world.busy(await world.spawn({ mailbox: { agingMs: 5 } }))),
  'a send that waits for room': async (world) => {
    const ref = await world.busy(await world.spawn({ mailbox: { capacity: 1 } }));
    ref.tell('act', ignore);
    endingOf(ref.send('act', world.act, { ttlMs: world.ttlMs, timeoutMs: LONG_MS }));
    return world.release;
  },
  'the stash': async (world) => {
    const ref = await world.spawn();
    world.tell(
      ref,
      world.twice((ctx) => ctx.stash()),
    );
    await world.test.settle();
    return () => ref.tell('act', (ctx) => ctx.unstash());
  },
  'the stash until a restart': async (world) => {
    const ref = await world.spawn({}, SLOWLY);
    world.tell(
      ref,
      world.twice((ctx) => ctx.stash()),
    );
    await world.test.settle();
    return () => ref.tell('act', fail);
  },
  'the backoff before another attempt': async (world) =>
    world.tell(await world.spawn({ onFailure: AGAIN }, SLOWLY), world.twice(fail)),
  'the backoff of a restart': async (world) => {
    const ref = await world.spawn({}, SLOWLY);
    ref.tell('act', fail);
    return world.tell(ref);
  },
  'a suspended actor': async (world) => {
    const ref = await world.spawn();
    world.test.system.suspend(ref);
    world.tell(ref);
    return () => world.test.system.resume(ref);
  },
  'a draining actor': async (world) => {
    const ref = await world.busy(await world.spawn());
    world.tell(ref);
    endingOf(world.test.system.drain(ref));
    return world.release;
  },
  'an actor that starts': async (world) => {
    endingOf(world.spawn({ state: () => world.hold().then(() => []) }));
    return world.tell(world.test.system.ref(Puppet, '/user/ref'));
  },
  'the queue of a pool': async (world) => world.tell(await world.busy(await world.pool({ size: 1 }))),
  'a lane of a pool': async (world) =>
    world.tell(await world.busy(await world.pool({ size: 2, routing: 'round-robin' }), 2)),
  'a lane by key': async (world) =>
    world.tell(await world.busy(await world.pool({ size: 2, routing: 'sticky', key: () => 'one' }))),
  'the mailbox of a worker': async (world) => {
    await world.busy(await world.pool({ size: 1 }));
    return world.tell(world.test.system.ref(Puppet, '/user/ref/worker-1'));
  },
  'the backoff of a worker': async (world) => {
    const ref = await world.pool({ size: 1, ...SLOWLY }, { onFailure: AGAIN });
    return world.tell(ref, world.twice(fail));
  },
  'a job that a worker puts aside': async (world) => {
    const ref = await world.pool({ size: 1 });
    world.tell(
      ref,
      world.twice((ctx) => ctx.stash()),
    );
    await world.test.settle();
    return () => ref.tell('act', (ctx) => ctx.unstash());
  },
  'shares of a broadcast': async (world) => {
    world.copies = 2;
    return world.tell(await world.busy(await world.pool({ size: 2, routing: 'broadcast' })));
  },
  'an ask in a queue': async (world) => {
    const ref = await world.busy(await world.spawn());
    return asked(world, ref);
  },
  'an ask that waits for room': async (world) => {
    const ref = await world.busy(await world.spawn({ mailbox: { capacity: 1 } }));
    ref.tell('act', ignore);
    return asked(world, ref);
  },
  'an ask of a pool': async (world) => asked(world, await world.busy(await world.pool({ size: 1 }))),
  'a scattered ask': async (world) =>
    asked(world, await world.busy(await world.pool({ size: 2, routing: 'scatter-gather-first' }))),
  'a queue, with the deadline of the turn it was told in': async (world) => {
    const ref = await world.busy(await world.spawn());
    const teller = await world.test.system.spawn(puppet());
    const { ttlMs } = world;
    teller.tell('act', (ctx) => ctx.tell(ref, 'act', world.act), { ttlMs });
    return world.release;
  },
  'a subscription': (world) => published(world, 'backpressure', 10),
  'a publication that waits for room': (world) => published(world, 'backpressure', 1),
  'a subscription that keeps the latest': (world) => published(world, 'latest', 1),
  'a feed': async (world) => {
    const ref = await world.spawn();
    ref.tell('act', (ctx) => ctx.subscribe(News, { as: 'act' }));
    await world.busy(ref);
    endingOf(world.test.system.publish('news', world.act, { ttlMs: world.ttlMs }));
    return world.release;
  },
};

/** An ask has its timeout for a deadline, and is taken back by then; under load it may be found too late before that. */
function asked(world: World, ref: PuppetRef): () => void {
  world.asked = endingOf(ref.ask('answer', () => world.ends(), { timeoutMs: world.ttlMs }));
  return world.release;
}

/** A function that is at a message of the same topic already; one more fills its mailbox if that holds one. */
async function published(
  world: World,
  overflow: 'backpressure' | 'latest',
  capacity: number,
): Promise<() => void> {
  const { system, settle } = world.test;
  await system.subscribe('news', (act: unknown) => (act as () => unknown)(), { overflow, capacity });
  endingOf(system.publish('news', world.hold));
  await settle();
  endingOf(system.publish('news', ignore));
  endingOf(system.publish('news', () => world.ends(), { ttlMs: world.ttlMs, timeoutMs: LONG_MS }));
  return world.release;
}

interface Passing {
  readonly ms: number;
  /** Its timers come late. */
  readonly isBusy: boolean;
}

const passing = fc.array(fc.record({ ms: fc.nat({ max: 30 }), isBusy: fc.boolean() }), { maxLength: 3 });

/** Each place once in time and once too late, so that one which is never reached does not pass unseen. */
const EXAMPLES = Object.keys(PLACES).flatMap((name): [string, number, Passing[]][] => [
  [name, 40, []],
  [name, 1, [{ ms: 30, isBusy: true }]],
]);

describe('a message with a deadline', () => {
  it('P60 never begins a turn after it, and is handled or expired, once', {
    timeout: RUNS_TIMEOUT_MS,
  }, async () => {
    const reached = new Set<string>();
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...Object.keys(PLACES)),
        fc.integer({ min: 1, max: 40 }),
        passing,
        async (name, ttlMs, time) => {
          const clock = new BusyClock();
          await runTestSystem({ clock }, async (test) => {
            const world = new World(test, clock, ttlMs);
            const place = PLACES[name];
            if (place === undefined) throw new Error(`no place '${name}'`);
            const release = await place(world);
            for (const { ms, isBusy } of time) {
              if (isBusy) clock.work(ms);
              else await test.advance(ms);
            }
            release();
            await test.settle();
            await test.advance(10 * LONG_MS);
            check(world, test.system.deadLetters.list({ reason: 'expired' }));
            if (world.handled > 0) reached.add(`${name}: in time`);
            if (world.handled < world.copies) reached.add(`${name}: too late`);
          });
        },
      ),
      { numRuns: RUNS + EXAMPLES.length, examples: EXAMPLES },
    );
    const both = Object.keys(PLACES).flatMap((name) => [`${name}: in time`, `${name}: too late`]);
    expect([...reached].sort()).toEqual(both.sort());
  });
});

function check(world: World, expired: readonly DeadLetter[]): void {
  const { clock, asked: ask, ttlMs } = world;
  const { system } = world.test;
  for (const at of world.turns) expect(at).toBeLessThanOrEqual(ttlMs);
  const offset = clock.wallNow() - clock.now();
  for (const { deadAtMs } of expired) expect(deadAtMs - offset).toBeGreaterThan(ttlMs);
  if (ask === undefined) {
    expect(world.handled + expired.length).toBe(world.copies);
  } else {
    expect(ask.is).toMatch(/^(resolved|ERR_ASK_TIMEOUT|ERR_MESSAGE_DROPPED)$/);
    expect(expired.length).toBe(ask.is === 'ERR_MESSAGE_DROPPED' ? 1 : 0);
    if (ask.is !== 'ERR_ASK_TIMEOUT') expect(world.handled > 0).toBe(ask.is === 'resolved');
  }
  expect(system.deadLetters.stats().byReason['overflow-dropped'] ?? 0).toBeLessThanOrEqual(1);
}
