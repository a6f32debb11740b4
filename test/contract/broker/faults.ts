/** Cases about servers and networks that fail: nothing that was taken is lost, nothing hangs, and everything comes back by itself. */

import { inspect } from 'node:util';
import { expect } from 'vitest';
import type {
  BrokerOptions,
  BrokerState,
  BrokerStateChange,
  PublishResult,
  Source,
} from '../../../src/protocol/broker.ts';
import type { LinkControl, LinkDirection } from '../../support/broker-harness.ts';
import {
  type BrokerPlay,
  frame,
  numberOf,
  type PlayNode,
  type Reading,
  range,
  silentRepeats,
  toNode,
  toTopic,
  windowOf,
} from '../../support/broker-play.ts';
import { Traffic } from '../../support/broker-traffic.ts';
import { type BrokerCases, IS_FULL, linkFlag } from './cases.ts';

/** Short times, so that a case about silence ends soon. */
const OPTIONS: BrokerOptions = {
  heartbeatMs: 500,
  downAfterMs: 2_000,
  publishTimeoutMs: 1_500,
  connectTimeoutMs: 1_500,
  reconnect: { minMs: 20, maxMs: 200 },
};
/** Milliseconds in which an adapter must have noticed, and in which it must be back. */
const NOTICE_MS = 40_000;
const BACK_MS = 40_000;
const DIRECTIONS: readonly LinkDirection[] = ['to-server', 'to-client'];
/** Bytes after which a connection is cut: inside a first frame, a header, a body, and some frames later. */
const CUTS = IS_FULL ? [1, 2, 7, 8, 20, 50, 100, 300, 1_000, 3_000, 10_000] : [1, 8, 50, 300, 3_000];

/** A case of two nodes: who is behind the link that breaks. */
type Behind = 'publisher' | 'reader';
const SIDES: readonly Behind[] = ['publisher', 'reader'];

interface Pair {
  readonly from: PlayNode;
  readonly to: PlayNode;
  /** The one behind the link. */
  readonly linked: PlayNode;
  readonly link: LinkControl;
  readonly reading: Reading;
}

