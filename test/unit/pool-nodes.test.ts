import { agent, ask, protocol } from 'troupe';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { aborted, farPool, Work, workBook, worker } from '../support/far-pool.ts';
import { deferred, endingOf } from '../support/puppet.ts';
import { testCluster } from '../support/test-cluster.ts';

const LOST_MS = 20_000;

describe('a pool over nodes', () => {
  it('spreads its workers evenly, and has jobs done there', async () => {
    const { cluster, boss, own, book, spread, actorsOn } = await farPool(['b', 'c']);
    const pool = await boss.system.spawn(own.pool({ size: 3, nodes: 'all' }));
    await cluster.advance(50);
    expect(spread(pool)).toEqual({ b: 2, c: 1 });
    expect([actorsOn('b'), actorsOn('c')]).toEqual([2, 1]);
    const replies = Promise.all([1, 2, 3, 4].map((n) => pool.ask('double', { n })));
    expect(await cluster.during(replies)).toEqual([2, 4, 6, 8]);
    for (const n of [5, 6]) expect(pool.tell('note', { n })).toBe('accepted');
    await cluster.advance(50);
    expect([...book('b').done, ...book('c').done].sort((x, y) => x - y)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(boss.system.inspect(pool)?.counts).toMatchObject({ accepted: 6, handled: 6 });
  });

  it('is on the nodes that are named, and on this one by ordinary workers', async () => {
    const cluster = testCluster();
    const { join, book, own } = await farPool(['b', 'c'], {}, cluster);
    await join('d');
    const d = await cluster.start('d2', { agents: [own] });
    await cluster.advance(50);
    const pool = await d.system.spawn(own.pool({ size: 4, nodes: ['d2', 'c', 'e'] }));
    await cluster.advance(50);
    const workers = d.system.inspect(pool)?.pool?.workers ?? [];
    expect(workers.filter(({ node }) => node === 'c')).toHaveLength(2);
    expect(workers.filter(({ node }) => node === undefined)).toHaveLength(2);
    const replies = Promise.all([1, 2, 3, 4].map((n) => pool.ask('double', { n })));
    expect(await cluster.during(replies)).toEqual([2, 4, 6, 8]);
    expect([book('b').started, book('d').started, book('c').started]).toEqual([0, 0, 2]);
  });

  it('P95 gives a worker its next job when it has finished the one before, a slow one holding up nobody', async () => {
    const { cluster, boss, own, book } = await farPool(['b', 'c']);
    const gate = deferred();
    for (const name of ['b', 'c']) book(name).turn = (n) => (n === 1 ? gate.promise : undefined);
    const pool = await boss.system.spawn(own.pool({ size: 2, nodes: 'all' }));
    await cluster.advance(50);
    for (let n = 1; n <= 20; n++) pool.tell('note', { n });
    for (let n = 0; n < 20; n++) await cluster.advance(10);
    const [slow, quick] = book('b').begun.includes(1) ? [book('b'), book('c')] : [book('c'), book('b')];
    expect(slow.begun).toEqual([1]);
    expect(quick.done).toEqual(Array.from({ length: 19 }, (_, n) => n + 2));
    expect([slow.most, quick.most]).toEqual([1, 1]);
    gate.resolve();
    await cluster.advance(50);
    expect(slow.done).toEqual([1]);
  });

  it('P96 starts what waits by priority', async () => {
    const { cluster, boss, own, book } = await farPool(['b']);
    const gate = deferred();
    book('b').turn = (n) => (n === 0 ? gate.promise : undefined);
    const pool = await boss.system.spawn(own.pool({ size: 1, nodes: 'all' }));
    await cluster.advance(50);
    pool.tell('note', { n: 0 });
    await cluster.advance(50);
    for (const n of [1, 2]) pool.tell('note', { n }, { priority: 'low' });
    for (const n of [3, 4]) pool.tell('note', { n }, { priority: 'critical' });
    gate.resolve();
    await cluster.advance(100);
    expect(book('b').done).toEqual([0, 3, 4, 1, 2]);
  });

  it('hands on sender, deadline, headers, and an id that is the same on each attempt', async () => {
    const { cluster, boss, own, book } = await farPool(['b']);
    const pool = await boss.system.spawn(own.pool({ size: 1, nodes: 'all' }));
    const Asker = protocol('asker', { go: ask(z.object({ n: z.number() }), z.number()) });
    const asker = agent(Asker, {
      state: () => undefined,
      on: { go: (ctx, { n }) => ctx.ask(pool, 'double', { n }) },
    });
    const ref = await boss.system.spawn(asker);
    await cluster.advance(50);
    expect(await cluster.during(ref.ask('go', { n: 4 }))).toBe(8);
    expect(book('b').messages).toEqual([
      {
        id: expect.stringMatching(/-\d+$/),
        attempt: 1,
        sender: expect.stringMatching(/^\/\/boss@.*\/user\/\$\d+#/),
      },
    ]);
    expect(book('b').headers[0]).toEqual({});
    pool.tell('note', { n: 1 }, { headers: { tenant: 'acme' }, ttlMs: 5_000 });
    await cluster.advance(50);
    expect(book('b').headers[1]).toEqual({ tenant: 'acme' });
    expect(book('b').deadlines[1]).toBeGreaterThan(0);
  });
});

describe('a job that is not wanted any more', () => {
  it('is aborted where it runs, and its worker gets the next one when that turn has ended', async () => {
    const { cluster, boss, own, book } = await farPool(['b']);
    const slow = deferred();
    book('b').turn = (n) => (n === 1 ? slow.promise : undefined);
    const pool = await boss.system.spawn(own.pool({ size: 1, nodes: 'all' }));
    await cluster.advance(50);
    const controller = new AbortController();
    const first = endingOf(pool.ask('double', { n: 1 }, { signal: controller.signal }));
    const queued = endingOf(pool.ask('double', { n: 2 }, { timeoutMs: 100 }));
    const next = endingOf(pool.ask('double', { n: 3 }));
    await cluster.advance(50);
    controller.abort(new Error('enough'));
    await cluster.advance(500);
    expect([first.error, queued.is, next.is]).toEqual([
      expect.objectContaining({ message: 'enough' }),
      'ERR_ASK_TIMEOUT',
      undefined,
    ]);
    expect([book('b').aborted, book('b').begun]).toEqual([1, [1]]);
    slow.reject(new Error('aborted'));
    await cluster.advance(50);
    expect([next.value, book('b').begun]).toEqual([6, [1, 3]]);
    expect(boss.system.inspect(pool)?.counts).toMatchObject({ cancelled: 2, handled: 1 });
    expect(book('b').started).toBe(1);
  });

  it('ends there by its own time as well', async () => {
    const { cluster, boss, own, book } = await farPool(['b']);
    book('b').turn = (_n, signal) => aborted(signal);
    const pool = await boss.system.spawn(own.pool({ size: 1, nodes: 'all' }));
    await cluster.advance(50);
    const asked = endingOf(pool.ask('double', { n: 1 }, { timeoutMs: 200 }));
    await cluster.advance(500);
    expect([asked.is, book('b').aborted, book('b').running]).toEqual(['ERR_ASK_TIMEOUT', 1, 0]);
  });
});

describe('a worker of a pool over nodes', () => {
  it('that fails has its asker told, is started again where it is, and gets no job before that', async () => {
    const { cluster, boss, own, book, spread, nodes } = await farPool(['b', 'c']);
    for (const name of ['b', 'c'])
      book(name).turn = (n) => {
        if (n < 0) throw new Error('below zero');
      };
    const backoff = { minMs: 5_000, maxMs: 5_000, jitter: 0 };
    const pool = await boss.system.spawn(own.pool({ size: 2, nodes: 'all', backoff }));
    await cluster.advance(50);
    const asked = endingOf(pool.ask('double', { n: -1 }));
    await cluster.advance(50);
    expect(asked.error).toMatchObject({
      code: 'ERR_ACTOR_FAILED',
      cause: { message: expect.stringContaining('below zero') },
    });
    const failed = book('b').begun.length > 0 ? 'b' : 'c';
    const other = failed === 'b' ? 'c' : 'b';
    for (const n of [1, 2, 3]) pool.tell('note', { n });
    await cluster.advance(500);
    expect([book(failed).done, book(other).done]).toEqual([[], [1, 2, 3]]);
    await cluster.advance(5_000);
    expect(book(failed).started).toBe(2);
    expect(spread(pool)).toEqual({ b: 1, c: 1 });
    const letters = [boss, nodes.get(failed)].map((node) =>
      node?.system.deadLetters.list().map(({ reason }) => reason),
    );
    expect(letters).toEqual([['handler-failed'], ['handler-failed']]);
    expect(boss.system.inspect(pool)?.counts).toMatchObject({ accepted: 4, handled: 3, failed: 1 });
  });

  it('that tries a job again does so where it is, and keeps it', async () => {
    const { cluster, boss, own, book } = await farPool(['b'], {
      onFailure: { retry: { attemptsMax: 3, backoff: { minMs: 10, maxMs: 10 } } },
    });
    let times = 0;
    book('b').turn = () => {
      if (++times < 3) throw new Error('not yet');
    };
    const pool = await boss.system.spawn(own.pool({ size: 1, nodes: 'all' }));
    await cluster.advance(50);
    expect(await cluster.during(pool.ask('double', { n: 1 }), 1_000)).toBe(2);
    expect(book('b').messages.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect(new Set(book('b').messages.map(({ id }) => id)).size).toBe(1);
  });

  it('rejects a message there and has it rejected here', async () => {
    const { cluster, boss, own, book } = await farPool(['b']);
    const { rejected } = await import('troupe');
    book('b').turn = () => {
      throw rejected('no such customer');
    };
    const pool = await boss.system.spawn(own.pool({ size: 1, nodes: 'all' }));
    await cluster.advance(50);
    const asked = endingOf(pool.ask('double', { n: 1 }));
    pool.tell('note', { n: 2 });
    await cluster.advance(50);
    expect(asked.error).toMatchObject({
      code: 'ERR_MESSAGE_REJECTED',
      cause: { message: expect.stringContaining('no such customer') },
    });
    expect(boss.system.deadLetters.list().map(({ reason }) => reason)).toEqual(['rejected', 'rejected']);
    expect(book('b').started).toBe(1);
  });

  it('that ends for good ends alone, and the last one takes the pool with it', async () => {
    const { cluster, boss, book, spread, actorsOn } = await farPool(['b', 'c'], { decide: () => 'stop' });
    const own = worker(workBook(), { decide: () => 'stop' });
    for (const name of ['b', 'c'])
      book(name).turn = (n) => {
        if (n < 0) throw new Error('below zero');
      };
    const pool = await boss.system.spawn(own.pool({ size: 2, nodes: 'all', restart: 'temporary' }));
    await cluster.advance(50);
    pool.tell('note', { n: -1 });
    await cluster.advance(1_000);
    expect(Object.values(spread(pool))).toEqual([1]);
    expect(actorsOn('b') + actorsOn('c')).toBe(1);
    expect(await cluster.during(pool.ask('double', { n: 2 }))).toBe(4);
    pool.tell('note', { n: -1 });
    await cluster.advance(1_000);
    expect(boss.system.inspect(pool)?.status).toBe('stopped');
    expect(boss.events).toContainEqual(
      expect.objectContaining({
        type: 'actor-stopped',
        error: expect.objectContaining({ code: 'ERR_POOL_DESERTED' }),
      }),
    );
  });

  it('that its node stops, or does not know any more, is put somewhere else', async () => {
    const { cluster, boss, own, book, spread, nodes } = await farPool(['b']);
    const pool = await boss.system.spawn(own.pool({ size: 1, nodes: 'all' }));
    await cluster.advance(50);
    const there = nodes
      .get('b')
      ?.system.tree()
      .children.find(({ address }) => address === '/user')?.children[0];
    const ref = nodes.get('b')?.system.ref(Work, there?.address ?? '');
    if (ref === undefined) throw new Error('there is no worker');
    const stopped = nodes.get('b')?.system.stop(ref);
    const asked = endingOf(pool.ask('double', { n: 1 })); // under way when nobody is there
    await cluster.advance(500);
    await stopped;
    expect(asked.value).toBe(2);
    expect([spread(pool), book('b').started, book('b').begun]).toEqual([{ b: 1 }, 2, [1]]);
    expect(nodes.get('b')?.system.deadLetters.list()).toEqual([]);
    expect(boss.system.deadLetters.list()).toEqual([]);
  });

  it('that promises a reply is free when its turn has ended, and its asker hears of it later', async () => {
    const cluster = testCluster();
    const Later = protocol('later', { get: ask(z.object({ n: z.number() }), z.number()) });
    const tokens: { reply(value: number): void }[] = [];
    const begun: number[] = [];
    const turn = deferred();
    const later = agent(Later, {
      state: () => undefined,
      on: {
        get: async (ctx, { n }) => {
          begun.push(n);
          if (n < 10) {
            const token = ctx.replyTo;
            tokens.push(token);
            return token;
          }
          const replied = ctx.reply(n);
          await turn.promise;
          return replied;
        },
      },
    });
    const boss = await cluster.start('boss');
    await cluster.start('b', { agents: [later] });
    const pool = await boss.system.spawn(later.pool({ size: 1, nodes: 'all' }));
    await cluster.advance(50);
    const [one, two] = [1, 2].map((n) => endingOf(pool.ask('get', { n })));
    await cluster.advance(50);
    expect([one?.is, two?.is, begun]).toEqual([undefined, undefined, [1, 2]]);
    tokens[1]?.reply(20);
    await cluster.advance(50);
    expect([one?.is, two?.value]).toEqual([undefined, 20]);
    const early = endingOf(pool.ask('get', { n: 10 }));
    const behind = endingOf(pool.ask('get', { n: 3 }, { timeoutMs: 500 }));
    await cluster.advance(100);
    expect([early.value, begun]).toEqual([10, [1, 2, 10]]);
    turn.resolve();
    await cluster.advance(1_000);
    expect([behind.is, begun]).toEqual(['ERR_ASK_TIMEOUT', [1, 2, 10, 3]]);
    cluster.kill('b');
    await cluster.advance(LOST_MS);
    expect(one?.is).toBe('ERR_NODE_DOWN');
  });

  it('that asks its own pool is refused where nobody else could answer', async () => {
    const cluster = testCluster();
    const Loop = protocol('loop', { dig: ask(z.object({ depth: z.number() }), z.number()) });
    const loop = agent(Loop, {
      state: () => undefined,
      on: {
        dig: async (ctx, { depth }) =>
          depth === 0
            ? 0
            : 1 +
              (await ctx.ask(ctx.system.ref(Loop, 'loops', { node: 'boss' }), 'dig', { depth: depth - 1 })),
      },
    });
    const boss = await cluster.start('boss');
    await cluster.start('b', { agents: [loop] });
    const pool = await boss.system.spawn(loop.pool({ size: 2, nodes: 'all' }));
    boss.system.register('loops', pool);
    await cluster.advance(50);
    expect(await cluster.during(pool.ask('dig', { depth: 1 }), 1_000)).toBe(1);
    const asked = endingOf(pool.ask('dig', { depth: 2 }, { timeoutMs: 10_000 }));
    await cluster.advance(1_000);
    expect(asked.error).toMatchObject({ code: 'ERR_ACTOR_FAILED' });
    expect(
      JSON.stringify(
        boss.events
          .filter(({ type }) => type === 'actor-failed')
          .map((event) => String((event as { error: Error }).error.cause)),
      ),
    ).toContain('would wait for itself');
  });
});
