import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type MemoryHub, memory, memoryHub } from '../../adapters/memory/index.ts';
import {
  type Broker,
  type BrokerOptions,
  type BrokerStateChange,
  type Consumption,
  type Delivery,
  LANES,
  type OutFrame,
  type PublishResult,
  type Source,
} from '../../src/protocol/broker.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { LANE_WINDOWS } from '../../src/protocol/limits.ts';
import type { ShardClaim } from '../../src/protocol/sharding.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const TIMES: BrokerOptions = { downAfterMs: 3_000, heartbeatMs: 1_000 };

let clock: VirtualClock;
let hub: MemoryHub;
let opened: Broker[];

beforeEach(() => {
  clock = new VirtualClock();
  hub = memoryHub();
  opened = [];
});

afterEach(async () => {
  hub.heal();
  await settled(Promise.all(opened.map((broker) => broker.close())));
  // Whatever was broken, nothing goes on after the last close.
  expect(clock.pending).toBe(0);
});

function hostOf(time: VirtualClock): Host {
  return {
    clock: time,
    random: () => 0.5,
    soon: (task) => queueMicrotask(task),
    later: (task) => {
      setImmediate(task);
    },
  };
}

async function calm(): Promise<void> {
  for (let round = 0; round < 6; round++) await new Promise((resolve) => setImmediate(resolve));
}

async function pass(ms: number): Promise<void> {
  await calm();
  await clock.advance(ms, calm);
  await calm();
}

/** What a promise gives, in steps of virtual time. */
async function settled<T>(promise: Promise<T>): Promise<T> {
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  promise.then(over, over);
  for (let step = 0; step < 1_000 && !isOver; step++) await pass(20);
  return promise;
}

async function open(name: string, options: BrokerOptions = {}): Promise<Broker> {
  const broker = memory({ hub, ...options });
  opened.push(broker);
  await settled(broker.open({ name, incarnation: `life${opened.length}` }, hostOf(clock)));
  return broker;
}

interface Got {
  readonly deliveries: Delivery[];
  readonly consumption: Consumption;
  texts(): string[];
}

async function read(broker: Broker, source: Source = { kind: 'inbox' }, isKept = false): Promise<Got> {
  const deliveries: Delivery[] = [];
  let consumption: Consumption | undefined;
  const reading = broker.consume(source, {
    windows: LANE_WINDOWS,
    receive: (batch) => {
      deliveries.push(...batch);
      if (!isKept) consumption?.acknowledge(batch);
    },
  });
  consumption = await settled(reading);
  return {
    deliveries,
    consumption,
    texts: () => deliveries.map(({ bytes }) => Buffer.from(bytes).toString()),
  };
}

function to(node: string, text: string): OutFrame {
  return { to: { kind: 'node', node }, lane: 3, bytes: Buffer.from(text) };
}

function on(topic: string, text: string): OutFrame {
  return { to: { kind: 'topic', topic }, lane: 3, bytes: Buffer.from(text) };
}

function letters(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `m${index}`);
}

