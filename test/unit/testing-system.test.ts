import { agent, ask, protocol, supervisor, tell, type } from 'troupe';
import { createTestSystem } from 'troupe/testing';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { seededRandom } from '../../runtime/testing/chooser.ts';
import { kitSystem } from '../support/kit-system.ts';

const Counter = protocol('counter', {
  add: tell(type<number>()),
  fail: tell(),
  total: ask(type<void>(), type<number>()),
});

const counter = agent(Counter, {
  state: () => ({ total: 0 }),
  on: {
    add: (ctx, n) => {
      ctx.state.total += n;
    },
    fail: () => {
      throw new Error('told to fail');
    },
    total: (ctx) => ctx.state.total,
  },
});

const Sink = protocol('sink', { take: tell(type<string>()) });

/** The order in which what three actors write arrives, for this seed. */
async function arrivals(seed: number): Promise<string> {
  const system = await kitSystem({ seed });
  const sink = await system.probe(Sink);
  const Writer = protocol('writer', { write: tell(type<string>()) });
  const writer = agent(Writer, { on: { write: (ctx, text) => ctx.tell(sink.ref, 'take', text) } });
  for (const name of ['a', 'b', 'c', 'd']) {
    const ref = await system.spawn(writer, { name });
    ref.tell('write', `${name}1`);
    ref.tell('write', `${name}2`);
  }
  await system.settle();
  return sink.messages.map(({ payload }) => payload).join(' ');
}

describe('a test system', () => {
  it('is a system like any other: it runs by itself, and ends with its block', async () => {
    let stopped = false;
    const ending = agent(Counter, {
      on: { add: () => undefined, fail: () => undefined, total: () => 1 },
      onStop: () => {
        stopped = true;
      },
    });
    {
      const system = await createTestSystem({
        root: supervisor({ children: { ending: ending.child() } }),
      });
      expect(await system.refs.ending.ask('total')).toBe(1);
      expect(system.name).toBe('test');
      expect('probe' in system && 'spawn' in system).toBe(true);
      await system[Symbol.asyncDispose]();
    }
    expect(stopped).toBe(true);
  });

  it('stands still in time until it is told to go on', async () => {
    const system = await kitSystem();
    const ref = await system.spawn(counter, { backoff: { minMs: 100, maxMs: 100, jitter: 0 } });
    ref.tell('fail');
    await system.settle();
    expect(system.inspect(ref)?.status).toBe('restarting');
    await system.advance(99);
    expect([system.inspect(ref)?.status, system.now]).toEqual(['restarting', 99]);
    await system.advance(1);
    expect([system.inspect(ref)?.status, system.now]).toEqual(['running', 100]);
  });

  it('goes on until no timer is left, and says so when there is always one', async () => {
    const system = await kitSystem();
    const ref = await system.spawn(counter, { backoff: { minMs: 700, maxMs: 700, jitter: 0 } });
    ref.tell('fail');
    await system.runUntilIdle();
    expect(system.now).toBe(700);
    ref.tell('fail');
    await expect(system.runUntilIdle({ withinMs: 600 })).rejects.toMatchObject({ code: 'ERR_TEST_FAILED' });
    expect(system.now).toBe(1300);
  });

  it('says that actors write to each other for ever', async () => {
    const system = await kitSystem();
    let isOver = false;
    const Echo = protocol('echo', { again: tell() });
    const echo = agent(Echo, { on: { again: (ctx) => isOver || ctx.tell(ctx.self, 'again') } });
    (await system.spawn(echo)).tell('again');
    await expect(system.settle()).rejects.toThrow('never settles');
    isOver = true;
  });

  it('lets overdue timers fire late, and in order, after a stall', async () => {
    const system = await kitSystem();
    const ref = await system.spawn(counter);
    const endings: string[] = [];
    system.suspend(ref);
    for (const timeoutMs of [300, 100, 200]) {
      ref.ask('total', undefined, { timeoutMs }).catch(() => endings.push(`${timeoutMs} at ${system.now}`));
    }
    await system.stall(250);
    expect(endings).toEqual(['100 at 250', '200 at 250']);
  });

  it('replays a seed exactly, and other seeds take other orders', async () => {
    const orders = new Set<string>();
    for (let seed = 1; seed <= 20; seed++) {
      const order = await arrivals(seed);
      expect(await arrivals(seed)).toBe(order);
      orders.add(order);
    }
    expect(orders.size).toBeGreaterThan(15);
  });

  it('never touches the order of one actor', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const order = await arrivals(seed);
      for (const name of 'abcd') expect(order.indexOf(`${name}1`)).toBeLessThan(order.indexOf(`${name}2`));
    }
  });

  it('takes its seed from TROUPE_SEED, and names it in what fails', async () => {
    vi.stubEnv('TROUPE_SEED', '4711');
    const system = await kitSystem();
    expect(system.seed).toBe(4711);
    const other = await kitSystem({ seed: 7 });
    expect(other.seed).toBe(7);
    const probe = await other.probe(Sink);
    await expect(probe.expect('take')).rejects.toMatchObject({
      code: 'ERR_TEST_FAILED',
      details: { seed: 7 },
    });
    await expect(probe.expect('take')).rejects.toThrow('TROUPE_SEED=7');
    vi.stubEnv('TROUPE_SEED', 'seven');
    expect(() => createTestSystem()).toThrow("TROUPE_SEED must be a whole number >= 0; it was given 'seven'");
  });

  it('has another seed each time unless told', async () => {
    vi.stubEnv('TROUPE_SEED', '');
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    const one = await kitSystem();
    const two = await kitSystem();
    expect(one.seed).not.toBe(two.seed);
  });

  it('shuts down through virtual time, whatever hangs', async () => {
    const system = await createTestSystem();
    const hanging = agent(Counter, {
      on: { add: () => new Promise(() => undefined), fail: () => undefined, total: () => 1 },
    });
    (await system.spawn(hanging)).tell('add', 1);
    await system.settle();
    await system.shutdown();
    expect(system.now).toBeGreaterThanOrEqual(30_000);
    await system[Symbol.asyncDispose]();
    await system[Symbol.asyncDispose]();
  });

  it.each([
    ['an option that is unknown', { sed: 1 }],
    ['a seed that is no number', { seed: 'x' }],
    ['a negative seed', { seed: -1 }],
    ['faults that are no list', { faults: {} }],
    ['a name that is none', { name: '1' }],
  ])('refuses %s', async (_, options) => {
    await expect((async () => createTestSystem(options as never))()).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
    });
  });

  it('refuses times that are none', async () => {
    const system = await kitSystem();
    for (const ms of [-1, Number.NaN, '1', undefined, Number.POSITIVE_INFINITY]) {
      expect(() => system.advance(ms as number)).toThrow('advance: ms');
      expect(() => system.stall(ms as number)).toThrow('stall: ms');
    }
    expect(() => system.runUntilIdle({ within: 1 } as never)).toThrow('within');
  });
});

describe('the numbers of a seed', () => {
  it('are uniform enough in [0, 1), and differ between neighbours', () => {
    const firsts = Array.from({ length: 1_000 }, (_, seed) => seededRandom(seed)());
    expect(firsts.every((number) => number >= 0 && number < 1)).toBe(true);
    expect(new Set(firsts).size).toBe(1_000);
    const mean = firsts.reduce((sum, number) => sum + number, 0) / firsts.length;
    expect(mean).toBeGreaterThan(0.45);
    expect(mean).toBeLessThan(0.55);
  });
});
