import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { memory } from '../../adapters/memory/index.ts';
import { agent, ask, type KeyedArgs, protocol, tell, type } from '../../src/index.ts';
import { deafBroker } from '../support/deaf-broker.ts';
import { deferred, endingOf } from '../support/puppet.ts';
import { type Cluster, testCluster } from '../support/test-cluster.ts';
import { testStates } from '../support/test-states.ts';

const Account = protocol('account', {
  add: ask(z.object({ amount: z.number(), ms: z.number().optional() }), z.number()),
  spoil: ask(z.object({}), z.number()),
  tick: tell(type<void>()),
});

const PLACED_MS = 5_000;

function account(cluster: Cluster, onStop?: () => unknown) {
  return agent(Account, {
    state: (_args: KeyedArgs): { sum: number; odd?: unknown } => ({ sum: 0 }),
    onStop,
    on: {
      add: async (ctx, { amount, ms = 0 }) => {
        if (ms > 0)
          await new Promise<void>((resolve) => {
            cluster.clock.setTimer(ms, resolve);
          });
        if (amount === 0) throw new Error('nothing to add');
        ctx.state.sum += amount;
        return ctx.state.sum;
      },
      spoil: (ctx) => {
        ctx.state.odd = () => 1;
        return 1;
      },
      tick: (ctx) => {
        ctx.state.sum++;
      },
    },
  });
}

async function pairOf(cluster: Cluster, states = testStates()) {
  const start = async (name: string, hosts = true) => {
    const ear = deafBroker(memory({ hub: cluster.hub }));
    const node = await cluster.start(name, { broker: ear.broker });
    const accounts = node.system.keyed(account(cluster), {
      shards: 2,
      hosts,
      persist: 'snapshot',
      states: states.store(),
    });
    return { ...node, accounts, ear, name };
  };
  const a = await start('a');
  const b = await start('b');
  await cluster.advance(PLACED_MS);
  const { accounts } = await start('c', false);
  await cluster.during(accounts.forKey('x').ask('add', { amount: 1 }));
  const isOnA = a.system.inspect(a.accounts.forKey('x')) !== undefined;
  return { states, old: isOnA ? a : b, next: isOnA ? b : a, accounts };
}

