import { agent, ask, protocol, tell, type } from 'troupe';
import { explore, type TestSystem, withTestSystem } from 'troupe/testing';
import { describe, expect, it } from 'vitest';
import { kitSystem } from '../support/kit-system.ts';

const Account = protocol('account', {
  add: tell(type<number>()),
  double: tell(),
  balance: ask(type<void>(), type<number>()),
});

const Cashier = protocol('cashier', { go: tell(type<'add' | 'double'>()) });

/** One account, and cashiers that all write to it: what it holds in the end depends on who comes first. */
async function race(system: TestSystem, works: readonly ('add' | 'double')[]): Promise<number> {
  const account = await system.spawn(
    agent(Account, {
      state: () => ({ balance: 1 }),
      on: {
        add: (ctx, n) => {
          ctx.state.balance += n;
        },
        double: (ctx) => {
          ctx.state.balance *= 2;
        },
        balance: (ctx) => ctx.state.balance,
      },
    }),
  );
  const cashier = agent(Cashier, {
    on: {
      go: (ctx, work) => (work === 'add' ? ctx.tell(account, 'add', 10) : ctx.tell(account, 'double')),
    },
  });
  const refs = await Promise.all(works.map(() => system.spawn(cashier)));
  for (const [i, ref] of refs.entries()) ref.tell('go', works[i] ?? 'add');
  await system.settle();
  return account.ask('balance');
}

/** Three actors, four messages, and a bug: a reply that comes while nobody has asked is taken for granted. */
async function buggy(system: TestSystem): Promise<void> {
  const Cache = protocol('cache', { put: tell(type<string>()), drop: tell(), read: tell() });
  const log: string[] = [];
  const cache = await system.spawn(
    agent(Cache, {
      state: () => ({ value: 'old' }),
      on: {
        put: (ctx, value) => {
          ctx.state.value = value;
        },
        drop: (ctx) => {
          ctx.state.value = '';
        },
        read: (ctx) => log.push(ctx.state.value),
      },
    }),
  );
  const Step = protocol('step', { go: tell(type<(tell: typeof cache) => unknown>()) });
  const step = agent(Step, { on: { go: (_, act) => act(cache) } });
  const acts: ((to: typeof cache) => unknown)[] = [
    (to) => to.tell('read'),
    (to) => to.tell('put', 'new'),
    (to) => to.tell('drop'),
  ];
  const refs = [];
  for (const _ of acts) refs.push(await system.spawn(step));
  for (const [i, ref] of refs.entries()) ref.tell('go', acts[i] ?? (() => undefined));
  await system.settle();
  if (log[0] === '') throw new Error('read what was dropped');
}

const nothing = (): undefined => undefined;

