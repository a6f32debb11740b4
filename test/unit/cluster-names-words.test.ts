import { describe, expect, it } from 'vitest';
import { memory } from '../../adapters/memory/index.ts';
import { agent, protocol, tell, type } from '../../src/index.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { decodeFrame, encodeFrame, encodeMessage } from '../../src/protocol/frame.ts';
import { NAMES_PER_WORD, NAMES_TOLD_MAX } from '../../src/protocol/limits.ts';
import { decodePayload, encodePayload } from '../../src/protocol/payload.ts';
import { type Cluster, testCluster } from '../support/test-cluster.ts';

const Plain = protocol('plain', { go: tell(type<void>({ trust: true })) });
const plain = agent(Plain, { state: () => ({}), on: { go: () => undefined } });

/** A node that says by hand whatever the test wants, and keeps what it is told. */
async function stranger(cluster: Cluster, node: string, incarnation: string) {
  const broker = memory({ hub: cluster.hub });
  const host = hostOf(cluster);
  await cluster.during(broker.open({ name: node, incarnation }, host));
  const heard: unknown[] = [];
  const reading = broker.consume(
    { kind: 'inbox' },
    {
      windows: [64, 64, 64, 64, 64, 64],
      receive: (deliveries) => {
        for (const { bytes } of deliveries)
          for (const { payload } of decodeFrame(bytes).messages) heard.push(decodePayload(payload));
      },
    },
  );
  await cluster.during(reading);
  let sequence = 0;
  const say = async (to: string, value: unknown): Promise<void> => {
    const none = undefined;
    const parts = { expiresAtMs: none, sender: none, correlationId: none, headers: none };
    const payload = encodePayload(value, 1_000_000);
    const message = encodeMessage({ type: 'names', id: `m${++sequence}`, sentAtMs: 0, ...parts, payload });
    const bytes = encodeFrame({ node, incarnation, stream: 1, sequence }, [message]);
    await cluster.during(broker.publish([{ to: { kind: 'node', node: to }, lane: 0, bytes }]));
    await cluster.advance(10);
  };
  return { say, heard, close: () => cluster.during(broker.close()) };
}

function hostOf({ clock }: Cluster): Host {
  return {
    clock,
    random: () => 0.5,
    soon: (task) => queueMicrotask(task),
    later: (task) => {
      setImmediate(task);
    },
  };
}

/** Node a, and a stranger who speaks to it. */
async function pair() {
  const cluster = testCluster();
  const a = await cluster.start('a');
  const x = await stranger(cluster, 'x', 'k1');
  await cluster.advance(50);
  const to = a.system.nodes.find(({ isSelf }) => isSelf)?.incarnation ?? '';
  const word = (number: number, parts: object = {}) => {
    const nothing = { isFirst: false, registered: [], children: [], freed: [] };
    return x.say('a', { to, number, ...nothing, ...parts });
  };
  const known = (...names: readonly string[]) =>
    names.filter((name) => a.system.lookup(Plain, name)?.address === `//x:${name}`);
  return { cluster, a, x, to, word, known };
}

describe('what a node says of its names', () => {
  it('is asked for again where a part of it is missing, and what is overtaken counts no more', async () => {
    const { x, word, known } = await pair();
    await word(1, { isFirst: true, registered: ['one'] });
    await word(3, { registered: ['three'] });
    expect(x.heard.filter((said) => (said as { want?: true }).want === true)).toHaveLength(1);
    expect(known('one', 'three')).toEqual(['one']);
    await word(4, { isFirst: true, registered: ['one', 'three'], children: ['four'] });
    await word(2, { freed: ['one'] });
    await word(3, { freed: ['three'] });
    expect(known('one', 'three', 'four')).toEqual(['one', 'three', 'four']);
    await word(5, { freed: ['one'] });
    expect(known('one', 'three', 'four')).toEqual(['three', 'four']);
    await word(6, { isFirst: true });
    expect(known('one', 'three', 'four')).toEqual([]);
    expect(x.heard.filter((said) => (said as { want?: true }).want === true)).toHaveLength(1);
    await x.close();
  });

  it('is asked for as long as it does not come', async () => {
    const { cluster, x, word } = await pair();
    await word(2, { registered: ['two'] });
    await cluster.advance(3_100);
    expect(x.heard.filter((said) => (said as { want?: true }).want === true)).toHaveLength(4);
    await x.close();
  });

  it('is told again, from the first name, to whoever wants it', async () => {
    const { cluster, a, x } = await pair();
    a.system.register('mine', await a.system.spawn(plain));
    await cluster.advance(20);
    x.heard.length = 0;
    await x.say('a', { want: true });
    const said = { to: 'k1', number: 3, isFirst: true, registered: ['mine'], children: [], freed: [] };
    expect(x.heard).toEqual([said]);
    await x.close();
  });

  it('counts only for the life of the node that it is meant for', async () => {
    const { x, word, known } = await pair();
    await word(1, { isFirst: true, registered: ['one'], to: 'another' });
    expect(known('one')).toEqual([]);
    await x.close();
  });

  it('changes nothing about the names of another node', async () => {
    const { cluster, a, x, word } = await pair();
    const b = await cluster.start('b');
    b.system.register('chief', await b.system.spawn(plain));
    await cluster.advance(50);
    await word(1, { isFirst: true, freed: ['chief'] });
    await word(2, { registered: ['chief'] });
    expect(a.system.lookup(Plain, 'chief')?.address).toBe('//b:chief');
    await x.close();
  });

  it(`is remembered up to ${NAMES_TOLD_MAX} names`, async () => {
    const { x, word, known } = await pair();
    const names = (n: number) =>
      Array.from({ length: NAMES_PER_WORD }, (_, k) => `n${n * NAMES_PER_WORD + k}`);
    const words = NAMES_TOLD_MAX / NAMES_PER_WORD;
    for (let n = 0; n < words; n++) await word(n + 1, { isFirst: n === 0, registered: names(n) });
    await word(words + 1, { registered: ['above'] });
    expect(known(`n${NAMES_TOLD_MAX - 1}`, 'above')).toEqual([`n${NAMES_TOLD_MAX - 1}`]);
    await word(words + 2, { freed: ['n0'], registered: ['above'] });
    expect(known('n0', 'above')).toEqual(['above']);
    await x.close();
  });

  it.each([
    ['no object', 'text'],
    ['no number', { number: 0 }],
    ['no list', { registered: 'one' }],
    ['a name that is none', { registered: ['/user/x'] }],
    [
      'more names than a word has',
      { registered: Array.from({ length: NAMES_PER_WORD + 1 }, (_, n) => `n${n}`) },
    ],
    ['no addressee', { to: 7 }],
  ])('is refused where it has %s', async (_what, given) => {
    const { cluster, x, to, known } = await pair();
    const right = { to, number: 1, isFirst: true, registered: ['one'], children: [], freed: [] };
    await x.say('a', typeof given === 'string' ? given : { ...right, ...given });
    expect(cluster.hub.deadFrames()).toMatchObject([{ reason: 'validation' }]);
    expect(known('one', 'n1')).toEqual([]);
    cluster.hub.clearDeadFrames();
    await x.close();
  });
});
