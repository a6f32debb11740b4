import { agent, ask, protocol, tell, type } from 'troupe';
import { describe, expect, it } from 'vitest';
import { Deliveries } from '../../runtime/remote/deliveries.ts';
import type { Arrival } from '../../runtime/remote/inbound.ts';
import { endOfJobIn, jobLabel, labelIn } from '../../runtime/remote/job-words.ts';
import { Labour } from '../../runtime/remote/labour.ts';
import type { Mail, WatchWord } from '../../runtime/remote/mail.ts';
import type { NodeIdentity } from '../../src/protocol/membership.ts';
import { aborted, farPool, workBook, worker } from '../support/far-pool.ts';
import { deferred, endingOf, puppet } from '../support/puppet.ts';
import { testCluster } from '../support/test-cluster.ts';
import { testSystem } from '../support/test-system.ts';

/** Passes time in small steps: each trip over the hub takes some. */
async function trips(cluster: { advance(ms: number): Promise<void> }, count = 20): Promise<void> {
  for (let n = 0; n < count; n++) await cluster.advance(10);
}

describe('the routings of a pool over nodes', () => {
  it('broadcast a message to each worker, wherever it is', async () => {
    const { cluster, boss, own, book } = await farPool(['b', 'c']);
    const pool = await boss.system.spawn(own.pool({ size: 4, nodes: 'all', routing: 'broadcast' }));
    await trips(cluster);
    pool.tell('note', { n: 1 });
    await trips(cluster);
    expect([book('b').done, book('c').done]).toEqual([
      [1, 1],
      [1, 1],
    ]);
  });

  it('P100 scatter an ask, and abort the losers where they are', async () => {
    const { cluster, boss, own, book } = await farPool(['b', 'c']);
    book('b').turn = (_n, signal) => aborted(signal);
    const routing = 'scatter-gather-first';
    const pool = await boss.system.spawn(own.pool({ size: 2, nodes: 'all', routing }));
    await trips(cluster);
    expect(await cluster.during(pool.ask('double', { n: 4 }))).toBe(8);
    await trips(cluster);
    expect([book('b').aborted, book('b').running, book('c').done]).toEqual([1, 0, [4]]);
  });

  it('P98 keep the jobs of a key with one worker, in order', async () => {
    const { cluster, boss, own, book } = await farPool(['b', 'c']);
    const key = (_name: string, { n }: { n: number }): string => String(n % 2);
    const pool = await boss.system.spawn(
      own.pool({ size: 2, nodes: 'all', routing: 'consistent-hash', key }),
    );
    await trips(cluster);
    for (let n = 0; n < 10; n++) pool.tell('note', { n });
    await trips(cluster, 40);
    for (const parity of [0, 1]) {
      const isOf = (n: number): boolean => n % 2 === parity;
      const done = [book('b').done.filter(isOf), book('c').done.filter(isOf)].filter(
        (list) => list.length > 0,
      );
      expect(done).toEqual([Array.from({ length: 5 }, (_, n) => 2 * n + parity)]);
    }
  });

  it('start no more than a limit lets', async () => {
    const { cluster, boss, own, book } = await farPool(['b', 'c']);
    for (const name of ['b', 'c']) book(name).turn = () => gate.promise;
    const gate = deferred();
    const pool = await boss.system.spawn(own.pool({ size: 4, nodes: 'all', concurrencyMax: 2 }));
    await trips(cluster);
    for (let n = 0; n < 6; n++) pool.tell('note', { n });
    await trips(cluster);
    expect(book('b').running + book('c').running).toBe(2);
    gate.resolve();
    await trips(cluster, 40);
    expect(book('b').done.length + book('c').done.length).toBe(6);
  });
});

describe('the size of a pool over nodes', () => {
  it('changes, and those that are too many finish what they have in hand first', async () => {
    const { cluster, boss, own, book, spread, actorsOn } = await farPool(['b', 'c']);
    const gate = deferred();
    for (const name of ['b', 'c']) book(name).turn = () => gate.promise;
    const pool = await boss.system.spawn(own.pool({ size: 2, nodes: 'all' }));
    await trips(cluster);
    const asks = [1, 2].map((n) => endingOf(pool.ask('double', { n })));
    await trips(cluster);
    const shrunk = endingOf(boss.system.resize(pool, 1));
    await trips(cluster);
    expect([shrunk.is, actorsOn('b') + actorsOn('c')]).toEqual([undefined, 2]);
    gate.resolve();
    await trips(cluster);
    expect([shrunk.is, asks.map(({ value }) => value), actorsOn('b') + actorsOn('c')]).toEqual([
      'resolved',
      [2, 4],
      1,
    ]);
    await cluster.during(boss.system.resize(pool, 5));
    await trips(cluster);
    expect(Object.values(spread(pool)).toSorted((x, y) => x - y)).toEqual([2, 3]);
  });
});

