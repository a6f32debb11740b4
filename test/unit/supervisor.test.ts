import { supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import { deferred, endingOf, never, type PuppetRef, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const QUICK = { minMs: 100, maxMs: 100, jitter: 0 };
const FAIL = (): never => {
  throw new Error('fail');
};

describe('a supervisor', () => {
  it('P16 gives up at the failure after the last allowed one, and its root takes the system down', async () => {
    const root = supervisor({
      intensity: { max: 2, withinMs: 1_000 },
      restartsWithoutProgressMax: Infinity,
      children: { a: puppet().child({ backoff: { minMs: 0 } }), b: puppet().child() },
    });
    const { system, advance, events } = await testSystem({ root });
    const { a, b } = system.refs;
    for (const gap of [0, 500, 501]) {
      await advance(gap);
      a.tell('act', FAIL);
      await advance(0);
      expect(system.inspect(a)?.status).toBe('running');
    }
    await advance(498); // the second of the three is 999 ms old now
    a.tell('act', FAIL);
    await advance(0);
    expect(system.inspect(a)?.status).toBe('stopped');
    expect(system.inspect(b)?.status).toBe('stopped');
    expect(events.filter(({ type }) => type === 'supervisor-gave-up')).toHaveLength(1);
  });

  it('P16 with intensity 0 gives up at the first failure', async () => {
    const { system, advance } = await testSystem({
      root: supervisor({ intensity: { max: 0 }, children: { a: puppet().child() } }),
    });
    system.refs.a.tell('act', FAIL);
    await advance(0);
    expect(system.inspect(system.refs.a)?.status).toBe('stopped');
  });

  it('P22 draws the next delay from the start after a completed turn, not after mere time', async () => {
    const { system, advance, events } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: { minMs: 10, maxMs: 1_000, jitter: 0 } });
    const delays = (): number[] =>
      events.flatMap((event) => (event.type === 'actor-restarting' ? [event.delayMs] : []));
    ref.tell('act', FAIL);
    await advance(100_000);
    ref.tell('act', FAIL);
    await advance(100_000);
    expect(delays()).toEqual([10, 20]);
    ref.tell('act', () => 'done');
    ref.tell('act', FAIL);
    await advance(100_000);
    expect(delays()).toEqual([10, 20, 10]);
  });

  it.each([1, 60_000, 3_600_000])(
    'P23 gives up after three restarts without a completed turn, however slow (%i ms)',
    async (turnMs) => {
      const { system, advance, clock } = await testSystem();
      let turns = 0;
      const ref = await system.spawn(puppet({ turnTimeoutMs: Infinity }), { backoff: { minMs: 0 } });
      for (let i = 0; i < 10; i++) {
        ref.tell('act', async () => {
          turns++;
          await new Promise<void>((resolve) => {
            clock.setTimer(turnMs, resolve);
          });
          throw new Error('fail');
        });
      }
      await advance(turnMs * 11);
      expect(turns).toBe(4);
      expect(system.inspect(ref)).toMatchObject({
        status: 'stopped',
        counts: { failed: 4, deadLettered: 6 },
      });
    },
  );

  it('P17 counts failed starts like failures', async () => {
    let starts = 0;
    const { system, advance } = await testSystem();
    const ref = await system.spawn(
      puppet({
        state: () => {
          if (++starts > 1) throw new Error('no start');
          return [];
        },
      }),
      { backoff: { minMs: 0 } },
    );
    ref.tell('act', FAIL);
    const queued = endingOf(ref.ask('answer', () => 1));
    await advance(1_000);
    expect(starts).toBe(4);
    expect(queued.is).toBe('ERR_ACTOR_STOPPED');
    expect(system.inspect(ref)).toMatchObject({ status: 'stopped', restarts: 3 });
  });

  it('P17 lets the event loop go between failed starts, without limits and without a delay', async () => {
    let starts = 0;
    const failing = puppet({
      state: () => {
        if (++starts > 1 && starts < 10_000) throw new Error('no start');
        return [];
      },
    });
    const { system } = await testSystem({
      root: supervisor({
        intensity: { max: Infinity },
        restartsWithoutProgressMax: Infinity,
        children: { a: failing.child({ backoff: { minMs: 0, maxMs: 0 } }) },
      }),
    });
    system.refs.a.tell('act', FAIL);
    for (let round = 0; round < 10; round++) {
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
    }
    expect(starts).toBeGreaterThan(5);
    expect(starts).toBeLessThan(50);
    await system.stop(system.refs.a);
  });

  it('P24 counts two children that fail beyond the limit at once as one giving up', async () => {
    const gate = deferred();
    const slow = puppet({ onStop: () => gate.promise });
    const branch = supervisor({ intensity: { max: 0 }, children: { a: slow.child(), b: slow.child() } });
    const { system, advance, settle, events } = await testSystem({
      root: supervisor({ intensity: { max: 1 }, children: { branch } }),
    });
    const { a, b } = system.refs.branch;
    a.tell('act', FAIL);
    await settle();
    b.tell('act', FAIL);
    await settle();
    gate.resolve();
    await advance(1_000);
    expect(system.inspect(a)?.status).toBe('running');
    expect(system.inspect(b)?.status).toBe('running');
    expect(events.flatMap((event) => (event.type === 'supervisor-gave-up' ? [event.address] : []))).toEqual([
      '/root/branch',
    ]);
  });

  it('P25 that is told to resume keeps state, generation and timers; only the message is lost', async () => {
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(puppet({ decide: () => 'resume' }));
    const ticks: number[] = [];
    ref.tell('act', (ctx) => {
      ctx.state.push('kept');
      ctx.timers.every('tick', 10, 'next', (own) => ticks.push(own.generation));
    });
    const asked = endingOf(ref.ask('answer', FAIL));
    await settle();
    expect(asked.is).toBe('ERR_ACTOR_FAILED');
    expect(await ref.ask('answer', (ctx) => [...ctx.state, ctx.generation])).toEqual(['kept', 0]);
    expect(system.inspect(ref)?.counts).toMatchObject({ accepted: 3, handled: 2, failed: 1 });
    await advance(30);
    expect(ticks).toEqual([0, 0, 0]);
    expect(system.deadLetters.list()).toMatchObject([{ reason: 'handler-failed', message: 'answer' }]);
  });

  it('P15 restarts by restart type', async () => {
    const { system, advance } = await testSystem();
    const spawn = (restart: 'permanent' | 'transient' | 'temporary'): Promise<PuppetRef> =>
      system.spawn(puppet(), { restart, backoff: QUICK });
    const outcomes: Record<string, string | undefined> = {};
    for (const restart of ['permanent', 'transient', 'temporary'] as const) {
      const leaving = await spawn(restart);
      leaving.tell('act', (ctx) => ctx.stopSelf());
      const failing = await spawn(restart);
      failing.tell('act', FAIL);
      await advance(100);
      outcomes[`${restart} leaves`] = system.inspect(leaving)?.status;
      outcomes[`${restart} fails`] = system.inspect(failing)?.status;
    }
    expect(outcomes).toEqual({
      'permanent leaves': 'running',
      'permanent fails': 'running',
      'transient leaves': 'stopped',
      'transient fails': 'running',
      'temporary leaves': 'stopped',
      'temporary fails': 'stopped',
    });
  });

  it('P31 ignores the failure of an actor that it has stopped', async () => {
    const gate = deferred();
    const { system, advance, settle } = await testSystem({
      root: supervisor({ intensity: { max: 0 }, children: { a: puppet().child(), b: puppet().child() } }),
    });
    const { a, b } = system.refs;
    a.tell('act', () => gate.promise.then(FAIL));
    await settle();
    void system.stop(a);
    gate.resolve();
    await advance(1_000);
    expect(system.inspect(a)?.status).toBe('stopped');
    expect(system.inspect(b)?.status).toBe('running');
  });

  it('P33 never gives a failed message to a handler again, unless it is told to', async () => {
    const { system, advance } = await testSystem();
    const handled: string[] = [];
    const ref = await system.spawn(puppet(), { backoff: QUICK });
    for (const name of ['a', 'b', 'c']) {
      ref.tell('act', () => {
        handled.push(name);
        if (name !== 'c') throw new Error(name);
      });
    }
    await advance(1_000);
    expect(handled).toEqual(['a', 'b', 'c']);
  });

  it('P34 tries a message at most attemptsMax times, then buries it with all causes; the others keep their order', async () => {
    const { system, advance } = await testSystem();
    const handled: string[] = [];
    const ref = await system.spawn(puppet({ onFailure: { retry: { attemptsMax: 3, backoff: QUICK } } }));
    const asked = endingOf(
      ref.ask('answer', (ctx) => {
        handled.push(`a${ctx.message.attempt}`);
        throw new Error(`attempt ${ctx.message.attempt}`);
      }),
    );
    ref.tell('act', () => handled.push('b'));
    await advance(1_000);
    expect(handled).toEqual(['a1', 'a2', 'a3', 'b']);
    expect(asked.is).toBe('ERR_ACTOR_FAILED');
    expect(system.deadLetters.list()).toMatchObject([
      {
        reason: 'attempts-exhausted',
        attempts: 3,
        error: { message: 'attempt 3' },
        history: [1, 2, 3].map((attempt) => ({ attempt, error: { message: `attempt ${attempt}` } })),
      },
    ]);
    expect(system.inspect(ref)).toMatchObject({
      restarts: 3,
      counts: { accepted: 2, handled: 1, deadLettered: 1 },
    });
  });

  it('P11 starts a child only when the one before it has started', async () => {
    const seen: string[] = [];
    const child = (name: string) =>
      puppet({
        state: async () => {
          seen.push(`${name} begins`);
          await Promise.resolve();
          seen.push(`${name} ends`);
          return [];
        },
      }).child();
    await testSystem({ root: supervisor({ children: { a: child('a'), b: child('b') } }) });
    expect(seen).toEqual(['a begins', 'a ends', 'b begins', 'b ends']);
  });

  it('P28 disowns a child that ignores its end before it tells the one before it', async () => {
    const { system, advance, settle, events } = await testSystem({
      root: supervisor({
        children: { a: puppet().child(), b: puppet().child({ shutdownMs: 100 }) },
      }),
    });
    system.refs.b.tell('act', never);
    await settle();
    const ended = endingOf(system.shutdown());
    await advance(1_099);
    expect(system.inspect(system.refs.a)?.status).toBe('running');
    await advance(1);
    expect(ended.is).toBe('resolved');
    const told = events.flatMap(({ type }) =>
      type === 'turn-disowned' || type === 'actor-stopped' ? [type] : [],
    );
    expect(told).toEqual(['turn-disowned', 'actor-stopped', 'actor-stopped']);
  });

  it('P13 stops static children one after the other, last started first', async () => {
    const seen: string[] = [];
    const child = (name: string) =>
      puppet({
        onStop: async () => {
          seen.push(`${name} begins`);
          await Promise.resolve();
          seen.push(`${name} ends`);
        },
      }).child();
    const { system } = await testSystem({ root: supervisor({ children: { a: child('a'), b: child('b') } }) });
    await system.shutdown();
    expect(seen).toEqual(['b begins', 'b ends', 'a begins', 'a ends']);
  });

  it('P12 that cannot start a child stops the ones before it in reverse and rejects', async () => {
    const seen: string[] = [];
    const child = (name: string) => puppet({ onStop: () => seen.push(name) }).child();
    const failing = puppet({
      state: () => {
        throw new Error('no');
      },
    }).child();
    await expect(
      testSystem({
        root: supervisor({ children: { a: child('a'), b: child('b'), failing, c: child('c') } }),
      }),
    ).rejects.toMatchObject({ code: 'ERR_START_FAILED' });
    expect(seen).toEqual(['b', 'a']);
  });

  it('of an actor: its collapse fails the running turn of the parent, and P32 keeps the parent mailbox', async () => {
    const { system, advance, settle } = await testSystem();
    const seen: string[] = [];
    const gate = deferred();
    const child = puppet({ decide: () => 'escalate' });
    const parent = await system.spawn(puppet(), { backoff: QUICK });
    const asked = endingOf(
      parent.ask('answer', async (ctx) => {
        const ref = await ctx.spawn(child);
        ref.tell('act', FAIL);
        await gate.promise;
      }),
    );
    parent.tell('act', (ctx) => seen.push(`generation ${ctx.generation}`));
    await settle();
    expect(asked).toMatchObject({
      is: 'ERR_ACTOR_FAILED',
      error: { cause: { code: 'ERR_RESTART_INTENSITY' } },
    });
    await advance(100);
    expect(seen).toEqual(['generation 1']);
    expect(system.inspect(parent)).toMatchObject({
      generation: 1,
      zombies: 1,
      counts: { accepted: 2, handled: 1, failed: 1 },
    });
    gate.resolve();
    await settle();
    expect(system.inspect(parent)?.zombies).toBe(0);
  });

  it('of an actor: its collapse during the start of the parent fails that start, and leaves no dead letter of its own', async () => {
    const { system, settle } = await testSystem();
    const child = puppet({ decide: () => 'escalate' });
    const spawned = endingOf(
      system.spawn(
        puppet({
          state: async (_args, ctx) => {
            const ref = await ctx.spawn(child);
            ref.tell('act', FAIL);
            await new Promise(() => undefined);
            return [];
          },
        }),
      ),
    );
    await settle();
    expect(spawned.is).toBe('ERR_START_FAILED');
    expect(system.deadLetters.list().map(({ message }) => message)).toEqual(['act']);
  });
});
