/** Cases about what has been given out: windows, settling, what comes again and how it is marked, dead letters. */

import { expect } from 'vitest';
import type { Delivery, Source } from '../../../src/protocol/broker.ts';
import { LANE_WINDOWS } from '../../../src/protocol/limits.ts';
import {
  type BrokerPlay,
  frame,
  numberOf,
  type PlayNode,
  type Reading,
  range,
  toNode,
  toTopic,
  windowOf,
} from '../../support/broker-play.ts';
import { type BrokerCases, linkFlag } from './cases.ts';

const GROUP: Source = { kind: 'group', group: 'workers', pattern: 'work' };
const HUNDRED = windowOf(100);
/** Milliseconds beyond what a broker says it needs. */
const SLACK_MS = 15_000;

export function settlementCases({ has, faults, when }: BrokerCases): void {
  const takeoverMs = has.takeoverMs + SLACK_MS;

  /** A group of which one member holds `count` frames and is killed. */
  const orphaned = async (
    play: BrokerPlay,
    count: number,
    before: (reading: Reading) => Promise<void> | void = () => undefined,
  ): Promise<{ readonly from: PlayNode; readonly dead: Reading }> => {
    const [from, victim] = [await play.node(), await play.node()];
    const dead = await victim.read(GROUP, { windows: windowOf(count), settle: 'keep' });
    await from.publishAll(range(count).map((number) => frame(toTopic('work'), number)));
    await play.untilGot(dead, count);
    await before(dead);
    await victim.kill();
    return { from, dead };
  };

  when('25: gives no more than its window of each lane before something is settled', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const reading = await to.read(undefined, { windows: [1, 2, 3, 4, 5, 6], settle: 'keep' });
    for (const lane of [5, 4, 3, 2, 1, 0] as const)
      await from.publishAll(range(20).map((number) => frame(toNode(to), number, { lane })));
    await play.untilGot(reading, 21);
    await play.quiet();
    const ofLane = (lane: number): Delivery[] => reading.deliveries.filter((one) => one.lane === lane);
    expect(range(6).map((lane) => ofLane(lane).length)).toEqual([1, 2, 3, 4, 5, 6]);
    reading.open.acknowledge(ofLane(3).slice(0, 2));
    await play.untilGot(reading, 23);
    await play.quiet();
    expect(range(6).map((lane) => ofLane(lane).length)).toEqual([1, 2, 3, 6, 5, 6]);
    expect(ofLane(3).map(numberOf)).toEqual(range(6));
  });

  when('26: uses a window of one again and again', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const reading = await to.read(undefined, { windows: windowOf(1) });
    await from.publishAll(range(100).map((number) => frame(toNode(to), number)));
    await play.untilGot(reading, 100);
    expect(reading.numbers).toEqual(range(100));
  });

  when('18a: gives all 100 frames of a killed member to another, in their order and marked', async (play) => {
    const { from } = await orphaned(play, 100);
    const heir = await (await play.node()).read(GROUP, { windows: HUNDRED });
    await from.publishAll([frame(toTopic('work'), 100)]);
    await play.until(() => heir.distinct === 101, 'all that was held, and one more', takeoverMs);
    await play.quiet();
    expect(heir.sorted).toEqual(range(101));
    const held = heir.deliveries.filter((delivery) => numberOf(delivery) < 100);
    if (has.keepsOrderOnRedelivery) expect(held.map(numberOf)).toEqual(range(100));
    for (const delivery of held) expect(delivery.isRedelivered).toBe(true);
  });

  when('19: counts deliveries', async (play) => {
    const { from } = await orphaned(play, 1);
    const second = await play.node();
    const reading = await second.read(GROUP, { settle: 'keep' });
    await play.untilGot(reading, 1, takeoverMs);
    const third = await (await play.node()).read(GROUP, { settle: 'keep' });
    await second.kill();
    await play.untilGot(third, 1, takeoverMs);
    const counts = [reading, third].map(({ deliveries: [delivery] }) => delivery?.deliveries);
    if (has.deliveryCount === 'broker') expect(counts).toEqual([2, 3]);
    for (const { deliveries } of [reading, third]) expect(deliveries[0]?.isRedelivered).toBe(true);
    expect((await from.publish([frame(toTopic('work'), 2)]))[0]).toBe('ok');
    await play.untilGot(third, 2);
    expect(third.deliveries[1]).toMatchObject({ deliveries: 1, isRedelivered: false });
  });

  when(
    '20: never gives again what was acknowledged, and gives all else again, after a stop',
    async (play) => {
      const [from, to] = [await play.node(), await play.node()];
      const first = await to.read(undefined, { windows: HUNDRED, settle: 'keep' });
      await from.publishAll(range(100).map((number) => frame(toNode(to), number)));
      await play.untilGot(first, 100);
      first.open.acknowledge(first.deliveries.filter((_, place) => place % 3 === 0));
      await play.within(first.open.stop(), 'stop');
      const second = await to.read(undefined, { windows: HUNDRED });
      const kept = range(100).filter((number) => number % 3 !== 0);
      await play.untilGot(second, kept.length, takeoverMs);
      await play.quiet();
      expect(second.sorted).toEqual(kept);
      if (has.keepsOrderOnRedelivery) expect(second.numbers).toEqual(kept);
      for (const { isRedelivered } of second.deliveries) expect(isRedelivered).toBe(true);
    },
  );

  when(
    ...linkFlag(faults, 'cutRst'),
    '21: settles what came over an earlier connection without effect',
    async (play) => {
      const [from, to] = [await play.node(), await play.node({ hasLink: true })];
      const reading = await to.read(undefined, { settle: 'keep' });
      await from.publishAll(range(20).map((number) => frame(toNode(to), number)));
      await play.untilGot(reading, 20);
      const stale = [...reading.deliveries];
      await to.link.cutRst();
      await play.until(() => !to.isUp, 'the cut');
      await to.link.heal();
      await play.until(() => reading.deliveries.length >= 40, 'all again', takeoverMs);
      const fresh = reading.deliveries.slice(20);
      reading.open.acknowledge(stale.slice(0, 7));
      reading.open.release(stale.slice(7, 14));
      for (const delivery of stale.slice(14)) {
        const burying = reading.open.deadLetter(delivery, { reason: 'late' });
        await play.within(burying, 'dead letter of a stale delivery');
      }
      await play.quiet();
      expect(reading.deliveries).toHaveLength(40);
      expect(await play.harness.deadFrames(play.prefix)).toEqual([]);
      // They are still its own: what is not settled now comes again, what is does not.
      reading.open.acknowledge(fresh.slice(0, 10));
      await play.within(reading.open.stop(), 'stop');
      const next = await to.read();
      await play.untilGot(next, 10, takeoverMs);
      await play.quiet();
      const kept = fresh.slice(10).map(numberOf);
      expect(next.sorted).toEqual(kept.toSorted((a, b) => a - b));
    },
  );

  when('21: settles a delivery once, whatever is called after', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const reading = await to.read(undefined, { windows: windowOf(3), settle: 'keep' });
    await from.publishAll(range(6).map((number) => frame(toNode(to), number)));
    await play.untilGot(reading, 3);
    const [one] = reading.deliveries;
    if (one === undefined) throw new Error('There is no delivery.');
    reading.open.acknowledge([one, one]);
    reading.open.acknowledge([one]);
    reading.open.release([one]);
    await play.within(reading.open.deadLetter(one, { reason: 'late' }), 'dead letter');
    await play.untilGot(reading, 4);
    await play.quiet();
    // One place of the window was given free, and nothing came again.
    expect(reading.numbers).toEqual([0, 1, 2, 3]);
    expect(await play.harness.deadFrames(play.prefix)).toEqual([]);
  });

  when(
    '22: loses nothing that was not settled when 1,000 are settled out of order and the node dies',
    async (play) => {
      const random = play.harness.host.random;
      const order = range(1_000).map((number) => ({ number, key: random() }));
      const settled = new Set(
        order
          .toSorted((a, b) => a.key - b.key)
          .slice(0, 500)
          .map(({ number }) => number),
      );
      const { dead } = await orphaned(play, 1_000, async (reading) => {
        for (const delivery of reading.deliveries.toSorted((a, b) => numberOf(b) - numberOf(a)))
          if (settled.has(numberOf(delivery))) reading.open.acknowledge([delivery]);
        await play.quiet();
      });
      expect(dead.distinct).toBe(1_000);
      const heir = await (await play.node()).read(GROUP, { windows: windowOf(1_000) });
      const kept = range(1_000).filter((number) => !settled.has(number));
      const has1 = (): Set<number> => new Set(heir.numbers);
      await play.until(
        () => kept.every((number) => has1().has(number)),
        'all that was not settled',
        takeoverMs,
      );
    },
  );

  when('gives a released frame again, marked, and to whoever has room', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const first = await to.read(GROUP, { windows: windowOf(10), settle: 'keep' });
    await from.publishAll(range(10).map((number) => frame(toTopic('work'), number)));
    await play.untilGot(first, 10);
    const second = await (await play.node()).read(GROUP, { windows: windowOf(10), settle: 'keep' });
    first.open.release(first.deliveries.slice(2, 5));
    const again = (): Delivery[] => [...first.deliveries.slice(10), ...second.deliveries];
    await play.until(() => again().length >= 3, 'three again');
    await play.quiet();
    expect(
      again()
        .map(numberOf)
        .toSorted((a, b) => a - b),
    ).toEqual([2, 3, 4]);
    for (const delivery of again()) expect(delivery.isRedelivered).toBe(true);
  });

  when(
    'capabilities.keepsOrderOnRedelivery',
    has.keepsOrderOnRedelivery,
    'gives released frames before those that were behind them',
    async (play) => {
      const [from, to] = [await play.node(), await play.node()];
      const first = await to.read(undefined, { windows: windowOf(10), settle: 'keep' });
      await from.publishAll(range(30).map((number) => frame(toNode(to), number)));
      await play.untilGot(first, 10);
      first.open.release(first.deliveries.slice(3).toReversed());
      await play.within(first.open.stop(), 'stop');
      const second = await to.read();
      await play.untilGot(second, 30);
      expect(second.numbers).toEqual(range(30));
    },
  );

  when('keeps a frame as it was for its next reader, whatever the first wrote into it', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const first = await to.read(undefined, { settle: 'keep' });
    await from.publishAll([frame(toNode(to), 5)]);
    await play.untilGot(first, 1);
    first.deliveries[0]?.bytes.fill(0xff);
    await play.within(first.open.stop(), 'stop');
    const second = await to.read();
    await play.untilGot(second, 1, takeoverMs);
    expect(second.numbers).toEqual([5]);
  });

  when('stops reading without taking more, and waits for what it has given out', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const first = await to.read(undefined, { windows: windowOf(5), settle: 'keep' });
    await from.publishAll(range(10).map((number) => frame(toNode(to), number)));
    await play.untilGot(first, 5);
    let isStopped = false;
    const stopping = first.open.stop({ drainMs: 10_000 }).then(() => {
      isStopped = true;
    });
    await play.quiet();
    expect(isStopped).toBe(false);
    first.open.acknowledge(first.deliveries);
    await play.within(stopping, 'stop', 5_000);
    expect(first.numbers).toEqual(range(5));
    const second = await to.read();
    await play.untilGot(second, 5);
    await play.quiet();
    expect(second.numbers).toEqual([5, 6, 7, 8, 9]);
    for (const { isRedelivered } of second.deliveries)
      expect([false, isRedelivered]).toContain(isRedelivered);
  });

  when('stops reading after drainMs at the latest, and gives back what it holds', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const { clock } = play.harness.host;
    const first = await to.read(undefined, { settle: 'keep' });
    await from.publishAll(range(5).map((number) => frame(toNode(to), number)));
    await play.untilGot(first, 5);
    const begun = clock.now();
    const stopping = first.open.stop({ drainMs: 300 });
    expect(first.open.stop()).toBeInstanceOf(Promise);
    await play.within(stopping, 'stop', 10_000);
    expect(clock.now() - begun).toBeGreaterThanOrEqual(299);
    const second = await to.read();
    await play.untilGot(second, 5, takeoverMs);
    expect(second.sorted).toEqual(range(5));
    first.open.acknowledge(first.deliveries);
  });

  when('tells when a receiver throws, and loses nothing', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    let thrown = 0;
    const broken = await play.within(
      to.broker.consume(
        { kind: 'inbox' },
        {
          windows: LANE_WINDOWS,
          receive: () => {
            thrown++;
            throw new Error('the receiver is broken');
          },
        },
      ),
      'consume',
    );
    await from.publishAll(range(10).map((number) => frame(toNode(to), number)));
    await play.until(() => to.states.some(({ state }) => state === 'degraded'), 'degraded');
    expect(thrown).toBeGreaterThan(0);
    expect(String(to.states.find(({ state }) => state === 'degraded')?.cause)).toContain(
      'the receiver is broken',
    );
    await play.within(broken.stop(), 'stop');
    const next = await to.read();
    await play.until(() => next.distinct === 10, 'all ten', takeoverMs);
  });

  when('30: keeps a dead letter with its bytes, reason and error, and forgets the frame', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    await to.listen('orders.*');
    const reading = await to.read(undefined, { settle: 'keep' });
    const sent = [frame(toNode(to), 1, { sizeBytes: 300 }), frame(toTopic('orders.new'), 2)];
    for (const one of sent) await from.publishAll([one]);
    await play.untilGot(reading, 2);
    const [first, second] = reading.deliveries;
    if (first === undefined || second === undefined) throw new Error('Two deliveries were expected.');
    await play.within(reading.open.deadLetter(first, { reason: 'deliveries-exhausted' }), 'dead letter');
    await play.within(
      reading.open.deadLetter(second, { reason: 'frame-invalid', error: 'no é frame' }),
      'dead letter',
    );
    const dead = await play.harness.deadFrames(play.prefix);
    expect(dead.map(({ reason, error }) => ({ reason, error }))).toEqual([
      { reason: 'deliveries-exhausted', error: undefined },
      { reason: 'frame-invalid', error: 'no é frame' },
    ]);
    for (const [place, { bytes }] of dead.entries())
      expect(Buffer.compare(bytes, sent[place]?.bytes ?? new Uint8Array())).toBe(0);
    await play.within(reading.open.stop(), 'stop');
    const next = await to.read();
    await play.quiet();
    expect(next.deliveries).toEqual([]);
  });

  when(
    '30: keeps a part of a frame as its dead letter, where that is all that shall be kept',
    async (play) => {
      const [from, to] = [await play.node(), await play.node()];
      const reading = await to.read(undefined, { settle: 'keep' });
      await from.publishAll([frame(toNode(to), 1, { sizeBytes: 300 })]);
      await play.untilGot(reading, 1);
      const [delivery] = reading.deliveries;
      if (delivery === undefined) throw new Error('A delivery was expected.');
      const bytes = delivery.bytes.slice(0, 20);
      await play.within(reading.open.deadLetter(delivery, { reason: 'frame-invalid', bytes }), 'dead letter');
      const [dead] = await play.harness.deadFrames(play.prefix);
      expect(Buffer.compare(dead?.bytes ?? new Uint8Array(), bytes)).toBe(0);
    },
  );

  when('30: gives the place of a dead letter in the window to the next frame', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const reading = await to.read(undefined, { windows: windowOf(1), settle: 'keep' });
    await from.publishAll(range(3).map((number) => frame(toNode(to), number)));
    for (const place of range(3)) {
      await play.untilGot(reading, place + 1);
      const delivery = reading.deliveries[place];
      if (delivery === undefined) throw new Error('A delivery was expected.');
      await play.within(reading.open.deadLetter(delivery, { reason: 'tired' }), 'dead letter');
    }
    expect((await play.harness.deadFrames(play.prefix)).map(numberOf)).toEqual(range(3));
  });

  when(
    'faults.refuseDeadLetters',
    faults.refuseDeadLetters !== undefined,
    '33: leaves a frame unsettled when its dead letter cannot be kept',
    async (play) => {
      const [from, to] = [await play.node(), await play.node()];
      const reading = await to.read(undefined, { settle: 'keep' });
      await from.publishAll([frame(toNode(to), 1)]);
      await play.untilGot(reading, 1);
      const [delivery] = reading.deliveries;
      if (delivery === undefined) throw new Error('A delivery was expected.');
      const allow = await faults.refuseDeadLetters?.(play.prefix);
      const burying = reading.open.deadLetter(delivery, { reason: 'tired' });
      await expect(play.within(burying, 'dead letter', 30_000)).rejects.toBeInstanceOf(Error);
      await allow?.();
      expect(await play.harness.deadFrames(play.prefix)).toEqual([]);
      // By its own reader, or by the next one if its connection had to be made anew.
      await play.within(reading.open.stop(), 'stop');
      const next = await to.read(undefined, { settle: 'keep' });
      await play.untilGot(next, 1, takeoverMs);
      const [again] = next.deliveries;
      if (again === undefined) throw new Error('A delivery was expected.');
      await play.within(next.open.deadLetter(again, { reason: 'tired' }), 'dead letter', 30_000);
      expect((await play.harness.deadFrames(play.prefix)).map(numberOf)).toEqual([1]);
    },
  );

  when(
    ...linkFlag(faults, 'cutRst'),
    '33: settles a dead letter within its time, and loses nothing, when the connection is cut',
    async (play) => {
      const [from, to] = [await play.node(), await play.node({ hasLink: true })];
      const reading = await to.read(undefined, { settle: 'keep' });
      await from.publishAll([frame(toNode(to), 1)]);
      await play.untilGot(reading, 1);
      const [delivery] = reading.deliveries;
      if (delivery === undefined) throw new Error('A delivery was expected.');
      await to.link.cutRst();
      const burying = reading.open.deadLetter(delivery, { reason: 'tired' }).catch(() => undefined);
      await play.within(burying, 'dead letter', 30_000);
      await to.link.heal();
      const isKept = async (): Promise<boolean> =>
        reading.deliveries.length > 1 || (await play.harness.deadFrames(play.prefix)).length > 0;
      await play.until(isKept, 'the frame again, or its dead letter', takeoverMs);
    },
  );
}
