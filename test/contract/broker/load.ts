/** Cases about bounds, and about lanes that do not block each other. */

import { expect } from 'vitest';
import { LANES, type PublishResult, type Source } from '../../../src/protocol/broker.ts';
import { LANE_WINDOWS } from '../../../src/protocol/limits.ts';
import {
  type BrokerPlay,
  frame,
  type PlayNode,
  range,
  toNode,
  toTopic,
  windowOf,
} from '../../support/broker-play.ts';
import { type BrokerCases, IS_FULL } from './cases.ts';

const MAX = 100;
const OPTIONS = { maxLength: MAX };
const BACKGROUND = 5;
const CRITICAL = 0;
/** Milliseconds until publishers have heard of a bound that is advisory. */
const ADVICE_MS = 30_000;

export function loadCases({ has, sizes, when }: BrokerCases): void {
  /** The most that a lane may hold for nobody. */
  const highest = has.bound === 'approximate' ? Math.ceil(MAX * 1.2) : MAX;

  /** Publishes one by one until something is refused; how many were taken. */
  const fill = async (
    play: BrokerPlay,
    from: PlayNode,
    to: PlayNode,
    lane: 0 | 3 | 5 = 3,
  ): Promise<number> => {
    const { clock } = play.harness.host;
    const end = clock.now() + ADVICE_MS;
    let taken = 0;
    for (;;) {
      const [result] = await from.publish([frame(toNode(to), taken, { lane })]);
      if (result === 'full') return taken;
      expect(result).toBe('ok');
      taken++;
      if (has.bound !== 'advisory') expect(taken).toBeLessThanOrEqual(highest + 2 * MAX);
      else if (clock.now() > end) throw new Error(`Nothing was refused within ${ADVICE_MS} ms.`);
    }
  };

  when('25: refuses what an unread lane has no room for', async (play) => {
    const [from, to] = [await play.node({ options: OPTIONS }), await play.node({ options: OPTIONS })];
    const taken = await fill(play, from, to);
    if (has.bound === 'exact') expect(taken).toBe(MAX);
    if (has.bound === 'approximate') expect(taken).toBeLessThanOrEqual(highest);
    expect(taken).toBeGreaterThanOrEqual(MAX);
    const reading = await to.read();
    await play.untilGot(reading, taken);
    await play.quiet();
    expect(reading.numbers).toEqual(range(taken));
  });

  when(
    'capabilities.bound is advisory',
    has.bound !== 'advisory',
    '25: refuses the rest of a call that a lane has no room for',
    async (play) => {
      const [from, to] = [await play.node({ options: OPTIONS }), await play.node({ options: OPTIONS })];
      const results = await from.publish(range(3 * MAX).map((number) => frame(toNode(to), number)));
      expect(new Set(results)).toEqual(new Set<PublishResult>(['ok', 'full']));
      const taken = range(3 * MAX).filter((number) => results[number] === 'ok');
      expect(taken.length).toBeGreaterThanOrEqual(MAX);
      expect(taken.length).toBeLessThanOrEqual(highest);
      const reading = await to.read();
      await play.untilGot(reading, taken.length);
      await play.quiet();
      expect(reading.numbers).toEqual(taken);
    },
  );

  when(
    'capabilities.bound is advisory',
    has.bound !== 'advisory',
    '25: takes its bound and a window when the reader settles nothing',
    async (play) => {
      const [from, to] = [await play.node({ options: OPTIONS }), await play.node({ options: OPTIONS })];
      const reading = await to.read(undefined, { windows: windowOf(30), settle: 'keep' });
      // The window first, so that what counts is what nobody has got.
      await from.publishAll(range(30).map((number) => frame(toNode(to), number)));
      await play.untilGot(reading, 30);
      const taken = await fill(play, from, to);
      expect(taken).toBeGreaterThanOrEqual(MAX);
      expect(taken).toBeLessThanOrEqual(highest);
    },
  );

  when('25: bounds each lane by itself', async (play) => {
    const [from, to] = [await play.node({ options: OPTIONS }), await play.node({ options: OPTIONS })];
    await fill(play, from, to, BACKGROUND);
    expect(await from.publish([frame(toNode(to), 1, { lane: CRITICAL })])).toEqual(['ok']);
    expect(await from.publish([frame(toNode(to), 1, { lane: 4 })])).toEqual(['ok']);
  });

  when(
    'capabilities.bound is advisory',
    has.bound !== 'advisory',
    '25: is full for a topic when one of its places is, and others may have it',
    async (play) => {
      const from = await play.node({ options: OPTIONS });
      const [slow, quick] = [await play.node({ options: OPTIONS }), await play.node({ options: OPTIONS })];
      for (const node of [slow, quick]) await node.listen('news');
      const reading = await quick.read();
      await fill(play, from, slow);
      expect(await from.publish([frame(toTopic('news'), 7)])).toEqual(['full']);
      expect(await from.publish([frame(toTopic('other'), 8), frame(toNode(quick), 9)])).toEqual(['ok', 'ok']);
      await play.until(() => reading.numbers.includes(9), 'the other node has its own');
    },
  );

  when(
    'capabilities.bound is advisory',
    has.bound !== 'advisory',
    '25: bounds a group, with and without members',
    async (play) => {
      const [from, to] = [await play.node({ options: OPTIONS }), await play.node({ options: OPTIONS })];
      const source: Source = { kind: 'group', group: 'slow', pattern: 'work' };
      const first = await to.read(source);
      await play.within(first.open.stop(), 'stop');
      const results = await from.publish(range(3 * MAX).map((number) => frame(toTopic('work'), number)));
      const taken = range(3 * MAX).filter((number) => results[number] === 'ok');
      expect(taken.length).toBeGreaterThanOrEqual(MAX);
      expect(taken.length).toBeLessThanOrEqual(highest);
      const second = await to.read(source);
      await play.untilGot(second, taken.length);
      await play.quiet();
      expect(second.sorted).toEqual(taken);
    },
  );

  when('26: goes on when the reader does, and loses nothing', async (play) => {
    const [from, to] = [await play.node({ options: OPTIONS }), await play.node({ options: OPTIONS })];
    const first = await to.read(undefined, { windows: windowOf(10), settle: 'keep' });
    const taken = await fill(play, from, to);
    await play.within(first.open.stop(), 'stop');
    const second = await to.read();
    await play.until(() => second.distinct === taken, 'what was taken');
    await play.until(
      async () => (await from.publish([frame(toNode(to), taken)]))[0] === 'ok',
      'room again',
      ADVICE_MS,
    );
    await from.publishUntilTaken(range(300).map((number) => frame(toNode(to), taken + 1 + number)));
    await play.until(() => second.distinct === taken + 301, 'all of it');
  });

  when('shows its backlog, lane by lane', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    for (const lane of LANES)
      await from.publishAll(range(10 * (lane + 1)).map((number) => frame(toNode(to), number, { lane })));
    const backlog = await to.backlog();
    if (backlog === undefined) return;
    await play.until(
      async () => (await to.backlog())?.join() === '10,20,30,40,50,60',
      'the backlog of an inbox',
    );
    const reading = await to.read();
    await play.untilGot(reading, 210);
    await play.until(async () => (await to.backlog())?.join() === '0,0,0,0,0,0', 'no backlog');
  });

  const seconds = IS_FULL ? 300 : 5;
  when(`28: redelivers nothing to a reader that is slow for ${seconds} s`, async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const { clock } = play.harness.host;
    const pauseMs = IS_FULL ? 1_000 : 250;
    const reading = await to.read(undefined, { windows: windowOf(2), settle: 'keep' });
    const count = Math.floor((seconds * 1_000) / pauseMs);
    await from.publishAll(range(count + 2).map((number) => frame(toNode(to), number)));
    for (const place of range(count)) {
      await play.untilGot(reading, place + 1);
      const due = clock.now() + pauseMs;
      await play.until(() => clock.now() >= due, 'the reader to be done');
      const delivery = reading.deliveries[place];
      if (delivery !== undefined) reading.open.acknowledge([delivery]);
    }
    await play.untilGot(reading, count + 2);
    expect(reading.numbers).toEqual(range(count + 2));
    expect(reading.deliveries.filter(({ isRedelivered }) => isRedelivered)).toEqual([]);
    expect(to.states).toEqual([]);
  });

  when(`15: lets an urgent frame overtake a backlog of ${sizes.backlog}`, async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    await from.publishUntilTaken(
      range(sizes.backlog).map((number) => frame(toNode(to), number, { lane: BACKGROUND })),
    );
    // It settles one at a time, so that a window is the most that can be ahead.
    const reading = await to.read(undefined, { settle: 'keep' });
    await play.untilGot(reading, LANE_WINDOWS[BACKGROUND]);
    await from.publishAll([frame(toNode(to), 1, { lane: CRITICAL })]);
    await play.until(() => reading.deliveries.some(({ lane }) => lane === CRITICAL), 'the urgent frame');
    const place = reading.deliveries.findIndex(({ lane }) => lane === CRITICAL);
    expect(place).toBeLessThanOrEqual(LANE_WINDOWS[BACKGROUND]);
    reading.open.acknowledge(reading.deliveries);
    await play.untilGot(reading, 2 * LANE_WINDOWS[BACKGROUND] + 1);
  });

  when('15: lets an urgent frame overtake a backlog that is being worked off', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const all = range(sizes.backlog).map((number) => frame(toNode(to), number, { lane: BACKGROUND }));
    await from.publishUntilTaken(all);
    await from.publishAll([frame(toNode(to), 1, { lane: CRITICAL })]);
    const reading = await to.read();
    await play.untilGot(reading, sizes.backlog + 1, 60_000);
    const place = reading.deliveries.findIndex(({ lane }) => lane === CRITICAL);
    // The lanes begin one after the other at some brokers: a few windows may pass, the backlog may not.
    expect(place).toBeLessThan(sizes.backlog / 2);
  });

  for (const lane of LANES) {
    when(`16: delays no other lane when all of lane ${lane} is blocked`, async (play) => {
      const [from, to] = [await play.node({ options: OPTIONS }), await play.node({ options: OPTIONS })];
      const windows = windowOf(5);
      const reading = await to.read(undefined, {
        windows,
        settle: (deliveries, { open }) => open.acknowledge(deliveries.filter((one) => one.lane !== lane)),
      });
      await from.publishAll(range(50).map((number) => frame(toNode(to), number, { lane })));
      await play.untilGot(reading, 5);
      const others = LANES.filter((other) => other !== lane);
      for (const other of others)
        await from.publishAll(range(20).map((number) => frame(toNode(to), number, { lane: other })));
      await play.untilGot(reading, 5 + 20 * others.length);
      expect(reading.deliveries.filter((one) => one.lane === lane)).toHaveLength(5);
    });
  }

  when('17: hands over the most urgent lane first when several come at once', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    for (const lane of LANES.toReversed())
      await from.publishAll(range(20).map((number) => frame(toNode(to), number, { lane })));
    const reading = await to.read();
    await play.untilGot(reading, 120);
    for (const batch of reading.batches) {
      const lanes = batch.map(({ lane }) => lane);
      expect(lanes).toEqual(lanes.toSorted((a, b) => a - b));
    }
  });
}
