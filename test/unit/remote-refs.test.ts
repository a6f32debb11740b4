import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, ask, protocol, supervisor, tell } from '../../src/index.ts';
import { endingOf } from '../support/puppet.ts';
import { testCluster } from '../support/test-cluster.ts';

const Judge = protocol('judge', {
  learn: tell(z.object({ word: z.string() })),
  score: ask(z.object({ text: z.string() }), z.number()),
});

/** A judge that keeps what it learns, and whose scores are as the test says. */
function judge(
  score: (text: string, signal: AbortSignal) => number | Promise<number> = (text) => text.length,
) {
  const learned: string[] = [];
  const senders: (string | undefined)[] = [];
  const definition = agent(Judge, {
    state: () => ({}),
    mailbox: { capacity: 4 },
    on: {
      learn: (ctx, { word }) => {
        learned.push(word);
        senders.push(ctx.message.sender);
      },
      score: (ctx, { text }) => score(text, ctx.signal),
    },
  });
  return { definition, learned, senders, root: supervisor({ children: { judge: definition.child() } }) };
}

describe('a ref to an actor of another node', () => {
  it('tells, sends and asks as a ref to one of this process does', async () => {
    const cluster = testCluster();
    const { root, learned } = judge();
    const a = await cluster.start('a');
    await cluster.start('b', { root });
    const ref = a.system.ref(Judge, 'judge', { node: 'b' });
    expect(ref.tell('learn', { word: 'one' })).toBe('accepted');
    await cluster.during(ref.send('learn', { word: 'two' }));
    await cluster.during(ref.send('learn', { word: 'three' }, { receipt: true }));
    expect(learned).toEqual(['one', 'two', 'three']);
    expect(await cluster.during(ref.ask('score', { text: 'four' }))).toBe(4);
  });

  it('leads back to its actor from wherever it was written down', async () => {
    const cluster = testCluster();
    const { definition, learned } = judge();
    const a = await cluster.start('a');
    const b = await cluster.start('b');
    const here = await b.system.spawn(definition, { name: 'x' });
    const text = JSON.stringify({ ref: here });
    const { ref: address } = JSON.parse(text) as { ref: string };
    expect(address).toMatch(/^\/\/b@[a-z0-9]+\/user\/x#\d+$/);
    a.system.ref(Judge, address).tell('learn', { word: 'far' });
    b.system.ref(Judge, address).tell('learn', { word: 'near' });
    await cluster.advance(50);
    expect(learned).toEqual(['near', 'far']);
  });

  it('rejects an ask at once when its node is lost', async () => {
    const cluster = testCluster();
    const { root } = judge(() => new Promise(() => {}));
    const a = await cluster.start('a');
    await cluster.start('b', { root });
    const asked = endingOf(a.system.ref(Judge, 'judge', { node: 'b' }).ask('score', { text: 'x' }));
    await cluster.advance(50);
    cluster.kill('b');
    await cluster.advance(50);
    expect(asked.error).toMatchObject({ code: 'ERR_NODE_DOWN', details: { node: 'b' } });
  });
});
