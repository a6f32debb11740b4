import { isTroupeError } from 'troupe';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { farPool, workBook, worker } from '../support/far-pool.ts';
import { deferred, endingOf, never } from '../support/puppet.ts';

/** Milliseconds after which a node that was killed or cut off is lost. */
const LOST_MS = 20_000;
const SHUTDOWN_MS = 31_000;
const RETRY = { onFailure: { retry: { attemptsMax: 2, backoff: { minMs: 10, maxMs: 10 } } } } as const;

describe('a node that is lost', () => {
  it('takes the job in hand of its worker along, which fails, and the worker is put on another one', async () => {
    const { cluster, boss, own, book, spread } = await farPool(['b', 'c']);
    book('b').turn = never;
    const pool = await boss.system.spawn(own.pool({ size: 2, nodes: 'all' }));
    await cluster.advance(50);
    const asks = [1, 2].map((n) => endingOf(pool.ask('double', { n })));
    await cluster.advance(50);
    const lost = book('b').begun[0] ?? 0;
    cluster.kill('b');
    await cluster.advance(LOST_MS);
    const [hit, other] = lost === 1 ? asks : asks.toReversed();
    expect(hit?.error).toMatchObject({ code: 'ERR_ACTOR_FAILED', cause: { code: 'ERR_NODE_DOWN' } });
    expect(other?.is).toBe('resolved');
    expect(spread(pool)).toEqual({ c: 2 });
    const letters = boss.system.deadLetters.list();
    expect(letters.map(({ reason, payload }) => [reason, payload])).toEqual([
      ['handler-failed', { n: lost }],
    ]);
    expect(boss.system.inspect(pool)?.counts).toMatchObject({ accepted: 2, handled: 1, failed: 1 });
  });

  it('has its job tried again elsewhere where the agent says so, as the same message', async () => {
    const { cluster, boss, own, book, spread } = await farPool(['b', 'c'], RETRY);
    book('b').turn = never;
    const retried = worker(workBook(), RETRY);
    const pool = await boss.system.spawn(retried.pool({ size: 2, nodes: 'all' }));
    expect(own).toBeDefined();
    await cluster.advance(50);
    const asks = [1, 2].map((n) => endingOf(pool.ask('double', { n })));
    await cluster.advance(50);
    const [lost] = book('b').messages;
    cluster.kill('b');
    await cluster.advance(LOST_MS);
    expect(asks.map(({ value }) => value)).toEqual([2, 4]);
    expect(book('c').messages).toContainEqual({ ...lost, attempt: 2 });
    expect(spread(pool)).toEqual({ c: 2 });
  });

  it('leaves what waits to the others, and to itself when it is back', async () => {
    const { cluster, boss, own, book, join, spread } = await farPool(['b']);
    book('b').turn = (n) => (n === 1 ? never() : undefined);
    const pool = await boss.system.spawn(own.pool({ size: 1, nodes: 'all' }));
    await cluster.advance(50);
    const asks = [1, 2, 3].map((n) => endingOf(pool.ask('double', { n })));
    await cluster.advance(50);
    cluster.kill('b');
    await cluster.advance(LOST_MS);
    expect(spread(pool)).toEqual({});
    expect(asks.map(({ is }) => is)).toEqual(['ERR_ACTOR_FAILED', undefined, undefined]);
    await join('b');
    await cluster.advance(100);
    expect(asks.map(({ value }) => value)).toEqual([undefined, 4, 6]);
    expect(spread(pool)).toEqual({ b: 1 });
  });

  it('that only was away ends its workers when it is back, and gets new ones', async () => {
    const { cluster, boss, own, book, spread, actorsOn } = await farPool(['b', 'c']);
    const pool = await boss.system.spawn(own.pool({ size: 2, nodes: 'all' }));
    await cluster.advance(50);
    cluster.hub.cut('b');
    await cluster.advance(LOST_MS);
    expect([spread(pool), actorsOn('b'), book('b').stopped]).toEqual([{ c: 2 }, 1, 0]);
    cluster.hub.heal();
    await cluster.advance(5_000);
    expect([spread(pool), actorsOn('b'), actorsOn('c')]).toEqual([{ b: 1, c: 1 }, 1, 1]);
    expect([book('b').started, book('b').stopped]).toEqual([2, 1]);
  });

  it('is nobody’s loss while the broker is away for all', async () => {
    const { cluster, boss, own, book, spread } = await farPool(['b', 'c']);
    const gate = deferred();
    for (const name of ['b', 'c']) book(name).turn = () => gate.promise;
    const pool = await boss.system.spawn(own.pool({ size: 2, nodes: 'all' }));
    await cluster.advance(50);
    const asks = [1, 2, 3].map((n) => endingOf(pool.ask('double', { n }, { timeoutMs: 600_000 })));
    await cluster.advance(50);
    cluster.hub.cut('boss', 'b', 'c');
    gate.resolve();
    await cluster.advance(60_000);
    expect(asks.map(({ is }) => is)).toEqual([undefined, undefined, undefined]);
    cluster.hub.heal();
    for (let n = 0; n < 10; n++) await cluster.advance(500);
    expect(asks.map(({ value }) => value)).toEqual([2, 4, 6]);
    expect([spread(pool), book('b').started, book('c').started]).toEqual([{ b: 1, c: 1 }, 1, 1]);
  });
});

