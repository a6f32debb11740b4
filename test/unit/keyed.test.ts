import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { memory } from '../../adapters/memory/index.ts';
import {
  agent,
  ask,
  type Keyed,
  type KeyedArgs,
  type KeyedOptions,
  protocol,
  tell,
} from '../../src/index.ts';
import type { Broker } from '../../src/protocol/broker.ts';
import type { RuntimeEvent } from '../../src/protocol/events.ts';
import { encodeFrame, encodeMessage } from '../../src/protocol/frame.ts';
import { shardOf } from '../../src/protocol/key.ts';
import { deferred, endingOf, never } from '../support/puppet.ts';
import { testCluster } from '../support/test-cluster.ts';

const Customer = protocol('customer', {
  note: tell(z.object({ text: z.string() })),
  notes: ask(z.object({}), z.array(z.string())),
});

/** Customers that remember what they are told while they live, and say where they began and ended. */
function customer(log: string[], node: string) {
  return agent(Customer, {
    state: ({ key }: KeyedArgs) => {
      log.push(`${node} begins ${key}`);
      return { key, notes: [] as string[] };
    },
    onStop: (ctx) => {
      log.push(`${node} ends ${ctx.state.key}`);
    },
    on: {
      note: (ctx, { text }) => {
        log.push(`${node} ${ctx.state.key} ${text}`);
        ctx.state.notes.push(text);
      },
      notes: (ctx) => ctx.state.notes,
    },
  });
}

/** A broker that refuses claims, and counts them. */
function refusing() {
  const refusal = {
    isRefusing: true,
    claims: 0,
    prepare: ({ shards }: Broker): void => {
      const claim = shards?.claim.bind(shards);
      if (shards === undefined || claim === undefined) return;
      const refused: typeof claim = (...given) => {
        refusal.claims++;
        return refusal.isRefusing ? Promise.reject(new Error('not now')) : claim(...given);
      };
      Object.assign(shards, { claim: refused });
    },
  };
  return refusal;
}

