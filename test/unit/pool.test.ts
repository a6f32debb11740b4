import { agent, ask, type PoolOptions, protocol, supervisor, tell, topic, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import { TURNS_PER_SLICE } from '../../src/protocol/limits.ts';
import { type Deferred, deferred, endingOf, never, type PuppetProtocol, puppet } from '../support/puppet.ts';
import type { TestSystem } from '../support/test-system.ts';
import { testSystem } from '../support/test-system.ts';

const NONE = { minMs: 0, jitter: 0 };

const Work = protocol('work', {
  run: tell(type<{ id: number; key?: string }>()),
  solve: ask(type<{ id: number; key?: string }>(), type<string>()),
});

interface Run {
  readonly id: number;
  readonly worker: string;
  readonly signal: AbortSignal;
  readonly end: Deferred<string>;
}

/** An agent whose turns last until the test ends them, and what has been started of it. */
function manual(options: { stops?: string[] } = {}) {
  const runs: Run[] = [];
  const work = (ctx: { self: { address: string }; signal: AbortSignal }, id: number): Promise<string> => {
    const end = deferred<string>();
    runs.push({ id, worker: ctx.self.address, signal: ctx.signal, end });
    return end.promise;
  };
  const worker = agent(Work, {
    onStop: (ctx) => options.stops?.push(ctx.self.address),
    on: { run: (ctx, { id }) => work(ctx, id), solve: (ctx, { id }) => work(ctx, id) },
  });
  const ids = (): number[] => runs.map(({ id }) => id);
  return { worker, runs, ids };
}

type WorkPool = PoolOptions<typeof Work, void>;

async function started(options: WorkPool, given: Parameters<typeof testSystem>[0] = {}) {
  const stops: string[] = [];
  const hands = manual({ stops });
  const root = supervisor({ children: { pool: hands.worker.pool(options) } });
  const test = await testSystem({ ...given, root });
  return { ...test, ...hands, stops, pool: test.system.refs.pool };
}

/** What every pool test may ask at its end: each accepted message has exactly one outcome, and nothing is under way. */
function balance({ system }: Pick<TestSystem<unknown>, 'system'>, ref: { readonly address: string }): number {
  const counts = system.inspect(ref as Parameters<typeof system.inspect>[0])?.counts;
  if (counts === undefined) return Number.NaN;
  return counts.accepted - counts.handled - counts.failed - counts.cancelled - counts.deadLettered;
}

describe('a pool', () => {
  it('gives a job to each idle worker, and the best of the rest to whoever is idle next', async () => {
    const { pool, runs, ids, settle, system } = await started({ size: 2 });
    for (const id of [1, 2, 3, 4]) pool.tell('run', { id });
    pool.tell('run', { id: 5 }, { priority: 'critical' });
    await settle();
    expect(ids()).toEqual([5, 1]);
    runs[1]?.end.resolve('');
    await settle();
    expect(ids()).toEqual([5, 1, 2]);
    for (const run of runs) run.end.resolve('');
    await settle();
    for (const run of runs) run.end.resolve('');
    await settle();
    expect(ids()).toEqual([5, 1, 2, 3, 4]);
    for (const run of runs) run.end.resolve('');
    await settle();
    expect(balance({ system }, pool)).toBe(0);
    expect(system.inspect(pool)?.counts).toMatchObject({ accepted: 5, handled: 5 });
  });

  it('finds a worker whose slice ended with its last job', async () => {
    const done: number[] = [];
    const worker = agent(Work, {
      on: { run: (_ctx, { id }) => done.push(id), solve: () => '' },
    });
    const root = supervisor({ children: { pool: worker.pool({ size: 1 }) } });
    const { system, settle } = await testSystem({ root });
    for (let id = 1; id <= TURNS_PER_SLICE; id++) system.refs.pool.tell('run', { id });
    await settle();
    expect(done).toHaveLength(TURNS_PER_SLICE);
    system.refs.pool.tell('run', { id: 0 });
    await settle();
    expect(done).toHaveLength(TURNS_PER_SLICE + 1);
  });

  it('is a ref like any other: asks, backpressure, deadlines and cancelling reach the worker', async () => {
    const { pool, runs, settle, advance, system } = await started({
      size: 1,
      mailbox: { capacity: 1, criticalReserve: 0 },
    });
    const aborter = new AbortController();
    const first = endingOf(pool.ask('solve', { id: 1 }, { signal: aborter.signal }));
    await settle();
    expect(pool.tell('run', { id: 2 })).toBe('accepted');
    expect(pool.tell('run', { id: 3 })).toBe('full');
    const sent = endingOf(pool.send('run', { id: 4 }));
    const late = endingOf(pool.ask('solve', { id: 5 }, { timeoutMs: 10 }));
    await settle();
    expect(sent.is).toBeUndefined();
    aborter.abort(new Error('enough'));
    await settle();
    expect(first.is).toBe('rejected');
    expect(runs[0]?.signal.aborted).toBe(true);
    runs[0]?.end.reject(new Error('aborted'));
    await settle();
    expect(sent.is).toBe('resolved');
    await advance(20);
    expect(late.is).toBe('ERR_ASK_TIMEOUT');
    runs[1]?.end.resolve('');
    await settle();
    expect(runs.map(({ id }) => id)).toEqual([1, 2, 4]);
    runs[2]?.end.resolve('');
    await settle();
    const reply = endingOf(pool.ask('solve', { id: 6 }));
    await settle();
    runs[3]?.end.resolve('six');
    await settle();
    expect(reply).toMatchObject({ is: 'resolved', value: 'six' });
    pool.tell('run', { id: 7 }, { ttlMs: 5 });
    const failing = endingOf(pool.ask('solve', { id: 8 }));
    await settle();
    runs[4]?.end.resolve('');
    await settle();
    runs[5]?.end.reject(new Error('bad'));
    await settle();
    expect(failing.is).toBe('ERR_ACTOR_FAILED');
    expect(balance({ system }, pool)).toBe(0);
  });

  it('drops what has expired without a turn', async () => {
    const { pool, runs, ids, settle, advance, system } = await started({ size: 1 });
    pool.tell('run', { id: 1 });
    await settle();
    pool.tell('run', { id: 2 }, { ttlMs: 5 });
    pool.tell('run', { id: 3 });
    await advance(10);
    runs[0]?.end.resolve('');
    await settle();
    expect(ids()).toEqual([1, 3]);
    expect(system.deadLetters.list()).toMatchObject([
      { reason: 'expired', address: expect.stringContaining('/root/pool') },
    ]);
    runs[1]?.end.resolve('');
    await settle();
    expect(balance({ system }, pool)).toBe(0);
  });

  it('shows itself and its workers in the tree and by inspection', async () => {
    const { pool, settle, system } = await started({ size: 2 });
    pool.tell('run', { id: 1 });
    await settle();
    const node = system.tree().children[0]?.children[0];
    expect(node).toMatchObject({ name: 'pool', kind: 'pool', status: 'running' });
    expect(node?.children.map(({ name, kind }) => [name, kind])).toEqual([
      ['worker-1', 'agent'],
      ['worker-2', 'agent'],
    ]);
    expect(system.inspect(pool)).toMatchObject({
      status: 'running',
      pool: { routing: 'work-pulling', size: 2, inFlight: 1, workers: [{ isBusy: true }, { isBusy: false }] },
    });
    expect(system.inspect(system.ref(Work, 'pool/worker-1'))).toMatchObject({
      pool: undefined,
      turn: { message: 'run' },
    });
  });

  it('is spawned like an agent, by a name of its own', async () => {
    const { worker, runs } = manual();
    const { system, settle } = await testSystem();
    const ref = await system.spawn(worker.pool({ size: 2 }), { name: 'crew' });
    await ref.send('run', { id: 1 });
    await settle();
    expect(runs).toHaveLength(1);
    expect(system.lookup(Work, 'crew')?.address).toBe(ref.address);
    expect(() => system.spawn(worker.pool({ size: 2 }), { restart: 'permanent' })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID' }),
    );
  });

  it('stops its workers with it; what is queued becomes dead letters, what runs may finish', async () => {
    const { pool, runs, stops, settle, system } = await started({ size: 2 });
    for (const id of [1, 2, 3, 4]) pool.tell('run', { id });
    const asked = endingOf(pool.ask('solve', { id: 5 }));
    await settle();
    const stopped = endingOf(system.stop(pool));
    await settle();
    expect(asked.is).toBe('ERR_ACTOR_STOPPED');
    expect(stopped.is).toBeUndefined();
    expect(system.deadLetters.list().map(({ reason }) => reason)).toEqual(['stopped', 'stopped', 'stopped']);
    for (const run of runs) run.end.resolve('');
    await settle();
    expect(stopped.is).toBe('resolved');
    expect(stops).toHaveLength(2);
    expect(pool.tell('run', { id: 6 })).toBe('stopped');
  });

  it('does not start when one worker does not, and leaves none running', async () => {
    let starts = 0;
    const stops: string[] = [];
    const failing = puppet({
      state: () => {
        if (++starts === 3) throw new Error('no model');
        return [];
      },
      onStop: (ctx) => stops.push(ctx.self.address),
    });
    const { system, settle } = await testSystem();
    const spawned = endingOf(system.spawn(failing.pool({ size: 4 })));
    await settle();
    expect(spawned.is).toBe('ERR_START_FAILED');
    expect(stops).toHaveLength(3);
    expect(system.tree().children[1]?.children).toEqual([]);
  });

  it('gives a failed job its outcome and the queued ones to others', async () => {
    const { pool, runs, ids, settle, advance, system } = await started(
      { size: 2, backoff: { minMs: 1_000 } },
      { order: 'engine' },
    );
    for (const id of [1, 2, 3]) pool.tell('run', { id });
    await settle();
    runs[0]?.end.reject(new Error('bad'));
    runs[1]?.end.resolve('');
    await settle();
    expect(ids()).toEqual([1, 2, 3]);
    expect(runs[2]?.worker).toBe(runs[1]?.worker);
    expect(system.deadLetters.list()).toMatchObject([{ reason: 'handler-failed' }]);
    await advance(1_000);
    expect(system.tree().children[0]?.children[0]?.children.map(({ generation }) => generation)).toEqual([
      1, 0,
    ]);
  });

  it('tries a job again with its worker, and with another one when that worker is gone', async () => {
    const workers: string[] = [];
    const attempts: number[] = [];
    const flaky = puppet({ onFailure: { retry: { attemptsMax: 3, backoff: { minMs: 100, jitter: 0 } } } });
    const root = supervisor({ children: { pool: flaky.pool({ size: 2, backoff: NONE }) } });
    const { system, settle, advance } = await testSystem({ root });
    const { pool } = system.refs;
    pool.tell('act', (ctx) => {
      workers.push(ctx.self.address);
      attempts.push(ctx.message.attempt);
      if (attempts.length < 3) throw new Error('again');
    });
    await settle();
    await advance(100);
    expect(workers[1]).toBe(workers[0]);
    await system.stop(system.ref(pool.protocol, workers[0] ?? ''));
    await settle();
    expect(attempts).toEqual([1, 2, 3]);
    expect(workers[2]).not.toBe(workers[0]);
    expect(system.inspect(pool)?.counts).toMatchObject({ accepted: 1, handled: 1 });
  });

  it('goes on with fewer workers when one fails too often, and fails when none is left', async () => {
    const bad = puppet();
    const root = supervisor({ children: { pool: bad.pool({ size: 2, backoff: NONE }) } });
    const { system, settle, advance, events } = await testSystem({ root });
    const { pool } = system.refs;
    const fail = async (times: number): Promise<void> => {
      for (let i = 0; i < times; i++) {
        pool.tell('act', () => {
          throw new Error('bad');
        });
        await settle();
      }
    };
    await fail(8);
    await advance(1_000);
    expect(events.filter(({ type }) => type === 'supervisor-gave-up')).toHaveLength(2);
    const failure = events.find(
      (event) => event.type === 'actor-restarting' && event.address.startsWith('/root/pool#'),
    );
    expect(failure).toMatchObject({ error: { code: 'ERR_POOL_DESERTED' } });
    expect(system.inspect(pool)).toMatchObject({ status: 'running', generation: 1, pool: { size: 2 } });
    const handled = deferred();
    pool.tell('act', () => handled.resolve());
    await settle();
    await handled.promise;
    expect(system.inspect(pool)?.pool?.workers).toHaveLength(2);
  });

  it('never lets a worker wait for room in its own pool', async () => {
    const busy = puppet({ mailbox: { capacity: 1, selfReserve: 1, criticalReserve: 0 } });
    const { system, settle } = await testSystem();
    const pool = await system.spawn(busy.pool({ size: 1 }));
    const verdicts: string[] = [];
    pool.tell('act', async (ctx) => {
      for (let i = 0; i < 3; i++) {
        const ending = endingOf(ctx.send(pool, 'act', () => undefined));
        await Promise.resolve();
        verdicts.push(ending.is ?? 'waits');
      }
    });
    await settle();
    expect(verdicts).toEqual(['resolved', 'resolved', 'ERR_MAILBOX_FULL']);
  });

  it('gives what a worker put aside to whoever is free once it is put back', async () => {
    const order: string[] = [];
    const { system, settle } = await testSystem();
    const pool = await system.spawn(puppet().pool({ size: 1 }));
    let isFirst = true;
    pool.tell('act', (ctx) => {
      order.push(isFirst ? 'aside' : 'back');
      if (!isFirst) return undefined;
      isFirst = false;
      return ctx.stash();
    });
    pool.tell('act', (ctx) => {
      order.push('unstash');
      ctx.unstash();
    });
    pool.tell('act', () => order.push('last'));
    await settle();
    expect(order).toEqual(['aside', 'unstash', 'back', 'last']);
    expect(system.inspect(pool)?.counts).toMatchObject({ accepted: 3, handled: 3 });
  });

  it('wakes another worker when the one that was woken has a message of its own first', async () => {
    const { pool, ids, settle, system } = await started({ size: 2 });
    pool.tell('run', { id: 1 });
    system.ref(Work, 'pool/worker-1').tell('run', { id: 2 });
    system.ref(Work, 'pool/worker-2');
    await settle();
    expect(new Set(ids())).toEqual(new Set([1, 2]));
  });

  it('gives what a busy worker has put back to another one that is idle', async () => {
    const { system, settle } = await testSystem();
    const pool = await system.spawn(puppet().pool({ size: 2 }));
    const workers: string[] = [];
    const other = deferred();
    pool.tell('act', (ctx) => {
      workers.push(ctx.self.address);
      return workers.length === 1 ? ctx.stash() : undefined;
    });
    await settle();
    const first = system.ref(pool.protocol, workers[0] ?? '');
    first.tell('act', (ctx) => {
      ctx.unstash();
      return other.promise;
    });
    await settle();
    expect(workers).toHaveLength(2);
    expect(workers[1]).not.toBe(workers[0]);
    other.resolve();
  });

  it('takes a job back that is to be tried again, whatever else its worker has queued', async () => {
    const { system, settle, advance } = await testSystem();
    const flaky = puppet({ onFailure: { retry: { attemptsMax: 2, backoff: { minMs: 100, jitter: 0 } } } });
    const pool = await system.spawn(flaky.pool({ size: 1 }));
    const aborter = new AbortController();
    const tried: string[] = [];
    const fails = (ctx: { self: { address: string } }): never => {
      tried.push(ctx.self.address);
      throw new Error('again');
    };
    const asked = endingOf(pool.ask('answer', fails, { signal: aborter.signal }));
    await settle();
    system.ref(pool.protocol, tried[0] ?? '').tell('act', () => undefined);
    aborter.abort(new Error('enough'));
    await advance(1_000);
    expect(asked.is).toBe('rejected');
    expect(tried).toHaveLength(1);
    expect(system.inspect(pool)?.counts).toMatchObject({ accepted: 2, handled: 1, cancelled: 1 });
  });

  it('takes one copy of what its agent subscribes to, not one for each worker', async () => {
    const News = topic('news.{kind}', type<{ id: number }>());
    const seen: number[] = [];
    const reader = agent(Work, {
      subscribe: [{ topic: News, as: 'run' }],
      on: { run: (_ctx, { id }) => seen.push(id), solve: () => '' },
    });
    const root = supervisor({ children: { pool: reader.pool({ size: 3 }) } });
    const { system, settle } = await testSystem({ root });
    await system.publish(News, { kind: 'late' }, { id: 1 });
    await settle();
    expect(seen).toEqual([1]);
  });

  it('handles nothing while it is suspended, and drains before it ends', async () => {
    const { pool, runs, ids, settle, system } = await started({ size: 2 });
    system.suspend(pool);
    pool.tell('run', { id: 1 });
    pool.tell('run', { id: 2 });
    pool.tell('run', { id: 3 });
    await settle();
    expect(ids()).toEqual([]);
    system.resume(pool);
    await settle();
    expect(ids()).toEqual([1, 2]);
    const drained = endingOf(system.drain(pool));
    await settle();
    expect(pool.tell('run', { id: 4 })).toBe('stopped');
    for (const run of runs) run.end.resolve('');
    await settle();
    expect(ids()).toEqual([1, 2, 3]);
    expect(drained.is).toBeUndefined();
    runs[2]?.end.resolve('');
    await settle();
    expect(drained.is).toBe('resolved');
  });
});

describe('resize', () => {
  it('starts workers at once and lets those that leave finish', async () => {
    const { pool, runs, ids, stops, settle, advance, system } = await started({ size: 1 });
    for (const id of [1, 2, 3, 4]) pool.tell('run', { id });
    await settle();
    expect(ids()).toEqual([1]);
    await system.resize(pool, 3);
    await settle();
    expect(ids()).toEqual([1, 2, 3]);
    const shrunk = endingOf(system.resize(pool, 1));
    await settle();
    await advance(100_000); // more than shutdownMs: what is paid for is finished
    expect(shrunk.is).toBeUndefined();
    expect(system.inspect(pool)?.pool?.workers.map(({ isLeaving }) => isLeaving)).toEqual([
      false,
      true,
      true,
    ]);
    runs[1]?.end.resolve('');
    runs[2]?.end.resolve('');
    await settle();
    expect(shrunk.is).toBe('resolved');
    expect(stops).toHaveLength(2);
    expect(ids()).toEqual([1, 2, 3]);
    runs[0]?.end.resolve('');
    await settle();
    expect(ids()).toEqual([1, 2, 3, 4]);
    expect(runs.every(({ signal }) => !signal.aborted)).toBe(true);
  });

  it('of a pool between two generations is the size of the next one', async () => {
    const bad = puppet();
    const root = supervisor({
      children: { pool: bad.pool({ size: 1, backoff: { minMs: 100, jitter: 0 } }) },
    });
    const { system, settle, advance } = await testSystem({ root });
    const { pool } = system.refs;
    for (let i = 0; i < 4; i++) {
      pool.tell('act', () => {
        throw new Error('bad');
      });
      await advance(i < 3 ? 1_000 : 0);
    }
    await settle();
    expect(system.inspect(pool)?.status).toBe('restarting');
    await system.resize(pool, 3);
    expect(system.inspect(pool)?.pool?.workers).toEqual([]);
    await advance(1_000);
    expect(system.inspect(pool)).toMatchObject({ status: 'running', pool: { size: 3 } });
    expect(system.inspect(pool)?.pool?.workers).toHaveLength(3);
  });

  it('is refused for what is no pool and for sizes out of range', async () => {
    const { pool, system } = await started({ size: 1 });
    const other = await system.spawn(puppet());
    await expect(system.resize(other, 2)).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
    for (const size of [0, 1.5, 10_001, Number.NaN, undefined, '3']) {
      await expect(system.resize(pool, size as number)).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
    }
    const gone = system.ref(Work, 'nobody');
    await expect(system.resize(gone, 2)).rejects.toMatchObject({ code: 'ERR_ACTOR_UNKNOWN' });
  });
});

describe('the routing', () => {
  const routed = async (options: WorkPool, ids: readonly number[]) => {
    const test = await started(options, { random: () => 0.5, order: 'engine' });
    for (const id of ids) test.pool.tell('run', { id, key: `k${id % 2}` });
    await test.settle();
    return test;
  };

  it("'round-robin' goes round, busy or not", async () => {
    const { runs, settle, ids } = await routed({ size: 3, routing: 'round-robin' }, [1, 2, 3, 4, 5]);
    expect(ids()).toEqual([1, 2, 3]);
    runs[1]?.end.resolve('');
    await settle();
    expect(runs[3]).toMatchObject({ id: 5, worker: runs[1]?.worker });
  });

  it("'random' follows the system's random numbers", async () => {
    const { runs } = await routed({ size: 4, routing: 'random' }, [1, 2]);
    expect(runs.map(({ id, worker }) => [id, worker.replace(/#.*/, '')])).toEqual([
      [1, '/root/pool/worker-3'],
    ]);
  });

  it("'least-loaded' counts what a worker has in hand and what waits for it", async () => {
    const { runs, settle, pool } = await routed({ size: 2, routing: 'least-loaded' }, [1, 2, 3]);
    expect(runs[0]?.worker).not.toBe(runs[1]?.worker);
    runs[1]?.end.resolve('');
    await settle();
    pool.tell('run', { id: 4 });
    await settle();
    expect(runs[2]).toMatchObject({ id: 4, worker: runs[1]?.worker });
  });

  it("'consistent-hash' and 'sticky' keep a key together, and ask for keys that are strings", async () => {
    for (const routing of ['consistent-hash', 'sticky'] as const) {
      const { pool, runs, settle } = await routed(
        { size: 3, routing, key: (_name, { key }) => key as string },
        [1, 2, 3, 4],
      );
      for (let i = 0; i < 4; i++) {
        runs[i]?.end.resolve('');
        await settle();
      }
      const of = (id: number): string | undefined => runs.find((run) => run.id === id)?.worker;
      expect([of(3), of(4)]).toEqual([of(1), of(2)]);
      expect(() => pool.tell('run', { id: 9 })).toThrow(
        expect.objectContaining({ code: 'ERR_OPTION_INVALID' }),
      );
      const asked = endingOf(pool.ask('solve', { id: 9 }));
      await settle();
      expect(asked.is).toBe('ERR_OPTION_INVALID');
    }
  });

  it("'broadcast' gives each worker its own copy, holds the slot until the last one has it, and takes no asks", async () => {
    const { pool, runs, settle, system } = await routed(
      { size: 3, routing: 'broadcast', mailbox: { capacity: 1 } },
      [1],
    );
    expect(new Set(runs.map(({ worker }) => worker)).size).toBe(3);
    expect(pool.tell('run', { id: 2 })).toBe('accepted');
    runs[0]?.end.resolve('');
    await settle();
    expect(pool.tell('run', { id: 3 })).toBe('full');
    for (const run of runs) run.end.resolve('');
    await settle();
    expect(runs).toHaveLength(6);
    for (const run of runs) run.end.resolve('');
    await settle();
    expect(balance({ system }, pool)).toBe(0);
    expect(() => pool.ask('solve', { id: 4 })).toThrow(
      expect.objectContaining({ code: 'ERR_ROUTING_MISMATCH' }),
    );
  });

  it("'scatter-gather-first' takes the first reply and cancels the others: ERR_ASK_OUTRUN", async () => {
    const { pool, runs, settle, system } = await started({ size: 3, routing: 'scatter-gather-first' });
    const reply = endingOf(pool.ask('solve', { id: 1 }));
    await settle();
    expect(runs).toHaveLength(3);
    runs[0]?.end.reject(new Error('one fails'));
    await settle();
    expect(reply.is).toBeUndefined();
    runs[1]?.end.resolve('second');
    await settle();
    expect(reply).toMatchObject({ is: 'resolved', value: 'second' });
    expect(runs[2]?.signal.reason).toMatchObject({ code: 'ERR_ASK_OUTRUN' });
    runs[2]?.end.resolve('third');
    await settle();
    expect(system.deadLetters.list().map(({ reason }) => reason)).toEqual([
      'handler-failed',
      'duplicate-reply',
    ]);
    expect(balance({ system }, pool)).toBe(0);
  });

  it("'scatter-gather-first' fails when all fail, and gives up all when the asker does", async () => {
    const { pool, runs, settle, advance, system } = await started({
      size: 2,
      routing: 'scatter-gather-first',
      backoff: NONE,
    });
    const failed = endingOf(pool.ask('solve', { id: 1 }));
    await settle();
    for (const run of runs) run.end.reject(new Error('bad'));
    await settle();
    expect(failed.is).toBe('ERR_ACTOR_FAILED');
    const late = endingOf(pool.ask('solve', { id: 2 }, { timeoutMs: 10 }));
    await advance(10);
    expect(late.is).toBe('ERR_ASK_TIMEOUT');
    expect(runs.slice(2).map(({ signal }) => signal.aborted)).toEqual([true, true]);
    for (const run of runs) run.end.reject(new Error('aborted'));
    await settle();
    expect(balance({ system }, pool)).toBe(0);
    pool.tell('run', { id: 3 });
    await settle();
    expect(runs.slice(4).map(({ id }) => id)).toEqual([3, 3]);
  });
});

describe('the options of a pool', () => {
  const Puppets = puppet();
  const refuse = (options: unknown, option: string): void => {
    const make = (): unknown => Puppets.pool(options as PoolOptions<PuppetProtocol, void>);
    expect(make).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
    expect(make).toThrow(option);
  };

  it('are checked at the door', () => {
    refuse(undefined, 'pool');
    refuse({}, 'pool.size');
    refuse({ size: 0 }, 'pool.size');
    refuse({ size: 10_001 }, 'pool.size');
    refuse({ size: 1, routing: 'fastest' }, 'pool.routing');
    refuse({ size: 1, routing: 'sticky' }, 'pool.key');
    refuse({ size: 1, key: () => '' }, 'pool.key');
    refuse({ size: 1, restart: 'always' }, 'pool.restart');
    refuse({ size: 1, mailbox: { capacity: 0 } }, 'mailbox.capacity');
    refuse({ size: 1, sise: 2 }, 'pool.sise');
    expect(Object.isFrozen(Puppets.pool({ size: 1 }))).toBe(true);
  });

  it('leave room for handlers that never settle: the pool still stops in time', async () => {
    const { system, settle, advance } = await testSystem();
    const pool = await system.spawn(Puppets.pool({ size: 2, shutdownMs: 100 }));
    pool.tell('act', never);
    await settle();
    const stopped = endingOf(system.stop(pool));
    await advance(1_200);
    expect(stopped.is).toBe('resolved');
  });
});