describe('the end of a pool over nodes', () => {
  it('lets its workers finish what they have in hand, and leaves none anywhere', async () => {
    const { cluster, boss, own, book, actorsOn } = await farPool(['b', 'c']);
    const gate = deferred();
    for (const name of ['b', 'c']) book(name).turn = () => gate.promise;
    const pool = await boss.system.spawn(own.pool({ size: 3, nodes: 'all' }));
    await cluster.advance(50);
    const asks = [1, 2, 3, 4].map((n) => endingOf(pool.ask('double', { n })));
    await cluster.advance(50);
    const stopped = endingOf(boss.system.stop(pool));
    await cluster.advance(1_000);
    expect([stopped.is, asks.map(({ is }) => is)]).toEqual([
      undefined,
      [undefined, undefined, undefined, 'ERR_ACTOR_STOPPED'],
    ]);
    gate.resolve();
    await cluster.advance(100);
    expect([stopped.is, asks.slice(0, 3).map(({ value }) => value)]).toEqual(['resolved', [2, 4, 6]]);
    expect([actorsOn('b'), actorsOn('c'), book('b').stopped + book('c').stopped]).toEqual([0, 0, 3]);
  });

  it('aborts the turns of its workers when their time is over', async () => {
    const { cluster, boss, own, book, actorsOn } = await farPool(['b']);
    book('b').turn = never;
    const pool = await boss.system.spawn(own.pool({ size: 1, nodes: 'all', shutdownMs: 3_000 }));
    await cluster.advance(50);
    const asked = endingOf(pool.ask('double', { n: 1 }));
    await cluster.advance(50);
    const stopped = endingOf(boss.system.stop(pool));
    await cluster.advance(2_900);
    expect([stopped.is, book('b').aborted]).toEqual([undefined, 0]);
    await cluster.advance(2_000);
    expect([stopped.is, asked.is, book('b').aborted, actorsOn('b')]).toEqual([
      'resolved',
      'ERR_ACTOR_STOPPED',
      1,
      0,
    ]);
  });

  it('is that of its workers when it is killed, or its node is', async () => {
    const { cluster, boss, own, book, actorsOn } = await farPool(['b', 'c']);
    const options = { size: 2, nodes: 'all', restart: 'temporary', shutdownMs: 'brutal-kill' } as const;
    const first = await boss.system.spawn(own.pool(options));
    await cluster.advance(50);
    expect(actorsOn('b') + actorsOn('c')).toBe(2);
    await boss.system.kill(first);
    await cluster.advance(100);
    expect(actorsOn('b') + actorsOn('c')).toBe(0);
    const second = await boss.system.spawn(own.pool({ size: 4, nodes: 'all' }));
    await cluster.advance(50);
    for (const name of ['b', 'c']) book(name).turn = () => never();
    const asked = endingOf(second.ask('double', { n: 1 }));
    await cluster.advance(50);
    expect(actorsOn('b') + actorsOn('c')).toBe(4);
    cluster.kill('boss');
    await cluster.advance(LOST_MS + SHUTDOWN_MS);
    expect(asked.is).toBeUndefined();
    expect([actorsOn('b') + actorsOn('c'), book('b').aborted + book('c').aborted]).toEqual([0, 1]);
  });

  it('is that of its workers when the others took its node for dead; it gets new ones when it is back', async () => {
    const { cluster, boss, own, book, spread, actorsOn } = await farPool(['b', 'c']);
    for (const name of ['b', 'c']) book(name).turn = (n) => (n === 1 ? never() : undefined);
    const pool = await boss.system.spawn(own.pool({ size: 2, nodes: 'all', shutdownMs: 1_000 }));
    await cluster.advance(50);
    const asked = endingOf(pool.ask('double', { n: 1 }, { timeoutMs: 600_000 }));
    await cluster.advance(50);
    cluster.hub.cut('boss');
    await cluster.advance(LOST_MS);
    expect([actorsOn('b') + actorsOn('c'), asked.is]).toEqual([0, undefined]);
    cluster.hub.heal();
    for (let n = 0; n < 10; n++) await cluster.advance(500);
    expect(asked.error).toMatchObject({ code: 'ERR_ACTOR_FAILED', cause: { code: 'ERR_NODE_DOWN' } });
    expect([spread(pool), actorsOn('b'), actorsOn('c')]).toEqual([{ b: 1, c: 1 }, 1, 1]);
    expect(await cluster.during(pool.ask('double', { n: 2 }))).toBe(4);
  });

  it('is clean when it comes while its workers start', async () => {
    const { cluster, boss, own, book, actorsOn } = await farPool(['b']);
    const gate = deferred();
    book('b').start = () => gate.promise;
    const pool = await boss.system.spawn(own.pool({ size: 2, nodes: 'all' }));
    await cluster.advance(50);
    const stopped = endingOf(boss.system.stop(pool));
    await cluster.advance(100);
    gate.resolve();
    await cluster.advance(1_000);
    expect([stopped.is, actorsOn('b'), book('b').stopped]).toEqual(['resolved', 0, 2]);
  });
});

