import { type HookContext, supervisor } from 'troupe';
import { describe, expect, it } from 'vitest';
import {
  deferred,
  endingOf,
  never,
  Puppet,
  type PuppetInternal,
  type PuppetProtocol,
  puppet,
} from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const AT_ONCE = { minMs: 0, maxMs: 0 };
const FAIL = (): never => {
  throw new Error('fail');
};

/** A puppet that logs its hooks. */
function logging(seen: string[]) {
  return puppet({
    state: () => {
      seen.push('state');
      return [];
    },
    onRestart: (_ctx, { kind }) => seen.push(`onRestart ${kind}`),
    onStop: (_ctx, reason) => seen.push(`onStop ${reason}`),
  });
}

describe('kill', () => {
  it('P4 ends a life without hooks; its supervisor starts the next one, which gets what is queued', async () => {
    const seen: string[] = [];
    const { system, advance, settle, logs } = await testSystem();
    const ref = await system.spawn(logging(seen), { backoff: AT_ONCE });
    const asked = endingOf(ref.ask('answer', never));
    ref.tell('act', (ctx) => seen.push(`generation ${ctx.generation}`));
    await settle();
    await system.kill(ref);
    await advance(0);
    expect(asked).toMatchObject({ is: 'ERR_ACTOR_FAILED', error: { cause: { code: 'ERR_ACTOR_KILLED' } } });
    expect(seen).toEqual(['state', 'state', 'generation 1']);
    expect(logs.filter(({ level }) => level === 'error')).toEqual([]); // no hook has failed
    expect(system.inspect(ref)).toMatchObject({
      zombies: 1,
      counts: { accepted: 2, handled: 1, cancelled: 1 },
    });
  });

  it('ends a temporary child for good: watchers hear killed, and what is queued is a dead letter', async () => {
    const seen: string[] = [];
    const { system, settle, events } = await testSystem();
    const ref = await system.spawn(logging(seen), { restart: 'temporary' });
    ref.tell('act', never);
    ref.tell('act', never);
    await settle();
    await system.kill(ref);
    expect(seen).toEqual(['state']);
    expect(events.filter(({ type }) => type === 'actor-stopped')).toMatchObject([{ reason: 'killed' }]);
    expect(system.deadLetters.list()).toMatchObject([{ reason: 'killed' }]);
    await system.kill(ref);
  });

  it('cuts a stop short that has begun, and its onStop', async () => {
    const seen: string[] = [];
    const { system, settle } = await testSystem();
    const ref = await system.spawn(logging(seen), { shutdownMs: Infinity });
    ref.tell('act', never);
    await settle();
    const stopped = endingOf(system.stop(ref));
    await settle();
    expect(stopped.is).toBeUndefined();
    await system.kill(ref);
    await settle();
    expect(stopped.is).toBe('resolved');
    expect(seen).toEqual(['state']);
  });

  it('P1 leaves what the turn had put aside, for the next life', async () => {
    const seen: string[] = [];
    const { system, advance, settle } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: AT_ONCE });
    ref.tell('act', (ctx) => {
      if (ctx.generation > 0) return seen.push('again');
      ctx.stash();
      return never();
    });
    await settle();
    await system.kill(ref);
    await advance(0);
    expect(seen).toEqual(['again']);
    expect(system.inspect(ref)?.counts).toMatchObject({ accepted: 1, handled: 1, cancelled: 0 });
  });

  it('is over with the life it ended: the next one runs its onStop', async () => {
    const seen: string[] = [];
    const { system, advance } = await testSystem();
    const ref = await system.spawn(logging(seen), { backoff: AT_ONCE });
    await system.kill(ref);
    await advance(0);
    await system.stop(ref);
    expect(seen).toEqual(['state', 'state', 'onStop shutdown']);
  });

  it('by its own hook, before that gives its promise, waits for that promise no more', async () => {
    const { system, settle, clock } = await testSystem();
    const killsItself = (ctx: HookContext<PuppetProtocol, unknown[], PuppetInternal>): Promise<never> => {
      void ctx.system.kill(ctx.self); // never rejects
      return never();
    };
    const ref = await system.spawn(puppet({ onStop: killsItself }), { name: 'a', shutdownMs: Infinity });
    const stopped = endingOf(system.stop(ref));
    await settle();
    expect(stopped.is).toBe('resolved');
    expect(clock.pending).toBe(0);
    await system.spawn(puppet(), { name: 'a' }); // the name is free
  });

  it.each([
    ['a promise', (): Promise<never> => never(), 1],
    ['a value', (): unknown[] => [], 0],
  ])('by its own state, which then gives %s, is a failed start', async (_what, give, zombies) => {
    const { system, advance } = await testSystem();
    let starts = 0;
    const killsItself = puppet({
      state: (_args, ctx) => {
        if (starts++ !== 1) return [];
        void ctx.system.kill(ctx.self); // never rejects
        return give();
      },
    });
    const ref = await system.spawn(killsItself, { backoff: AT_ONCE });
    ref.tell('act', FAIL);
    await advance(0);
    expect(await ref.ask('answer', ({ generation }) => generation)).toBe(1);
    expect([starts, system.inspect(ref)?.zombies]).toEqual([3, zombies]);
  });

  it('by its own turn, before that gives its promise, leaves no timer', async () => {
    const { system, settle, clock } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: AT_ONCE });
    ref.tell('act', (ctx) => {
      void ctx.system.kill(ctx.self); // never rejects
      return never();
    });
    await settle();
    expect(system.inspect(ref)).toMatchObject({ generation: 1, zombies: 1, counts: { cancelled: 1 } });
    expect(clock.pending).toBe(0);
  });

  it('P28 of a brutal-kill child by its supervisor waits for nothing', async () => {
    const seen: string[] = [];
    const { system, settle } = await testSystem({
      root: supervisor({ children: { a: logging(seen).child({ shutdownMs: 'brutal-kill' }) } }),
    });
    system.refs.a.tell('act', never);
    await settle();
    expect(await system.supervisor('/root').terminateChild('a')).toBe('ok');
    expect(seen).toEqual(['state']);
  });
});

