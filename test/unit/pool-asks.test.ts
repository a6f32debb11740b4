import type { PoolOptions } from 'troupe';
import { describe, expect, it } from 'vitest';
import {
  deferred,
  endingOf,
  type PuppetContext,
  type PuppetProtocol,
  type PuppetRef,
  puppet,
  type Question,
} from '../support/puppet.ts';
import { testSystem } from '../support/test-system.ts';

type PuppetPool = PoolOptions<PuppetProtocol, void>;

async function started(options: PuppetPool, given: Parameters<typeof testSystem>[0] = {}) {
  const test = await testSystem(given);
  const pool = await test.system.spawn(puppet({ onFailure: 'fail' }).pool(options), { name: 'crew' });
  const paths = (addresses: readonly string[]): string[] => addresses.map((each) => each.replace(/#.*/, ''));
  return { ...test, pool, paths };
}

/** A question whose answer is that of another one, asked of `ref` in the same turn. */
const asking =
  (ref: PuppetRef, question: Question): Question =>
  (ctx) =>
    (ctx as PuppetContext).ask(ref, 'answer', question);

const done: Question = () => 'done';

describe('a worker that asks its own pool', () => {
  it('is refused at once with the path when it is the only one: ERR_ASK_CYCLE', async () => {
    const { pool, settle, system } = await started({ size: 1 });
    const asked = endingOf(pool.ask('answer', asking(pool, done)));
    await settle();
    expect(asked).toMatchObject({ is: 'ERR_ACTOR_FAILED', error: { cause: { code: 'ERR_ASK_CYCLE' } } });
    const { cause } = asked.error as { readonly cause: { readonly details: { readonly path: string[] } } };
    expect(cause.details.path.map((each) => each.replace(/#.*/, ''))).toEqual([
      '/user/crew/worker-1',
      '/user/crew',
    ]);
    expect(system.inspect(pool)?.counts).toMatchObject({ accepted: 1, failed: 1 });
  });

  it('is answered by another one, and refused when all of them wait in its chain', async () => {
    const { pool, settle, paths } = await started({ size: 2 });
    const once = endingOf(pool.ask('answer', asking(pool, done)));
    await settle();
    expect(once).toMatchObject({ is: 'resolved', value: 'done' });
    let path: readonly string[] = [];
    const probing: Question = async (ctx) => {
      const inner = endingOf((ctx as PuppetContext).ask(pool, 'answer', done));
      await settle();
      path = (inner.error as { readonly details: { readonly path: string[] } }).details.path;
      return inner.is;
    };
    const twice = endingOf(pool.ask('answer', asking(pool, probing)));
    await settle();
    await settle();
    expect(twice).toMatchObject({ is: 'resolved', value: 'ERR_ASK_CYCLE' });
    expect(paths(path).slice(0, 2).sort()).toEqual(['/user/crew/worker-1', '/user/crew/worker-2']);
    expect(paths(path)[2]).toBe('/user/crew');
  });

  it('is refused too when the chain leads through somebody else', async () => {
    const { pool, settle, system, paths } = await started({ size: 1 });
    const broker = await system.spawn(puppet(), { name: 'broker' });
    const asked = endingOf(pool.ask('answer', asking(broker, asking(pool, done))));
    await settle();
    let error = asked.error as { readonly cause?: unknown; readonly details: { readonly path: string[] } };
    while (error.cause !== undefined) error = error.cause as typeof error;
    expect(paths(error.details.path)).toEqual(['/user/crew/worker-1', '/user/broker', '/user/crew']);
  });

  it('is no cycle while another worker is busy, starting, or between two lives', async () => {
    const { pool, settle, system, advance } = await started({ size: 2, backoff: { minMs: 500, jitter: 0 } });
    const busy = deferred();
    pool.tell('act', () => busy.promise);
    await settle();
    const waits = endingOf(pool.ask('answer', asking(pool, done)));
    await settle();
    expect(waits.is).toBeUndefined();
    busy.resolve();
    await settle();
    expect(waits).toMatchObject({ is: 'resolved', value: 'done' });
    pool.tell('act', () => {
      throw new Error('bad');
    });
    await settle();
    const later = endingOf(pool.ask('answer', asking(pool, done)));
    await settle();
    expect(later.is).toBeUndefined();
    await advance(500);
    expect(later).toMatchObject({ is: 'resolved', value: 'done' });
    expect(system.inspect(pool)?.status).toBe('running');
  });

  it('is no cycle once its own turn has ended, or when it only tells', async () => {
    const { pool, settle } = await started({ size: 1 });
    const late = deferred<PuppetContext>();
    const told: string[] = [];
    pool.tell('act', (ctx) => {
      late.resolve(ctx);
      ctx.tell(pool, 'act', () => told.push('told'));
    });
    await settle();
    expect(told).toEqual(['told']);
  });

  it('is refused when the worker that could have answered is removed meanwhile, and answered when one is added', async () => {
    const { pool, settle, system, advance } = await started({ size: 2, shutdownMs: 10 }, { order: 'engine' });
    const busy = deferred();
    let seen: unknown;
    const workers: string[] = [];
    const probing: Question = (ctx) => {
      workers.push(ctx.self.address);
      return (ctx as PuppetContext)
        .ask(pool, 'answer', done)
        .then((value) => value)
        .catch((error: unknown) => {
          seen = error;
          return 'refused';
        });
    };
    const asked = endingOf(pool.ask('answer', probing));
    pool.tell('act', () => busy.promise);
    await settle();
    expect(workers).toEqual([expect.stringContaining('worker-1')]);
    expect(asked.is).toBeUndefined();
    const resized = endingOf(system.resize(pool, 1));
    await settle();
    expect(seen).toMatchObject({ code: 'ERR_ASK_CYCLE' });
    expect(asked).toMatchObject({ is: 'resolved', value: 'refused' });
    busy.resolve();
    await settle();
    expect(resized.is).toBe('resolved');
    expect(system.inspect(pool)?.counts).toMatchObject({ accepted: 3, handled: 2, cancelled: 1 });
    const grown = endingOf(
      pool.ask('answer', async (ctx) => {
        await system.resize(pool, 2);
        return (ctx as PuppetContext).ask(pool, 'answer', done);
      }),
    );
    await advance(10);
    expect(grown).toMatchObject({ is: 'resolved', value: 'done' });
  });

  it('is refused when as many turns of its chain run as may run at all', async () => {
    const { pool, settle } = await started({ size: 3, concurrencyMax: 2 });
    const once = endingOf(pool.ask('answer', asking(pool, done)));
    await settle();
    expect(once).toMatchObject({ is: 'resolved', value: 'done' });
    const twice = endingOf(pool.ask('answer', asking(pool, asking(pool, done))));
    await settle();
    let error = twice.error as { readonly cause?: unknown; readonly code: string };
    while (error.cause !== undefined) error = error.cause as typeof error;
    expect(error.code).toBe('ERR_ASK_CYCLE');
  });

  it('is never given its own question where a worker is chosen on arrival', async () => {
    for (const routing of ['round-robin', 'random', 'least-loaded'] as const) {
      for (let size = 2; size <= 10; size += 4) {
        const { pool, settle } = await started({ size, routing });
        for (let n = 0; n < size * 2; n++) {
          const asked = endingOf(pool.ask('answer', asking(pool, done)));
          await settle();
          expect([routing, size, asked.is]).toEqual([routing, size, 'resolved']);
        }
      }
    }
  });

  it('is refused at once when a key leads back to it, and answered when it leads to another one', async () => {
    for (const routing of ['consistent-hash', 'sticky'] as const) {
      let next = 'a';
      const { pool, settle } = await started({ size: 3, routing, key: () => next });
      const keyed =
        (key: string): Question =>
        (ctx) => {
          next = key;
          const inner = (ctx as PuppetContext).ask(pool, 'answer', ({ self }) => self.address);
          return inner.catch((error: unknown) => error);
        };
      const outcomes: unknown[] = [];
      for (const key of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) {
        next = 'a';
        const asked = endingOf(pool.ask('answer', keyed(key)));
        await settle();
        outcomes.push(asked.value);
      }
      expect(outcomes[0]).toMatchObject({ code: 'ERR_ASK_CYCLE' });
      for (const each of outcomes) expect(each).toBeDefined();
      expect(outcomes.some((each) => typeof each === 'string')).toBe(true);
    }
  });

  it('does not take part in the race for the reply to its own scattered question', async () => {
    const { pool, settle, system } = await started({ size: 3, routing: 'scatter-gather-first' });
    const asked: string[] = [];
    let hasAsked = false;
    const scattered = endingOf(
      pool.ask('answer', (ctx) => {
        if (hasAsked) return deferred<unknown>().promise;
        hasAsked = true;
        return (ctx as PuppetContext).ask(pool, 'answer', (inner) => {
          asked.push(inner.self.address.replace(/#.*/, ''));
          throw new Error('none of us knows');
        });
      }),
    );
    await settle();
    expect(scattered.is).toBeUndefined();
    expect(asked).toEqual([]); // the two others are busy with the first question
    expect(system.inspect(pool)?.pool?.inFlight).toBe(3);
  });
});

describe('a dead letter of a job', () => {
  const failing = (ref: PuppetRef): void => {
    ref.tell('act', (ctx) => {
      if (ctx.message.attempt === 1) throw new Error('bad');
      ctx.state.push('mended');
    });
  };

  it('is replayed to the pool, although the worker that had it is gone', async () => {
    for (const routing of ['work-pulling', 'round-robin'] as const) {
      const { pool, settle, system } = await started({ size: 2, routing, restart: 'temporary' });
      failing(pool);
      await settle();
      const [letter] = system.deadLetters.list();
      expect(letter).toMatchObject({
        reason: 'handler-failed',
        address: expect.stringMatching(/worker-\d+#/),
      });
      expect(system.inspect(pool)?.pool?.workers).toHaveLength(1);
      await system.deadLetters.replay(letter?.id ?? '');
      await settle();
      expect(system.inspect(pool)?.counts).toMatchObject({ accepted: 2, failed: 1, handled: 1 });
    }
  });

  it('is replayed to the pool, although the worker that had it is alive and busy', async () => {
    const { pool, settle, system } = await started({ size: 2, backoff: { minMs: 0, jitter: 0 } });
    failing(pool);
    await settle();
    const [letter] = system.deadLetters.list();
    const busy = deferred();
    system.ref(pool.protocol, letter?.address.replace(/#.*/, '') ?? '').tell('act', () => busy.promise);
    await settle();
    await system.deadLetters.replay(letter?.id ?? '');
    await settle();
    expect(system.inspect(pool)?.counts).toMatchObject({ accepted: 3, failed: 1, handled: 1 });
    busy.resolve();
  });

  it('goes to its own worker where each one has a copy, and nowhere when that one is gone', async () => {
    const { pool, settle, system } = await started({
      size: 2,
      routing: 'broadcast',
      backoff: { minMs: 0, jitter: 0 },
    });
    const seen: string[] = [];
    pool.tell('act', (ctx) => {
      seen.push(ctx.self.address);
      if (ctx.message.attempt === 1 && seen.length === 1) throw new Error('bad');
    });
    await settle();
    expect(seen).toHaveLength(2);
    const [letter] = system.deadLetters.list();
    await system.deadLetters.replay(letter?.id ?? '');
    await settle();
    expect(seen).toEqual([letter?.address, seen[1], letter?.address]);
    pool.tell('act', () => {
      throw new Error('bad');
    });
    await settle();
    const [last] = system.deadLetters.list();
    await system.stop(system.ref(pool.protocol, last?.address ?? ''));
    await expect(system.deadLetters.replay(last?.id ?? '')).rejects.toMatchObject({
      code: 'ERR_ACTOR_UNKNOWN',
    });
  });

  it('is not taken for a job because of a name that begins like that of a pool', async () => {
    const { pool, settle, system } = await started({ size: 1 });
    system.register('crew2', pool);
    system.ref(pool.protocol, 'crewX').tell('act', () => undefined);
    await settle();
    const [letter] = system.deadLetters.list();
    await expect(system.deadLetters.replay(letter?.id ?? '')).rejects.toMatchObject({
      code: 'ERR_ACTOR_UNKNOWN',
    });
  });
});