describe('the nodes of a pool', () => {
  it('that come later get their share, of which nobody has two jobs at a time', async () => {
    const { cluster, boss, own, book, join, spread, actorsOn } = await farPool(['b']);
    const gate = deferred();
    book('b').turn = () => gate.promise;
    const pool = await boss.system.spawn(own.pool({ size: 4, nodes: 'all' }));
    await cluster.advance(50);
    const asks = [1, 2, 3].map((n) => endingOf(pool.ask('double', { n })));
    await cluster.advance(50);
    await join('c');
    await cluster.advance(100);
    expect([spread(pool), actorsOn('b'), actorsOn('c')]).toEqual([{ b: 2, c: 1 }, 3, 1]);
    gate.resolve();
    await cluster.advance(100);
    expect([spread(pool), actorsOn('b'), actorsOn('c')]).toEqual([{ b: 2, c: 2 }, 2, 2]);
    expect(asks.map(({ value }) => value)).toEqual([2, 4, 6]);
  });

  it('that leave finish what they have in hand, and nothing is lost', async () => {
    const { cluster, boss, own, book, nodes, spread } = await farPool(['b', 'c']);
    const gate = deferred();
    book('b').turn = () => gate.promise;
    const pool = await boss.system.spawn(own.pool({ size: 2, nodes: 'all' }));
    await cluster.advance(50);
    const asks = Array.from({ length: 10 }, (_, n) => endingOf(pool.ask('double', { n })));
    await cluster.advance(50);
    const ended = endingOf(nodes.get('b')?.system.shutdown() ?? Promise.resolve());
    await cluster.advance(1_000);
    expect([ended.is, spread(pool)]).toEqual([undefined, { c: 1 }]);
    gate.resolve();
    for (let n = 0; n < 20; n++) await cluster.advance(100);
    expect(ended.is).toBe('resolved');
    cluster.forget('b');
    expect(asks.map(({ value }) => value)).toEqual(Array.from({ length: 10 }, (_, n) => 2 * n));
    expect([spread(pool), boss.system.deadLetters.list()]).toEqual([{ c: 2 }, []]);
  });

  it('that have left before a job came leave it to others', async () => {
    const { cluster, boss, own, book, nodes, join, spread } = await farPool(['b']);
    const pool = await boss.system.spawn(own.pool({ size: 1, nodes: 'all' }));
    await cluster.advance(50);
    cluster.hub.delay({ minMs: 1_000, maxMs: 1_000 }, 'boss');
    const asked = endingOf(pool.ask('double', { n: 1 }));
    await cluster.settle();
    const ended = endingOf(nodes.get('b')?.system.shutdown() ?? Promise.resolve());
    await cluster.advance(500);
    expect([ended.is, asked.is]).toEqual(['resolved', undefined]);
    cluster.forget('b');
    cluster.hub.heal();
    await join('c');
    for (let n = 0; n < 10; n++) await cluster.advance(500);
    expect([asked.value, book('b').begun, book('c').begun, spread(pool)]).toEqual([2, [], [1], { c: 1 }]);
    expect(boss.system.deadLetters.list()).toEqual([]);
  });

  it('whose worker ended for good before a job came leave it to others, and the pool has one less', async () => {
    const { cluster, boss, own, book, nodes, spread } = await farPool(['b', 'c']);
    const pool = await boss.system.spawn(own.pool({ size: 2, nodes: 'all', restart: 'temporary' }));
    await cluster.advance(50);
    cluster.hub.delay({ minMs: 1_000, maxMs: 1_000 }, 'b');
    const asks = [1, 2].map((n) => endingOf(pool.ask('double', { n })));
    await cluster.settle();
    const { system } = nodes.get('b') ?? {};
    const [worker] = system?.tree().children.find(({ address }) => address === '/user')?.children ?? [];
    if (system === undefined || worker === undefined) throw new Error('there is no worker');
    await system.kill(system.ref(own.protocol, worker.address));
    for (let n = 0; n < 10; n++) await cluster.advance(500);
    expect([asks.map(({ value }) => value), book('b').begun, spread(pool)]).toEqual([[2, 4], [], { c: 1 }]);
  });

  it('that are not there are waited for, and that is said', async () => {
    const { cluster, boss, own, join, spread } = await farPool([]);
    const pool = await boss.system.spawn(own.pool({ size: 2, nodes: ['b', 'c'] }));
    const asked = endingOf(pool.ask('double', { n: 1 }));
    await join('d');
    await cluster.advance(5_000);
    expect(boss.logs.filter(({ level }) => level === 'warn')).toEqual([]);
    await cluster.advance(6_000);
    expect(boss.logs.filter(({ level }) => level === 'warn')).toEqual([
      expect.objectContaining({
        address: expect.stringContaining('/user/'),
        text: "its jobs wait: for 10000 ms no node that lives could start 'work'",
        fields: { nodes: ['b', 'c'] },
      }),
    ]);
    await join('c');
    expect([asked.value, spread(pool)]).toEqual([2, { c: 2 }]);
  });

  it('on which the agent does not start are tried a few times, and then its pool fails', async () => {
    const { cluster, boss, own, book } = await farPool(['b']);
    let starts = 0;
    book('b').start = () => {
      starts++;
      throw new Error('no key');
    };
    const pool = await boss.system.spawn(own.pool({ size: 2, nodes: 'all', restart: 'temporary' }));
    for (let n = 0; n < 30; n++) await cluster.advance(500);
    expect(boss.system.inspect(pool)?.status).toBe('stopped');
    expect(starts).toBe(5);
    const ended = boss.events.find(
      (event) => event.type === 'actor-stopped' && event.address === pool.address,
    );
    const { error } = ended as { error: unknown };
    expect(isTroupeError(error, 'ERR_POOL_DESERTED') && String((error.cause as Error).cause)).toContain(
      'failed to start',
    );
  });

  it('check its arguments, and hold its policy', async () => {
    const { cluster, boss, book } = await farPool([]);
    const kept = worker(book('b'));
    const args = z.object({ factor: z.number() });
    const b = await cluster.start('b', { agents: [{ agent: kept, name: 'kept', args }] });
    const named = await cluster.start('named', { agents: [{ agent: kept, name: 'kept', args }] });
    await cluster.advance(50);
    expect(boss.system.nodes.length).toBe(3);
    book('b').turn = () => {
      throw new Error('no');
    };
    const options = { size: 1, nodes: ['b'], restart: 'temporary', shutdownMs: Infinity } as const;
    const pool = await named.system.spawn(kept.pool({ ...options, args: { factor: 1 } as never }));
    await cluster.advance(50);
    expect(book('b').started).toBe(1);
    pool.tell('note', { n: 1 });
    await cluster.advance(1_000);
    expect(named.system.inspect(pool)?.status).toBe('stopped');
    expect(b.system.tree().children.find(({ address }) => address === '/user')?.children).toEqual([]);
    const wrong = await named.system.spawn(kept.pool({ ...options, args: { factor: 'x' } as never }));
    for (let n = 0; n < 30; n++) await cluster.advance(500);
    expect(named.system.inspect(wrong)?.status).toBe('stopped');
  });
});