describe('keyed agents', () => {
  it('are one for each key, started by their first message, wherever that comes from', async () => {
    const cluster = testCluster();
    const log: string[] = [];
    const a = await cluster.start('a');
    const b = await cluster.start('b');
    const onA = a.system.keyed(customer(log, 'a'), { shards: 4 });
    const onB = b.system.keyed(customer(log, 'b'), { shards: 4 });
    await cluster.advance(5_000);
    expect(log).toEqual([]);
    onA.forKey('42').tell('note', { text: 'one' });
    await cluster.advance(100);
    onB.forKey('42').tell('note', { text: 'two' });
    await cluster.advance(100);
    expect(await cluster.during(onA.forKey('42').ask('notes', {}))).toEqual(['one', 'two']);
    expect(await cluster.during(onB.forKey('42').ask('notes', {}))).toEqual(['one', 'two']);
    expect(log.filter((line) => line.includes('begins'))).toHaveLength(1);
  });

  it('have their shards claimed again where a claim fails, which is said, and not any more once their node leaves', async () => {
    const cluster = testCluster();
    const a = refusing();
    const { system, logs } = await cluster.start('a', { prepare: a.prepare });
    const customers = system.keyed(customer([], 'a'), { shards: 2 });
    await cluster.advance(0);
    const told = logs.filter(({ text }) => text.includes('cannot be claimed'));
    expect(told.map(({ text }) => text)).toEqual([
      'shard 0 of customer cannot be claimed, and is tried again in 1000 ms',
      'shard 1 of customer cannot be claimed, and is tried again in 1000 ms',
    ]);
    expect(told[0]).toMatchObject({ level: 'warn', fields: { error: { message: 'not now' } } });
    await cluster.advance(900);
    expect(a.claims).toBe(2);
    a.isRefusing = false;
    await cluster.advance(200);
    expect(a.claims).toBe(4);
    expect(await cluster.during(customers.forKey('x').ask('notes', {}))).toEqual([]);
    await cluster.advance(10_000);
    expect(a.claims).toBe(4);

    const b = refusing();
    const other = await cluster.start('b', { prepare: b.prepare });
    other.system.keyed(customer([], 'b'), { shards: 2 });
    await cluster.advance(500);
    const before = b.claims;
    expect(before).toBeGreaterThan(0);
    await cluster.during(other.system.shutdown(), 10_000);
    cluster.forget('b');
    await cluster.advance(10_000);
    expect(b.claims).toBe(before);
  });

  it('hear from one sender what it sends to one key at one priority in its order, whoever owns the shard', async () => {
    const cluster = testCluster();
    const log: string[] = [];
    const nodes = await Promise.all(['a', 'b', 'c'].map((name) => cluster.start(name)));
    const groups = nodes.map(({ system }, n) => system.keyed(customer(log, `${n}`), { shards: 8 }));
    for (let n = 0; n < 50; n++) {
      for (const key of ['x', 'y', 'z']) groups[n % 3]?.forKey(key).tell('note', { text: `${n % 3} ${n}` });
      if (n % 10 === 0) await cluster.advance(37);
    }
    await cluster.advance(10_000);
    for (const key of ['x', 'y', 'z']) {
      const notes = log.filter((line) => line.includes(` ${key} `)).map((line) => line.split(' ').slice(2));
      expect(notes).toHaveLength(50);
      for (const sender of ['0', '1', '2']) {
        const own = notes.filter(([from]) => from === sender).map(([, n]) => Number(n));
        expect(own).toEqual([...own].sort((left, right) => left - right));
      }
    }
  });

  it('wait at the broker while as many live on a node as may, and have their turn in order', async () => {
    const cluster = testCluster();
    const log: string[] = [];
    const { system } = await cluster.start('a');
    const customers = system.keyed(customer(log, 'a'), { shards: 4, keysMax: 2 });
    await cluster.advance(1_000);
    for (const key of ['p', 'q', 'r', 's', 'p', 't', 'r']) customers.forKey(key).tell('note', { text: key });
    await cluster.advance(1_000);
    expect(log.filter((line) => line.includes('begins'))).toHaveLength(5);
    expect(log.filter((line) => /^a . .$/.test(line))).toHaveLength(7);
    expect(system.tree().children.at(-1)?.children[0]?.children).toHaveLength(2);
  });

  it('are shown in the tree and by inspect where they live, and a ref of their path leads to them from every node', async () => {
    const cluster = testCluster();
    const log: string[] = [];
    const a = await cluster.start('a');
    const b = await cluster.start('b');
    const onA = a.system.keyed(customer(log, 'a'), { shards: 4 });
    b.system.keyed(customer(log, 'b'), { shards: 4 });
    await cluster.advance(2_000);
    const ref = onA.forKey('the key/7');
    expect(a.system.inspect(ref)).toBeUndefined();
    await cluster.during(ref.send('note', { text: 'one' }, { receipt: true }));
    const [here, there] = log[0]?.startsWith('a') === true ? [a, b] : [b, a];
    expect(here.system.inspect(here.system.ref(Customer, ref.address))).toMatchObject({
      protocol: 'customer',
      counts: { handled: 1 },
    });
    expect(here.system.tree().children.at(-1)).toMatchObject({
      name: 'keyed',
      address: '/keyed',
      children: [
        { name: 'customer', children: [{ name: 'the_20key_2f7', kind: 'agent', status: 'running' }] },
      ],
    });
    const written = JSON.parse(JSON.stringify({ ref })) as { ref: string };
    expect(written.ref).toBe('/keyed/customer/the_20key_2f7');
    const again = there.system.ref(Customer, written.ref);
    expect(await cluster.during(again.ask('notes', {}))).toEqual(['one']);
  });

  it('are not watched, stopped or killed by the ref of a key, which may be another actor the next time', async () => {
    const cluster = testCluster();
    for (const options of [{}, { broker: undefined, node: undefined }]) {
      const { system } = await cluster.start('a', options);
      const ref = system.keyed(customer([], 'a')).forKey('x');
      await expect(system.stop(ref)).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
      await expect(system.kill(ref)).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
      // What one actor of the key has begun another cannot go on with.
      const loose = ref as unknown as { stream(name: string): unknown };
      expect(() => loose.stream('notes')).toThrow(/stream: ref must be a ref to one actor/);
    }
  });

  it('refuse bad options, a second group of one name, and a key that is none', async () => {
    const cluster = testCluster();
    const { system } = await cluster.start('a');
    const definition = customer([], 'a');
    const bad: readonly object[] = [
      { shards: 0 },
      { shards: 1_025 },
      { shards: 1.5 },
      { idleMs: 0 },
      { keysMax: 0 },
      { handOffMs: -1 },
      { hosts: 'no' },
      { name: 'a b' },
      { persist: 'snapshot' },
      { persist: 'events', states: {} },
      { states: {} },
      { shard: 1 },
    ];
    for (const options of bad)
      expect(() => system.keyed(definition, options)).toThrow(
        expect.objectContaining({ code: 'ERR_OPTION_INVALID' }),
      );
    const wrong = definition.child({ args: { key: 'x' } });
    expect(() => system.keyed(wrong as never)).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID' }),
    );
    const customers = system.keyed(definition, { shards: 1_024 });
    expect([customers.name, customers.shards]).toEqual(['customer', 1_024]);
    expect(() => system.keyed(definition)).toThrow(expect.objectContaining({ code: 'ERR_NAME_TAKEN' }));
    expect(() => customers.forKey('')).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
    expect(() => customers.forKey('x').tell('nota' as 'note', { text: '' })).toThrow(
      expect.objectContaining({ code: 'ERR_MESSAGE_UNKNOWN' }),
    );
    await system.shutdown();
    expect(() => system.keyed(definition, { name: 'late' })).toThrow(
      expect.objectContaining({ code: 'ERR_ACTOR_STOPPED' }),
    );
  });

  it('are refused over a broker that gives no shards to nodes', async () => {
    const cluster = testCluster();
    const whole = memory({ hub: cluster.hub });
    const broker = new Proxy(whole, {
      get: (target, name) => {
        if (name === 'shards') return undefined;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const { system } = await cluster.start('a', { broker });
    expect(() => system.keyed(customer([], 'a'))).toThrow(
      expect.objectContaining({
        code: 'ERR_OPTION_INVALID',
        details: expect.objectContaining({ option: 'keyed: broker', given: 'memory' }),
      }),
    );
  });

  it('are refused at once where an ask would come back to whoever waits for it', async () => {
    const cluster = testCluster();
    const nodes = [await cluster.start('a'), await cluster.start('b')];
    const Hop = protocol('hop', { hop: ask(z.object({ to: z.array(z.string()) }), z.string()) });
    const groups: Keyed<typeof Hop>[] = [];
    const hopper = agent(Hop, {
      on: {
        hop: async (ctx, { to: [next, ...to] }): Promise<string> => {
          if (next === undefined) return 'there';
          return ctx.ask(ctx.system.ref(Hop, `/keyed/hop/${next}`), 'hop', { to });
        },
      },
    });
    for (const { system } of nodes) groups.push(system.keyed(hopper, { shards: 4 }));
    await cluster.advance(2_000);
    expect(
      await cluster.during(groups[0]?.forKey('x').ask('hop', { to: ['y', 'z'] }) ?? Promise.resolve('')),
    ).toBe('there');
    const cycle = endingOf(groups[0]?.forKey('x').ask('hop', { to: ['y', 'x'] }) ?? Promise.resolve(''));
    await cluster.advance(1_000);
    // Each of those that waited has failed by the one behind it.
    expect(cycle.error).toMatchObject({ code: 'ERR_ACTOR_FAILED' });
    const [cause] = nodes.flatMap(({ events }) =>
      events.flatMap((event) => (event.type === 'actor-failed' ? [event.error] : [])),
    );
    expect(cause).toMatchObject({ code: 'ERR_ASK_CYCLE' });
  });

  it('handle once what was published again because nobody heard that it had arrived', async () => {
    const cluster = testCluster();
    const log: string[] = [];
    const a = await cluster.start('a');
    const sender = await cluster.start('sender');
    a.system.keyed(customer(log, 'a'), { shards: 1 });
    const ref = sender.system.keyed(customer(log, 's'), { shards: 1, hosts: false }).forKey('x');
    await cluster.advance(1_000);
    cluster.hub.lose('confirms', 'sender');
    ref.tell('note', { text: 'one' });
    await cluster.advance(1_000);
    expect(log).toEqual(['a begins x', 'a x one']);
    cluster.hub.heal('sender');
    ref.tell('note', { text: 'two' });
    await cluster.advance(20_000);
    expect(log).toEqual(['a begins x', 'a x one', 'a x two']);
  });

  it('start for no message whose time was over before it came', async () => {
    const cluster = testCluster();
    const log: string[] = [];
    const a = await cluster.start('a');
    const sender = await cluster.start('sender');
    a.system.keyed(customer(log, 'a'), { shards: 1 });
    const ref = sender.system.keyed(customer(log, 's'), { shards: 1, hosts: false }).forKey('x');
    await cluster.advance(1_000);
    cluster.hub.delay({ minMs: 600, maxMs: 600 }, 'a');
    ref.tell('note', { text: 'late' }, { ttlMs: 300 });
    await cluster.advance(5_000);
    expect(log).toEqual([]);
    expect(a.system.deadLetters.list().map(({ reason }) => reason)).toEqual(['expired']);
  });

  it('are not reached by what was sent to the shard of another key, or names none', async () => {
    const cluster = testCluster();
    const log: string[] = [];
    const a = await cluster.start('a');
    a.system.keyed(customer(log, 'a'), { shards: 2 });
    await cluster.advance(1_000);
    const stranger = memory({ hub: cluster.hub });
    const { host } = a.kernel;
    await cluster.during(stranger.open({ name: 'stranger', incarnation: 'life1' }, host));
    const publish = (address: string, shard: number, sequence: number) =>
      cluster.during(
        stranger.publish([
          {
            to: { kind: 'shard', group: 'customer', shard, shards: 2 },
            lane: 3,
            bytes: encodeFrame({ node: 'stranger', incarnation: 'life1', stream: shard + 1, sequence }, [
              encodeMessage({
                type: 'tell',
                id: `s-${sequence}`,
                sentAtMs: 0,
                expiresAtMs: undefined,
                sender: undefined,
                correlationId: undefined,
                headers: undefined,
                target: { address, protocol: 'customer', message: 'note' },
                payload: { codec: 'json', bytes: Buffer.from('{"text":"hello"}') },
              }),
            ]),
          },
        ]),
      );
    const own = shardOf('x', 2);
    await publish('x', 1 - own, 1);
    await publish('y'.repeat(300), own, 1);
    await publish('x', own, 2);
    await cluster.advance(1_000);
    await stranger.close();
    expect(log).toEqual(['a begins x', 'a x hello']);
    expect(cluster.hub.deadFrames().map(({ reason }) => reason)).toEqual(['validation', 'validation']);
  });

  it('whose mailbox is full refuse what comes to them, and each refusal is told once, where they live', async () => {
    const cluster = testCluster();
    const a = await cluster.start('a');
    const b = await cluster.start('b');
    const busy = agent(Customer, {
      state: () => ({}),
      mailbox: { capacity: 1, criticalReserve: 0, overflow: 'reject' },
      on: { note: never, notes: () => [] },
    });
    a.system.keyed(busy, { shards: 1 });
    const ref = b.system.keyed(busy, { shards: 1, hosts: false }).forKey('x');
    await cluster.advance(1_000);
    ref.tell('note', { text: 'in hand' });
    await cluster.advance(20);
    for (const text of ['queued', 'told']) ref.tell('note', { text });
    const calls = [
      endingOf(ref.ask('notes', {})),
      endingOf(ref.send('note', { text: 'x' }, { receipt: true })),
    ];
    await cluster.advance(100);
    expect(calls.map(({ is }) => is)).toEqual(['ERR_MAILBOX_FULL', 'ERR_MAILBOX_FULL']);
    const refused = ({ events }: typeof a) => events.filter(({ type: kind }) => kind === 'message-refused');
    expect(refused(a)).toMatchObject([{ message: 'note' }, { message: 'notes' }, { message: 'note' }]);
    expect(refused(b)).toEqual([]);
    expect(a.kernel.telemetry.tallyOf('customer').refused.of('full')).toBe(3);
  });

  it('of other versions of a protocol are told apart: who asks is refused, and the owner says so', async () => {
    const cluster = testCluster();
    const a = await cluster.start('a');
    const b = await cluster.start('b');
    a.system.keyed(customer([], 'a'), { shards: 1 });
    await cluster.advance(1_000);
    const Newer = protocol('customer', { forget: ask(z.object({}), z.number()) });
    const newer = agent(Newer, { on: { forget: () => 1 } });
    const asked = endingOf(b.system.keyed(newer, { shards: 1, hosts: false }).forKey('x').ask('forget', {}));
    await cluster.advance(1_000);
    expect(asked.error).toMatchObject({ code: 'ERR_PROTOCOL_MISMATCH' });
    expect(a.logs.filter(({ level }) => level === 'error')).toHaveLength(1);
    expect(b.logs.filter(({ level }) => level === 'error')).toHaveLength(0); // whoever asks is told by its rejection
  });

  it('say so where nodes disagree about the number of shards', async () => {
    const cluster = testCluster();
    const a = await cluster.start('a');
    const b = await cluster.start('b');
    a.system.keyed(customer([], 'a'), { shards: 4 });
    b.system.keyed(customer([], 'b'), { shards: 8 });
    await cluster.advance(1_000);
    for (const { logs } of [a, b])
      expect(logs.filter(({ level }) => level === 'error').map(({ text }) => `error ${text}`)).toEqual([
        expect.stringMatching(/^error node [ab] has [48] shards of customer, and this one [48]/),
      ]);
  });
});

describe('keyed agents without a broker', () => {
  async function alone(options: KeyedOptions = {}, ...more: Parameters<typeof customer>) {
    const cluster = testCluster();
    const { system } = await cluster.start('a', { broker: undefined, node: undefined });
    const [log] = more;
    return { cluster, system, customers: system.keyed(customer(log, 'a'), options) };
  }

  it('are reached by the same calls, and stopped when they were idle', async () => {
    const log: string[] = [];
    const { cluster, customers } = await alone({ idleMs: 1_000 }, log, 'a');
    const ref = customers.forKey('x');
    expect(ref.tell('note', { text: 'one' })).toBe('accepted');
    await ref.send('note', { text: 'two' });
    expect(await cluster.during(ref.ask('notes', {}))).toEqual(['one', 'two']);
    await cluster.advance(900);
    expect(log).not.toContain('a ends x');
    await cluster.advance(1_600);
    expect(log).toEqual(['a begins x', 'a x one', 'a x two', 'a ends x']);
    expect(await cluster.during(ref.ask('notes', {}))).toEqual([]);
  });

  it('P88 lose nothing that comes while one of them is being stopped: the next one begins when it has ended', async () => {
    const log: string[] = [];
    const ended = deferred();
    const definition = agent(Customer, {
      state: ({ key }: KeyedArgs) => {
        log.push(`begins ${key}`);
      },
      onStop: async () => {
        log.push('ending');
        await ended.promise;
        log.push('ended');
      },
      on: { note: (_ctx, { text }) => log.push(text), notes: () => [] },
    });
    const cluster = testCluster();
    const { system } = await cluster.start('a', { broker: undefined, node: undefined });
    const ref = system.keyed(definition, { idleMs: 1_000 }).forKey('x');
    ref.tell('note', { text: 'one' });
    await cluster.advance(2_500);
    ref.tell('note', { text: 'two' });
    ref.tell('note', { text: 'three' });
    await cluster.advance(100);
    expect(log).toEqual(['begins x', 'one', 'ending']);
    ended.resolve();
    await cluster.advance(100);
    expect(log).toEqual(['begins x', 'one', 'ending', 'ended', 'begins x', 'two', 'three']);
    expect(system.deadLetters.stats().total).toBe(0);
  });

  it('make room for one more when one of them is idle, and refuse it when none is', async () => {
    const log: string[] = [];
    const { cluster, customers, system } = await alone({ keysMax: 2 }, log, 'a');
    const events: RuntimeEvent[] = [];
    system.events.subscribe((event) => events.push(event));
    for (const key of ['p', 'q', 'r']) {
      expect(customers.forKey(key).tell('note', { text: 'x' })).toBe('accepted');
      await cluster.advance(10);
    }
    expect(log).toContain('a ends p');
    expect(log).not.toContain('a ends q');
    expect(customers.forKey('q').tell('note', { text: 'x' })).toBe('accepted');
    expect(customers.forKey('r').tell('note', { text: 'x' })).toBe('accepted');
    expect(customers.forKey('s').tell('note', { text: 'x' })).toBe('full');
    const details = { group: 'customer', keysMax: 2 };
    await expect(customers.forKey('s').send('note', { text: 'x' })).rejects.toMatchObject({
      code: 'ERR_KEYS_FULL',
      details,
    });
    await expect(customers.forKey('s').ask('notes', {})).rejects.toMatchObject({ code: 'ERR_KEYS_FULL' });
    expect(events.filter(({ type: kind }) => kind === 'message-refused')).toMatchObject([
      { message: 'note', verdict: 'full' },
      { message: 'note', verdict: 'full' },
      { message: 'notes', verdict: 'full' },
    ]);
    await cluster.advance(10);
    expect(customers.forKey('s').tell('note', { text: 'x' })).toBe('accepted');
  });

  it('that stop themselves finish what they have, and the next message is for another one', async () => {
    const log: string[] = [];
    const definition = agent(Customer, {
      state: () => ({ begun: log.push('begins') }),
      on: {
        note: (ctx, { text }) => {
          log.push(text);
          if (text === 'stop') ctx.stopSelf();
        },
        notes: () => [],
      },
    });
    const cluster = testCluster();
    for (const options of [{ broker: undefined, node: undefined }, {}]) {
      log.splice(0);
      const { system } = await cluster.start('a', options);
      const ref = system.keyed(definition, { shards: 1 }).forKey('x');
      for (const text of ['stop', 'two', 'stop', 'four']) ref.tell('note', { text });
      await cluster.advance(2_000);
      ref.tell('note', { text: 'five' });
      await cluster.advance(100);
      expect(log).toEqual(['begins', 'stop', 'two', 'stop', 'four', 'begins', 'five']);
      expect(system.deadLetters.stats().total).toBe(0);
    }
  });
});
