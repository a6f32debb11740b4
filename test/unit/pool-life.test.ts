import { agent, protocol, supervisor, tell, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import {
  type Deferred,
  deferred,
  endingOf,
  Puppet,
  type PuppetContext,
  type PuppetRef,
  puppet,
} from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const NONE = { minMs: 0, jitter: 0 };

const fails = (): never => {
  throw new Error('bad');
};

describe('a pool that an agent has spawned', () => {
  const Lead = protocol('lead', { act: tell(type<(ctx: { readonly pool: PuppetRef }) => unknown>()) });
  const lead = (options: { stops?: string[] } = {}) =>
    agent<typeof Lead, void, { readonly pool: PuppetRef }>(Lead, {
      state: async (_args, ctx) => ({
        pool: await ctx.spawn(
          puppet({ onStop: (inner) => options.stops?.push(inner.self.address) }).pool({
            size: 2,
            backoff: NONE,
          }),
          { name: 'crew' },
        ),
      }),
      on: { act: (ctx, act) => act(ctx.state) },
    });

  it('is its child, and ends with it, workers first', async () => {
    const stops: string[] = [];
    const { system, settle, events } = await testSystem();
    const ref = await system.spawn(lead({ stops }), { name: 'lead' });
    const pool = system.ref(Puppet, 'lead/crew') as PuppetRef;
    const end = deferred();
    pool.tell('act', () => end.promise);
    pool.tell('act', () => undefined);
    await settle();
    expect(system.inspect(pool)?.counts).toMatchObject({ accepted: 2, handled: 1 });
    const stopped = endingOf(system.stop(ref));
    await settle();
    expect(stopped.is).toBeUndefined(); // the turn may end first
    expect(pool.tell('act', () => undefined)).toBe('stopped');
    end.resolve();
    await settle();
    expect(stopped.is).toBe('resolved');
    expect(stops).toHaveLength(2);
    const ended = events.flatMap((event) => (event.type === 'actor-stopped' ? [event.address] : []));
    expect(ended.map((address) => address.replace(/#.*/, ''))).toEqual([
      expect.stringMatching(/worker-\d$/),
      expect.stringMatching(/worker-\d$/),
      '/user/lead/crew',
      '/user/lead',
    ]);
    expect(system.tree().children[1]?.children).toEqual([]);
  });

  it('is another one after a restart of it, and the old one is gone', async () => {
    const { system, settle, advance } = await testSystem();
    const ref = await system.spawn(lead(), { name: 'lead', backoff: NONE, restart: 'permanent' });
    const before = system.lookup(Puppet, 'lead/crew');
    ref.tell('act', fails);
    await settle();
    await advance(0);
    const after = system.lookup(Puppet, 'lead/crew');
    expect(after?.address).not.toBe(before?.address);
    expect(before?.tell('act', () => undefined)).toBe('stopped');
    const handled: string[] = [];
    after?.tell('act', (ctx: PuppetContext) => handled.push(ctx.self.address));
    await settle();
    expect(handled).toEqual([expect.stringContaining('/user/lead/crew/worker-')]);
    expect(system.inspect(ref)).toMatchObject({ generation: 1, status: 'running' });
  });
});

describe('a pool that is killed', () => {
  it('comes back with its queue, its workers ended without hooks of its own and their jobs with them', async () => {
    const ends: Deferred<void>[] = [];
    const started: string[] = [];
    const work = (name: string) => (): Promise<void> => {
      started.push(name);
      const end = deferred();
      ends.push(end);
      return end.promise;
    };
    const root = supervisor({
      children: { pool: puppet().pool({ size: 2, backoff: NONE, shutdownMs: 100 }) },
    });
    const { system, settle, advance } = await testSystem({ root });
    const { pool } = system.refs;
    for (const name of ['a', 'b', 'c']) pool.tell('act', work(name));
    await settle();
    expect(started).toEqual(['a', 'b']);
    const killed = endingOf(system.kill(pool));
    await advance(2_000);
    expect(killed.is).toBe('resolved');
    expect(started).toEqual(['a', 'b', 'c']);
    expect(system.inspect(pool)).toMatchObject({ status: 'running', generation: 1 });
    expect(system.inspect(pool)?.pool?.workers).toHaveLength(2);
    for (const end of ends) end.resolve();
    await settle();
    const counts = system.inspect(pool)?.counts;
    expect(counts).toMatchObject({ accepted: 3, handled: 1, cancelled: 2 });
  });
});

describe('a suspended pool', () => {
  it('starts no turn at all: no job, no second attempt, nothing sent to one worker; and goes on where it was', async () => {
    const order: string[] = [];
    const flaky = puppet({ onFailure: { retry: { attemptsMax: 2, backoff: { minMs: 100, jitter: 0 } } } });
    const { system, settle, advance } = await testSystem();
    const pool = await system.spawn(flaky.pool({ size: 1 }));
    const [worker] = system.inspect(pool)?.pool?.workers ?? [];
    pool.tell('act', (ctx) => {
      order.push(`attempt ${ctx.message.attempt}`);
      if (ctx.message.attempt === 1) throw new Error('again');
    });
    await settle();
    system.suspend(pool);
    system.suspend(pool);
    pool.tell('act', () => order.push('job'));
    system.ref(Puppet, worker?.address ?? '').tell('act', () => order.push('own'));
    await advance(1_000);
    expect(order).toEqual(['attempt 1']);
    system.resume(pool);
    await advance(1_000);
    expect(order).toEqual(['attempt 1']);
    system.resume(pool);
    await settle();
    expect(order).toEqual(['attempt 1', 'attempt 2', 'own', 'job']);
  });

  it('gives the jobs of a suspended worker to the others, and to it again when it is resumed', async () => {
    const workers: string[] = [];
    const { system, settle } = await testSystem();
    const pool = await system.spawn(puppet().pool({ size: 2 }));
    const [one, two] = system.inspect(pool)?.pool?.workers.map(({ address }) => address) ?? [];
    const note = (ctx: PuppetContext): number => workers.push(ctx.self.address);
    system.suspend(system.ref(Puppet, one ?? ''));
    pool.tell('act', note);
    await settle();
    system.suspend(system.ref(Puppet, two ?? ''));
    pool.tell('act', note);
    await settle();
    expect(workers).toEqual([two]);
    system.resume(system.ref(Puppet, one ?? ''));
    await settle();
    expect(workers).toEqual([two, one]);
  });
});

describe('a worker that fails in a hook', () => {
  it('state: is started again, and its jobs are done by the others meanwhile', async () => {
    let starts = 0;
    const frail = puppet({
      state: () => {
        if (++starts === 3) throw new Error('no model');
        return [];
      },
    });
    const { system, settle, advance } = await testSystem();
    const pool = await system.spawn(frail.pool({ size: 2, backoff: { minMs: 100, jitter: 0 } }));
    pool.tell('act', fails);
    await advance(100);
    const workers: string[] = [];
    for (let n = 0; n < 3; n++) pool.tell('act', (ctx) => workers.push(ctx.self.address));
    await settle();
    expect(starts).toBe(3);
    expect(new Set(workers).size).toBe(1);
    await advance(1_000);
    expect(starts).toBe(4);
    expect(system.inspect(pool)).toMatchObject({ status: 'running', counts: { handled: 3, failed: 1 } });
    expect(system.inspect(pool)?.pool?.workers).toHaveLength(2);
  });

  it('onRestart: restarts all the same, and the job it tries again is not lost', async () => {
    const frail = puppet({ onRestart: fails, onFailure: { retry: { attemptsMax: 2, backoff: NONE } } });
    const { system, settle, advance, logs } = await testSystem();
    const pool = await system.spawn(frail.pool({ size: 1, backoff: NONE }));
    pool.tell('act', (ctx) => {
      if (ctx.message.attempt === 1) throw new Error('again');
    });
    await advance(10);
    await settle();
    expect(logs.map(({ text }) => text)).toContain('onRestart failed');
    expect(system.inspect(pool)?.counts).toMatchObject({ accepted: 1, handled: 1, failed: 0 });
  });

  it('onStop: ends all the same, by a resize and by a stop of the pool', async () => {
    const frail = puppet({ onStop: fails });
    const { system, settle, logs } = await testSystem();
    const pool = await system.spawn(frail.pool({ size: 3 }));
    await system.resize(pool, 1);
    expect(system.inspect(pool)?.pool?.workers).toHaveLength(1);
    await system.stop(pool);
    await settle();
    expect(logs.filter(({ text }) => text === 'onStop failed')).toHaveLength(3);
    expect(system.inspect(pool)).toMatchObject({ status: 'stopped' });
  });

  it('onTerminated: fails as by any turn, and takes no job with it', async () => {
    const frail = puppet({ onTerminated: fails });
    const { system, settle, advance } = await testSystem();
    const watched = await system.spawn(puppet());
    const pool = await system.spawn(frail.pool({ size: 1, backoff: NONE }));
    const busy = deferred();
    pool.tell('act', (ctx) => {
      ctx.watch(watched);
      return busy.promise;
    });
    pool.tell('act', () => undefined);
    await settle();
    await system.stop(watched);
    busy.resolve();
    await advance(10);
    expect(system.inspect(pool)?.counts).toMatchObject({ accepted: 2, handled: 2, failed: 0 });
    expect(system.inspect(pool)?.pool?.workers).toHaveLength(1);
    expect(system.tree().children[1]?.children[0]?.children[0]?.generation).toBe(1);
  });

  it('decide: is restarted by default, and the job has its outcome', async () => {
    const frail = puppet({ decide: fails });
    const { system, advance } = await testSystem();
    const pool = await system.spawn(frail.pool({ size: 1, backoff: NONE }));
    pool.tell('act', fails);
    pool.tell('act', () => undefined);
    await advance(10);
    expect(system.inspect(pool)?.counts).toMatchObject({ accepted: 2, handled: 1, failed: 1 });
  });
});
