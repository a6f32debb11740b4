import { describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { memory } from '../../adapters/memory/index.ts';
import { agent, protocol, supervisor, tell, topic, type } from '../../src/index.ts';
import { Holding } from '../support/handlers.ts';
import { deferred, endingOf } from '../support/puppet.ts';
import { testCluster } from '../support/test-cluster.ts';

const Verdict = topic('mail.verdict.{label}', z.object({ id: z.string() }));

async function three() {
  const cluster = testCluster();
  const [a, b, c] = [await cluster.start('a'), await cluster.start('b'), await cluster.start('c')];
  return { ...cluster, a, b, c };
}

/** A function that keeps what it is given. */
function keeping() {
  const got: unknown[] = [];
  return { got, keep: (message: unknown) => void got.push(message) };
}

describe('a topic over nodes', () => {
  it('P104: brings one copy to each node that listens, to all its subscribers, and none back', async () => {
    const { a, b, c, during, advance, hub } = await three();
    const all = [keeping(), keeping(), keeping(), keeping()];
    const [own, first, second, third] = all;
    await during(
      Promise.all([
        a.system.subscribe('news.#', own?.keep ?? (() => {})),
        b.system.subscribe('news.*', first?.keep ?? (() => {})),
        b.system.subscribe('news.#', second?.keep ?? (() => {})),
        c.system.subscribe('other', third?.keep ?? (() => {})),
      ]),
    );
    await during(a.system.publish('news.today', { n: 1 }));
    await advance(50);
    expect(all.map(({ got }) => got)).toEqual([[{ n: 1 }], [{ n: 1 }], [{ n: 1 }], []]);
    hub.duplicate(1);
    await during(a.system.publish('news.today', { n: 2 }));
    await advance(50);
    expect(all.map(({ got }) => got.length)).toEqual([2, 2, 2, 0]);
  });

  it('carries parameters, priority, sender, headers and time to live, and is checked by who subscribes', async () => {
    const { a, b, during, advance } = await three();
    const typed = keeping();
    const plain = keeping();
    const metas: unknown[] = [];
    await during(
      Promise.all([
        b.system.subscribe(Verdict.where({ label: 'spam' }), typed.keep),
        b.system.subscribe('mail.#', (message, meta) => {
          plain.keep(message);
          metas.push([meta.topic, meta.priority, meta.headers, meta.sender]);
        }),
      ]),
    );
    const options = { priority: 'urgent', headers: { tenant: 'acme' } } as const;
    await during(a.system.publish(Verdict, { label: 'spam' }, { id: '1' }, options));
    await during(a.system.publish('mail.verdict.spam', { id: 7 }));
    await advance(50);
    expect(typed.got).toEqual([{ label: 'spam', id: '1' }]);
    expect(plain.got).toEqual([{ label: 'spam', id: '1' }, { id: 7 }]);
    expect(metas[0]).toEqual(['mail.verdict.spam', 'urgent', { tenant: 'acme' }, undefined]);
    expect(b.system.deadLetters.list()).toMatchObject([
      { reason: 'validation', topic: 'mail.verdict.spam', error: { code: 'ERR_MESSAGE_INVALID' } },
    ]);
  });

  it('feeds agents by their options before their system has started, and until they end', async () => {
    const { start, during, advance, hub } = testCluster();
    const Reader = protocol('reader', { read: tell(z.object({ label: z.string(), id: z.string() })) });
    const got: unknown[] = [];
    const reader = agent(Reader, {
      state: () => 0,
      subscribe: [{ topic: Verdict, as: 'read' }],
      on: { read: (_, message) => got.push(message) },
    });
    const a = await start('a');
    const b = await start('b', { root: supervisor({ children: { reader: reader.child() } }) });
    await during(a.system.publish(Verdict, { label: 'ham' }, { id: '1' }));
    await advance(50);
    expect(got).toEqual([{ label: 'ham', id: '1' }]);
    const more = await during(b.system.spawn(reader));
    await during(a.system.publish(Verdict, { label: 'ham' }, { id: '2' }));
    await advance(50);
    expect(got).toHaveLength(3);
    await during(b.system.stop(more));
    await during(b.system.stop(b.system.refs.reader));
    await advance(50);
    await during(a.system.publish(Verdict, { label: 'ham' }, { id: '3' }));
    await advance(50);
    expect(got).toHaveLength(3);
    expect(b.kernel.deadLetters.stats().total).toBe(0);
    expect(hub.names()).toEqual(['node a', 'node b']);
  });

  it('is refused by a typed topic that only types, unless that trusts', async () => {
    const { a, b, during, advance } = await three();
    const Typed = topic('typed', type<{ n: number }>());
    const Trusting = topic('trusting', type<{ n: number }>({ trust: true }));
    const got = keeping();
    await during(b.system.subscribe(Typed, got.keep));
    await during(b.system.subscribe(Trusting, got.keep));
    await during(a.system.publish(Typed, {}, { n: 1 }));
    await during(a.system.publish(Trusting, {}, { n: 2 }));
    await advance(50);
    expect(got.got).toEqual([{ n: 2 }]);
    expect(b.system.deadLetters.list()).toMatchObject([{ reason: 'validation' }]);
  });

  it('throws at the publish what cannot travel, and gives it to nobody', async () => {
    const { a, during } = await three();
    const got = keeping();
    await during(a.system.subscribe('t', got.keep));
    expect(() => a.system.publish('t', { at: new Date(0) })).toThrow(
      expect.objectContaining({ code: 'ERR_PAYLOAD_UNSERIALIZABLE' }),
    );
    expect(got.got).toEqual([]);
  });

  it('holds what a full subscriber on another node has no room for, in order, and loses nothing', async () => {
    const cluster = testCluster();
    const memory = { maxLength: 2 };
    const a = await cluster.start('a', { memory });
    const b = await cluster.start('b', { memory });
    const held = new Holding();
    await cluster.during(b.system.subscribe('work', held.handle, { capacity: 1 }));
    const published = Array.from({ length: 900 }, (_, n) =>
      endingOf(a.system.publish('work', n, { timeoutMs: 600_000 })),
    );
    await cluster.advance(1_000);
    expect(held.got).toEqual([0]);
    for (let n = 0; n < 900; n++) {
      held.finish();
      await cluster.advance(2);
    }
    await cluster.advance(2_000);
    held.finishAll();
    expect(held.got).toEqual(Array.from({ length: 900 }, (_, n) => n));
    expect(published.every(({ is }) => is === 'resolved')).toBe(true);
  });

  it('does not bring what a node had published that was lost', async () => {
    const { b, a, hub, kill, during, advance } = await three();
    const got = keeping();
    await during(b.system.subscribe('t', got.keep));
    hub.lose('deliveries', 'b');
    await during(a.system.publish('t', 1));
    await advance(50);
    kill('a');
    await advance(50);
    hub.heal();
    await advance(100);
    expect(got.got).toEqual([]);
    expect(b.system.deadLetters.list()).toMatchObject([
      { reason: 'quarantined', topic: 't', address: expect.stringMatching(/^\/\/b@[^/]+\/$/) },
    ]);
  });

  it('keeps what a node listens to when that is taken for dead and goes on', async () => {
    const { a, b, hub, during, advance } = await three();
    const got = keeping();
    await during(b.system.subscribe('t', got.keep));
    hub.silence('to-hub', 'b');
    await advance(20_000);
    hub.heal();
    await advance(20_000);
    await during(a.system.publish('t', 'after'));
    await advance(50);
    expect(got.got).toEqual(['after']);
  });
});

describe('what a node listens to', () => {
  const Fed = topic('fed', z.object({ n: z.number() }));
  const Reader = protocol('reader', { read: tell(z.object({ n: z.number() })), begin: tell() });

  /** Two nodes of which `b` gets no answer from the broker until the hub heals. */
  async function cutOff() {
    const cluster = testCluster();
    const memory = { connectTimeoutMs: 1_000, downAfterMs: 600_000 };
    const [a, b] = [await cluster.start('a', { memory }), await cluster.start('b', { memory })];
    const cut = (): void => cluster.hub.silence('to-hub', 'b');
    const heal = async (): Promise<void> => {
      cluster.hub.heal();
      await cluster.advance(20_000);
    };
    return { ...cluster, a, b, cut, heal };
  }

  it('P105: is taken back when the last of several subscribers has gone, and not before', async () => {
    const { a, b, during, advance } = await three();
    const [first, second] = [keeping(), keeping()];
    const one = await during(b.system.subscribe('t', first.keep));
    const two = await during(b.system.subscribe('t', second.keep));
    await during(one.unsubscribe());
    await advance(50);
    await during(a.system.publish('t', 1));
    await advance(50);
    expect([first.got, second.got]).toEqual([[], [1]]);
    await during(two.unsubscribe());
    await during(b.system.subscribe('t', first.keep));
    await during(a.system.publish('t', 2));
    await advance(50);
    expect([first.got, second.got]).toEqual([[2], [1]]);
  });

  it('does not keep those who subscribe after an outage from what they want', async () => {
    const { a, b, cut, heal, during, advance } = await cutOff();
    const reader = agent(Reader, {
      state: () => 0,
      subscribe: [{ topic: Fed, as: 'read' }],
      on: { read: () => {}, begin: () => {} },
    });
    cut();
    const spawned = endingOf(b.system.spawn(reader, { name: 'reader' }));
    await advance(15_000);
    expect(spawned.is).toBe('ERR_BROKER_UNAVAILABLE');
    await heal();
    expect(JSON.stringify(b.system.tree())).not.toContain('"reader"');
    const [same, other] = [keeping(), keeping()];
    await during(b.system.subscribe(Fed, same.keep));
    await during(b.system.subscribe('other', other.keep));
    await during(b.system.spawn(reader, { name: 'reader' }));
    await during(a.system.publish(Fed, {}, { n: 1 }));
    await during(a.system.publish('other', 2));
    await advance(50);
    expect([same.got, other.got]).toEqual([[{ n: 1 }], [2]]);
  });

  it('is not left behind by a turn whose subscription failed', async () => {
    const { a, b, cut, heal, during, advance } = await cutOff();
    const outcomes: unknown[] = [];
    const got: unknown[] = [];
    const reader = agent(Reader, {
      state: () => 0,
      on: {
        read: (_, message) => void got.push(message),
        begin: async (ctx) => {
          outcomes.push(endingOf(ctx.subscribe(Fed, { as: 'read' })));
        },
      },
    });
    const ref = await during(b.system.spawn(reader));
    cut();
    ref.tell('begin');
    await advance(15_000);
    expect(outcomes).toMatchObject([{ is: 'ERR_BROKER_UNAVAILABLE' }]);
    await heal();
    await during(b.system.subscribe('fed', () => {}));
    await during(a.system.publish(Fed, {}, { n: 1 }));
    await advance(50);
    expect(got).toEqual([]);
  });

  it('is told at once for who subscribes after a failure, whatever else has failed', async () => {
    const { a, b, cut, hub, during, advance } = await cutOff();
    cut();
    const pulled = b.system.messages('pulled')[Symbol.asyncIterator]();
    const first = endingOf(pulled.next());
    await advance(1_500);
    const errors = b.logs.filter(({ level }) => level === 'error').map(({ text }) => text);
    expect(errors).toEqual(["what other nodes publish to 'pulled' is not heard yet"]);
    hub.heal();
    const [same, other] = [keeping(), keeping()];
    await during(b.system.subscribe('other', other.keep));
    await during(b.system.subscribe('pulled', same.keep));
    await during(a.system.publish('pulled', 1));
    await during(a.system.publish('other', 2));
    await advance(50);
    expect([same.got, other.got, first.is]).toEqual([[1], [2], 'resolved']);
    await during(Promise.resolve(pulled.return?.()));
  });

  it('is not told again for who has gone meanwhile', async () => {
    const cluster = testCluster();
    const broker = memory({ hub: cluster.hub, connectTimeoutMs: 1_000, downAfterMs: 600_000 });
    const listen = vi.spyOn(broker, 'listen');
    const { system } = await cluster.start('a', { broker });
    cluster.hub.silence('to-hub', 'a');
    const pulled = system.messages('pulled')[Symbol.asyncIterator]();
    void pulled.next();
    await cluster.advance(1_500);
    await cluster.during(Promise.resolve(pulled.return?.()));
    cluster.hub.heal();
    await cluster.advance(20_000);
    expect(listen).toHaveBeenCalledTimes(1);
  });

  it('is told again after an outage, for those who wait for nothing', async () => {
    const { a, b, cut, heal, during, advance } = await cutOff();
    cut();
    const pulled = b.system.messages('pulled')[Symbol.asyncIterator]();
    const first = endingOf(pulled.next());
    await advance(15_000);
    await heal();
    await during(a.system.publish('pulled', 1));
    await advance(50);
    expect(first.is).toBe('resolved');
    await during(Promise.resolve(pulled.return?.()));
  });
});

describe('a group over nodes', () => {
  it('gives each message to one member on one node, and to all members some', async () => {
    const { a, b, c, during, advance } = await three();
    const members = [keeping(), keeping(), keeping()];
    for (const [n, { system }] of [a, b, c].entries())
      await during(system.subscribe('jobs.*', members[n]?.keep ?? (() => {}), { group: 'workers' }));
    for (let n = 0; n < 60; n++) await during(a.system.publish('jobs.x', n));
    await advance(200);
    const all = members.flatMap(({ got }) => got as number[]);
    expect(all.toSorted((x, y) => x - y)).toEqual(Array.from({ length: 60 }, (_, n) => n));
    for (const { got } of members) expect(got.length).toBeGreaterThan(0);
  });

  it('gives what a member had in hand when it died to another one, with its attempt', async () => {
    const { a, b, c, kill, during, advance } = await three();
    const started: string[] = [];
    const attempts: number[] = [];
    const gate = deferred();
    await during(
      b.system.subscribe(
        'jobs',
        () => {
          started.push('b');
          return gate.promise;
        },
        { group: 'workers' },
      ),
    );
    await during(a.system.publish('jobs', 'paid'));
    await advance(50);
    expect(started).toEqual(['b']);
    await during(
      c.system.subscribe('jobs', (_, { attempt }) => attempts.push(attempt), { group: 'workers' }),
    );
    kill('b');
    await advance(60_000);
    expect(attempts).toEqual([2]);
  });

  it('loses nothing when a member joins or leaves', async () => {
    const { a, b, c, during, advance } = await three();
    const got: number[] = [];
    const take = (message: unknown) => void got.push(message as number);
    const first = await during(b.system.subscribe('jobs', take, { group: 'workers' }));
    let n = 0;
    const burst = (): Promise<unknown> =>
      during(Promise.all(Array.from({ length: 20 }, () => a.system.publish('jobs', n++))));
    await burst();
    const second = during(c.system.subscribe('jobs', take, { group: 'workers' }));
    await burst();
    await second;
    const leaving = first.unsubscribe();
    await burst();
    await during(leaving);
    await burst();
    await advance(200);
    expect(got.toSorted((x, y) => x - y)).toEqual(Array.from({ length: 80 }, (_, k) => k));
  });

  it('gives up at once what does not fit its schema, and goes on', async () => {
    const { a, b, during, advance } = await three();
    const Job = topic('job', z.object({ n: z.number() }));
    const got = keeping();
    await during(b.system.subscribe(Job, got.keep, { group: 'workers' }));
    await during(a.system.publish('job', { n: 'none' }));
    await during(a.system.publish('job', { n: 1 }));
    await advance(5_000);
    expect(got.got).toEqual([{ n: 1 }]);
    expect(b.system.deadLetters.list()).toMatchObject([{ reason: 'validation', topic: 'job' }]);
  });

  it('has a name that a broker takes', async () => {
    const { a, during } = await three();
    await expect(during(a.system.subscribe('jobs', () => {}, { group: 'no dots.' }))).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
    });
    await during(a.system.publish('jobs', 1));
    expect(a.system.tree().children.find(({ name }) => name === 'system')?.children).toEqual([]);
  });
});
