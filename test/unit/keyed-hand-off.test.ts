import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  agent,
  ask,
  type Keyed,
  type KeyedArgs,
  protocol,
  type RuntimeEvent,
  tell,
} from '../../src/index.ts';
import { keyOfName, shardOf } from '../../src/protocol/key.ts';
import { endingOf } from '../support/puppet.ts';
import { type Cluster, testCluster } from '../support/test-cluster.ts';

const Work = protocol('work', {
  quick: tell(z.object({ n: z.number() })),
  /** Its turn takes so many milliseconds of the virtual clock. */
  slow: tell(z.object({ n: z.number(), ms: z.number() })),
  whereabouts: ask(z.object({ ms: z.number() }), z.object({ node: z.string(), attempt: z.number() })),
});

/** Milliseconds within which all shards have found their owners and all rounds of moves are over. */
const PLACED_MS = 5_000;

/** What one node has done, in order. */
type Log = string[];

/** An agent that says what it does, and where. */
function worker(log: Log, node: string, cluster: Cluster) {
  const sleep = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      cluster.clock.setTimer(ms, resolve);
    });
  return agent(Work, {
    state: ({ key }: KeyedArgs) => {
      log.push(`${node} begins ${key}`);
      return { key };
    },
    onStop: (ctx, reason) => {
      log.push(`${node} ends ${ctx.state.key} (${reason})`);
    },
    on: {
      quick: (ctx, { n }) => {
        log.push(`${node} did ${ctx.state.key} ${n} (attempt ${ctx.message.attempt})`);
      },
      slow: async (ctx, { n, ms }) => {
        log.push(`${node} does ${ctx.state.key} ${n}`);
        await sleep(ms);
        log.push(`${node} did ${ctx.state.key} ${n} (attempt ${ctx.message.attempt})`);
      },
      whereabouts: async (ctx, { ms }) => {
        if (ms > 0) await sleep(ms);
        return { node, attempt: ctx.message.attempt };
      },
    },
  });
}

/** One shard, so that it is known who owns all keys: whoever came first, until it leaves. */
async function pairOf(cluster: Cluster, options: { shards: number; handOffMs?: number }) {
  const log: Log = [];
  const start = async (name: string) => {
    const node = await cluster.start(name);
    const works = node.system.keyed(worker(log, name, cluster), { ...options });
    return { ...node, works };
  };
  const a = await start('a');
  await cluster.advance(PLACED_MS);
  const b = await start('b');
  await cluster.advance(PLACED_MS);
  return { log, a, b, start };
}

/** Keys of which each is in another shard, so that they are spread over all nodes. */
function keysOf(works: Keyed<typeof Work>, count: number): readonly string[] {
  return Array.from({ length: count }, (_, n) => `${works.name}-${n}`);
}

function sharesOf(events: readonly RuntimeEvent[]): number {
  const owned = new Set<number>();
  for (const event of events) {
    if (event.type === 'shard-granted') owned.add(event.shard);
    if (event.type === 'shard-lost' || event.type === 'shard-released') owned.delete(event.shard);
  }
  return owned.size;
}

