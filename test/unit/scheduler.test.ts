import { describe, expect, it } from 'vitest';
import type { Kernel } from '../../runtime/actor/kernel.ts';
import { type Runnable, Scheduler } from '../../runtime/host/scheduler.ts';
import { startSystem } from '../../runtime/system.ts';
import { SLICE_MS, SLICE_TURNS_MAX, TURNS_PER_SLICE } from '../../src/protocol/limits.ts';
import type { System } from '../../src/protocol/system.ts';
import { HandHost } from '../support/hand-host.ts';
import { type Act, type PuppetContext, type PuppetRef, puppet } from '../support/puppet.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

interface HandSystem {
  readonly host: HandHost;
  readonly system: System<Record<never, never>>;
  readonly kernel: Kernel;
}

async function handSystem(clock = new VirtualClock()): Promise<HandSystem> {
  const host = new HandHost(clock);
  const system = await startSystem({ name: 'hand', log: false }, host);
  const { kernel } = system as unknown as { readonly kernel: Kernel }; // the local system carries its kernel
  return { host, system, kernel };
}

/** Endless work ends here, so that a scheduler which never yields fails its test instead of hanging it. */
const TURNS_MAX = 50 * SLICE_TURNS_MAX;

/** Turns the loop until nothing is left to do. */
async function drain(host: HandHost): Promise<void> {
  while (await host.turn());
}

async function spawnMany(system: System<Record<never, never>>, count: number): Promise<PuppetRef[]> {
  const agent = puppet({ mailbox: { capacity: 100 } });
  const refs: PuppetRef[] = [];
  for (let i = 0; i < count; i++) refs.push(await system.spawn(agent));
  return refs;
}

/** A runnable that takes `work` turns. */
class Worker implements Runnable {
  isQueued = true;
  private readonly name: string;
  private readonly log: string[];
  private work: number;

  constructor(name: string, log: string[], work: number) {
    this.name = name;
    this.log = log;
    this.work = work;
  }

  run(turnsMax: number): number {
    const turns = Math.min(turnsMax, this.work);
    for (let i = 0; i < turns; i++) this.log.push(this.name);
    this.work -= turns;
    this.isQueued = this.work > 0;
    return turns;
  }
}