describe('drain', () => {
  it('finishes what was accepted, refuses what comes, then stops', async () => {
    const seen: string[] = [];
    const gate = deferred();
    const { system, settle } = await testSystem();
    const ref = await system.spawn(logging(seen), { backoff: AT_ONCE });
    ref.tell('act', () => gate.promise);
    ref.tell('act', FAIL);
    ref.tell('act', () => seen.push('last'));
    await settle();
    const drained = endingOf(system.drain(ref));
    await settle();
    expect(ref.tell('act', () => seen.push('late'))).toBe('stopped');
    expect(system.inspect(ref)?.status).toBe('draining');
    gate.resolve();
    await settle();
    expect(drained.is).toBe('resolved');
    expect(seen).toEqual(['state', 'onRestart failed', 'state', 'last', 'onStop shutdown']);
  });

  it('ends an idle actor at once, also a permanent one, and one that is gone', async () => {
    const { system } = await testSystem();
    const ref = await system.spawn(puppet(), { restart: 'permanent' });
    await system.drain(ref);
    expect(system.inspect(ref)?.status ?? 'stopped').toBe('stopped');
    await system.drain(ref);
  });
});

describe('drain of a suspended actor', () => {
  it.each(['what is queued', 'what it wants to do next'])('waits until it may do %s', async (what) => {
    const seen: string[] = [];
    const gate = deferred();
    const { system, settle } = await testSystem();
    const ref = await system.spawn(puppet());
    ref.tell('act', async (ctx) => {
      await gate.promise;
      if (what === 'what it wants to do next') ctx.continue('next', () => seen.push(what));
    });
    await settle();
    if (what === 'what is queued') ref.tell('act', () => seen.push(what));
    system.suspend(ref);
    const drained = endingOf(system.drain(ref));
    gate.resolve();
    await settle();
    expect([seen, drained.is]).toEqual([[], undefined]);
    system.resume(ref);
    await settle();
    expect([seen, drained.is]).toEqual([[what], 'resolved']);
  });
});