describe('shards of keyed agents', () => {
  it('spread evenly over the nodes that take part, as these come and go', async () => {
    const cluster = testCluster();
    const { a, b, start } = await pairOf(cluster, { shards: 64 });
    expect([sharesOf(a.events), sharesOf(b.events)]).toEqual([32, 32]);
    const c = await start('c');
    await cluster.advance(PLACED_MS);
    const shares = [a, b, c].map(({ events }) => sharesOf(events));
    expect(shares.reduce((sum, each) => sum + each)).toBe(64);
    expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(2);
    cluster.kill('a');
    await cluster.advance(PLACED_MS + 15_000);
    expect([sharesOf(b.events), sharesOf(c.events)]).toEqual([32, 32]);
  });

  it('move a tenth at a time, the next when those have moved, and none while a turn runs in one of them', async () => {
    const cluster = testCluster();
    const a = await cluster.start('a');
    const works = a.system.keyed(worker([], 'a', cluster), { shards: 50 });
    await cluster.advance(PLACED_MS);
    for (const key of keysOf(works, 300)) works.forKey(key).tell('slow', { n: 1, ms: 10_000 });
    const released: number[] = [];
    a.system.events.subscribe(({ type }) => {
      if (type === 'shard-released') released.push(cluster.clock.now());
    });
    const begun = cluster.clock.now();
    cluster.hub.delay({ minMs: 5, maxMs: 5 });
    const b = await cluster.start('b');
    b.system.keyed(worker([], 'b', cluster), { shards: 50 });
    await cluster.advance(1_000);
    const c = await cluster.start('c'); // the first round still waits for its turns
    c.system.keyed(worker([], 'c', cluster), { shards: 50 });
    await cluster.advance(4_000);
    expect(released).toEqual([]);
    const group = a.system.tree().children.at(-1)?.children[0]?.children ?? [];
    const stopping = group.filter(({ status }) => status === 'stopping');
    expect(new Set(stopping.map(({ name }) => shardOf(keyOfName(name) ?? '', 50))).size).toBe(5);
    await cluster.advance(3 * PLACED_MS);
    expect(released.length).toBeGreaterThanOrEqual(33);
    expect(Math.min(...released)).toBeGreaterThanOrEqual(begun + 10_000);
    for (const at of released) expect(released.filter((each) => each === at).length).toBeLessThanOrEqual(5);
    for (const node of [a, b, c]) expect([16, 17]).toContain(sharesOf(node.events));
  });

  it('P114 are handed off when running turns have ended; what is queued is handled once, in order, by the next owner', async () => {
    const cluster = testCluster();
    const { log, a, b } = await pairOf(cluster, { shards: 2 });
    const owner = await cluster.during(a.works.forKey('x').ask('whereabouts', { ms: 0 }));
    const [old, next] = owner.node === 'a' ? [a, b] : [b, a];
    const ref = next.works.forKey('x');
    ref.tell('slow', { n: 1, ms: 3_000 });
    for (const n of [2, 3]) ref.tell('quick', { n });
    await cluster.advance(50);
    const ended = endingOf(old.system.shutdown());
    await cluster.advance(1_000);
    ref.tell('quick', { n: 4 });
    await cluster.advance(20_000);
    expect(ended.is).toBe('resolved');
    const [o, n] = owner.node === 'a' ? ['a', 'b'] : ['b', 'a'];
    expect(log.filter((line) => line.includes(' x'))).toEqual([
      `${o} begins x`,
      `${o} does x 1`,
      `${o} did x 1 (attempt 1)`,
      `${o} ends x (shutdown)`,
      `${n} begins x`,
      `${n} did x 2 (attempt 2)`,
      `${n} did x 3 (attempt 2)`,
      `${n} did x 4 (attempt 1)`,
    ]);
    expect(old.system.deadLetters.stats().total).toBe(0);
    // The others do not wait until it has gone.
    const types = next.events.map(({ type }) => type);
    expect(types.lastIndexOf('shard-granted')).toBeLessThan(types.indexOf('node-left'));
  });

  it('abort a turn that goes on for longer than handOffMs, and its message comes again', async () => {
    const cluster = testCluster();
    const { log, a, b } = await pairOf(cluster, { shards: 2, handOffMs: 500 });
    const ref = b.works.forKey('x');
    const { node } = await cluster.during(ref.ask('whereabouts', { ms: 0 }));
    const [old, next] = node === 'a' ? [a, b] : [b, a];
    next.works.forKey('x').tell('slow', { n: 1, ms: 8_000 });
    const asked = endingOf(next.works.forKey('x').ask('whereabouts', { ms: 0 }, { timeoutMs: 60_000 }));
    await cluster.advance(50);
    const ended = endingOf(old.system.shutdown());
    await cluster.advance(3_000);
    expect(ended.is).toBe('resolved');
    await cluster.advance(30_000);
    const other = node === 'a' ? 'b' : 'a';
    expect(log.filter((line) => line.includes('did x'))).toEqual([`${other} did x 1 (attempt 2)`]);
    expect(asked.value).toEqual({ node: other, attempt: 2 });
    expect(next.system.deadLetters.stats().total).toBe(0);
  });

  it('go to others when their owner is killed, and what it had not acknowledged comes again', async () => {
    const cluster = testCluster();
    const { log, a, b } = await pairOf(cluster, { shards: 2 });
    const { node } = await cluster.during(a.works.forKey('x').ask('whereabouts', { ms: 0 }));
    const next = node === 'a' ? b : a;
    const other = node === 'a' ? 'b' : 'a';
    const ref = next.works.forKey('x');
    ref.tell('quick', { n: 1 });
    ref.tell('slow', { n: 2, ms: 100_000 });
    ref.tell('quick', { n: 3 });
    const asked = endingOf(ref.ask('whereabouts', { ms: 0 }, { timeoutMs: 500_000 }));
    await cluster.advance(50);
    cluster.kill(node);
    log.splice(0);
    await cluster.advance(200_000);
    expect(log.filter((line) => line.startsWith(`${other} did`))).toEqual([
      `${other} did x 2 (attempt 2)`,
      `${other} did x 3 (attempt 2)`,
    ]);
    expect(asked.value).toEqual({ node: other, attempt: 2 });
  });

  it('are not left with the message of an ask that nobody waits for', async () => {
    const cluster = testCluster();
    const { a, b } = await pairOf(cluster, { shards: 2 });
    for (const { works } of [a, b]) {
      const controller = new AbortController();
      const timed = endingOf(works.forKey('x').ask('whereabouts', { ms: 5_000 }, { timeoutMs: 500 }));
      const queued = endingOf(
        works.forKey('x').ask('whereabouts', { ms: 0 }, { signal: controller.signal, timeoutMs: 50_000 }),
      );
      await cluster.advance(100);
      controller.abort(new Error('enough'));
      await cluster.advance(10_000);
      expect(timed.error).toMatchObject({ code: 'ERR_ASK_TIMEOUT' });
      expect(queued.error).toMatchObject({ message: 'enough' });
    }
    expect(cluster.hub.deadFrames()).toEqual([]);
    for (const { kernel } of [a, b]) expect(kernel.asksInFlight).toBe(0);
  });

  it('are given up in silence by an owner that has lost its broker for too long', async () => {
    const cluster = testCluster();
    const { log, a, b } = await pairOf(cluster, { shards: 2 });
    const { node } = await cluster.during(a.works.forKey('x').ask('whereabouts', { ms: 0 }));
    const [old, next] = node === 'a' ? [a, b] : [b, a];
    const other = node === 'a' ? 'b' : 'a';
    const asked = endingOf(next.works.forKey('x').ask('whereabouts', { ms: 30_000 }, { timeoutMs: 100_000 }));
    await cluster.advance(50);
    cluster.hub.cut(node);
    await cluster.advance(9_000);
    expect(old.events.some(({ type }) => type === 'shard-lost')).toBe(true);
    expect(old.system.inspect(old.works.forKey('x'))).toBeUndefined();
    await cluster.advance(60_000);
    expect(asked.value).toEqual({ node: other, attempt: 2 });
    expect(log.filter((line) => line.startsWith(`${node} ends`))).toEqual([]); // no hook of it runs
    cluster.hub.heal();
    await cluster.advance(20_000);
    expect([sharesOf(a.events), sharesOf(b.events)]).toEqual([1, 1]);
    expect(old.system.deadLetters.stats().total).toBe(0);
  });
});
