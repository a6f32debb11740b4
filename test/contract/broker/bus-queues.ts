/** Cases about the queues of subscriptions behind a broker: what is next in them, and what happens when they are full. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'vitest';
import type { BrokerOptions } from '../../../src/protocol/broker.ts';
import { isTroupeError } from '../../../src/protocol/errors.ts';
import { LANE_WINDOWS, OUTBOX_WAITING_MAX } from '../../../src/protocol/limits.ts';
import { PRIORITIES, type Priority } from '../../../src/protocol/priority.ts';
import { range } from '../../support/broker-play.ts';
import { BusPlay, Kept, type PlayBus } from '../../support/bus-play.ts';
import { type Hold, hold } from '../../support/hold.ts';
import { endingOf } from '../../support/puppet.ts';
import { type BrokerCases, IS_FULL, linkFlag } from './cases.ts';

const MAX = 100;
const BOUNDED: BrokerOptions = { maxLength: MAX };
const SHORT_MS = 300;
const BACKGROUND_WINDOW = LANE_WINDOWS[5];
const SLACK_MS = 60_000;
/** Bytes by which the heap may differ: what the process does beside it. A message that waits has some hundred. */
const GROWTH_BYTES_MAX = 4 * 2 ** 20;
/** Publishes of a flood that are taken, or wait, before one is refused at the latest: an outbox and what is behind it. */
const WAITING_MAX = 10 * OUTBOX_WAITING_MAX;

