import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, ask, protocol, tell, type } from '../../src/index.ts';
import { OUTBOX_WAITING_MAX, WAITERS_MAX } from '../../src/protocol/limits.ts';
import { endingOf } from '../support/puppet.ts';
import { testCluster } from '../support/test-cluster.ts';

const Digest = protocol('digest', {
  size: ask(z.object({ text: z.string() }), z.number()),
  note: tell(z.object({ text: z.string() })),
});

/** An agent whose start is as the test says, and that tells when it has stopped. */
function digest(state: (args: { factor: number }) => unknown = (args) => args) {
  const stopped: string[] = [];
  const definition = agent(Digest, {
    state: async (args: { factor: number }) => {
      await state(args);
      return { factor: args?.factor ?? 1 };
    },
    on: { size: (ctx, { text }) => text.length * ctx.state.factor, note: () => undefined },
    onStop: (ctx) => {
      stopped.push(ctx.self.address);
    },
  });
  return { definition, stopped, registered: { agent: definition, args: z.object({ factor: z.number() }) } };
}

const Plain = protocol('plain', { count: ask(type<void>({ trust: true }), z.number()) });
const plain = agent(Plain, { state: () => ({}), on: { count: () => 1 } });

describe('spawnOn', () => {
  it('starts an actor on another node and gives a ref to that very one', async () => {
    const cluster = testCluster();
    const { definition, registered } = digest();
    const a = await cluster.start('a');
    const b = await cluster.start('b', { agents: [registered, plain] });
    const ref = await cluster.during(a.system.spawnOn('b', definition, { args: { factor: 2 }, name: 'x' }));
    expect(ref.address).toMatch(/^\/\/b@[a-z0-9]+\/user\/x#\d+$/);
    expect(await cluster.during(ref.ask('size', { text: 'four' }))).toBe(8);
    expect(b.system.lookup(Digest, 'x')).toBeDefined();
    const other = await cluster.during(a.system.spawnOn('b', plain));
    expect(await cluster.during(other.ask('count'))).toBe(1);
  });

  it('tells all nodes which agents each can start, also while it leaves', async () => {
    const cluster = testCluster();
    const { registered } = digest();
    const a = await cluster.start('a');
    const b = await cluster.start('b', { agents: [registered, { agent: plain, name: 'other' }] });
    await cluster.advance(50);
    const agentsOf = (name: string) => a.system.nodes.find((node) => node.name === name);
    expect(agentsOf('b')).toMatchObject({ agents: ['digest', 'other'], isLeaving: false });
    expect(agentsOf('a')?.agents).toEqual([]);
    let seen: unknown;
    b.system.onShutdown('drain', 'look', async () => {
      await cluster.settle();
      seen = agentsOf('b');
    });
    const ended = b.system.shutdown();
    await cluster.advance(200);
    await ended;
    expect(seen).toMatchObject({ agents: ['digest', 'other'], isLeaving: true });
  });

  it('is spawn on this node, whatever agents are registered', async () => {
    const cluster = testCluster();
    const { definition } = digest();
    const a = await cluster.start('a');
    const ref = await a.system.spawnOn('a', definition, { args: { factor: 3 }, name: 'x' });
    expect(ref.address).toMatch(/^\/user\/x#/);
    expect(await ref.ask('size', { text: 'ab' })).toBe(6);
  });

  it('is refused where no more may wait for the broker, as a start and not as a message to an actor', async () => {
    const cluster = testCluster();
    const { definition, registered } = digest();
    const a = await cluster.start('a');
    await cluster.start('b', { agents: [registered, plain] });
    const ref = await cluster.during(a.system.spawnOn('b', definition, { args: { factor: 2 } }));
    cluster.hub.cut('a');
    for (let n = 0; n < OUTBOX_WAITING_MAX; n++) ref.tell('note', { text: 'x' });
    for (let n = 0; n < WAITERS_MAX; n++) endingOf(ref.send('note', { text: 'x' }));
    const refused = endingOf(a.system.spawnOn('b', plain));
    await cluster.advance(0);
    expect(refused.is).toBe('ERR_OUTBOX_FULL');
    expect(a.events.filter(({ type: kind }) => kind === 'message-refused')).toEqual([]);
    cluster.hub.heal();
  });

  it('leaves no orphan on this node either', async () => {
    const cluster = testCluster();
    const starts: (() => void)[] = [];
    const { definition, stopped } = digest(() => new Promise<void>((resolve) => starts.push(resolve)));
    const a = await cluster.start('a');
    const controller = new AbortController();
    const args = { factor: 1 };
    const aborted = endingOf(a.system.spawnOn('a', definition, { args, signal: controller.signal }));
    const late = endingOf(a.system.spawnOn('a', definition, { args, timeoutMs: 100 }));
    await cluster.advance(10);
    controller.abort(new Error('enough'));
    await cluster.advance(100);
    expect(aborted.error).toMatchObject({ message: 'enough' });
    expect(late.error).toMatchObject({ code: 'ERR_ASK_TIMEOUT', details: { message: 'digest' } });
    for (const go of starts) go();
    await cluster.advance(10);
    expect(stopped).toHaveLength(2);
  });

  it('rejects as spawn does there, and names what is there as this node knows it', async () => {
    const cluster = testCluster();
    const { definition, registered } = digest(({ factor }) => {
      if (factor < 0) throw new Error('below zero');
    });
    const a = await cluster.start('a');
    await cluster.start('b', { agents: [registered] });
    const start = (factor: number, name: string) =>
      cluster.during(a.system.spawnOn('b', definition, { args: { factor }, name }));
    await start(1, 'x');
    await expect(start(1, 'x')).rejects.toMatchObject({
      code: 'ERR_NAME_TAKEN',
      details: { name: 'x', holder: expect.stringMatching(/^\/\/b@.*\/user\/x$/) },
    });
    await expect(start(-1, 'y')).rejects.toMatchObject({
      code: 'ERR_START_FAILED',
      details: { address: expect.stringMatching(/^\/\/b@.*\/user\/y/) },
      cause: expect.objectContaining({ message: expect.stringContaining('below zero') }),
    });
  });

  it('says which agents a node knows where it does not know the one', async () => {
    const cluster = testCluster();
    const { definition } = digest();
    const a = await cluster.start('a');
    await cluster.start('b', { agents: [plain] });
    const started = cluster.during(a.system.spawnOn('b', definition, { args: { factor: 1 } }));
    await expect(started).rejects.toMatchObject({
      code: 'ERR_AGENT_UNKNOWN',
      details: { agent: 'digest', node: 'b', asker: 'a', known: ['plain'] },
    });
  });

  it('refuses an agent of that name whose protocol is another', async () => {
    const cluster = testCluster();
    const { definition } = digest();
    const a = await cluster.start('a');
    await cluster.start('b', { agents: [{ agent: plain, name: 'digest' }] });
    const started = cluster.during(a.system.spawnOn('b', definition, { args: { factor: 1 } }));
    await expect(started).rejects.toMatchObject({ code: 'ERR_PROTOCOL_MISMATCH' });
  });

  it('checks arguments where they arrive, and takes none without a schema', async () => {
    const cluster = testCluster();
    const { definition, registered } = digest();
    const a = await cluster.start('a');
    await cluster.start('b', { agents: [registered] });
    await cluster.start('c', { agents: [definition] });
    const wrong = { args: { factor: 'two' } } as unknown as { args: { factor: number } };
    await expect(cluster.during(a.system.spawnOn('b', definition, wrong))).rejects.toMatchObject({
      code: 'ERR_MESSAGE_INVALID',
    });
    const unchecked = cluster.during(a.system.spawnOn('c', definition, { args: { factor: 1 } }));
    await expect(unchecked).rejects.toMatchObject({
      code: 'ERR_MESSAGE_INVALID',
      details: { issues: ['node c has no schema for them: it takes none from other nodes'] },
    });
    const odd = { args: { factor: 1, when: new Date(0) } } as { args: { factor: number } };
    await expect(a.system.spawnOn('b', definition, odd)).rejects.toMatchObject({
      code: 'ERR_PAYLOAD_UNSERIALIZABLE',
    });
  });

  it('rejects at once where the node is not there, and when it is lost meanwhile', async () => {
    const cluster = testCluster();
    const { definition, registered } = digest(() => new Promise(() => {}));
    const a = await cluster.start('a');
    await cluster.start('b', { agents: [registered] });
    const args = { factor: 1 };
    await expect(a.system.spawnOn('z', definition, { args })).rejects.toMatchObject({
      code: 'ERR_NODE_DOWN',
      details: { node: 'z' },
    });
    const started = endingOf(a.system.spawnOn('b', definition, { args }));
    await cluster.advance(50);
    expect(started.is).toBeUndefined();
    cluster.kill('b');
    await cluster.advance(50);
    expect(started.error).toMatchObject({ code: 'ERR_NODE_DOWN', details: { node: 'b' } });
  });

  it('leaves no orphan where it is given up while the actor starts', async () => {
    const cluster = testCluster();
    let go = (): void => undefined;
    const { definition, registered, stopped } = digest(
      () =>
        new Promise<void>((resolve) => {
          go = resolve;
        }),
    );
    const a = await cluster.start('a');
    const b = await cluster.start('b', { agents: [registered] });
    const controller = new AbortController();
    const options = { args: { factor: 1 }, name: 'x', signal: controller.signal };
    const started = endingOf(a.system.spawnOn('b', definition, options));
    await cluster.advance(50);
    controller.abort(new Error('enough'));
    await cluster.advance(50);
    expect(started.error).toMatchObject({ message: 'enough' });
    go();
    await cluster.advance(50);
    expect(stopped).toHaveLength(1);
    expect(b.system.lookup(Digest, 'x')).toBeUndefined();
  });

  it('leaves no orphan where its time ends before it begins there', async () => {
    const cluster = testCluster();
    const { definition, registered } = digest();
    const a = await cluster.start('a');
    const b = await cluster.start('b', { agents: [registered] });
    cluster.hub.delay({ minMs: 300, maxMs: 300 });
    const options = { args: { factor: 1 }, name: 'x', timeoutMs: 100 };
    const started = endingOf(a.system.spawnOn('b', definition, options));
    await cluster.advance(2_000);
    expect(started.error).toMatchObject({ code: 'ERR_ASK_TIMEOUT' });
    expect(b.system.lookup(Digest, 'x')).toBeUndefined();
  });

  it('stops an actor whose address comes when nobody waits any more', async () => {
    const cluster = testCluster();
    const { definition, registered, stopped } = digest();
    const a = await cluster.start('a');
    const b = await cluster.start('b', { agents: [registered] });
    cluster.hub.delay({ minMs: 60, maxMs: 60 });
    const controller = new AbortController();
    const options = { args: { factor: 1 }, name: 'x', signal: controller.signal };
    const started = endingOf(a.system.spawnOn('b', definition, options));
    await cluster.advance(150);
    expect(b.system.lookup(Digest, 'x')).toBeDefined();
    controller.abort(new Error('enough'));
    await cluster.advance(1_000);
    expect(started.error).toMatchObject({ message: 'enough' });
    expect(stopped).toHaveLength(1);
  });

  it('stops an actor whose asker died before it heard of it, and keeps one that was heard of', async () => {
    const cluster = testCluster();
    const { definition, registered, stopped } = digest();
    const a = await cluster.start('a');
    await cluster.start('b', { agents: [registered] });
    const args = { factor: 1 };
    await cluster.during(a.system.spawnOn('b', definition, { args, name: 'kept' }));
    await cluster.advance(50);
    cluster.hub.delay({ minMs: 60, maxMs: 60 });
    void endingOf(a.system.spawnOn('b', definition, { args, name: 'lost' }));
    await cluster.advance(150);
    cluster.kill('a');
    await cluster.advance(1_000);
    expect(stopped).toEqual([expect.stringMatching(/^\/user\/lost/)]);
  });

  it('stops an actor of which nobody says that he wants it', async () => {
    const cluster = testCluster();
    const { definition, registered, stopped } = digest();
    const a = await cluster.start('a');
    await cluster.start('b', { agents: [registered] });
    cluster.hub.delay({ minMs: 60, maxMs: 60 });
    const started = endingOf(a.system.spawnOn('b', definition, { args: { factor: 1 }, name: 'x' }));
    await cluster.advance(150);
    cluster.hub.partition(['a'], ['b']);
    await cluster.advance(299_000);
    expect(stopped).toEqual([]);
    await cluster.advance(2_000);
    expect(stopped).toHaveLength(1);
    cluster.hub.heal();
    await cluster.advance(1_000);
    expect(started.error).toBeDefined();
  });

  it('starts pools as it starts agents', async () => {
    const cluster = testCluster();
    const pool = plain.pool({ size: 2 });
    const a = await cluster.start('a');
    const b = await cluster.start('b', { agents: [{ agent: pool, name: 'plain-pool' }, plain] });
    const local = await cluster.start('c', { agents: [{ agent: pool, name: 'plain-pool' }] });
    await expect(cluster.during(a.system.spawnOn('b', pool))).resolves.toBeDefined(); // as `plain`
    const ref = await cluster.during(local.system.spawnOn('b', pool, { name: 'team' }));
    expect(await cluster.during(ref.ask('count'))).toBe(1);
    expect(b.system.inspect(b.system.ref(Plain, 'team'))?.pool?.size).toBe(2);
  });

  it.each([
    ['a name that is none', { agents: [{ agent: plain, name: 'not a name' }] }, 'agents[0].name'],
    ['two agents of one name', { agents: [plain, plain] }, 'agents'],
    ['a schema that checks nothing', { agents: [{ agent: plain, args: type<number>() }] }, 'agents[0].args'],
    ['what is no agent', { agents: [{}] }, 'agents[0]'],
    ['what is no list', { agents: {} }, 'agents'],
    [
      'more names than a node may say of itself',
      { agents: Array.from({ length: 70 }, (_, n) => ({ agent: plain, name: `a${n}`.padEnd(128, 'x') })) },
      'agents',
    ],
  ])('refuses %s', async (_what, options, option) => {
    const cluster = testCluster();
    await expect(cluster.start('a', options as never)).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
      details: { option },
    });
  });
});
