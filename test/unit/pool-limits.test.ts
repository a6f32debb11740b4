import { agent, ask, type PoolOptions, protocol, supervisor, tell, topic, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import { ORDER, type Order } from '../support/checked-host.ts';
import { type Deferred, deferred, endingOf, puppet } from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

const NONE = { minMs: 0, jitter: 0 };

interface Job {
  readonly id: number;
  readonly cost?: number;
  readonly key?: string;
}

const Work = protocol('work', {
  run: tell(type<Job>()),
  solve: ask(type<Job>(), type<number>()),
});

type WorkPool = PoolOptions<typeof Work, void>;
type Attempts = { readonly attemptsMax: number };

interface Run extends Job {
  readonly at: number;
  readonly worker: string;
  readonly end: Deferred<number>;
}

const costOf = (_name: string, { cost = 1 }: Job): number => cost;

/** A pool whose turns last until the test ends them, or, with `isQuick`, end at once. */
async function started(
  options: WorkPool,
  given: { isQuick?: boolean; retry?: Attempts; order?: Order } = {},
) {
  const runs: Run[] = [];
  let now = (): number => 0;
  const work = (ctx: { self: { address: string } }, job: Job): number | Promise<number> => {
    const end = deferred<number>();
    runs.push({ ...job, at: now(), worker: ctx.self.address, end });
    return given.isQuick === true ? job.id : end.promise;
  };
  const worker = agent(Work, {
    onFailure: given.retry === undefined ? 'fail' : { retry: { ...given.retry, backoff: NONE } },
    on: { run: work, solve: work },
  });
  const root = supervisor({ children: { pool: worker.pool({ backoff: NONE, ...options }) } });
  const test = await testSystem({ root, order: given.order ?? ORDER });
  now = () => test.clock.now();
  const ids = (): number[] => runs.map(({ id }) => id);
  return { ...test, runs, ids, pool: test.system.refs.pool, worker };
}

describe('the rate limit of a pool', () => {
  it('starts jobs as their tokens come, at the very millisecond, and in order of urgency', async () => {
    const { pool, runs, advance, settle } = await started(
      { size: 5, rateLimit: { tokens: 2, perMs: 1_000 } },
      { isQuick: true },
    );
    for (const id of [1, 2, 3, 4]) pool.tell('run', { id });
    await settle();
    expect(runs.map(({ id }) => id)).toEqual([1, 2]);
    pool.tell('run', { id: 5 }, { priority: 'high' });
    await advance(5_000);
    expect(runs.map(({ id, at }) => [id, at])).toEqual([
      [1, 0],
      [2, 0],
      [5, 500],
      [3, 1_000],
      [4, 1_500],
    ]);
  });

  it('takes the cost of each job, and lets no cheap one pass a costly one that waits', async () => {
    const { pool, runs, advance, system } = await started(
      { size: 3, rateLimit: { tokens: 10, perMs: 1_000, cost: costOf } },
      { isQuick: true },
    );
    pool.tell('run', { id: 1, cost: 8 });
    pool.tell('run', { id: 2, cost: 10 });
    pool.tell('run', { id: 3, cost: 1 });
    pool.tell('run', { id: 4, cost: 0 });
    await advance(10_000);
    expect(runs.map(({ id, at }) => [id, at])).toEqual([
      [1, 0],
      [2, 800],
      [3, 900],
      [4, 900],
    ]);
    expect(system.inspect(pool)?.counts).toMatchObject({ accepted: 4, handled: 4 });
  });

  it('is shown by inspection', async () => {
    const { pool, advance, settle, system } = await started({
      size: 3,
      rateLimit: { tokens: 4, perMs: 1_000 },
    });
    expect(system.inspect(pool)?.pool?.tokens).toBe(4);
    for (const id of [1, 2, 3]) pool.tell('run', { id });
    await settle();
    expect(system.inspect(pool)?.pool).toMatchObject({ inFlight: 3, tokens: 1 });
    await advance(125);
    expect(system.inspect(pool)?.pool?.tokens).toBe(1.5);
    const other = await system.spawn(puppet().pool({ size: 1 }));
    expect(system.inspect(other)?.pool?.tokens).toBeUndefined();
  });

  it('refuses at the door what costs more than the bucket holds, and costs that are no numbers: ERR_COST_EXCESSIVE', async () => {
    const { pool, runs, settle, system } = await started({
      size: 1,
      rateLimit: { tokens: 10, perMs: 1_000, cost: costOf },
    });
    expect(() => pool.tell('run', { id: 1, cost: 11 })).toThrow(
      expect.objectContaining({
        code: 'ERR_COST_EXCESSIVE',
        details: { address: system.inspect(pool)?.address, message: 'run', cost: 11, tokens: 10 },
      }),
    );
    const asked = endingOf(pool.ask('solve', { id: 2, cost: 11 }));
    for (const cost of [-1, Number.NaN, 'much'] as number[])
      expect(() => pool.tell('run', { id: 3, cost })).toThrow(
        expect.objectContaining({ code: 'ERR_OPTION_INVALID' }),
      );
    await settle();
    expect(asked.is).toBe('ERR_COST_EXCESSIVE');
    expect(runs).toEqual([]);
    expect(system.inspect(pool)?.counts.accepted).toBe(0);
    expect(system.inspect(pool)?.pool?.tokens).toBe(10);
  });

  it('asks the cost function once for each message, whatever becomes of it', async () => {
    const asked: number[] = [];
    const { pool, advance } = await started(
      {
        size: 2,
        routing: 'broadcast',
        rateLimit: {
          tokens: 2,
          perMs: 100,
          cost: (_name, { id }) => {
            asked.push(id);
            return 1;
          },
        },
      },
      { isQuick: true },
    );
    pool.tell('run', { id: 1 });
    pool.tell('run', { id: 2 });
    await advance(1_000);
    expect(asked).toEqual([1, 2]);
  });

  it('expires a job whose deadline passes while it waits for tokens, and goes on with the next at once', async () => {
    const { pool, runs, advance, system } = await started(
      { size: 2, rateLimit: { tokens: 10, perMs: 1_000, cost: costOf } },
      { isQuick: true },
    );
    pool.tell('run', { id: 1, cost: 9 });
    pool.tell('run', { id: 2, cost: 10 }, { ttlMs: 50 });
    pool.tell('run', { id: 3, cost: 1 });
    await advance(49);
    expect(runs.map(({ id }) => id)).toEqual([1]);
    expect(system.deadLetters.list()).toEqual([]);
    await advance(2);
    expect(system.deadLetters.list()).toMatchObject([{ reason: 'expired', message: 'run' }]);
    expect(runs.map(({ id, at }) => [id, at])).toEqual([
      [1, 0],
      [3, 51],
    ]);
    expect(system.inspect(pool)?.pool?.tokens).toBeLessThan(1);
  });

  it('counts each attempt at a job', async () => {
    const { pool, runs, settle, advance } = await started(
      { size: 1, rateLimit: { tokens: 1, perMs: 1_000 } },
      { retry: { attemptsMax: 3 } },
    );
    pool.tell('run', { id: 1 });
    await settle();
    runs[0]?.end.reject(new Error('again'));
    await advance(999);
    expect(runs).toHaveLength(1);
    await advance(1);
    runs[1]?.end.reject(new Error('again'));
    await advance(1_000);
    expect(runs.map(({ id, at }) => [id, at])).toEqual([
      [1, 0],
      [1, 1_000],
      [1, 2_000],
    ]);
  });

  it('lets no cheaper job pass one that is tried again by the only worker, whatever the routing', async () => {
    for (const routing of ['work-pulling', 'round-robin'] as const) {
      const { pool, runs, advance, settle } = await started(
        { size: 1, routing, rateLimit: { tokens: 3, perMs: 30, cost: costOf } },
        { retry: { attemptsMax: 2 } },
      );
      pool.tell('run', { id: 1, cost: 2 });
      await settle();
      runs[0]?.end.reject(new Error('once'));
      pool.tell('run', { id: 2, cost: 1 });
      pool.tell('run', { id: 3, cost: 1 });
      await advance(9);
      expect(runs.map(({ id }) => id)).toEqual([1]);
      await advance(1);
      expect(runs.map(({ id, at }) => [id, at])).toEqual([
        [1, 0],
        [1, 10],
      ]);
      runs[1]?.end.resolve(0);
      await advance(10);
      runs[2]?.end.resolve(0);
      await advance(10);
      expect(runs.map(({ id, at }) => [id, at]).slice(2)).toEqual([
        [2, 20],
        [3, 30],
      ]);
    }
  });

  it('lets a more urgent job pass one that is tried again, and both are tried again when it fails as well', async () => {
    const { pool, runs, advance, settle } = await started(
      { size: 1, rateLimit: { tokens: 3, perMs: 30, cost: costOf } },
      { retry: { attemptsMax: 2 } },
    );
    pool.tell('run', { id: 1, cost: 2 });
    await settle();
    runs[0]?.end.reject(new Error('once'));
    pool.tell('run', { id: 2, cost: 1 }, { priority: 'high' });
    await settle();
    expect(runs.map(({ id }) => id)).toEqual([1, 2]);
    runs[1]?.end.reject(new Error('once'));
    await advance(10);
    expect(runs.map(({ id, at }) => [id, at])[2]).toEqual([2, 10]);
    runs[2]?.end.resolve(0);
    await advance(20);
    expect(runs.map(({ id, at }) => [id, at])[3]).toEqual([1, 30]);
    runs[3]?.end.resolve(0);
    await settle();
    expect(runs).toHaveLength(4);
  });

  it('gives the next tokens to the more urgent one of a job and another one that is tried again', async () => {
    for (const size of [1, 2]) {
      const { pool, runs, settle, advance } = await started(
        { size, rateLimit: { tokens: 1, perMs: 1_000 } },
        { retry: { attemptsMax: 2 } },
      );
      pool.tell('run', { id: 1 });
      await settle();
      runs[0]?.end.reject(new Error('again'));
      await settle();
      pool.tell('run', { id: 2 }, { priority: 'high' });
      pool.tell('run', { id: 3 });
      await advance(1_000);
      runs[1]?.end.resolve(0);
      await advance(1_000);
      runs[2]?.end.resolve(0);
      await advance(1_000);
      expect([size, runs.map(({ id }) => id)]).toEqual([size, [1, 2, 1, 3]]);
    }
  });

  it('takes the tokens for each worker that gets a copy', async () => {
    const { pool, runs, advance, system } = await started(
      { size: 3, routing: 'broadcast', rateLimit: { tokens: 2, perMs: 1_000 } },
      { isQuick: true },
    );
    pool.tell('run', { id: 1 });
    await advance(2_000);
    expect(runs.map(({ at }) => at)).toEqual([0, 0, 500]);
    expect(new Set(runs.map(({ worker }) => worker)).size).toBe(3);
    expect(system.inspect(pool)?.counts).toMatchObject({ accepted: 4, handled: 4 });
  });

  it('gives up the shares of a scattered ask that wait for tokens once there is a reply', async () => {
    const { pool, runs, settle, advance, clock, system } = await started({
      size: 3,
      routing: 'scatter-gather-first',
      rateLimit: { tokens: 2, perMs: 1_000 },
    });
    const reply = endingOf(pool.ask('solve', { id: 1 }));
    await settle();
    expect(runs).toHaveLength(2);
    runs[0]?.end.resolve(7);
    runs[1]?.end.resolve(8);
    await settle();
    expect(reply.value).toBe(7);
    expect(clock.pending).toBe(0);
    await advance(5_000);
    expect(runs).toHaveLength(2);
    expect(system.inspect(pool)?.counts).toMatchObject({ accepted: 2 });
  });

  it('keeps urgency across workers that were chosen on arrival', async () => {
    const { pool, runs, advance, settle } = await started(
      { size: 3, routing: 'round-robin', rateLimit: { tokens: 1, perMs: 1_000 } },
      { isQuick: true },
    );
    pool.tell('run', { id: 1 });
    await settle();
    pool.tell('run', { id: 2 }, { priority: 'low' });
    pool.tell('run', { id: 3 });
    pool.tell('run', { id: 4 }, { priority: 'critical' });
    await advance(5_000);
    expect(runs.map(({ id, at }) => [id, at])).toEqual([
      [1, 0],
      [4, 1_000],
      [3, 2_000],
      [2, 3_000],
    ]);
  });

  it('leaves no timer when nothing waits any more: taken back, dropped, resized, stopped', async () => {
    const { pool, settle, advance, clock, system } = await started(
      { size: 2, rateLimit: { tokens: 1, perMs: 60_000 } },
      { isQuick: true },
    );
    pool.tell('run', { id: 1 });
    await settle();
    expect(clock.pending).toBe(0);
    const aborter = new AbortController();
    const asked = endingOf(pool.ask('solve', { id: 2 }, { signal: aborter.signal, timeoutMs: 50_000 }));
    await settle();
    expect(clock.pending).toBe(2); // its own timeout, and the tokens
    aborter.abort(new Error('enough'));
    await settle();
    expect(asked.is).toBe('rejected');
    expect(clock.pending).toBe(0);
    pool.tell('run', { id: 3 });
    await settle();
    expect(clock.pending).toBe(1);
    await system.resize(pool, 1);
    await settle();
    expect(clock.pending).toBe(1);
    await system.stop(pool);
    await settle();
    expect(clock.pending).toBe(0);
    expect(system.deadLetters.list()).toMatchObject([{ reason: 'stopped' }]);
    await advance(100);
  });

  it('outlives a restart of the pool: a crash brings no new tokens', async () => {
    const { pool, runs, settle, advance, system } = await started({
      size: 1,
      rateLimit: { tokens: 5, perMs: 10_000 },
      backoff: NONE,
    });
    for (const id of [1, 2, 3, 4, 5, 6]) pool.tell('run', { id });
    for (let i = 0; i < 5; i++) {
      await settle();
      runs[i]?.end.reject(new Error('bad'));
    }
    await settle();
    expect(runs).toHaveLength(5);
    await advance(0);
    expect(system.inspect(pool)?.generation).toBe(1);
    await advance(1_999);
    expect(runs).toHaveLength(5);
    await advance(1);
    expect(runs.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('lets the pool drain as the tokens come, and a shutdown end it in time', async () => {
    const { pool, runs, settle, advance, system, clock } = await started(
      { size: 2, rateLimit: { tokens: 1, perMs: 1_000 } },
      { isQuick: true },
    );
    for (const id of [1, 2, 3]) pool.tell('run', { id });
    await settle();
    const drained = endingOf(system.drain(pool));
    await advance(1_999);
    expect(drained.is).toBeUndefined();
    await advance(1);
    expect(drained.is).toBe('resolved');
    expect(runs.map(({ id }) => id)).toEqual([1, 2, 3]);
    const slow = await system.spawn(puppet().pool({ size: 1, rateLimit: { tokens: 1, perMs: 1_000_000 } }));
    for (let i = 0; i < 3; i++) slow.tell('act', () => undefined);
    await settle();
    const shut = endingOf(system.shutdown({ drainMs: 500 }));
    await advance(60_000);
    expect(shut.is).toBe('resolved');
    expect(clock.pending).toBe(0);
  });

  it('does not wake a suspended pool, which goes on when it is resumed', async () => {
    const { pool, runs, settle, advance, system } = await started(
      { size: 2, rateLimit: { tokens: 1, perMs: 100 } },
      { isQuick: true },
    );
    for (const id of [1, 2]) pool.tell('run', { id });
    await settle();
    system.suspend(pool);
    await advance(1_000);
    expect(runs).toHaveLength(1);
    system.resume(pool);
    await settle();
    expect(runs).toHaveLength(2);
  });

  it('holds for what a topic brings', async () => {
    const News = topic('news.{kind}', type<Job>());
    const at: number[] = [];
    let now = (): number => 0;
    const reader = agent(Work, {
      subscribe: [{ topic: News, as: 'run' }],
      on: { run: () => void at.push(now()), solve: () => 0 },
    });
    const root = supervisor({
      children: { pool: reader.pool({ size: 3, rateLimit: { tokens: 1, perMs: 10 } }) },
    });
    const { system, advance, clock } = await testSystem({ root });
    now = () => clock.now();
    for (let id = 0; id < 3; id++) await system.publish(News, { kind: 'late' }, { id });
    await advance(100);
    expect(at).toEqual([0, 10, 20]);
  });
});

describe('the concurrency limit of a pool', () => {
  it('lets so many turns run at once, the most urgent first, whoever was chosen for them', async () => {
    for (const routing of ['round-robin', 'least-loaded', 'work-pulling'] as const) {
      const { pool, runs, ids, settle, system } = await started(
        { size: 4, routing, concurrencyMax: 2 },
        { order: 'engine' },
      );
      for (const id of [1, 2, 3]) pool.tell('run', { id });
      pool.tell('run', { id: 4 }, { priority: 'critical' });
      await settle();
      const first = ids();
      expect(first).toHaveLength(2);
      expect(system.inspect(pool)?.pool?.inFlight).toBe(2);
      for (let done = 0; done < 4; done++) {
        runs[done]?.end.resolve(0);
        await settle();
        expect(runs.length).toBe(Math.min(4, done + 3));
      }
      expect(ids().sort((a, b) => a - b)).toEqual([1, 2, 3, 4]);
      expect(ids().indexOf(4)).toBeLessThan(ids().indexOf(3));
    }
  });

  it('counts what is sent to one worker alone, lets it go before jobs, and counts no turn that was disowned', async () => {
    const runs: string[] = [];
    const ends: Deferred<void>[] = [];
    const { system, settle, advance } = await testSystem({ order: 'engine' });
    const slow = puppet({ turnTimeoutMs: 100 });
    const pool = await system.spawn(slow.pool({ size: 2, concurrencyMax: 1, backoff: NONE }), {
      name: 'crew',
    });
    const [one, two] = system.inspect(pool)?.pool?.workers.map(({ address }) => address) ?? [];
    const named = (name: string) => () => {
      runs.push(name);
      const end = deferred();
      ends.push(end);
      return end.promise;
    };
    system.ref(pool.protocol, one ?? '').tell('act', named('one'));
    system.ref(pool.protocol, two ?? '').tell('act', named('two'));
    pool.tell('act', named('job'));
    await settle();
    expect(runs).toEqual(['one']);
    ends[0]?.resolve();
    await settle();
    expect(runs).toEqual(['one', 'two']);
    await advance(100); // it takes too long, and is disowned
    expect(runs).toEqual(['one', 'two', 'job']);
    ends[2]?.resolve();
    await settle();
    expect(system.inspect(pool)?.counts).toMatchObject({ accepted: 3, handled: 2, failed: 1 });
  });

  it('gives the place of a worker that is killed, stopped or suspended to another one', async () => {
    for (const how of ['kill', 'stop'] as const) {
      const { pool, runs, ids, settle, advance, system } = await started({ size: 2, concurrencyMax: 1 });
      pool.tell('run', { id: 1 });
      pool.tell('run', { id: 2 });
      await settle();
      expect(ids()).toEqual([1]);
      const holder = system.ref(Work, runs[0]?.worker ?? '');
      void system[how](holder);
      await advance(100_000);
      expect([how, ids()]).toEqual([how, [1, 2]]);
    }
    const { pool, ids, settle, runs, system } = await started({ size: 2, concurrencyMax: 1 });
    const [one] = system.inspect(pool)?.pool?.workers ?? [];
    system.suspend(system.ref(Work, one?.address ?? ''));
    pool.tell('run', { id: 1 });
    pool.tell('run', { id: 2 });
    await settle();
    runs[0]?.end.resolve(0);
    await settle();
    expect(ids()).toEqual([1, 2]);
  });

  it('goes on with the next job when the one that was let go has expired', async () => {
    const { pool, runs, ids, settle, advance } = await started({
      size: 3,
      routing: 'round-robin',
      concurrencyMax: 1,
    });
    pool.tell('run', { id: 1 });
    await settle();
    pool.tell('run', { id: 2 }, { ttlMs: 10 });
    pool.tell('run', { id: 3 });
    await advance(20);
    runs[0]?.end.resolve(0);
    await settle();
    expect(ids()).toEqual([1, 3]);
  });

  it('is no limit when it is above the number of workers, and holds when there are more of them', async () => {
    const { pool, ids, settle, system } = await started({ size: 1, concurrencyMax: 2 });
    for (const id of [1, 2, 3, 4]) pool.tell('run', { id });
    await settle();
    expect(ids()).toEqual([1]);
    await system.resize(pool, 4);
    await settle();
    expect(ids()).toEqual([1, 2]);
  });

  it('holds together with a rate limit', async () => {
    const { pool, runs, ids, settle, advance } = await started(
      { size: 4, routing: 'round-robin', concurrencyMax: 2, rateLimit: { tokens: 3, perMs: 3_000 } },
      { order: 'engine' },
    );
    for (const id of [1, 2, 3, 4, 5]) pool.tell('run', { id });
    await settle();
    expect(ids()).toEqual([1, 2]);
    for (const run of runs) run.end.resolve(0);
    await settle();
    expect(ids()).toEqual([1, 2, 3]);
    await advance(1_000);
    expect(ids()).toEqual([1, 2, 3, 4]);
    await advance(1_000);
    expect(ids()).toEqual([1, 2, 3, 4]);
    runs[3]?.end.resolve(0);
    await settle();
    expect(ids()).toEqual([1, 2, 3, 4, 5]);
  });
});

describe('the limits of a pool', () => {
  it('are checked at the door', () => {
    const refuse = (options: object, option: string): void => {
      const make = (): unknown => puppet().pool({ size: 1, ...options });
      expect(make).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
      expect(make).toThrow(option);
    };
    for (const concurrencyMax of [0, 1.5, 10_001, '2', null, Number.POSITIVE_INFINITY])
      refuse({ concurrencyMax }, 'pool.concurrencyMax');
    refuse({ rateLimit: 5 }, 'pool.rateLimit');
    refuse({ rateLimit: {} }, 'pool.rateLimit.tokens');
    refuse({ rateLimit: { tokens: 5 } }, 'pool.rateLimit.perMs');
    for (const tokens of [0, -1, 0.5, Number.POSITIVE_INFINITY, '5'])
      refuse({ rateLimit: { tokens, perMs: 5 } }, 'pool.rateLimit.tokens');
    for (const perMs of [0, -1, 2_147_483_648, Number.NaN, '5'])
      refuse({ rateLimit: { tokens: 5, perMs } }, 'pool.rateLimit.perMs');
    refuse({ rateLimit: { tokens: 5, perMs: 5, cost: 3 } }, 'pool.rateLimit.cost');
    refuse({ rateLimit: { tokens: 5, perMs: 5, burst: 3 } }, 'pool.rateLimit.burst');
  });
});