export function faultCases({ has, faults, sizes, when }: BrokerCases): void {
  const takeoverMs = has.takeoverMs + BACK_MS;
  const { server } = faults;

  const pair = async (play: BrokerPlay, behind: Behind, options = OPTIONS): Promise<Pair> => {
    const from = await play.node({ options, hasLink: behind === 'publisher' });
    const to = await play.node({ options, hasLink: behind === 'reader' });
    const linked = behind === 'publisher' ? from : to;
    return { from, to, linked, link: linked.link, reading: await to.read() };
  };

  /** Breaks a link under traffic, heals it, and looks for all that was taken. */
  const survives = async (
    play: BrokerPlay,
    { from, to, linked, link, reading }: Pair,
    breakIt: (link: LinkControl) => Promise<void> | void,
  ): Promise<Traffic> => {
    const traffic = new Traffic(play, from, to);
    await traffic.untilTaken(50);
    await breakIt(link);
    await play.until(() => !linked.isUp, 'the node notices', NOTICE_MS);
    await traffic.untilNextResult(NOTICE_MS);
    await link.heal();
    await play.until(() => linked.isUp, 'the node is back', BACK_MS);
    await traffic.untilTaken(50, BACK_MS);
    await traffic.check(reading);
    return traffic;
  };

  for (const behind of SIDES) {
    for (const fault of ['cutRst', 'cutFin', 'halfOpen'] as const) {
      when(...linkFlag(faults, fault), `46: loses nothing by ${fault} of the ${behind}`, async (play) => {
        await survives(play, await pair(play, behind), (link) => link[fault]());
      });
    }

    for (const direction of DIRECTIONS) {
      when(
        ...linkFlag(faults, 'oneWay'),
        `46: loses nothing when nothing passes ${direction} of the ${behind}`,
        async (play) => {
          await survives(play, await pair(play, behind), (link) => link.oneWay(direction));
        },
      );

      when(
        ...linkFlag(faults, 'cutAfterBytes'),
        `46: loses nothing by cuts inside a frame ${direction} of the ${behind}`,
        async (play) => {
          const { from, to, linked, link, reading } = await pair(play, behind);
          const traffic = new Traffic(play, from, to);
          for (const bytes of CUTS) {
            await traffic.untilTaken(20, BACK_MS);
            const changes = linked.states.length;
            await link.cutAfterBytes(bytes, direction);
            await play.until(() => linked.states.length > changes, `the cut after ${bytes} bytes`, NOTICE_MS);
            await play.until(() => linked.isUp, 'the node is back', BACK_MS);
          }
          await traffic.untilTaken(20, BACK_MS);
          await traffic.check(reading);
        },
      );
    }

    when(...linkFlag(faults, 'latency'), `46: works with 200 ms each way to the ${behind}`, async (play) => {
      const { from, to, linked, link, reading } = await pair(play, behind);
      await link.latency(200);
      const traffic = new Traffic(play, from, to);
      await traffic.untilTaken(25, BACK_MS);
      await traffic.check(reading);
      expect(linked.states).toEqual([]);
      expect([...traffic.results.keys()]).toEqual(['ok']);
    });

    when(...linkFlag(faults, 'byteByByte'), `46: works byte by byte to the ${behind}`, async (play) => {
      const { from, to, linked, link, reading } = await pair(play, behind);
      await link.byteByByte();
      await from.publishUntilTaken(range(50).map((number) => frame(toNode(to), number, { sizeBytes: 300 })));
      await play.untilGot(reading, 50, BACK_MS);
      expect(reading.numbers).toEqual(range(50));
      expect(linked.states).toEqual([]);
    });
  }

  when(
    ...linkFlag(faults, 'oneWay'),
    '46: says of frames whose confirmation is lost that it does not know, within its time',
    async (play) => {
      // Long before anybody takes the connection for dead.
      const patient = { ...OPTIONS, heartbeatMs: 20_000, downAfterMs: 60_000 };
      const { from, to, link, reading } = await pair(play, 'publisher', patient);
      // All that has to be asked for before a frame can be sent is known from then on.
      await from.publishUntilTaken([frame(toNode(to), 5)]);
      await link.oneWay('to-client');
      const begun = play.harness.host.clock.now();
      const results = await from.publish(range(5).map((number) => frame(toNode(to), number)));
      expect(play.harness.host.clock.now() - begun).toBeLessThan(1_500 + 5_000);
      expect(new Set(results)).toEqual(new Set<PublishResult>(['unknown']));
      await link.heal();
      await play.until(() => from.isUp, 'the node is back', BACK_MS);
      await from.publishUntilTaken(range(5).map((number) => frame(toNode(to), number)));
      await play.until(() => reading.distinct === 6, 'all of them');
    },
  );

  when(
    ...linkFlag(faults, 'cutRst'),
    '46: tells each listener of its state, also one that listens twice, and whoever else throws or has stopped',
    async (play) => {
      const node = await play.node({ options: OPTIONS, hasLink: true });
      const heard: BrokerState[] = [];
      const listener = ({ state }: BrokerStateChange): void => void heard.push(state);
      node.broker.onState(() => {
        throw new Error('a listener is broken');
      });
      const stopFirst = node.broker.onState(listener);
      node.broker.onState(listener);
      await node.link.cutRst();
      await play.until(() => heard.filter((state) => state === 'down').length >= 2, 'both', NOTICE_MS);
      stopFirst();
      await node.link.heal();
      await play.until(() => node.isUp && heard.includes('up'), 'up', BACK_MS);
      await play.quiet();
      expect(heard.filter((state) => state === 'up')).toEqual(['up']);
    },
  );

  when(...linkFlag(faults, 'cutRst'), '46: answers at once that there is no connection', async (play) => {
    const { from, to, link } = await pair(play, 'publisher');
    await link.cutRst();
    await play.until(() => !from.isUp, 'the cut');
    const begun = play.harness.host.clock.now();
    expect(await from.publish([frame(toNode(to), 1)])).toEqual(['unavailable']);
    expect(play.harness.host.clock.now() - begun).toBeLessThan(1_000);
    const [change] = from.states;
    expect(change).toMatchObject({ state: 'down', cause: expect.any(Error) });
    await link.heal();
    await play.until(() => from.isUp, 'the node is back', BACK_MS);
    expect(from.states.at(-1)).toEqual({ state: 'up' });
  });

  when(
    ...linkFlag(faults, 'cutRst'),
    '47: restores what it was told before and during an outage, each once',
    async (play) => {
      const [from, to] = [await play.node(), await play.node({ options: OPTIONS, hasLink: true })];
      for (const pattern of ['before.#', 'gone.#', 'kept.#', 'kept.#']) await to.listen(pattern);
      const reading = await to.read();
      await to.link.cutRst();
      await play.until(() => !to.isUp, 'the cut');
      const told = [
        to.broker.listen('during.#'),
        to.broker.unlisten('gone.#'),
        to.broker.unlisten('kept.#'),
        to.broker.consume(
          { kind: 'group', group: 'late', pattern: 'work' },
          { windows: windowOf(8), receive: (deliveries) => group.push(...deliveries.map(numberOf)) },
        ),
      ];
      const group: number[] = [];
      await to.link.heal();
      await play.within(Promise.all(told), 'what was told during the outage', BACK_MS);
      await play.until(() => to.isUp, 'the node is back', BACK_MS);
      const topics = ['before.1', 'gone.1', 'kept.1', 'during.1', 'work'];
      await from.publishAll(topics.map((topic, number) => frame(toTopic(topic), number)));
      await play.untilGot(reading, 3);
      await play.until(() => group.length > 0, 'the group');
      await play.quiet(300);
      expect(reading.sorted).toEqual([0, 2, 3]);
      expect(group).toEqual([4]);
    },
  );

  when(
    ...linkFlag(faults, 'cutRst'),
    '47: settles every call within its time while it is down',
    async (play) => {
      const node = await play.node({ options: OPTIONS, hasLink: true });
      const reading = await node.read();
      await node.link.cutRst();
      await play.until(() => !node.isUp, 'the cut');
      const calls = [
        node.broker.listen('a'),
        node.broker.unlisten('a'),
        node.broker.backlog({ kind: 'inbox' }),
        node.broker.consume(
          { kind: 'group', group: 'g', pattern: 'a' },
          { windows: windowOf(1), receive: () => undefined },
        ),
        reading.open.stop({ drainMs: 500 }),
      ];
      const results = await play.within(Promise.allSettled(calls), 'calls while it is down', 15_000);
      for (const result of results)
        if (result.status === 'rejected')
          expect(result.reason).toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
      expect(results[4]?.status).toBe('fulfilled');
      await node.close();
    },
  );

  when(...linkFlag(faults, 'cutRst'), `47: reads and hears once after ${sizes.flaps} cuts`, async (play) => {
    const [from, to] = [await play.node(), await play.node({ options: OPTIONS, hasLink: true })];
    await to.listen('news.*');
    const reading = await to.read();
    const group = await to.read({ kind: 'group', group: 'workers', pattern: 'news.*' });
    for (let flap = 0; flap < sizes.flaps; flap++) {
      const changes = to.states.length;
      await to.link.cutRst();
      await play.until(() => to.states.length > changes, 'the cut');
      await to.link.heal();
      await play.until(() => to.isUp, 'the node is back', BACK_MS);
    }
    await from.publishAll(range(20).map((number) => frame(toTopic('news.today'), number)));
    await play.until(() => reading.distinct === 20 && group.distinct === 20, 'all of it', BACK_MS);
    await play.quiet(300);
    expect([silentRepeats(reading.deliveries), silentRepeats(group.deliveries)]).toEqual([[], []]);
    expect([reading.deliveries.length, group.deliveries.length]).toEqual([20, 20]);
  });

  const deaths = IS_FULL ? 10 : 3;
  const held = IS_FULL ? 5_000 : 500;
  when(`48: survives ${deaths} deaths of members that each held ${held} frames`, async (play) => {
    const from = await play.node();
    const source: Source = { kind: 'group', group: 'workers', pattern: 'work' };
    const reads = { windows: windowOf(held), settle: 'keep' } as const;
    let victim = await play.node();
    let reading = await victim.read(source, reads);
    await from.publishUntilTaken(range(held).map((number) => frame(toTopic('work'), number)));
    for (let death = 0; death < deaths; death++) {
      const dying = reading;
      await play.until(() => dying.distinct === held, `all of them, after ${death} deaths`, takeoverMs);
      const heir = await play.node();
      reading = await heir.read(source, reads);
      await victim.kill();
      victim = heir;
    }
    const last = reading;
    await play.until(() => last.distinct === held, 'all of them at the last', takeoverMs);
    if (has.deliveryCount === 'broker')
      expect(Math.min(...last.deliveries.map(({ deliveries }) => deliveries))).toBeGreaterThanOrEqual(
        deaths + 1,
      );
    last.open.acknowledge(last.deliveries);
    await play.within(last.open.stop(), 'stop');
    const after = await victim.read(source);
    await play.quiet(300);
    expect(after.deliveries).toEqual([]);
  });

  when(
    'faults.server',
    server !== undefined,
    '44: survives SIGKILL of the server under load',
    async (play) => {
      const [from, to] = [await play.node({ options: OPTIONS }), await play.node({ options: OPTIONS })];
      await to.listen('news');
      const reading = await to.read();
      const traffic = new Traffic(play, from, to);
      await traffic.untilTaken(200);
      await server?.kill();
      await play.until(() => !from.isUp && !to.isUp, 'both notice', NOTICE_MS);
      const before = traffic.taken.length;
      await play.within(server?.restart() ?? Promise.resolve(), 'the restart', 120_000);
      await play.until(() => from.isUp && to.isUp, 'both are back', BACK_MS);
      await traffic.untilTaken(200, BACK_MS);
      if (has.durability === 'memory') {
        // What the server held is gone with it; what was taken since is not.
        const taken = traffic.taken.slice(before);
        await traffic.stop();
        await play.until(
          () => taken.every((number) => reading.numbers.includes(number)),
          'what came after',
          BACK_MS,
        );
      } else await traffic.check(reading);
      await from.publishUntilTaken([frame(toTopic('news'), 1_000_000)]);
      await play.until(() => reading.numbers.includes(1_000_000), 'a topic after the restart', BACK_MS);
    },
  );

  for (const seconds of IS_FULL ? [5, 30] : [4]) {
    when(
      'faults.server',
      server !== undefined,
      `45: survives a server that stands still for ${seconds} s`,
      async (play) => {
        const [from, to] = [await play.node({ options: OPTIONS }), await play.node({ options: OPTIONS })];
        const reading = await to.read();
        const traffic = new Traffic(play, from, to);
        await traffic.untilTaken(100);
        await server?.pause();
        try {
          const call = from.publish([frame(toNode(to), 1_000_000, { lane: 2 })]);
          const results = await play.within(call, 'publish to a server that stands still', 1_500 + 5_000);
          expect(['unknown', 'unavailable']).toContain(results[0]);
          await play.passAll(seconds * 1_000 - 1_500);
        } finally {
          await server?.resume();
        }
        await play.until(() => from.isUp && to.isUp, 'both are back', BACK_MS);
        await traffic.untilTaken(100, BACK_MS);
        await traffic.check(reading);
      },
    );
  }

  when(
    'faults.refuseAll',
    faults.refuseAll !== undefined,
    '49: is degraded while the server refuses what is published, and recovers',
    async (play) => {
      const [from, to] = [await play.node({ options: OPTIONS }), await play.node({ options: OPTIONS })];
      const reading = await to.read();
      await from.publishAll([frame(toNode(to), 0)]);
      const allow = await faults.refuseAll?.();
      try {
        await play.until(
          async () =>
            ['unavailable', 'unknown'].includes((await from.publish([frame(toNode(to), 1)]))[0] ?? ''),
          'a refusal',
        );
        await play.until(() => from.states.at(-1)?.state === 'degraded', 'degraded', NOTICE_MS);
        expect(from.states.at(-1)?.cause).toBeInstanceOf(Error);
      } finally {
        await allow?.();
      }
      await play.until(() => from.isUp, 'up again', BACK_MS);
      await from.publishUntilTaken([frame(toNode(to), 2)]);
      await play.until(() => reading.numbers.includes(2), 'what came after', BACK_MS);
    },
  );

  for (const { problem, secret, connect } of faults.denied ?? []) {
    when(`50: refuses ${problem} at once, without its secret`, async (play) => {
      const broker = connect(play.prefix);
      const changes: unknown[] = [];
      broker.onState((change) => changes.push(change));
      const before = faults.connectAttempts?.() ?? 0;
      const opening = broker.open({ name: 'stranger', incarnation: 'stranger' }, play.harness.host);
      const refusal = await play.within(
        opening.then(
          () => undefined,
          (error: unknown) => error,
        ),
        'open',
        30_000,
      );
      expect(refusal).toMatchObject({ code: 'ERR_BROKER_DENIED' });
      await play.passAll(2_000);
      // A node may have a few connections; whoever is refused does not come again.
      if (faults.connectAttempts !== undefined)
        expect(faults.connectAttempts() - before).toBeLessThanOrEqual(4);
      expect(inspect([refusal, changes, broker], { depth: 4 }).includes(secret)).toBe(false);
      expect(String(refusal)).not.toContain(secret);
      await play.within(broker.close(), 'close');
    });
  }

  when(
    ...linkFlag(faults, 'cutRst'),
    '51: rejects after a few attempts when it cannot connect',
    async (play) => {
      const options: BrokerOptions = { ...OPTIONS, openAttemptsMax: 3, connectTimeoutMs: 500 };
      const node = await play.newNode({ options, hasLink: true });
      await node.link.cutRst();
      await expect(play.within(play.openNode(node), 'open', 20_000)).rejects.toMatchObject({
        code: 'ERR_BROKER_UNAVAILABLE',
      });
      await node.close();
    },
  );

  when(...linkFlag(faults, 'halfOpen'), '51: rejects after its time when nobody answers', async (play) => {
    const options: BrokerOptions = { ...OPTIONS, openAttemptsMax: 2, connectTimeoutMs: 500 };
    const node = await play.newNode({ options, hasLink: true });
    await node.link.halfOpen();
    await expect(play.within(play.openNode(node), 'open', 20_000)).rejects.toMatchObject({
      code: 'ERR_BROKER_UNAVAILABLE',
    });
    await node.close();
  });

  when(
    ...linkFlag(faults, 'cutRst'),
    '51: opens when what it connects to comes while it tries',
    async (play) => {
      const options: BrokerOptions = { ...OPTIONS, openAttemptsMax: 1_000 };
      const node = await play.newNode({ options, hasLink: true });
      await node.link.cutRst();
      const opening = play.openNode(node);
      await play.quiet(500);
      await node.link.heal();
      await play.within(opening, 'open', BACK_MS);
      const reading = await node.read();
      await node.publishAll([frame(toNode(node), 1)]);
      await play.untilGot(reading, 1);
    },
  );

  when(...linkFlag(faults, 'cutRst'), '51: gives up opening when it is closed', async (play) => {
    const node = await play.newNode({ options: { ...OPTIONS, openAttemptsMax: 1_000 }, hasLink: true });
    await node.link.cutRst();
    const opening = play.openNode(node).then(
      () => undefined,
      (error: unknown) => error,
    );
    await play.quiet(300);
    await node.close();
    expect(await play.within(opening, 'open')).toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
  });

  when(
    'faults.jumpWallClock',
    faults.jumpWallClock !== undefined,
    '52: does not care when the wall clock jumps by an hour',
    async (play) => {
      const [from, to] = [await play.node({ options: OPTIONS }), await play.node({ options: OPTIONS })];
      const reading = await to.read(undefined, { windows: windowOf(5), settle: 'keep' });
      const other = await to.read({ kind: 'group', group: 'workers', pattern: 'work' });
      await from.publishAll(range(10).map((number) => frame(toNode(to), number)));
      await play.untilGot(reading, 5);
      for (const jumpMs of [3_600_000, -7_200_000, 3_600_000]) {
        faults.jumpWallClock?.(jumpMs);
        await play.passAll(3_000);
        await from.publishAll([frame(toTopic('work'), 1)]);
      }
      await play.untilGot(other, 3);
      reading.open.acknowledge(reading.deliveries);
      await play.untilGot(reading, 10);
      expect(reading.numbers).toEqual(range(10));
      expect([...from.states, ...to.states]).toEqual([]);
    },
  );

  const blockedMs = IS_FULL ? 20_000 : 3_000;
  when(`53: loses nothing when the process stands still for ${blockedMs} ms`, async (play) => {
    const [from, to] = [await play.node({ options: OPTIONS }), await play.node({ options: OPTIONS })];
    const reading = await to.read();
    const traffic = new Traffic(play, from, to);
    await traffic.untilTaken(50);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, blockedMs);
    await traffic.untilTaken(50, BACK_MS);
    await traffic.check(reading);
  });

  const soakMs = IS_FULL ? 300_000 : 5_000;
  when(`55: keeps nothing of ${soakMs / 1_000} s of traffic`, async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const reading = await to.read();
    const before = await play.harness.leftovers(play.prefix);
    const streams = ([0, 3, 5] as const).map((lane) => new Traffic(play, from, to, lane));
    await play.passAll(soakMs);
    for (const stream of streams) await stream.stop();
    const taken = streams.reduce((sum, stream) => sum + stream.taken.length, 0);
    expect(taken).toBeGreaterThan(100);
    await play.untilGot(reading, taken, BACK_MS);
    await play.within(reading.open.stop(), 'stop');
    const backlog = await to.backlog();
    if (backlog !== undefined) expect(backlog).toEqual([0, 0, 0, 0, 0, 0]);
    const again = await to.read();
    await play.quiet(300);
    expect(again.deliveries).toEqual([]);
    expect((await play.harness.leftovers(play.prefix)).toSorted()).toEqual(before.toSorted());
    expect([...from.states, ...to.states]).toEqual([]);
  });
}