describe('drain of an actor that has not started', () => {
  it('lets it start, then finish what it has accepted', async () => {
    const seen: string[] = [];
    const gate = deferred<unknown[]>();
    const { system, settle } = await testSystem();
    const spawned = endingOf(
      system.spawn(puppet({ state: () => gate.promise.then(() => [seen.push('state')]) }), { name: 'slow' }),
    );
    const ref = system.ref(Puppet, 'slow');
    ref.tell('act', () => seen.push('handled'));
    const drained = endingOf(system.drain(ref));
    await settle();
    expect([seen, system.inspect(ref)?.status]).toEqual([[], 'starting']);
    gate.resolve([]);
    await settle();
    expect([spawned.is, drained.is]).toEqual(['resolved', 'resolved']);
    expect(seen).toEqual(['state', 'handled']);
  });
});

describe('an error without a decide', () => {
  it.each([
    [{ status: 401 }, 'stopped'],
    [{ statusCode: 403 }, 'stopped'],
    [{ status: 422 }, 'stopped'],
    [{ code: 'insufficient_quota', status: 429 }, 'stopped'],
    [{ type: 'content_filter' }, 'stopped'],
    [{ status: 429 }, 'restarted'],
    [{ status: 500 }, 'restarted'],
    [{}, 'restarted'],
    [{ name: 'AbortError' }, 'resumed'],
  ])('%j: its actor is %s', async (fields, outcome) => {
    const { system, advance } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: AT_ONCE });
    ref.tell('act', () => {
      throw Object.assign(new Error('refused'), fields);
    });
    await advance(0);
    const { status, generation } = system.inspect(ref) ?? {};
    const seen =
      status === 'stopped' || status === undefined ? 'stopped' : generation === 1 ? 'restarted' : 'resumed';
    expect(seen).toBe(outcome);
  });

  it('P21 is waited for as long as its retryAfterMs says, where the backoff is shorter', async () => {
    const { system, advance, events } = await testSystem();
    const ref = await system.spawn(puppet(), { backoff: { minMs: 10, maxMs: 1_000, jitter: 0 } });
    for (const retryAfterMs of [5_000, 5, Number.NaN, 'soon', -1, 1e12]) {
      ref.tell('act', () => 'progress');
      ref.tell('act', () => {
        throw Object.assign(new Error('later'), { retryAfterMs });
      });
      await advance(60_001);
    }
    const delays = events.flatMap((event) => (event.type === 'actor-restarting' ? [event.delayMs] : []));
    expect(delays).toEqual([5_000, 10, 10, 10, 10, 2_147_483_647]);
  });
});

describe('an agent that spawns itself in its state', () => {
  it('is told at the sixty-fourth, and leaves nothing behind', async () => {
    let starts = 0;
    const endless: ReturnType<typeof puppet> = puppet({
      state: async (_args, ctx) => {
        starts++;
        await ctx.spawn(endless);
        return [];
      },
    });
    const { system } = await testSystem();
    await expect(system.spawn(endless)).rejects.toMatchObject({ code: 'ERR_START_FAILED' });
    expect(starts).toBe(64);
    const user = system.tree().children.find(({ name }) => name === 'user');
    expect(user?.children).toEqual([]);
    let cause: unknown;
    try {
      await system.spawn(endless);
    } catch (error) {
      cause = error;
      while (cause instanceof Error && cause.cause !== undefined) cause = cause.cause;
    }
    expect(cause).toMatchObject({ code: 'ERR_TREE_TOO_DEEP' });
  });
});