describe('the run queue', () => {
  it('gives turns first come first served, also when it has grown', async () => {
    const host = new HandHost();
    const scheduler = new Scheduler(host);
    const log: string[] = [];
    const names = Array.from({ length: 1_000 }, (_, i) => `w${i}`);
    for (const name of names) scheduler.add(new Worker(name, log, 1));
    await drain(host);
    expect(log).toEqual(names);
    expect(scheduler.isIdle).toBe(true);
  });

  it('keeps the order when it grows in the middle of its ring', async () => {
    const host = new HandHost();
    const scheduler = new Scheduler(host);
    const log: string[] = [];
    const names = Array.from({ length: 400 }, (_, i) => `w${i}`);
    const [early, late] = [names.slice(0, 50), names.slice(50)];
    for (const name of early) scheduler.add(new Worker(name, log, 1));
    // The last of the early ones brings the others: by then the ring begins in its middle.
    scheduler.add({
      isQueued: false,
      run: () => {
        for (const name of late) scheduler.add(new Worker(name, log, 1));
        return 1;
      },
    });
    for (const name of ['x', 'y', 'z']) scheduler.add(new Worker(name, log, 1));
    await drain(host);
    expect(log).toEqual([...early, 'x', 'y', 'z', ...late]);
    expect(scheduler.isIdle).toBe(true);
  });

  it('P65 gives an actor at most its share of turns before the next one', async () => {
    const { host, system } = await handSystem();
    const [a, b] = await spawnMany(system, 2);
    if (a === undefined || b === undefined) throw new Error('not spawned');
    const log: string[] = [];
    const endless =
      (name: string): Act =>
      (ctx) => {
        if (log.length >= 5_000) return;
        log.push(name);
        ctx.tell(ctx.self, 'act', endless(name));
      };
    a.tell('act', endless('a'));
    b.tell('act', endless('b'));
    await drain(host);
    let ahead = 0;
    let most = 0;
    for (const name of log) {
      ahead += name === 'a' ? 1 : -1;
      most = Math.max(most, Math.abs(ahead));
    }
    expect(log.length).toBe(5_000);
    expect(most).toBe(TURNS_PER_SLICE);
  });

  it('P65 lets a 0 ms timer fire within one slice, whatever the load', async () => {
    const { host, system } = await handSystem();
    const refs = await spawnMany(system, 10);
    let turns = 0;
    let isOver = false;
    const endless: Act = (ctx) => {
      turns++;
      if (!isOver && turns < TURNS_MAX) ctx.tell(ctx.self, 'act', endless);
    };
    for (const ref of refs) ref.tell('act', endless);
    await host.turn();
    for (let i = 0; i < 5; i++) {
      const before = turns;
      let firedAfter = -1;
      host.clock.setTimer(0, () => {
        firedAfter = turns - before;
      });
      await host.turn();
      expect(firedAfter).toBe(0); // the loop had its go before the next slice
      expect(turns - before).toBeLessThanOrEqual(SLICE_TURNS_MAX + TURNS_PER_SLICE);
      expect(turns - before).toBeGreaterThanOrEqual(SLICE_TURNS_MAX);
    }
    isOver = true;
    await drain(host);
  });

  it('P65 ends a slice by time when turns are slow', async () => {
    class Running extends VirtualClock {
      passed = 0;
      override now(): number {
        return super.now() + this.passed;
      }
    }
    const clock = new Running();
    const { host, system } = await handSystem(clock);
    const refs = await spawnMany(system, 50);
    let turns = 0;
    let isOver = false;
    const slow: Act = (ctx) => {
      turns++;
      clock.passed += 1;
      if (!isOver && turns < TURNS_MAX) ctx.tell(ctx.self, 'act', slow);
    };
    for (const ref of refs) ref.tell('act', slow);
    await host.turn();
    for (let i = 0; i < 5; i++) {
      const before = turns;
      await host.turn();
      // The clock is looked at between actors, each of which takes its share.
      expect(turns - before).toBeLessThanOrEqual(SLICE_MS + TURNS_PER_SLICE);
    }
    isOver = true;
    await drain(host);
  });

  it('P65 counts the turns of short wake-ups together, so that microtasks alone cannot starve the loop', async () => {
    const { host, system } = await handSystem();
    const [a, b] = await spawnMany(system, 2);
    if (a === undefined || b === undefined) throw new Error('not spawned');
    let turns = 0;
    // Each turn ends in a microtask of its own, so each hop wakes an idle queue.
    const hop =
      (left: number): Act =>
      async (ctx) => {
        turns++;
        await Promise.resolve();
        if (left > 0) ctx.tell(ctx.self === a ? b : a, 'act', hop(left - 1));
      };
    a.tell('act', hop(3 * SLICE_TURNS_MAX));
    await host.turn();
    expect(turns).toBeLessThanOrEqual(SLICE_TURNS_MAX + TURNS_PER_SLICE);
    await drain(host);
    expect(turns).toBe(3 * SLICE_TURNS_MAX + 1);
  });

  it('does not grow the stack over a chain of 100,000 synchronous hops', async () => {
    const { host, system } = await handSystem();
    const [a, b] = await spawnMany(system, 2);
    if (a === undefined || b === undefined) throw new Error('not spawned');
    const depths = new Set<number>();
    const limit = Error.stackTraceLimit;
    const hop =
      (left: number): Act =>
      (ctx) => {
        if (left % 10_000 === 1) {
          Error.stackTraceLimit = Infinity;
          depths.add(new Error('depth').stack?.split('\n').length ?? 0);
          Error.stackTraceLimit = limit;
        }
        if (left > 0) ctx.tell(ctx.self === a ? b : a, 'act', hop(left - 1));
      };
    a.tell('act', hop(100_000));
    await drain(host);
    expect(system.inspect(a)?.counts.handled).toBe(50_001);
    expect(Math.max(...depths)).toBeLessThan(40);
    expect(Math.max(...depths) - Math.min(...depths)).toBeLessThan(5);
  });

  it.each([
    ['synchronous', false],
    ['asynchronous', true],
  ])('takes a ring of 1,000 %s turns around without a macrotask for each hop', async (_kind, isAsync) => {
    const { host, system } = await handSystem();
    const refs = await spawnMany(system, 1_000);
    const rounds = 50;
    let hops = 0;
    const pass = (ctx: PuppetContext, place: number): void => {
      if (++hops >= rounds * refs.length) return;
      const next = refs[(place + 1) % refs.length];
      if (next !== undefined) ctx.tell(next, 'act', hop(place + 1));
    };
    const hop = (place: number): Act =>
      isAsync
        ? async (ctx) => {
            await Promise.resolve();
            pass(ctx, place);
          }
        : (ctx) => pass(ctx, place);
    const before = host.macrotasks;
    refs[0]?.tell('act', hop(0));
    await drain(host);
    expect(hops).toBe(rounds * refs.length);
    const slices = Math.ceil(hops / SLICE_TURNS_MAX);
    // Besides the slices: lists of turn timeouts that ran empty are taken down in a macrotask each.
    expect(host.macrotasks - before).toBeLessThanOrEqual(2 * slices);
    expect(host.macrotasks - before).toBeGreaterThanOrEqual(slices - 1);
  });
});