describe('a hub', () => {
  it('loses publishes before it, and says at once that they are unavailable', async () => {
    const [a, b] = [await open('a'), await open('b')];
    const got = await read(b);
    hub.lose('publishes', 'a');
    expect(await a.publish([to('b', 'lost')])).toEqual(['unavailable']);
    hub.heal('a');
    await pass(200);
    expect(await settled(a.publish([to('b', 'kept')]))).toEqual(['ok']);
    await pass(10);
    expect(got.texts()).toEqual(['kept']);
  });

  it('loses confirmations of what it has stored: unknown after the time for an answer', async () => {
    const [a, b] = [await open('a', { publishTimeoutMs: 700 }), await open('b')];
    const got = await read(b);
    hub.lose('confirms', 'a');
    const publishing = a.publish([to('b', 'stored')]);
    await pass(690);
    expect(got.texts()).toEqual(['stored']);
    let results: readonly PublishResult[] | undefined;
    void publishing.then((given) => {
      results = given;
    });
    await pass(5);
    expect(results).toBeUndefined();
    await pass(10);
    expect(results).toEqual(['unknown']);
  });

  it('loses deliveries, and gives them again when it is healed', async () => {
    const [a, b] = [await open('a'), await open('b')];
    const got = await read(b);
    hub.lose('deliveries', 'b');
    expect(await settled(a.publish([to('b', 'one'), to('b', 'two')]))).toEqual(['ok', 'ok']);
    await pass(60_000);
    expect(got.texts()).toEqual([]);
    hub.heal('b');
    await pass(1_000);
    expect(got.texts()).toEqual(['one', 'two']);
    expect(got.deliveries.map(({ deliveries, isRedelivered }) => [deliveries, isRedelivered])).toEqual([
      [2, true],
      [2, true],
    ]);
  });

  it('loses settlements, and gives again what they were for when it is healed', async () => {
    const [a, b] = [await open('a'), await open('b')];
    const got = await read(b);
    hub.lose('settlements', 'b');
    await settled(a.publish([to('b', 'one')]));
    await pass(1_000);
    expect(got.texts()).toEqual(['one']);
    hub.heal();
    await pass(1_000);
    expect(got.texts()).toEqual(['one', 'one']);
    expect(got.deliveries[1]?.isRedelivered).toBe(true);
  });

  it('notices silence after downAfterMs, not before, and a silent node is refused its name meanwhile', async () => {
    const a = await open('a', { heartbeatMs: 1_000, downAfterMs: 3_000 });
    const changes: BrokerStateChange[] = [];
    a.onState((change) => changes.push(change));
    hub.silence('both', 'a');
    await pass(2_990);
    expect(changes).toEqual([]);
    await pass(20);
    expect(changes.map(({ state }) => state)).toEqual(['down']);
    expect(String(changes[0]?.cause)).toContain('3000 ms');
    hub.heal('a');
    await pass(10_000);
    expect(changes.map(({ state }) => state)).toEqual(['down', 'up']);
  });

  it('says of publishes into silence that it does not know, and has them or not by the direction', async () => {
    const [a, b] = [await open('a', { publishTimeoutMs: 500 }), await open('b')];
    const got = await read(b);
    hub.silence('to-hub', 'a');
    expect(await settled(a.publish([to('b', 'never')]))).toEqual(['unknown']);
    hub.heal();
    await pass(1_000);
    hub.silence('to-node', 'a');
    expect(await settled(a.publish([to('b', 'stored')]))).toEqual(['unknown']);
    hub.heal();
    await pass(1_000);
    expect(got.texts()).toEqual(['stored']);
  });

  it('delays each way by what the seed draws, and lets nothing overtake', async () => {
    const arrivals = async (seed: number): Promise<readonly [number[], string[]]> => {
      hub = memoryHub({ seed });
      const [a, b] = [await open('a'), await open('b')];
      const got = await read(b);
      const at: number[] = [];
      hub.delay({ minMs: 10, maxMs: 100 });
      const begun = clock.now();
      const publishing = letters(10).map((text) =>
        a.publish([to('b', text)]).then(() => at.push(clock.now() - begun)),
      );
      await settled(Promise.all(publishing));
      await pass(500);
      hub.heal();
      await settled(Promise.all([a.close(), b.close()]));
      return [at, got.texts()];
    };
    const [first, texts] = await arrivals(7);
    expect(texts).toEqual(letters(10));
    expect(Math.min(...first)).toBeGreaterThanOrEqual(20);
    expect(Math.max(...first)).toBeLessThanOrEqual(220);
    expect(await arrivals(7)).toEqual([first, texts]);
    expect((await arrivals(8))[0]).not.toEqual(first);
  });

  it('stores a share of frames twice, unmarked, as a client does that sends again', async () => {
    const [a, b] = [await open('a'), await open('b')];
    const got = await read(b);
    hub.duplicate(0.5, 'a');
    await settled(a.publish(letters(100).map((text) => to('b', text))));
    await pass(100);
    const distinct = [...new Set(got.texts())];
    expect(distinct).toEqual(letters(100));
    expect(got.deliveries.length).toBeGreaterThan(120);
    expect(got.deliveries.length).toBeLessThan(180);
    expect(got.deliveries.some(({ isRedelivered }) => isRedelivered)).toBe(false);
  });

  it('brings a share of frames after newer ones, marked, and each once', async () => {
    const [a, b] = [await open('a'), await open('b')];
    const got = await read(b);
    hub.reorder({ share: 0.3, depth: 4 }, 'b');
    await settled(a.publish(letters(100).map((text) => to('b', text))));
    await pass(100);
    expect(got.texts().toSorted()).toEqual(letters(100).toSorted());
    const late = got.deliveries.filter(({ isRedelivered }) => isRedelivered);
    expect(late.length).toBeGreaterThan(10);
    const unmarked = got.deliveries.filter(({ isRedelivered }) => !isRedelivered);
    const places = unmarked.map(({ bytes }) => Number(Buffer.from(bytes).toString().slice(1)));
    expect(places).toEqual(places.toSorted((x, y) => x - y));
    const all = got.texts().map((text) => Number(text.slice(1)));
    expect(all).not.toEqual(all.toSorted((x, y) => x - y));
    for (const [place, number] of all.entries()) expect(Math.abs(place - number)).toBeLessThanOrEqual(20);
  });

  it('ends reordering even when it takes every frame', async () => {
    const [a, b] = [await open('a'), await open('b')];
    const got = await read(b);
    hub.reorder({ share: 1 });
    await settled(a.publish(letters(10).map((text) => to('b', text))));
    await pass(100);
    expect(got.texts().toSorted()).toEqual(letters(10).toSorted());
  });

  it('parts nodes: what the other side publishes waits until it is healed', async () => {
    const [a, b, c] = [await open('a'), await open('b'), await open('c')];
    await settled(Promise.all([b.listen('news'), c.listen('news')]));
    const [ofB, ofC] = [await read(b), await read(c)];
    hub.partition(['a', 'b'], ['c']);
    expect(await settled(a.publish([on('news', 'all'), to('c', 'to c')]))).toEqual(['ok', 'ok']);
    expect(await settled(c.publish([on('news', 'own')]))).toEqual(['ok']);
    await pass(60_000);
    expect([ofB.texts(), ofC.texts()]).toEqual([['all'], ['own']]);
    hub.heal();
    await pass(100);
    expect([ofB.texts(), ofC.texts()]).toEqual([
      ['all', 'own'],
      ['own', 'all', 'to c'],
    ]);
  });

  it('kills a node: nothing of it is sent again, its name is free, and others have what it held', async () => {
    const [a, b, c] = [await open('a'), await open('b'), await open('c')];
    const source: Source = { kind: 'group', group: 'g', pattern: 'work' };
    const held = await read(b, source, true);
    await settled(a.publish([on('work', 'one')]));
    await pass(10);
    expect(held.texts()).toEqual(['one']);
    const changes: BrokerStateChange[] = [];
    b.onState((change) => changes.push(change));
    hub.kill('b');
    const heir = await read(c, source);
    await pass(60_000);
    expect(heir.texts()).toEqual(['one']);
    expect(await b.publish([to('a', 'from the dead')])).toEqual(['unavailable']);
    expect(changes.map(({ state }) => state)).toEqual(['down']);
    const next = await open('b');
    expect(await settled(next.publish([to('a', 'alive')]))).toEqual(['ok']);
  });

  it('kills a node that is cut, too', async () => {
    await open('a');
    hub.cut('a');
    hub.kill('a');
    hub.heal();
    await pass(60_000);
    expect((await open('a')).kind).toBe('memory');
  });

  it('breaks everybody where no node is named, those who come later included', async () => {
    const a = await open('a');
    hub.cut();
    expect(await a.publish([to('a', 'x')])).toEqual(['unavailable']);
    await expect(open('b', { openAttemptsMax: 2 })).rejects.toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
    hub.heal();
    await pass(10_000);
    expect(await settled(a.publish([to('a', 'x')]))).toEqual(['ok']);
  });

  it('keeps a fault of one node when another is healed', async () => {
    const [a, b] = [await open('a'), await open('b')];
    hub.cut('a', 'b');
    hub.heal('b');
    await pass(10_000);
    expect(await settled(b.publish([to('b', 'x')]))).toEqual(['ok']);
    expect(await a.publish([to('b', 'x')])).toEqual(['unavailable']);
  });

  it('leaves the connections of others alone when one node is healed', async () => {
    const [a, b] = [await open('a'), await open('b')];
    const got = await read(b);
    const changes: BrokerStateChange[] = [];
    b.onState((change) => changes.push(change));
    hub.lose('deliveries', 'b');
    await settled(a.publish([to('b', 'x')]));
    hub.cut('a');
    hub.heal('a');
    await pass(10_000);
    expect([changes, got.texts()]).toEqual([[], []]);
    hub.heal('b');
    await pass(10_000);
    expect(got.texts()).toEqual(['x']);
  });

  it('remembers faults of nodes that are not there, and nothing of those that have closed', async () => {
    hub.cut('a');
    await expect(open('a', { openAttemptsMax: 1 })).rejects.toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
    await expect(open('a', { openAttemptsMax: 1 })).rejects.toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
    hub.heal('a');
    const a = await open('a');
    expect(hub.names()).toEqual(['node a']);
    await settled(a.close());
    expect(hub.names()).toEqual([]);
  });

  it('shows dead letters as copies, by prefix, and forgets them when told', async () => {
    const a = await open('a');
    const other = await open('a', { prefix: 'other' });
    expect(await settled(other.publish([to('a', 'elsewhere')]))).toEqual(['ok']);
    const got = await read(a, undefined, true);
    await settled(a.publish([to('a', 'bad')]));
    await pass(10);
    expect(got.texts()).toEqual(['bad']);
    const [delivery] = got.deliveries;
    if (delivery === undefined) throw new Error('A delivery was expected.');
    await settled(
      got.consumption.deadLetter(delivery, { reason: 'frame-invalid', error: 'x'.repeat(2_000) }),
    );
    expect(hub.deadFrames()).toMatchObject([{ node: 'a', reason: 'frame-invalid', deliveries: 1 }]);
    expect(hub.deadFrames()[0]?.error).toHaveLength(1_000);
    hub.deadFrames()[0]?.bytes.fill(0);
    expect(Buffer.from(hub.deadFrames()[0]?.bytes ?? []).toString()).toBe('bad');
    expect(hub.deadFrames('other')).toEqual([]);
    expect(hub.names('other')).toEqual(['node a']);
    hub.clearDeadFrames();
    expect(hub.deadFrames()).toEqual([]);
  });

  it('refuses options and faults that it does not know', () => {
    const refused = { code: 'ERR_OPTION_INVALID' };
    const error = (act: () => unknown): unknown => {
      try {
        return act();
      } catch (thrown) {
        return thrown;
      }
    };
    const wrong = 'wrong' as never;
    expect(error(() => memoryHub({ seed: -1 }))).toMatchObject(refused);
    expect(error(() => memoryHub({ sed: 1 } as never))).toMatchObject(refused);
    expect(error(() => memory({ hub: {} as never }))).toMatchObject(refused);
    expect(error(() => memory({ hup: hub } as never))).toMatchObject(refused);
    expect(error(() => memory({ prefix: 'No' }))).toMatchObject(refused);
    expect(error(() => hub.silence(wrong))).toMatchObject(refused);
    expect(error(() => hub.lose(wrong))).toMatchObject(refused);
    expect(error(() => hub.delay({ minMs: 5, maxMs: 4 }))).toMatchObject(refused);
    expect(error(() => hub.duplicate(1.5))).toMatchObject(refused);
    expect(error(() => hub.reorder({ share: -0.1 }))).toMatchObject(refused);
    expect(error(() => hub.reorder({ share: 0.1, depth: 0 }))).toMatchObject(refused);
  });
});