describe('an exploration', () => {
  it('goes every way once: all orders of independent actors, and no more', async () => {
    const balances: number[] = [];
    const orders = new Set<string>();
    const exploration = await explore({
      scenario: async (system) => {
        const before = system.trace.length;
        balances.push(await race(system, ['add', 'double']));
        orders.add(system.trace.slice(before).join('\n'));
      },
    });
    expect(exploration.isComplete).toBe(true);
    expect(exploration.schedules).toBe(orders.size);
    expect([...new Set(balances)].sort((a, b) => a - b)).toEqual([12, 22]);
  });

  it('reaches every result of three actors and four messages', async () => {
    const balances = new Set<number>();
    const exploration = await explore({
      scenario: async (system) => balances.add(await race(system, ['add', 'double', 'double', 'add'])),
    });
    expect(exploration.isComplete).toBe(true);
    // (1 + 10) * 4 + 10, ((1 + 10) * 2 + 10) * 2, and so on: one for each order of two and two.
    expect([...balances].sort((a, b) => a - b)).toEqual([24, 34, 44, 54, 64, 84]);
  });

  it('finds a bug that depends on one order and that plain runs miss, and names the schedule that replays it', async () => {
    // In the order of the calls, which is that of a plain system, all is well.
    await withTestSystem({ seed: 1, name: 'plain' }, () => undefined);
    await expect(explore({ scenario: buggy, schedule: [] })).resolves.toMatchObject({ schedules: 1 });
    const failed: unknown = await explore({ scenario: buggy }).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: 'ERR_TEST_FAILED', cause: { message: 'read what was dropped' } });
    const [, list = ''] = /Schedule \[([\d, ]*)\]/.exec(String(failed)) ?? [];
    const schedule = list.split(', ').map(Number);
    expect(schedule.some((choice) => choice > 0)).toBe(true);
    for (let i = 0; i < 3; i++) {
      await expect(explore({ scenario: buggy, schedule })).rejects.toMatchObject({
        cause: { message: 'read what was dropped' },
      });
    }
  });

  it('runs the timers of one instant in every order as well', async () => {
    const orders = new Set<string>();
    const exploration = await explore({
      scenario: async (system) => {
        const order: string[] = [];
        const silent = await system.probe(Account);
        const asks = [100, 101, 102].map((timeoutMs) =>
          silent.ref.ask('balance', undefined, { timeoutMs }).catch(() => order.push(`${timeoutMs}`)),
        );
        await system.advance(1);
        const late = silent.ref.ask('balance', undefined, { timeoutMs: 99 }).catch(() => order.push('99'));
        await system.advance(200);
        await Promise.all([...asks, late]);
        orders.add(order.join(' '));
      },
    });
    expect(exploration.isComplete).toBe(true);
    expect([...orders].sort()).toEqual(['100 99 101 102', '99 100 101 102']);
  });

  it('says when there are more schedules than it may try', async () => {
    const scenario = (system: TestSystem): Promise<number> => race(system, ['add', 'double', 'add']);
    expect(await explore({ scenario, schedulesMax: 3 })).toEqual({ schedules: 3, isComplete: false });
  });

  it('says when the scenario itself is not the same each time: when it offers less, and when it offers more', async () => {
    for (const others of [1, 4]) {
      let runs = 0;
      const scenario = (system: TestSystem): Promise<number> => {
        const cashiers = runs++ % 2 === 0 ? 3 : others;
        return race(system, new Array<'add'>(cashiers).fill('add'));
      };
      await expect(explore({ scenario, schedulesMax: 2 })).rejects.toThrow('does not do the same each time');
    }
  });

  it.each([
    [undefined],
    [{}],
    [{ scenario: 1 }],
    [{ scenario: nothing, schedulesMax: 0 }],
    [{ scenario: nothing, schedule: 'x' }],
    [{ scenario: nothing, schedule: [-1] }],
    [{ scenario: nothing, statesMax: 1 }],
  ])('refuses %j', async (options) => {
    await expect(explore(options as never)).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
  });
});

describe('a body with a test system', () => {
  it('fails with its own error and the seed', async () => {
    const error = new RangeError('too much');
    const failing = withTestSystem({ seed: 99 }, () => {
      throw error;
    });
    await expect(failing).rejects.toBe(error);
    expect(error.message).toBe('too much\n(TROUPE_SEED=99 replays it)');
  });

  it('names the seed once, and takes what is no Error as it is', async () => {
    const failing = withTestSystem({ seed: 5 }, async (system) =>
      (await system.probe(Account)).expect('add'),
    );
    const message: string = await failing.then(String, String);
    expect(message.match(/TROUPE_SEED=5/g)).toHaveLength(1);
    await expect(withTestSystem({}, () => Promise.reject(Object.freeze(new Error('cold'))))).rejects.toThrow(
      /^cold$/,
    );
    await expect(withTestSystem({}, undefined as never)).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
    });
  });

  it('ends its system', async () => {
    let kept: TestSystem | undefined;
    await withTestSystem({}, (system) => {
      kept = system;
    });
    await expect(kept?.spawn(agent(Cashier, { on: { go: () => undefined } }))).rejects.toMatchObject({
      code: 'ERR_ACTOR_STOPPED',
    });
    const another = await kitSystem();
    expect(another.now).toBe(0);
  });
});
