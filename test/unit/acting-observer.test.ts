import { isTroupeError, type RuntimeEvent, type System, supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import { deferred, endingOf, never, type PuppetRef, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const AT_ONCE = { minMs: 0, maxMs: 0 };
const FAIL = (): never => {
  throw new Error('fail');
};

/** Kills an actor the first time that an event is of this kind. */
function killOnce(system: System, ref: PuppetRef, fits: (event: RuntimeEvent) => boolean): void {
  let isDone = false;
  system.events.subscribe((event) => {
    if (isDone || !fits(event)) return;
    isDone = true;
    void system.kill(ref); // never rejects
  });
}

describe('an observer that kills the actor it hears of', () => {
  it('P2 when a reply is too late leaves its message one outcome', async () => {
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: AT_ONCE });
    killOnce(system, ref, (event) => event.type === 'message-dead' && event.reason === 'late-reply');
    const end = deferred<number>();
    const asked = endingOf(ref.ask('answer', () => end.promise, { timeoutMs: 10 }));
    await advance(10);
    expect(asked.is).toBe('ERR_ASK_TIMEOUT');
    end.resolve(1);
    await settle();
    expect(system.inspect(ref)).toMatchObject({
      generation: 1,
      zombies: 0,
      counts: { accepted: 1, handled: 1, cancelled: 0 },
    });
  });

  it('P5 when a message has expired lets no turn begin while its next state is made', async () => {
    const made = deferred<unknown[]>();
    let starts = 0;
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(puppet({ state: () => (starts++ === 0 ? [] : made.promise) }), {
      backoff: AT_ONCE,
    });
    killOnce(system, ref, (event) => event.type === 'message-dead' && event.reason === 'expired');
    const handled: number[] = [];
    system.suspend(ref);
    ref.tell('act', () => handled.push(1), { ttlMs: 10 });
    ref.tell('act', ({ generation }) => handled.push(generation + 1));
    await advance(20);
    system.resume(ref);
    await settle();
    expect(handled).toEqual([]);
    made.resolve([]);
    await settle();
    expect(handled).toEqual([2]);
  });

  it.each(['actor-failed', 'message-dead'] as const)(
    'P24 P31 at %s starts one next life, which has not failed',
    async (type) => {
      const { system, advance } = await testSystem();
      const ref = await system.spawn(puppet(), { backoff: AT_ONCE });
      killOnce(system, ref, (event) => event.type === type);
      ref.tell('act', FAIL);
      await advance(0);
      expect(system.inspect(ref)).toMatchObject({ generation: 1, restarts: 1, counts: { failed: 1 } });
    },
  );

  it('P24 P31 when its turn has failed leaves the message one outcome where messages are tried again', async () => {
    const { system, advance } = await testSystem();
    const agent = puppet({ onFailure: { retry: { attemptsMax: 3, backoff: AT_ONCE } } });
    const ref = await system.spawn(agent, { backoff: AT_ONCE });
    killOnce(system, ref, ({ type }) => type === 'actor-failed');
    let runs = 0;
    ref.tell('act', () => {
      runs++;
      FAIL();
    });
    await advance(0);
    expect(runs).toBe(1);
    expect(system.inspect(ref)).toMatchObject({ generation: 1, restarts: 1, counts: { failed: 1 } });
  });

  it('P24 P31 when its turn is given up for a child that collapsed starts one next life', async () => {
    const { system, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: AT_ONCE });
    killOnce(system, ref, ({ type }) => type === 'turn-disowned');
    ref.tell('act', async (ctx) => {
      const child = await ctx.spawn(puppet({ decide: () => 'escalate' }));
      child.tell('act', FAIL);
      await never();
    });
    await advance(0);
    expect(system.inspect(ref)).toMatchObject({
      generation: 1,
      restarts: 1,
      counts: { failed: 1 },
      lastError: { code: 'ERR_ACTOR_KILLED' },
    });
  });

  it('P24 P31 when its turn is disowned starts one next life, which has not failed', async () => {
    const { system, advance } = await testSystem();
    const ref = await system.spawn(puppet({ turnTimeoutMs: 10 }), { backoff: AT_ONCE });
    killOnce(system, ref, ({ type }) => type === 'turn-disowned');
    ref.tell('act', never);
    await advance(10);
    expect(system.inspect(ref)).toMatchObject({ generation: 1, restarts: 1, counts: { failed: 1 } });
  });
});

describe('a decide', () => {
  it('P24 P31 that kills its actor starts one next life, which has not failed', async () => {
    let kill = (): unknown => undefined;
    const { system, advance } = await testSystem({
      root: supervisor({
        children: {
          a: puppet({
            decide: () => {
              kill();
              return 'restart';
            },
          }).child({ backoff: AT_ONCE }),
        },
      }),
    });
    kill = () => system.kill(system.refs.a);
    system.refs.a.tell('act', FAIL);
    await advance(0);
    expect(system.inspect(system.refs.a)).toMatchObject({ generation: 1, restarts: 1 });
  });

  it('P39 that answers with a promise is reported, and its rejection is heard', async () => {
    // What a user may write whom no compiler stops.
    const decide = (() => Promise.reject(new Error('late'))) as unknown as () => 'restart';
    const { system, advance, logs } = await testSystem();
    const ref = await system.spawn(puppet({ decide }), { backoff: AT_ONCE });
    ref.tell('act', FAIL);
    await advance(0);
    expect(system.inspect(ref)).toMatchObject({ generation: 1 });
    expect(logs.map(({ text }) => text)).toContainEqual(expect.stringContaining('decide answered an object'));
  });
});

describe('an error whose own code fails when it is looked at', () => {
  const fails = (): never => {
    throw new Error('do not look');
  };
  const hostile = (): object =>
    new Proxy(
      {},
      { get: fails, has: fails, getPrototypeOf: fails, ownKeys: fails, getOwnPropertyDescriptor: fails },
    );

  it('is none of ours', () => {
    expect(isTroupeError(hostile())).toBe(false);
  });

  it('restarts the actor that threw it, and rejects who asked', async () => {
    const { system, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: AT_ONCE });
    const asked = endingOf(
      ref.ask('answer', () => {
        throw hostile();
      }),
    );
    await advance(0);
    expect(asked.is).toBe('ERR_ACTOR_FAILED');
    expect(await ref.ask('answer', ({ generation }) => generation)).toBe(1);
  });
});

describe('a function of a pool that answers with a promise', () => {
  const rejects = (() => Promise.reject(new Error('late'))) as unknown as () => never;

  it.each([
    ['key', { size: 1, routing: 'sticky', key: rejects }],
    ['cost', { size: 1, rateLimit: { tokens: 1, perMs: 1_000, cost: rejects } }],
  ] as const)('P39 as its %s is refused, and its rejection is heard', async (_name, options) => {
    const { system } = await testSystem({
      root: supervisor({ children: { pool: puppet().pool(options) } }),
    });
    const { pool } = system.refs;
    expect(() => pool.tell('act', () => undefined)).toThrow(/it was given an object/);
    await expect(pool.ask('answer', () => 1)).rejects.toThrow(/it was given an object/);
  });
});