describe('a memory broker', () => {
  it('is alone without a hub', async () => {
    const [one, two] = [memory(), memory()];
    opened.push(one, two);
    for (const broker of [one, two])
      await settled(broker.open({ name: 'same', incarnation: 'x' }, hostOf(clock)));
    expect(await settled(one.publish([to('same', 'x'), to('other', 'y')]))).toEqual(['ok', 'unroutable']);
  });

  it('takes nothing of a call for a lane after a frame that found it full', async () => {
    const [a, b] = [await open('a', { maxLength: 2 }), await open('b', { maxLength: 2 })];
    await settled(b.listen('news'));
    await settled(b.listen('other'));
    const [first, second] = [on('news', '1'), on('other', '2')];
    const results = await settled(
      a.publish([first, second, on('news', '3'), on('other', '4'), to('a', '5'), on('news', '6')]),
    );
    expect(results).toEqual(['ok', 'ok', 'full', 'full', 'ok', 'full']);
  });

  it('takes nothing after a frame that one of its places had no room for, where another place had', async () => {
    const [a, b, c] = [await open('a'), await open('b', { maxLength: 1 }), await open('c')];
    await settled(Promise.all([b.listen('news'), c.listen('news')]));
    await settled(a.publish([to('b', 'fills b')]));
    // b is full and c is not: c has the first, and the second may not come before it is published again.
    expect(await settled(a.publish([on('news', '1'), on('news', '2')]))).toEqual(['full', 'full']);
    const got = await read(c);
    await pass(10);
    expect(got.texts()).toEqual(['1']);
  });

  it('counts only what nobody has got yet against its bound', async () => {
    const [a, b] = [await open('a', { maxLength: 2 }), await open('b', { maxLength: 2 })];
    const held = await read(b, undefined, true);
    await settled(a.publish([to('b', '1'), to('b', '2')]));
    await pass(10);
    await settled(held.consumption.stop());
    expect(await settled(a.publish(['3', '4', '5'].map((text) => to('b', text))))).toEqual([
      'ok',
      'ok',
      'full',
    ]);
    const got = await read(b);
    await pass(10);
    expect(got.texts()).toEqual(['1', '2', '3', '4']);
  });

  it('publishes what was there at the call, whatever the caller does to it after', async () => {
    const [a, b] = [await open('a'), await open('b')];
    const got = await read(b);
    const bytes = Buffer.from('before');
    const publishing = a.publish([{ ...to('b', ''), bytes }]);
    bytes.write('behind');
    await settled(publishing);
    await pass(10);
    expect(got.texts()).toEqual(['before']);
  });

  it('refuses a host with another clock while nodes of its hub run on the first', async () => {
    await open('a');
    const stranger = memory({ hub });
    const opening = stranger.open({ name: 'b', incarnation: 'x' }, hostOf(new VirtualClock()));
    await expect(opening).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
    await stranger.close();
  });

  it('hands over nothing more when its receiver stops it, and others have the rest', async () => {
    const [a, b] = [await open('a'), await open('b')];
    const first: Delivery[] = [];
    let consumption: Consumption | undefined;
    let stopping: Promise<void> | undefined;
    consumption = await settled(
      b.consume(
        { kind: 'inbox' },
        {
          windows: LANE_WINDOWS,
          receive: (batch) => {
            first.push(...batch);
            stopping = consumption?.stop();
          },
        },
      ),
    );
    await settled(a.publish(LANES.map((lane) => ({ ...to('b', `lane ${lane}`), lane }))));
    await pass(10);
    await settled(stopping ?? Promise.reject(new Error('It was not stopped.')));
    const next = await read(b);
    await pass(10);
    expect([first.length, next.deliveries.length]).toEqual([1, 6]);
  });

  it('refuses windows that are none', async () => {
    const a = await open('a');
    for (const windows of [[1, 1, 1, 1, 1, 0], [1, 2, 3], [1, 1, 1, 1, 1, 65_536], undefined])
      await expect(
        a.consume({ kind: 'inbox' }, { windows: windows as never, receive: () => undefined }),
      ).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
    expect(LANES).toHaveLength(6);
  });

  it('delivers what has expired: its reader makes a dead letter of it', async () => {
    const [a, b] = [await open('a'), await open('b')];
    const soon = clock.wallNow() + 1_000;
    await settled(a.publish(['1', '2'].map((text) => ({ ...to('b', text), expiresAtMs: soon }))));
    await pass(1_000);
    const got = await read(b);
    await pass(10);
    expect(got.texts()).toEqual(['1', '2']);
  });

  it('forgets the inbox of a dead node after its time', async () => {
    const [a] = [await open('a'), await open('b', { expiresMs: 5_000 })];
    hub.kill('b');
    expect(await settled(a.publish([to('b', 'x')]))).toEqual(['ok']);
    await pass(5_000);
    expect(await settled(a.publish([to('b', 'x')]))).toEqual(['unroutable']);
    expect(hub.names()).toEqual(['node a']);
  });

  it('gives a silent node its name until it counts as dead, and then to whoever asks', async () => {
    await open('a', { heartbeatMs: 1_000, downAfterMs: 3_000 });
    hub.cut('a');
    hub.heal('a');
    hub.silence('both', 'a');
    await pass(2_000);
    hub.heal();
    const other = memory({ hub, openAttemptsMax: 1 });
    opened.push(other);
    const opening = other.open({ name: 'a', incarnation: 'other' }, hostOf(clock));
    await expect(settled(opening)).rejects.toMatchObject({ code: 'ERR_NAME_TAKEN' });
  });

  it('tells a listener no more after it has left, and survives one that throws', async () => {
    const a = await open('a');
    const told: string[] = [];
    const leave = a.onState(({ state }) => told.push(`first ${state}`));
    a.onState(() => {
      throw new Error('a listener is broken');
    });
    a.onState(({ state }) => told.push(`last ${state}`));
    hub.cut();
    leave();
    hub.heal();
    await pass(10_000);
    expect(told).toEqual(['first down', 'last down', 'last up']);
  });

  it('tells of a node that does not come back after all were cut off, and counts only time in which somebody looks', async () => {
    const [a, b] = [await open('a', TIMES), await open('b', TIMES)];
    const changes: string[] = [];
    a.members?.onChange(({ kind, member }) => changes.push(`${kind} ${member.name}`));
    hub.cut();
    hub.cut('b');
    await pass(60_000);
    // Everybody's fault is healed, and that of b is not.
    hub.heal('a');
    hub.heal();
    hub.cut('b');
    await pass(2_000);
    expect(changes).toEqual([]);
    await pass(4_000);
    expect(changes).toEqual(['down b']);
    expect(b.members?.view()).toHaveLength(2);
  });

  it('passes over a claim of a node that is cut off', async () => {
    const [a, b, c] = [await open('a'), await open('b'), await open('c')];
    const shard = { group: 'g', shard: 0, shards: 1 };
    const granted: string[] = [];
    const claim = async (name: string, broker: Broker): Promise<ShardClaim | undefined> =>
      settled(
        Promise.resolve(
          broker.shards?.claim(shard, { granted: () => granted.push(name), lost: () => undefined }),
        ),
      );
    const first = await claim('a', a);
    await claim('b', b);
    await claim('c', c);
    hub.cut('b');
    await settled(Promise.resolve(first?.release()));
    await pass(10);
    expect(granted).toEqual(['a', 'c']);
  });

  it('lets nobody read a shard that it does not own', async () => {
    const a = await open('a');
    const reading = a.consume(
      { kind: 'shard', group: 'g', shard: 0, shards: 1 },
      { windows: LANE_WINDOWS, receive: () => undefined },
    );
    await expect(reading).rejects.toMatchObject({
      code: 'ERR_SHARD_NOT_OWNED',
      details: { group: 'g', shard: 0 },
    });
  });

  it('keeps no timer of a system that has nothing to do', async () => {
    const [a, b] = [await open('a'), await open('b')];
    await settled(b.listen('news'));
    await read(b);
    await settled(a.publish([on('news', 'x')]));
    await pass(10);
    expect(clock.pending).toBe(0);
  });
});
