import { type Strategy, supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import { deferred, endingOf, never, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const AT_ONCE = { minMs: 0, maxMs: 0 };
const FAIL = (): never => {
  throw new Error('fail');
};

/** Three puppets a, b and c under one strategy, which log their hooks. */
async function trio(
  strategy: Strategy,
  options: { readonly max?: number; readonly shutdownMs?: number } = {},
) {
  const seen: string[] = [];
  const child = (name: string) =>
    puppet({
      state: () => {
        seen.push(`${name} starts`);
        return [];
      },
      onRestart: (_ctx, { kind, cause }) =>
        seen.push(`${name} ${kind} ${cause instanceof Error ? cause.message : ''}`),
      onStop: (_ctx, reason) => seen.push(`${name} stops ${reason}`),
    }).child({ backoff: AT_ONCE, shutdownMs: options.shutdownMs ?? 1_000 });
  // What fails or is asked first is so by the order of the calls.
  const test = await testSystem({
    order: 'engine',
    root: supervisor({
      strategy,
      intensity: { max: options.max ?? 3 },
      children: { a: child('a'), b: child('b'), c: child('c') },
    }),
  });
  seen.length = 0;
  return { ...test, seen };
}

describe('a group restart', () => {
  it.each([
    ['one-for-one', ['b failed fail', 'b starts'], [0, 1, 0]],
    [
      'one-for-all',
      ['b failed fail', 'c sibling fail', 'a sibling fail', 'a starts', 'b starts', 'c starts'],
      [1, 1, 1],
    ],
    ['rest-for-one', ['b failed fail', 'c sibling fail', 'b starts', 'c starts'], [0, 1, 1]],
  ] as const)(
    'P14 of %s restarts those it must, in order, and nobody else',
    async (strategy, hooks, generations) => {
      const { system, advance, seen } = await trio(strategy);
      const { a, b, c } = system.refs;
      const before = [a, b, c].map((ref) => system.inspect(ref)?.address);
      b.tell('act', FAIL);
      await advance(0);
      expect(seen).toEqual(hooks);
      expect([a, b, c].map((ref) => system.inspect(ref)?.generation)).toEqual(generations);
      expect([a, b, c].map((ref) => system.inspect(ref)?.address)).toEqual(before);
    },
  );

  it('P32 keeps the mailboxes of all, and a sibling finishes its turn within its shutdown time', async () => {
    const { system, advance, settle, seen } = await trio('one-for-all');
    const { a, b } = system.refs;
    const gate = deferred();
    a.tell('act', () => gate.promise.then(() => seen.push('a finishes')));
    a.tell('act', (ctx) => seen.push(`a in generation ${ctx.generation}`));
    b.tell('act', FAIL);
    await settle();
    expect(seen).toEqual(['b failed fail', 'c sibling fail']);
    expect(system.inspect(a)?.status).toBe('restarting');
    gate.resolve();
    await advance(0);
    const next = 'a in generation 1';
    expect(seen.slice(2).filter((line) => line !== next)).toEqual([
      'a finishes',
      'a sibling fail',
      'a starts',
      'b starts',
      'c starts',
    ]);
    expect(seen.indexOf(next)).toBeGreaterThan(seen.indexOf('a starts'));
    expect(system.inspect(a)?.counts).toMatchObject({ accepted: 2, handled: 2 });
  });

  it('P29 goes on when a sibling that finishes its turn is stopped meanwhile, and leaves that one stopped', async () => {
    const { system, advance, settle, seen } = await trio('one-for-all', { shutdownMs: Infinity });
    const { a, b } = system.refs;
    const gate = deferred();
    a.tell('act', () => gate.promise);
    b.tell('act', FAIL);
    await settle();
    const stopped = endingOf(system.stop(a));
    await settle();
    expect(stopped.is).toBeUndefined();
    gate.resolve();
    await advance(0);
    expect(stopped.is).toBe('resolved');
    expect(seen).toEqual(['b failed fail', 'c sibling fail', 'a stops shutdown', 'b starts', 'c starts']);
    expect(system.inspect(a)?.status).toBe('stopped');
  });

  it('P37 aborts the turn of a sibling that takes too long, and its asker hears the cause before the new start', async () => {
    const { system, advance, seen } = await trio('one-for-all', { shutdownMs: 50 });
    const { a, b } = system.refs;
    const reasons: unknown[] = [];
    const asked = endingOf(
      a.ask(
        'answer',
        (ctx) =>
          new Promise((_resolve, reject) => {
            ctx.signal.addEventListener('abort', () => {
              seen.push('a aborts');
              reasons.push(ctx.signal.reason);
              reject(new Error('aborted'));
            });
          }),
      ),
    );
    b.tell('act', FAIL);
    await advance(50);
    expect(asked).toMatchObject({ is: 'ERR_ACTOR_FAILED', error: { cause: { message: 'fail' } } });
    expect(reasons).toEqual([asked.error]);
    expect(seen).toEqual([
      'b failed fail',
      'c sibling fail',
      'a aborts',
      'a sibling fail',
      'a starts',
      'b starts',
      'c starts',
    ]);
    expect(system.inspect(a)?.counts).toMatchObject({ accepted: 1, cancelled: 1 });
  });

  it('P37 tells nobody that an actor has stopped which comes back, also where no failure is the cause', async () => {
    const { system, advance } = await testSystem({
      root: supervisor({
        strategy: 'one-for-all',
        children: {
          a: puppet().child({ shutdownMs: 50 }),
          b: puppet().child({ restart: 'permanent', backoff: AT_ONCE }),
          c: puppet().child({ shutdownMs: 50 }),
        },
      }),
    });
    const { a, b, c } = system.refs;
    const reasons: unknown[] = [];
    const asked = endingOf(
      a.ask('answer', (ctx) => {
        ctx.signal.addEventListener('abort', () => reasons.push(ctx.signal.reason));
        return never();
      }),
    );
    c.tell('act', never);
    b.tell('act', (ctx) => ctx.stopSelf());
    await advance(50 + 1_000 + 50); // c ends first, after its grace
    expect(asked.is).toBe('ERR_ACTOR_FAILED');
    expect(reasons).toEqual([asked.error]);
    await advance(1_000);
    for (const sibling of [a, c])
      expect(system.inspect(sibling)).toMatchObject({ status: 'running', generation: 1, zombies: 1 });
  });

  it('P24 P30 folds in a sibling that fails while it is stopped, and counts one unit', async () => {
    const { system, advance, settle, events, seen } = await trio('one-for-all', { max: 1 });
    const { a, b } = system.refs;
    const gate = deferred();
    a.tell('act', () => gate.promise.then(FAIL));
    b.tell('act', FAIL);
    await settle();
    gate.resolve();
    await advance(0);
    expect(seen.filter((line) => line.endsWith('starts'))).toEqual(['a starts', 'b starts', 'c starts']);
    expect(events.filter(({ type }) => type === 'supervisor-gave-up')).toEqual([]);
    expect(system.inspect(a)?.restartsWithoutProgress).toBe(0);
    expect(system.inspect(b)?.restartsWithoutProgress).toBe(1);
  });

  it('P30 is one for siblings that fail in the same instant', async () => {
    const { system, advance, seen } = await trio('one-for-all', { max: 1 });
    const { b, c } = system.refs;
    b.tell('act', FAIL);
    c.tell('act', () => {
      throw new Error('too');
    });
    await advance(0);
    expect(seen).toEqual([
      'b failed fail',
      'c failed too',
      'a sibling fail',
      'a starts',
      'b starts',
      'c starts',
    ]);
    expect(system.inspect(c)).toMatchObject({ status: 'running', generation: 1 });
  });

  it('P30 begins again, for one more unit, when a child that is up already fails while others start', async () => {
    const gate = deferred();
    let starts = 0;
    const slow = puppet({
      state: async () => {
        if (++starts === 2) await gate.promise;
        return [];
      },
    });
    const { system, advance, settle } = await testSystem({
      root: supervisor({
        strategy: 'one-for-all',
        intensity: { max: 2 },
        children: { a: puppet().child({ backoff: AT_ONCE }), slow: slow.child({ backoff: AT_ONCE }) },
      }),
    });
    const { a } = system.refs;
    system.refs.slow.tell('act', FAIL);
    await settle();
    a.tell('act', FAIL);
    await settle();
    gate.resolve();
    await advance(0);
    expect(starts).toBe(3);
    expect(system.inspect(a)).toMatchObject({ status: 'running', generation: 2 });
    a.tell('act', FAIL);
    await advance(0);
    expect(system.inspect(a)?.status).toBe('stopped');
  });

  it('P15 ends temporary siblings for good: their spec is gone', async () => {
    const { system, advance, events } = await testSystem({
      root: supervisor({
        strategy: 'one-for-all',
        children: { a: puppet().child({ backoff: AT_ONCE }), b: puppet().child({ restart: 'temporary' }) },
      }),
    });
    system.refs.a.tell('act', FAIL);
    await advance(0);
    const reasons = events.flatMap((event) => (event.type === 'actor-stopped' ? [event.reason] : []));
    expect(reasons).toEqual(['shutdown']);
    expect(system.supervisor('/root').children()).toMatchObject([{ name: 'a', status: 'running' }]);
    expect(system.inspect(system.refs.b)?.status).toBe('stopped');
    expect(await system.supervisor('/root').restartChild('b')).toBe('not-found');
  });

  it('ends its supervisor when a temporary sibling escalates just then', async () => {
    const gate = deferred();
    const { system, advance, settle, events } = await testSystem({
      root: supervisor({
        children: {
          branch: supervisor({
            strategy: 'one-for-all',
            backoff: { minMs: 1_000 },
            children: {
              a: puppet({ onRestart: () => gate.promise }).child({ backoff: AT_ONCE }),
              b: puppet({ decide: () => 'escalate' }).child({ restart: 'temporary' }),
            },
          }),
        },
      }),
    });
    const { a, b } = system.refs.branch;
    a.tell('act', FAIL);
    await settle();
    b.tell('act', FAIL);
    await settle();
    gate.resolve();
    await advance(0);
    expect(events.filter(({ type }) => type === 'supervisor-gave-up')).toMatchObject([
      { address: '/root/branch' },
    ]);
    expect(events.filter(({ type }) => type === 'actor-restarted')).toEqual([]);
  });

  it('P17 serves requests between two attempts', async () => {
    let starts = 0;
    const failing = puppet({
      state: () => {
        if (++starts > 1) throw new Error('no start');
        return [];
      },
    });
    const { system, advance } = await testSystem({
      root: supervisor({
        strategy: 'rest-for-one',
        intensity: { max: Infinity },
        restartsWithoutProgressMax: Infinity,
        children: {
          failing: failing.child({ backoff: { minMs: 1_000, maxMs: 1_000, jitter: 0 } }),
          b: puppet().child(),
        },
      }),
    });
    system.refs.failing.tell('act', FAIL);
    await advance(2_500);
    expect(starts).toBe(3);
    const control = system.supervisor('/root');
    expect(await control.restartChild('failing')).toBe('restarting');
    expect(await control.deleteChild('failing')).toBe('restarting');
    expect(await control.terminateChild('failing')).toBe('ok');
    await advance(10_000);
    expect(starts).toBe(3);
    expect(control.children()).toMatchObject([
      { name: 'failing', status: 'stopped' },
      { name: 'b', status: 'running' },
    ]);
  });

  it.each(['agent', 'supervisor'] as const)(
    'P17 that brings back an ended %s tries it again until it starts, with growing delays, as OTP does',
    async (kind) => {
      let mayStart = true;
      let starts = 0;
      const seen: string[] = [];
      const worker = puppet({
        state: () => {
          starts++;
          if (!mayStart) throw new Error('no start');
          return [];
        },
        onStop: (_ctx, reason) => seen.push(reason),
      });
      const backoff = { minMs: 1_000, maxMs: 60_000, jitter: 0 };
      const { system, advance, settle } = await testSystem({
        root: supervisor({
          strategy: 'rest-for-one',
          intensity: { max: 10, withinMs: Infinity },
          restartsWithoutProgressMax: 10,
          children: {
            first: puppet().child({ backoff: AT_ONCE }),
            second:
              kind === 'agent'
                ? worker.child({ backoff })
                : supervisor({ backoff, children: { leaf: worker.child() } }),
          },
        }),
      });
      const control = system.supervisor('/root');
      const second = (): string | undefined => control.children()[1]?.status;
      await control.terminateChild('second');
      mayStart = false;
      seen.length = 0;
      system.refs.first.tell('act', FAIL);
      await settle();
      expect([starts, second(), system.tree().children[0]?.children[1]?.status]).toEqual([
        2,
        'restarting',
        'restarting',
      ]);
      expect(await control.restartChild('second')).toBe('restarting');
      expect(await control.deleteChild('second')).toBe('restarting');
      for (const [afterMs, startsThen] of [
        [1_000, 3],
        [1_999, 3],
        [1, 4],
        [3_999, 4],
      ] as const) {
        await advance(afterMs);
        expect(starts).toBe(startsThen);
      }
      mayStart = true;
      await advance(1);
      expect([starts, second()]).toEqual([5, 'running']);
      expect(seen).toEqual([]); // what never had a state has none to stop with
      await control.terminateChild('second');
      expect(seen).toEqual(['shutdown']);
    },
  );

  it('P23 gives up on a child that it brings back and that never starts', async () => {
    let starts = 0;
    const stops: string[] = [];
    const failing = puppet({
      state: () => {
        if (++starts > 1) throw new Error('no start');
        return [];
      },
      onStop: (_ctx, reason) => stops.push(reason),
    });
    const { system, advance, events } = await testSystem({
      root: supervisor({
        strategy: 'one-for-all',
        intensity: { max: Infinity },
        restartsWithoutProgressMax: 3,
        children: {
          first: puppet().child({ backoff: AT_ONCE }),
          failing: failing.child({ backoff: { minMs: 1, maxMs: 1 } }),
        },
      }),
    });
    await system.supervisor('/root').terminateChild('failing');
    system.refs.first.tell('act', FAIL);
    await advance(1_000);
    expect(starts).toBe(5); // with the first one that worked, and the attempt before the three restarts
    expect(events.filter(({ type }) => type === 'supervisor-gave-up')).toMatchObject([
      { address: '/root', limit: 'failing: 3 restarts without a completed turn' },
    ]);
    expect(stops).toEqual(['shutdown']);
  });
});
