import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, ask, protocol, supervisor, tell, type } from '../../src/index.ts';
import { type ClusterNode, testCluster } from '../support/test-cluster.ts';

const Judge = protocol('judge', {
  where: ask(type<void>({ trust: true }), z.string()),
  learn: tell(z.object({ word: z.string() })),
});

/** A judge that says where it is. */
function judge(place: string) {
  return agent(Judge, { state: () => ({}), on: { where: () => place, learn: () => undefined } });
}

/** Starts a judge on a node and gives it a name. */
async function hold(node: ClusterNode<unknown>, name: string, place: string) {
  const ref = await node.system.spawn(judge(place));
  node.system.register(name, ref);
  return ref;
}

const warnings = (node: ClusterNode<unknown>): readonly string[] =>
  node.logs.filter(({ level }) => level === 'warn').map(({ text }) => text);

describe('a name', () => {
  it('leads to whichever node holds it, for refs that were made before and after', async () => {
    const cluster = testCluster();
    const a = await cluster.start('a');
    const b = await cluster.start('b');
    const ref = a.system.ref(Judge, 'chief');
    expect(ref.tell('learn', { word: 'x' })).toBe('actor-unknown');
    expect(a.system.lookup(Judge, 'chief')).toBeUndefined();
    await hold(b, 'chief', 'b');
    await cluster.advance(50);
    expect(ref.tell('learn', { word: 'x' })).toBe('accepted');
    expect(await cluster.during(ref.ask('where'))).toBe('b');
    expect(JSON.stringify(ref)).toBe('"//b:chief"');
    const found = a.system.lookup(Judge, 'chief');
    expect(await cluster.during(found?.ask('where') ?? Promise.reject(new Error('none')))).toBe('b');
  });

  it('is known to nodes that come later', async () => {
    const cluster = testCluster();
    const a = await cluster.start('a');
    for (let n = 0; n < 1_200; n++) await hold(a, `name${n}`, 'a');
    await cluster.advance(50);
    const b = await cluster.start('b');
    await cluster.advance(50);
    const known = Array.from({ length: 1_200 }, (_, n) => b.system.lookup(Judge, `name${n}`));
    expect(known.every((ref) => ref !== undefined)).toBe(true);
  });

  it('of a child of the root is known without being registered', async () => {
    const cluster = testCluster();
    const a = await cluster.start('a');
    await cluster.start('b', { root: supervisor({ children: { judge: judge('b').child() } }) });
    await cluster.advance(50);
    expect(await cluster.during(a.system.ref(Judge, 'judge').ask('where'))).toBe('b');
  });

  it('leads to this node first', async () => {
    const cluster = testCluster();
    const a = await cluster.start('a');
    const b = await cluster.start('b');
    await hold(a, 'chief', 'a');
    await hold(b, 'chief', 'b');
    await cluster.advance(50);
    expect(await cluster.during(b.system.ref(Judge, 'chief').ask('where'))).toBe('b');
  });

  it('that several nodes hold leads to the first of them, what was registered before what is a child of a root', async () => {
    const cluster = testCluster();
    const z = await cluster.start('z');
    const b = await cluster.start('b', { root: supervisor({ children: { chief: judge('b').child() } }) });
    const ask = () => cluster.during(z.system.ref(Judge, 'chief').ask('where'));
    await cluster.start('a', { root: supervisor({ children: { chief: judge('a').child() } }) });
    await cluster.advance(50);
    expect(await ask()).toBe('a');
    const d = await cluster.start('d');
    const c = await cluster.start('c');
    await hold(d, 'chief', 'd');
    await cluster.advance(50);
    expect(await ask()).toBe('d');
    await hold(c, 'chief', 'c');
    await cluster.advance(50);
    expect(await ask()).toBe('c');
    const first = 'refs of further nodes lead to c';
    expect(warnings(c)).toEqual([`the name 'chief' is registered here and on node d: ${first}`]);
    expect(warnings(d)).toEqual([`the name 'chief' is registered here and on node c: ${first}`]);
    expect([...warnings(z), ...warnings(b)]).toEqual([]);
  });

  it('leads nowhere when its holder has ended, and goes on with the next one', async () => {
    const cluster = testCluster();
    const a = await cluster.start('a');
    const b = await cluster.start('b');
    const c = await cluster.start('c');
    const ref = a.system.ref(Judge, 'chief');
    const holder = await hold(b, 'chief', 'b');
    await cluster.advance(50);
    const stopped = b.system.stop(holder);
    await cluster.advance(50);
    await stopped;
    expect(ref.tell('learn', { word: 'x' })).toBe('actor-unknown');
    await hold(b, 'chief', 'b');
    await cluster.advance(50);
    expect(await cluster.during(ref.ask('where'))).toBe('b');
    cluster.kill('b');
    await cluster.advance(50);
    expect(ref.tell('learn', { word: 'x' })).toBe('actor-unknown');
    await hold(c, 'chief', 'c');
    await cluster.advance(50);
    expect(await cluster.during(ref.ask('where'))).toBe('c');
  });

  it('goes on elsewhere when a child of the root has ended for good', async () => {
    const cluster = testCluster();
    const a = await cluster.start('a', {
      root: supervisor({ children: { chief: judge('a').child({ restart: 'temporary' }) } }),
    });
    const b = await cluster.start('b');
    await hold(b, 'chief', 'b');
    await cluster.advance(50);
    const ref = a.system.ref(Judge, 'chief');
    expect(await ref.ask('where')).toBe('a');
    const stopped = a.system.stop(ref);
    await cluster.advance(50);
    await stopped;
    expect(await cluster.during(ref.ask('where'))).toBe('b');
  });

  it('cannot be acted upon from another node where that is for its own node to do', async () => {
    const cluster = testCluster();
    const a = await cluster.start('a');
    const b = await cluster.start('b');
    await hold(b, 'chief', 'b');
    await cluster.advance(50);
    await expect(a.system.kill(a.system.ref(Judge, 'chief'))).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
      details: { option: 'kill: ref' },
    });
  });
});