describe('the state of a key', () => {
  it('goes on from where it was after its actor was idle, its node was shut down, and its node was killed', async () => {
    const cluster = testCluster();
    const { old, next } = await pairOf(cluster);
    const ref = next.accounts.forKey('x');
    expect(await cluster.during(ref.ask('add', { amount: 10 }))).toBe(11);
    await cluster.advance(700_000);
    expect(old.system.inspect(old.accounts.forKey('x'))).toBeUndefined();
    expect(await cluster.during(ref.ask('add', { amount: 10 }))).toBe(21);
    cluster.kill(old.name);
    await cluster.advance(20_000);
    expect(await cluster.during(ref.ask('add', { amount: 10 }))).toBe(31);
  });

  it('is that of the last turn that was kept, after a turn that failed', async () => {
    const cluster = testCluster();
    const { next } = await pairOf(cluster);
    const ref = next.accounts.forKey('x');
    const failing = endingOf(ref.ask('add', { amount: 0 }));
    await cluster.advance(1_000);
    expect(failing.error).toMatchObject({ code: 'ERR_ACTOR_FAILED' });
    expect(await cluster.during(ref.ask('add', { amount: 5 }))).toBe(6);
  });

  it('P70 is safe before its message is acknowledged and its reply leaves', async () => {
    const cluster = testCluster();
    const { old, next, states } = await pairOf(cluster);
    const saving = deferred();
    states.before = () => saving.promise;
    const asked = endingOf(next.accounts.forKey('x').ask('add', { amount: 10 }, { timeoutMs: 100_000 }));
    await cluster.advance(1_000);
    expect(asked.is).toBeUndefined();
    states.before = () => Promise.resolve();
    cluster.kill(old.name);
    await cluster.advance(20_000);
    expect(asked.value).toBe(11); // the turn was done again: nobody had heard of the first one
    saving.resolve();
    await cluster.advance(1_000);
    expect(states.refused).toHaveLength(1);
  });

  it('is written again and again while the store is away, and nothing is lost meanwhile', async () => {
    const cluster = testCluster();
    const { next, states } = await pairOf(cluster);
    states.before = () => Promise.reject(new Error('away'));
    const asked = endingOf(next.accounts.forKey('x').ask('add', { amount: 10 }));
    await cluster.advance(5_000);
    expect(asked.is).toBeUndefined();
    states.before = () => Promise.resolve();
    await cluster.advance(1_500);
    expect(asked.value).toBe(11);
  });

  it('keeps its actor while it is on its way to the store, however idle that is', async () => {
    const cluster = testCluster();
    const states = testStates();
    const { system, events } = await cluster.start('a');
    const options = { shards: 1, idleMs: 500, persist: 'snapshot', states: states.store() } as const;
    const accounts = system.keyed(account(cluster), options);
    await cluster.advance(1_000);
    states.before = () => Promise.reject(new Error('away'));
    const asked = endingOf(accounts.forKey('x').ask('add', { amount: 10 }));
    await cluster.advance(40_000);
    expect(events.filter(({ type: kind }) => kind === 'actor-stopped')).toEqual([]);
    states.before = () => Promise.resolve();
    await cluster.advance(1_200);
    expect(asked.value).toBe(10);
    await cluster.advance(2_000);
    expect(events.filter(({ type: kind }) => kind === 'actor-stopped')).toHaveLength(1);
  });

  it('that is on its way to the store is not lost when a later turn fails', async () => {
    const cluster = testCluster();
    const { next, states } = await pairOf(cluster);
    const saving = deferred();
    states.before = () => saving.promise;
    const asked = endingOf(next.accounts.forKey('x').ask('add', { amount: 10 }));
    const failing = endingOf(next.accounts.forKey('x').ask('add', { amount: 0 }));
    const later = endingOf(next.accounts.forKey('x').ask('add', { amount: 5 }));
    await cluster.advance(1_000);
    expect(failing.error).toMatchObject({ code: 'ERR_ACTOR_FAILED' });
    saving.resolve();
    await cluster.advance(1_000);
    expect([asked.value, later.value]).toEqual([11, 16]);
  });

  it('that could not be kept before its actor ended is made again: the message is given back, and is news', async () => {
    const cluster = testCluster();
    const { old, accounts, states } = await pairOf(cluster);
    states.before = () => Promise.reject(new Error('away'));
    const asked = endingOf(accounts.forKey('x').ask('add', { amount: 10 }, { timeoutMs: 100_000 }));
    await cluster.advance(500);
    const address = old.system.inspect(old.accounts.forKey('x'))?.address ?? '';
    const stopped = old.system.stop(old.system.ref(Account, address));
    await cluster.advance(40_000);
    await stopped;
    states.before = () => Promise.resolve();
    await cluster.advance(5_000);
    expect(asked.value).toBe(11);
    expect(states.writes.at(-1)).toMatchObject({ key: 'x', json: '{"sum":11}' });
  });

  it('P113 is written by one owner alone, however late the other one hears that it has lost the shard', async () => {
    const cluster = testCluster();
    const { old, accounts, states } = await pairOf(cluster);
    const first = endingOf(
      accounts.forKey('x').ask('add', { amount: 10, ms: 20_000 }, { timeoutMs: 200_000 }),
    );
    await cluster.advance(50);
    old.ear.deafen();
    cluster.hub.cut(old.name);
    await cluster.advance(15_000);
    cluster.hub.heal(old.name); // it could answer again
    await cluster.advance(100);
    const second = await cluster.during(accounts.forKey('y').ask('add', { amount: 1 }));
    expect(second).toBe(1);
    const written = states.writes.length;
    await cluster.advance(10_000); // the turn of the first owner ends: it may not write, and not answer
    expect(states.refused.map(({ json }) => json)).toEqual(['{"sum":11}']);
    expect(first.is).toBeUndefined();
    const told = old.logs.filter(({ text }) => text.includes('the store has a later owner of keys of shard'));
    expect(told).toHaveLength(1);
    expect(old.events.filter(({ type: kind }) => kind === 'shard-lost')).toHaveLength(1);
    old.ear.goOn();
    await cluster.advance(40_000);
    expect(first.value).toBe(11);
    const later = states.writes.slice(written).filter(({ key }) => key === 'x');
    expect(later).toHaveLength(1);
    expect(later[0]?.epoch).toBeGreaterThan(states.refused[0]?.epoch ?? 0);
  });

  it('that JSON cannot give back is refused, with its message and its reply', async () => {
    const cluster = testCluster();
    const { old, next } = await pairOf(cluster);
    const spoiled = endingOf(next.accounts.forKey('x').ask('spoil', {}));
    await cluster.advance(1_000);
    expect(spoiled.error).toMatchObject({ code: 'ERR_PAYLOAD_UNSERIALIZABLE' });
    expect(old.logs.filter(({ text }) => text.includes('cannot be kept'))).toHaveLength(1);
  });
});