export function busQueueCases({ harness, has, faults, sizes, when }: BrokerCases): void {
  const { clock } = harness.host;

  /** A subscription whose handler holds the first message it gets. */
  const busy = async (
    { play }: BusPlay,
    to: PlayBus,
    options?: Parameters<PlayBus['subscribe']>[2],
  ): Promise<Hold> => {
    const held = hold();
    await to.subscribe('busy', held.handler, options);
    await to.publish('busy', 'in hand');
    await play.until(() => held.running() === 1, 'the message in hand');
    return held;
  };

  const publishAll = async (
    from: PlayBus,
    payloads: readonly unknown[],
    priority: Priority,
  ): Promise<void> => {
    await Promise.all(payloads.map((payload) => from.publish('busy', payload, { priority })));
  };

  when(`15: handles an urgent message next, before a backlog of ${sizes.backlog}`, async (play) => {
    const buses = new BusPlay(play);
    const [from, to] = await buses.pair();
    const held = await busy(buses, to, { capacity: 50 });
    await publishAll(from, range(sizes.backlog), 'background');
    await from.publish('busy', 'now', { priority: 'critical' });
    await play.until(() => to.bus.pending('busy')[0]?.payload === 'now', 'the urgent one in the queue');
    held.release();
    await play.until(() => held.payloads.length === sizes.backlog + 2, 'all of it', SLACK_MS);
    expect(held.payloads).toEqual(['in hand', 'now', ...range(sizes.backlog)]);
  });

  when(
    '16: lets an urgent message past a queue that is full and blocked, to whomever it goes',
    async (play) => {
      const buses = new BusPlay(play);
      const [from, to] = await buses.pair();
      const held = await busy(buses, to, { capacity: 1 });
      const free = new Kept();
      await to.subscribe('free', free.handler);
      // More than the broker gives out of the lane, each a frame of its own: nothing of it goes on.
      for (const n of range(BACKGROUND_WINDOW + 10))
        await from.publish('busy', n, { priority: 'background' });
      await play.until(() => to.queued('busy') === 1, 'a full queue');
      await from.publish('free', 'now', { priority: 'critical' });
      await play.until(() => free.messages.length === 1, 'the urgent one for another subscription');
      expect([held.payloads, to.queued('busy')]).toEqual([['in hand'], 1]);
      await from.publish('busy', 'now', { priority: 'critical' });
      await play.until(
        () => to.queued('busy') === 2,
        'the urgent one for the same subscription, in its reserve',
      );
      held.release();
      await play.until(() => held.payloads.length === BACKGROUND_WINDOW + 12, 'all of it');
      expect(held.payloads).toEqual(['in hand', 'now', ...range(BACKGROUND_WINDOW + 10)]);
    },
  );

  when('17: handles six levels strictly by their order', async (play) => {
    const buses = new BusPlay(play);
    const [from, to] = await buses.pair();
    const held = await busy(buses, to);
    for (const n of range(3))
      for (const priority of PRIORITIES.toReversed())
        await from.publish('busy', `${priority} ${n}`, { priority });
    await play.until(() => to.queued('busy') === 18, 'all of them in the queue');
    held.release();
    await play.until(() => held.payloads.length === 19, 'all of them handled');
    const levels = PRIORITIES.flatMap((priority) => range(3).map((n) => `${priority} ${n}`));
    expect(held.payloads).toEqual(['in hand', ...levels]);
  });

  when('18: starves nobody where a subscription ages what waits', async (play) => {
    const buses = new BusPlay(play);
    const [from, to] = await buses.pair();
    const held = await busy(buses, to, { agingMs: 10 });
    await from.publish('busy', 'patient', { priority: 'background' });
    await play.until(() => to.queued('busy') === 1, 'the patient one in the queue');
    // Five priorities of 10 ms each.
    const since = clock.now();
    await play.until(() => clock.now() > since + 60, 'its time');
    await publishAll(from, range(20), 'critical');
    await play.until(() => to.queued('busy') === 21, 'the urgent ones in the queue');
    held.release();
    await play.until(() => held.payloads.length === 22, 'all of them handled');
    expect(held.payloads).toEqual(['in hand', 'patient', ...range(20)]);
  });

  when(
    'capabilities.bound is advisory',
    has.bound !== 'advisory',
    '25 26 29: takes what lane, window and queue hold, then ends a publish by its time, and loses nothing of it all',
    async (play) => {
      const buses = new BusPlay(play);
      const [from, to] = await buses.pair({ options: BOUNDED });
      const capacity = 10;
      const held = await busy(buses, to, { capacity });
      const taken: number[] = [];
      const publish = (n: number, timeoutMs: number) =>
        endingOf(from.bus.publish('busy', n, { priority: 'background', timeoutMs }));
      const lane = has.bound === 'exact' ? MAX : Math.ceil(1.2 * MAX);
      const takenMax = lane + BACKGROUND_WINDOW + capacity;
      let refused: ReturnType<typeof endingOf> | undefined;
      while (refused === undefined && taken.length <= takenMax) {
        // Each is awaited, and so a frame of its own.
        const ending = publish(taken.length, SHORT_MS);
        await play.until(() => ending.is !== undefined, 'an end of a publish');
        if (ending.is === 'resolved') taken.push(taken.length);
        else refused = ending;
      }
      expect(taken.length).toBeLessThanOrEqual(takenMax);
      expect(taken.length).toBeGreaterThanOrEqual(MAX);
      expect(refused).toMatchObject({
        is: 'ERR_SEND_TIMEOUT',
        error: { details: { timeoutMs: SHORT_MS }, retryable: true },
      });
      expect(held.payloads).toEqual(['in hand']);
      const rest = range(300).map((n) => publish(taken.length + 1 + n, SLACK_MS));
      held.release();
      await play.until(() => rest.every(({ is }) => is === 'resolved'), 'the rest is taken', SLACK_MS);
      const all = [...taken, ...range(300).map((n) => taken.length + 1 + n)];
      await play.until(() => held.payloads.length > all.length, 'all of it is handled', SLACK_MS);
      // The one whose time was over may have been sent before that.
      expect(held.payloads.filter((payload) => payload !== taken.length)).toEqual(['in hand', ...all]);
    },
  );

  const floodMs = IS_FULL ? 60_000 : 1_000;
  when(
    `25: grows by nothing when it is flooded for ${floodMs / 1_000} s and nobody handles`,
    async (play) => {
      const buses = new BusPlay(play);
      const [from, to] = await buses.pair({ options: BOUNDED });
      const held = await busy(buses, to, { capacity: 10 });
      const codes = new Set<string>();
      const waiting: Promise<unknown>[] = [];
      const flood = async (isOver: () => boolean): Promise<void> => {
        for (; !isOver(); await play.pass(5))
          for (const n of range(200)) {
            const publishing = from.bus.publish('busy', n, { priority: 'background', timeoutMs: 1_000_000 });
            const failed = publishing.catch((error: unknown) =>
              codes.add(isTroupeError(error) ? error.code : String(error)),
            );
            if (codes.size === 0) waiting.push(failed);
          }
      };
      await flood(() => codes.size > 0 || waiting.length > WAITING_MAX);
      expect(waiting.length).toBeLessThanOrEqual(WAITING_MAX);
      const before = heapBytes();
      const end = clock.now() + floodMs;
      await flood(() => clock.now() >= end);
      expect(heapBytes() - before).toBeLessThan(GROWTH_BYTES_MAX);
      expect([...codes]).toEqual(['ERR_OUTBOX_FULL']);
      expect(held.payloads).toEqual(['in hand']);
      // With its reader gone nothing is in the way of what waits.
      held.release();
      await to.close();
      await from.close();
      await play.within(Promise.all(waiting), 'all publishes');
    },
  );

  when('27: goes on with the other subscriptions of a node when the queue of one is full', async (play) => {
    const buses = new BusPlay(play);
    const [from, to] = await buses.pair();
    const held = await busy(buses, to, { capacity: 1 });
    const free = new Kept();
    await to.subscribe('free', free.handler);
    for (const n of range(100)) {
      await from.publish('busy', n);
      await from.publish('free', n);
    }
    await play.until(() => free.messages.length === 100, 'all for the free one');
    expect(free.payloads).toEqual(range(100));
    expect([held.payloads, to.queued('busy')]).toEqual([['in hand'], 1]);
    held.release();
    await play.until(() => held.payloads.length === 101, 'all for the busy one');
    expect(held.payloads).toEqual(['in hand', ...range(100)]);
  });

  const [slowCount, slowMs] = IS_FULL ? [300, 1_000] : [10, 200];
  when(
    `28: gives ${slowCount} messages to a handler that takes ${slowMs} ms once each, undisturbed`,
    async (play) => {
      const [from, to] = await new BusPlay(play).pair();
      const seen = { alone: new Kept(), member: new Kept() };
      const slowly =
        ({ handler }: Kept) =>
        async (message: Parameters<typeof handler>[0]) => {
          await new Promise<void>((resolve) => {
            clock.setTimer(slowMs, resolve);
          });
          await handler(message);
        };
      await to.subscribe('slow', slowly(seen.alone), { capacity: 2 });
      await to.subscribe('slow', slowly(seen.member), { capacity: 2, group: 'workers' });
      for (const n of range(slowCount)) await from.publish('slow', n);
      const withinMs = slowCount * slowMs + SLACK_MS;
      const counts = () => [seen.alone.messages.length, seen.member.messages.length];
      await play.until(() => counts().every((count) => count >= slowCount), 'all of it', withinMs);
      await play.quiet(300);
      expect(seen.alone.payloads).toEqual(range(slowCount));
      expect(seen.member.payloads).toEqual(range(slowCount));
      const messages = [...seen.alone.messages, ...seen.member.messages];
      expect(messages.filter(({ attempt }) => attempt !== 1)).toEqual([]);
      expect(to.repeats).toEqual([]);
      expect([from, to].flatMap((bus) => bus.eventsOf('broker-state-changed'))).toEqual([]);
    },
  );

  when(
    ...linkFlag(faults, 'cutRst'),
    '29: ends a publish by its time when there is no connection',
    async (play) => {
      const buses = new BusPlay(play);
      const from = await buses.bus({ hasLink: true });
      const to = await buses.bus();
      const { payloads, messages, handler } = new Kept();
      expect(payloads).toEqual([]);
      await to.subscribe('t', handler);
      await from.node.link.cutRst();
      await play.until(() => from.eventsOf('broker-state-changed').length > 0, 'the cut');
      const ending = endingOf(from.bus.publish('t', 'lost', { timeoutMs: SHORT_MS }));
      await play.until(() => ending.is !== undefined, 'the end of the publish');
      expect(ending).toMatchObject({
        is: 'ERR_SEND_TIMEOUT',
        error: { details: { timeoutMs: SHORT_MS }, retryable: true },
      });
      await from.node.link.heal();
      await from.publish('t', 'sent');
      await play.until(() => messages.length === 1, 'what was published later');
      expect(messages.map(({ payload }) => payload)).toEqual(['sent']);
    },
  );

  /** Puts a message with this time to live where it expires, and goes on when it is handled or dead. */
  const expires = async (
    buses: BusPlay,
    place: string,
    { before, isThere }: { before: number; isThere: (to: PlayBus) => boolean },
  ): Promise<void> => {
    const { play } = buses;
    const [from, to] = await buses.pair();
    const held = await busy(buses, to, { capacity: 2 });
    for (const n of range(before)) await from.publish('busy', n, { priority: 'background' });
    await from.publish('busy', 'late', { priority: 'background', ttlMs: 400 });
    const due = clock.now() + 400;
    await play.until(() => isThere(to), place);
    await play.until(() => clock.now() > due + 50, 'its time');
    held.release();
    await from.publish('busy', 'last', { priority: 'background' });
    await play.until(() => held.payloads.includes('last'), 'what came after it');
    expect(held.payloads).toEqual(['in hand', ...range(before), 'last']);
    const { prefix } = play;
    const dead = async (): Promise<string[]> => [
      ...to.bus.deadLetters.list({ topic: 'busy' }).map(({ reason }) => reason),
      ...(await play.harness.deadFrames(prefix)).map(({ reason }) => reason),
    ];
    await play.until(async () => (await dead()).length > 0, 'its dead letter');
    expect(await dead()).toEqual(['expired']);
  };

  when('32: makes a dead letter of what expires at the broker', async (play) => {
    const before = BACKGROUND_WINDOW + 6;
    const isThere = (to: PlayBus): boolean => to.queued('busy') === 2;
    await expires(new BusPlay(play), 'a window that is used', { before, isThere });
  });

  when('32: makes a dead letter of what expires while it waits for room in a queue', async (play) => {
    const isThere = (to: PlayBus): boolean => to.bus.queueSizes()[0]?.waiting === 1;
    await expires(new BusPlay(play), 'a wait for room', { before: 2, isThere });
  });

  when('32: makes a dead letter of what expires in a queue', async (play) => {
    const isThere = (to: PlayBus): boolean => to.queued('busy') === 1;
    await expires(new BusPlay(play), 'its place in the queue', { before: 0, isThere });
  });

  when(
    '32: makes a dead letter of what expires just before its handler, between two attempts',
    async (play) => {
      const [from, to] = await new BusPlay(play).pair();
      const { messages, handler } = new Kept();
      const retry = { attemptsMax: 2, backoff: { minMs: 900, maxMs: 900, jitter: 0 } };
      await to.subscribe(
        't',
        async (message) => {
          await handler(message);
          throw new Error('not yet');
        },
        { retry },
      );
      await from.publish('t', 'late', { ttlMs: 600 });
      await play.until(() => to.bus.deadLetters.list().length > 0, 'the dead letter');
      expect(messages.map(({ attempt }) => attempt)).toEqual([1]);
      expect(to.bus.deadLetters.list()).toMatchObject([{ reason: 'expired', attempts: 1, payload: 'late' }]);
    },
  );
}

/** Bytes that are in use, garbage apart. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void; // the flag makes it
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
