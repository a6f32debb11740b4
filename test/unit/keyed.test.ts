import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, ask, type KeyedArgs, protocol, tell } from '../../src/index.ts';
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

  it('work without a broker by the same calls', async () => {
    const cluster = testCluster();
    const log: string[] = [];
    const { system } = await cluster.start('a', { broker: undefined, node: undefined });
    const customers = system.keyed(customer(log, 'a'), { idleMs: 1_000 });
    const ref = customers.forKey('x');
    expect(ref.tell('note', { text: 'one' })).toBe('accepted');
    expect(await cluster.during(ref.ask('notes', {}))).toEqual(['one']);
    await cluster.advance(2_500);
    expect(log).toEqual(['a begins x', 'a x one', 'a ends x']);
    expect(await cluster.during(ref.ask('notes', {}))).toEqual([]);
  });
});
