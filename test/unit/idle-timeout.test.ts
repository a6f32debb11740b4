import { describe, expect, it } from 'vitest';
import { type Act, type PuppetRef, puppet } from '../support/puppet.ts';
import { type TestSystem, testSystem } from '../support/test-system.ts';

const NOTHING = (): void => undefined;

interface Idle extends TestSystem<Record<never, never>> {
  readonly ref: PuppetRef;
  /** When `onIdle` ran. */
  readonly idle: number[];
  readonly wait: (ms: number) => Promise<void>;
  /** Does something in a turn of the actor. */
  readonly act: (act: Act) => Promise<void>;
}

async function idling(options: Parameters<typeof puppet>[0] = {}): Promise<Idle> {
  const test = await testSystem();
  const { system, clock, settle } = test;
  const idle: number[] = [];
  const ref = await system.spawn(puppet({ onIdle: () => idle.push(clock.now()), ...options }), {
    backoff: { minMs: 10, maxMs: 10, jitter: 0 },
  });
  return {
    ...test,
    ref,
    idle,
    wait: (ms) =>
      new Promise((resolve) => {
        clock.setTimer(ms, resolve);
      }),
    act: async (act) => {
      ref.tell('act', act);
      await settle();
    },
  };
}

describe('the idle timeout', () => {
  it('P86 fires once after the last message, and again only after another one', async () => {
    const { act, advance, idle } = await idling();
    await advance(1_000);
    expect(idle).toEqual([]);
    await act((ctx) => ctx.setIdleTimeout(100));
    await advance(99);
    expect(idle).toEqual([]);
    await advance(1);
    expect(idle).toEqual([1_100]);
    await advance(1_000);
    await act(NOTHING);
    await advance(60);
    await act(NOTHING);
    await advance(60);
    await act(NOTHING);
    await advance(99);
    expect(idle).toEqual([1_100]);
    await advance(1_000);
    expect(idle).toEqual([1_100, 2_320]);
  });

  it('P86 never fires during a turn, of any length, and counts from its end', async () => {
    const { act, advance, idle, wait } = await idling();
    await act(async (ctx) => {
      ctx.setIdleTimeout(100);
      await wait(1_000);
    });
    await advance(1_099);
    expect(idle).toEqual([]);
    await advance(1);
    await act(() => wait(250));
    await advance(350);
    expect(idle).toEqual([1_100, 1_450]);
  });

  it('P86 takes a queued message for no idleness, whether it gets a turn or is taken back', async () => {
    const { act, advance, idle, system, ref } = await idling();
    await act((ctx) => ctx.setIdleTimeout(100));
    system.suspend(ref);
    const cancel = new AbortController();
    ref.ask('answer', NOTHING, { signal: cancel.signal, timeoutMs: 100_000 }).catch(NOTHING);
    await advance(250);
    cancel.abort();
    await advance(50);
    system.resume(ref);
    await advance(49);
    expect(idle).toEqual([]);
    await advance(1);
    expect(idle).toEqual([350]);
    system.suspend(ref);
    ref.tell('act', NOTHING);
    await advance(300);
    system.resume(ref);
    await advance(100);
    expect(idle).toEqual([350, 750]);
  });

  it('P86 of a suspended actor waits for its resumption, and for nothing if a message came first', async () => {
    const { act, advance, idle, system, ref } = await idling();
    await act((ctx) => ctx.setIdleTimeout(100));
    system.suspend(ref);
    await advance(200);
    system.resume(ref);
    await advance(0);
    expect(idle).toEqual([200]);
    await act(NOTHING);
    system.suspend(ref);
    await advance(100);
    ref.tell('act', NOTHING);
    system.resume(ref);
    await advance(99);
    expect(idle).toEqual([200]);
    await advance(1);
    expect(idle).toEqual([200, 400]);
    await act(NOTHING);
    system.suspend(ref);
    await advance(100);
    const cancel = new AbortController();
    ref.ask('answer', NOTHING, { signal: cancel.signal }).catch(NOTHING);
    cancel.abort();
    system.resume(ref);
    await advance(99);
    expect(idle).toEqual([200, 400]);
    await advance(1);
    expect(idle).toEqual([200, 400, 600]);
  });

  it('P86 is not put off by ticks, but waits for the end of a tick that has its turn; a continuation puts it off', async () => {
    const { act, advance, idle, wait } = await idling();
    await act((ctx) => {
      ctx.setIdleTimeout(100);
      ctx.timers.every('short', 30, 'next', NOTHING);
    });
    await advance(100);
    expect(idle).toEqual([100]);
    await act((ctx) => ctx.timers.once('short', 80, 'next', () => wait(70)));
    await advance(150);
    expect(idle).toEqual([100, 250]);
    await act((ctx) => ctx.timers.once('short', 80, 'next', (own) => own.continue('next', () => wait(50))));
    await advance(229);
    expect(idle).toEqual([100, 250]);
    await advance(1);
    expect(idle).toEqual([100, 250, 480]);
  });

  it('is set anew or ended by a later call, even when it is queued, and by onIdle itself', async () => {
    let again: number | undefined = 40;
    const { act, advance, idle, clock, wait } = await idling({
      onIdle: (ctx) => {
        idle.push(clock.now());
        ctx.setIdleTimeout(again);
      },
    });
    await act((ctx) => ctx.setIdleTimeout(100));
    await advance(50);
    await act((ctx) => ctx.setIdleTimeout(200));
    await advance(199);
    expect(idle).toEqual([]);
    await advance(41);
    expect(idle).toEqual([250, 290]);
    again = undefined;
    await advance(1_000);
    expect(idle).toEqual([250, 290, 330]);
    await act(async (ctx) => {
      ctx.setIdleTimeout(20);
      ctx.timers.once('off', 10, 'next', async (own) => {
        await wait(100);
        own.setIdleTimeout(undefined);
      });
    });
    await advance(1_000);
    expect(idle).toEqual([250, 290, 330]);
  });

  it('P85 ends with its generation and with the actor', async () => {
    const { act, advance, idle, system, ref, kernel, clock, settle } = await idling();
    await act((ctx) => ctx.setIdleTimeout(100));
    await advance(50);
    await act(() => {
      throw new Error('fail');
    });
    await advance(1_000);
    expect([system.inspect(ref)?.generation, idle]).toEqual([1, []]);
    await act((ctx) => ctx.setIdleTimeout(100));
    await system.stop(ref);
    await advance(1_000);
    await settle();
    expect(idle).toEqual([]);
    expect([kernel.timeouts.size, clock.pending]).toEqual([0, 0]);
  });

  it('set in the turn of a tick counts from the end of that turn', async () => {
    const { act, advance, idle, wait } = await idling();
    await act((ctx) => {
      ctx.timers.once('set', 10, 'next', (own) => {
        own.setIdleTimeout(20);
        return wait(50);
      });
    });
    await advance(79);
    expect(idle).toEqual([]);
    await advance(1);
    expect(idle).toEqual([80]);
  });

  it('may be set in state', async () => {
    const { advance, idle, act } = await idling({
      state: (_args, ctx) => {
        ctx.setIdleTimeout(100);
        return [];
      },
    });
    await advance(100);
    expect(idle).toEqual([100]);
    await act(() => {
      throw new Error('fail');
    });
    await advance(110);
    expect(idle).toEqual([100, 210]);
  });

  it('fails the actor when onIdle does', async () => {
    const { advance, act, system, ref } = await idling({
      onIdle: () => {
        throw new Error('fail');
      },
    });
    await act((ctx) => ctx.setIdleTimeout(100));
    await advance(200);
    expect(system.inspect(ref)).toMatchObject({ generation: 1, status: 'running' });
  });

  it('refuses what is out of range, and an agent without onIdle, with ERR_OPTION_INVALID', async () => {
    const { system, act, ref } = await idling({ onIdle: undefined });
    const codes: unknown[] = [];
    const expected: unknown[] = [];
    await act((ctx) => {
      for (const ms of [0, -1, Number.NaN, Infinity, '5' as never, 10]) {
        try {
          ctx.setIdleTimeout(ms);
        } catch (error) {
          const { details } = error as { details: { option: string; expected: string } };
          codes.push(details.option);
          expected.push(details.expected);
        }
      }
      ctx.setIdleTimeout(undefined);
    });
    expect(codes).toEqual([...Array.from({ length: 5 }, () => 'setIdleTimeout: ms'), 'onIdle']);
    expect(expected.at(-1)).toBe('given by an agent that calls ctx.setIdleTimeout');
    expect(system.inspect(ref)).toMatchObject({ status: 'running', generation: 0 });
  });

  it('starts no more in an actor that stops', async () => {
    const { system, ref, kernel, clock } = await idling({ onStop: (ctx) => ctx.setIdleTimeout(100) });
    await system.stop(ref);
    expect([kernel.timeouts.size, clock.pending]).toEqual([0, 0]);
  });

  it('set after its turn counts from then', async () => {
    const { act, advance, idle } = await idling();
    let late: (() => void) | undefined;
    await act((ctx) => {
      late = () => ctx.setIdleTimeout(100);
    });
    await advance(50);
    late?.();
    await advance(99);
    expect(idle).toEqual([]);
    await advance(1);
    expect(idle).toEqual([150]);
  });

  it('that is ended is not counted on by the messages after it', async () => {
    const { act, advance, idle, kernel } = await idling();
    await act((ctx) => ctx.setIdleTimeout(100));
    await act((ctx) => ctx.setIdleTimeout(undefined));
    await act(NOTHING);
    expect(kernel.timeouts.size).toBe(0);
    await advance(1_000);
    expect(idle).toEqual([]);
  });

  it('that is taken back takes back nothing else, and is called (idle) in its turn', async () => {
    const names: unknown[] = [];
    const { system, act, advance, idle, wait, ref, settle, clock } = await idling({
      onIdle: (ctx) => {
        names.push(system.inspect(ctx.self)?.turn?.message);
        idle.push(clock.now());
      },
    });
    const ticks: number[] = [];
    await act((ctx) => {
      ctx.setIdleTimeout(100);
      ctx.timers.once('key', 150, 'next', () => ticks.push(clock.now()));
    });
    await advance(50);
    ref.tell('act', () => wait(200));
    await settle();
    await advance(200);
    expect([ticks, idle]).toEqual([[250], []]);
    await advance(100);
    expect([names, idle]).toEqual([['(idle)'], [350]]);
  });
});