describe('bad input', () => {
  it('to the nodes of a pool is refused', async () => {
    const definition = worker(workBook());
    for (const nodes of [[], ['b', 'b'], ['no dots.'], 'b', 7, [1], null])
      expect(() => definition.pool({ size: 1, nodes: nodes as never })).toThrow(
        expect.objectContaining({ code: 'ERR_OPTION_INVALID' }),
      );
    const { system } = await testSystem();
    await expect(system.spawn(definition.pool({ size: 1, nodes: 'all' }))).rejects.toMatchObject({
      code: 'ERR_START_FAILED',
      cause: { code: 'ERR_OPTION_INVALID', details: { option: 'pool.nodes' } },
    });
  });

  it('of a job that cannot travel, or that its worker does not understand, is its own end and no worker’s', async () => {
    const cluster = testCluster();
    const Odd = protocol('odd', { take: ask(type<unknown>({ trust: true }), type<number>({ trust: true })) });
    const Other = protocol('odd', { leave: tell(type<void>()) });
    const odd = agent(Odd, {
      state: () => undefined,
      on: { take: (_ctx, value) => (value === 'odd' ? (1n as never) : 1) },
    });
    const other = agent(Other, { state: () => undefined, on: { leave: () => undefined } });
    const boss = await cluster.start('boss');
    await cluster.start('b', { agents: [odd] });
    await cluster.start('c', { agents: [other] });
    await trips(cluster);
    const pool = await boss.system.spawn(odd.pool({ size: 1, nodes: ['b'] }));
    const strange = await boss.system.spawn(odd.pool({ size: 1, nodes: ['c'] }));
    await trips(cluster);
    const ends = async (ref: typeof pool, value: unknown): Promise<unknown> => {
      const asked = endingOf(ref.ask('take', value));
      await trips(cluster);
      return asked.is;
    };
    expect(await ends(pool, { when: new Date(0) })).toBe('ERR_PAYLOAD_UNSERIALIZABLE');
    expect(await ends(pool, 'odd')).toBe('ERR_PAYLOAD_UNSERIALIZABLE');
    expect(await ends(pool, 1)).toBe('resolved');
    expect(await ends(strange, 1)).toBe('ERR_PROTOCOL_MISMATCH');
    expect(boss.system.inspect(pool)?.pool?.workers).toHaveLength(1);
    expect(boss.system.inspect(pool)?.counts).toMatchObject({ accepted: 3, handled: 2, failed: 1 });
  });
});

/** A job that has come to node `b`, as somebody may have made it. */
function jobFor(address: string, correlationId: string | undefined, incarnation = 'k1'): Arrival {
  const none = undefined;
  const labels = { expiresAtMs: none, sender: none, headers: none, correlationId };
  const payload = { codec: 'none' as const, bytes: new Uint8Array(0) };
  const target = { address, protocol: 'puppet', message: 'act' };
  const message = { type: 'job' as const, id: 'j1', sentAtMs: 0, ...labels, target, payload };
  return { message, node: 'a', incarnation, stream: 1, sequence: 1, lane: 3, topic: none, deliveries: 1 };
}

describe('a job that comes to a node', () => {
  it('is given up where it makes no sense, ignored from and for the dead, and absent where nobody is', async () => {
    const { system, kernel } = await testSystem();
    const ref = await system.spawn(puppet(), { name: 'x' });
    const said: WatchWord[] = [];
    const mail = {
      nodes: {
        self: { name: 'b', incarnation: 'k2' },
        isLost: ({ incarnation }: NodeIdentity) => incarnation === 'k9',
      },
      payloadOf: (value: unknown) => value,
      noteSent: () => undefined,
      signal: (_to: unknown, word: WatchWord) => {
        said.push(word);
        return Promise.resolve();
      },
    } as unknown as Mail; // what this part of it asks of the mail
    const find = (place: string) => (system as unknown as { find(place: string): never }).find(place); // as the system wires it
    const labour = new Labour(kernel, mail, new Deliveries(kernel, mail, find), find);
    for (const bad of [
      jobFor('//b@k2/user/x#1', undefined),
      jobFor('//b@k2/user/x#1', 'first'),
      jobFor('//c@k2/user/x#1', '1:m1'),
      jobFor('nowhere', '1:m1'),
    ])
      expect(await labour.take(bad)).toMatchObject({ reason: 'validation' });
    expect(labour.take(jobFor('//b@k0/user/x#1', '1:m1'))).toBeUndefined();
    expect(labour.take(jobFor(`//b@k2${ref.address}`, '1:m1', 'k9'))).toBeUndefined();
    expect(said).toEqual([]);
    expect(labour.take(jobFor('//b@k2/user/x#99', '1:m1'))).toBeUndefined();
    expect(said).toEqual([{ type: 'done', id: 'j1', lane: 3, payload: { outcome: 'absent' } }]);
    expect(system.deadLetters.list()).toEqual([]);
  });
});

describe('what is said of jobs', () => {
  const refused = { address: '//b/user/x', message: 'double' };

  it('names an attempt and a message, and nothing that it does not', () => {
    expect(labelIn(jobLabel({ attempt: 3, id: 'k1-5' }))).toEqual({ attempt: 3, id: 'k1-5' });
    expect(labelIn(jobLabel({ attempt: 1, id: 'a:b\nc' }))).toEqual({ attempt: 1, id: 'a:b\nc' });
    for (const text of [undefined, '', '1', ':x', '0:x', '-1:x', '1.5:x', '1:', `${'9'.repeat(10)}:x`])
      expect(labelIn(text)).toBeUndefined();
  });

  it('is a failure where it makes no sense', () => {
    expect(endOfJobIn({ outcome: 'handled' }, refused)).toEqual({ outcome: 'handled', error: undefined });
    expect(endOfJobIn({ outcome: 'absent' }, refused)).toEqual({ outcome: 'absent', error: undefined });
    for (const word of [
      undefined,
      null,
      1,
      'handled',
      [],
      {},
      { outcome: 1 },
      { outcome: 'lost' },
      { outcome: 'x'.repeat(500) },
    ]) {
      const { outcome, error } = endOfJobIn(word, refused);
      expect(outcome).toBe('failed');
      expect(error).toMatchObject({ code: 'ERR_MESSAGE_DROPPED', details: { ...refused } });
      expect((error as { details: { reason: string } }).details.reason.length).toBeLessThanOrEqual(64);
    }
    const { error } = endOfJobIn({ outcome: 'handler-failed', error: { code: 'nonsense' } }, refused);
    expect(error).toMatchObject({ code: 'ERR_ACTOR_FAILED' });
  });
});
