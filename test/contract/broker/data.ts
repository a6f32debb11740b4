/** Cases about what arrives where: destinations, topics, groups, order, bytes. */

import { expect } from 'vitest';
import { type Delivery, LANES, type Source } from '../../../src/protocol/broker.ts';
import { BrokerPlay, frame, numberOf, range, senderOf, toNode, toTopic } from '../../support/broker-play.ts';
import type { BrokerCases } from './cases.ts';

const KIB = 1_024;
const BURST_BYTES_MAX = 512 * KIB;

export function dataCases({ harness, has, sizes, when }: BrokerCases): void {
  when(
    'refuses to read with windows that are none: a broker would take some of them for no bound',
    async (play) => {
      const node = await play.node();
      for (const windows of [
        [0, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 65_536],
        [1, 1, 1, 1, 1, 1.5],
      ])
        await expect(node.read({ kind: 'inbox' }, { windows: windows as never })).rejects.toMatchObject({
          code: 'ERR_OPTION_INVALID',
        });
      await node.read();
    },
  );

  when('says of itself what its row of the flag table says', async (play) => {
    const node = await play.node();
    expect(node.broker.capabilities).toEqual(harness.capabilities);
    expect(node.broker.kind).toMatch(/^[a-z]+$/);
  });

  when('1: delivers what is sent to a node, once, in its lane', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const reading = await to.read();
    await from.publishAll(LANES.map((lane) => frame(toNode(to), lane, { lane })));
    await play.untilGot(reading, 6);
    await play.quiet();
    expect(reading.sorted).toEqual(LANES);
    for (const delivery of reading.deliveries) {
      expect(delivery).toMatchObject({ lane: numberOf(delivery), deliveries: 1, isRedelivered: false });
      expect(delivery.topic).toBeUndefined();
    }
  });

  when('1: gives a node what was sent before it began to read', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    await from.publishAll(range(50).map((number) => frame(toNode(to), number)));
    const reading = await to.read();
    await play.untilGot(reading, 50);
    expect(reading.numbers).toEqual(range(50));
  });

  when('1: lets a node send to itself', async (play) => {
    const node = await play.node();
    const reading = await node.read();
    await node.publishAll([frame(toNode(node), 7)]);
    await play.untilGot(reading, 1);
    expect(reading.numbers).toEqual([7]);
  });

  when('1: keeps prefixes apart, whatever the names are', async (play) => {
    const other = new BrokerPlay(harness);
    const nodes = [await play.node({ name: 'same' }), await other.node({ name: 'same' })] as const;
    for (const node of nodes) await node.listen('#');
    const source: Source = { kind: 'group', group: 'same', pattern: '#' };
    const readings = await Promise.all(nodes.flatMap((node) => [node.read(), node.read(source)]));
    for (const [number, node] of nodes.entries())
      await node.publishAll([frame(toNode(node), number), frame(toTopic('news'), number)]);
    for (const [place, count] of [2, 1, 2, 1].entries()) {
      const reading = readings[place];
      if (reading !== undefined) await play.untilGot(reading, count);
    }
    await play.quiet();
    expect(readings.map(({ numbers }) => numbers)).toEqual([[0, 0], [0], [1, 1], [1]]);
    await other.end();
  });

  when('answers an empty call with no results', async (play) => {
    const node = await play.node();
    expect(await node.publish([])).toEqual([]);
  });

  for (const sizeBytes of [256, 4 * KIB]) {
    when(`2: keeps the order of ${sizes.ordered} frames of ${sizeBytes} bytes`, async (play) => {
      const [from, to] = [await play.node(), await play.node()];
      const reading = await to.read();
      const frames = range(sizes.ordered).map((number) => frame(toNode(to), number, { sizeBytes }));
      await from.publishUntilTaken(frames);
      await play.untilGot(reading, sizes.ordered, 60_000);
      expect(reading.numbers).toEqual(range(sizes.ordered));
    });
  }

  when('2: keeps the order of each lane and each destination when one call holds several', async (play) => {
    const from = await play.node();
    const nodes = [await play.node(), await play.node()];
    const readings = await Promise.all(nodes.map((node) => node.read()));
    const frames = range(600).map((number) =>
      frame(toNode(nodes[number % 2] ?? from), number, { lane: LANES[number % 6] ?? 0 }),
    );
    await from.publishAll(frames);
    for (const [place, reading] of readings.entries()) {
      await play.untilGot(reading, 300);
      for (const lane of LANES) {
        const numbers = reading.deliveries.filter((delivery) => delivery.lane === lane).map(numberOf);
        expect(numbers).toEqual(range(600).filter((n) => n % 2 === place && n % 6 === lane));
      }
    }
  });

  when('2: keeps the order across full lanes, when the caller publishes again from there', async (play) => {
    const options = { maxLength: 20 };
    const [from, to] = [await play.node({ options }), await play.node({ options })];
    const reading = await to.read();
    await from.publishUntilTaken(range(500).map((number) => frame(toNode(to), number)));
    await play.until(() => reading.distinct === 500, '500 numbers');
    await play.quiet();
    // What was behind a refused frame may have been taken too: then it came twice, and the last time in order.
    const last = new Map(reading.numbers.map((number, place) => [number, place]));
    const inOrderOfLast = [...last].toSorted((a, b) => a[1] - b[1]).map(([number]) => number);
    expect(inOrderOfLast).toEqual(range(500));
  });

  when('3: keeps the order of each of two senders whose frames interleave', async (play) => {
    const senders = [await play.node(), await play.node()];
    const to = await play.node();
    const reading = await to.read();
    const publishing = senders.map((sender, index) =>
      sender.publishUntilTaken(range(500).map((number) => frame(toNode(to), number, { sender: index }))),
    );
    await Promise.all(publishing);
    await play.untilGot(reading, 1_000);
    for (const index of [0, 1]) {
      const own = reading.deliveries.filter((delivery) => senderOf(delivery) === index).map(numberOf);
      expect(own).toEqual(range(500));
    }
  });

  when('7: brings a topic once to every node with a pattern that fits, and to no other', async (play) => {
    const patterns = [['a.*.c'], ['a.#'], ['a.b.c'], ['a.*'], ['#'], ['a.b.c', 'a.*.c', 'a.#'], ['b.#'], []];
    const topics = ['a', 'a.b', 'a.b.c', 'a.b.c.d', 'b', 'b.c'];
    const expected = [[2], [0, 1, 2, 3], [2], [1], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3], [4, 5], []];
    const from = await play.node();
    const readings = await Promise.all(
      patterns.map(async (own) => {
        const node = await play.node();
        for (const pattern of own) await node.listen(pattern);
        return node.read();
      }),
    );
    await from.publishAll(topics.map((topic, number) => frame(toTopic(topic), number)));
    for (const [place, reading] of readings.entries())
      await play.untilGot(reading, expected[place]?.length ?? 0);
    await play.quiet();
    // The order between topics is nobody's promise.
    expect(readings.map((reading) => reading.sorted)).toEqual(expected);
    for (const { deliveries } of readings)
      for (const delivery of deliveries) expect(delivery.topic).toBe(topics[numberOf(delivery)]);
  });

  when('7: takes a topic to which nobody listens', async (play) => {
    const node = await play.node();
    expect(await node.publish([frame(toTopic('nobody.listens'), 1)])).toEqual(['ok']);
  });

  when('8: never crosses what two readers of one node read', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    await to.listen('x.#');
    const inbox = await to.read();
    const first = await to.read({ kind: 'group', group: 'first', pattern: 'y.#' });
    const second = await to.read({ kind: 'group', group: 'second', pattern: 'z.#' });
    const topics = ['x.1', 'y.1', 'z.1'];
    await from.publishAll(range(300).map((number) => frame(toTopic(topics[number % 3] ?? ''), number)));
    for (const [rest, reading] of [inbox, first, second].entries()) {
      await play.untilGot(reading, 100);
      await play.quiet(20);
      expect(reading.numbers).toEqual(range(300).filter((number) => number % 3 === rest));
    }
  });

  when('9: gives each frame of a group to exactly one member, and every member some', async (play) => {
    const from = await play.node();
    const source = { kind: 'group', group: 'workers', pattern: 'orders.*' } as const;
    // Small windows, so that nobody can take all of it at once.
    const reading = { windows: [4, 4, 4, 4, 4, 4] } as const;
    const nodes = [await play.node(), await play.node(), await play.node()];
    const members = await Promise.all(nodes.map((node) => node.read(source, reading)));
    await from.publishUntilTaken(range(600).map((number) => frame(toTopic('orders.new'), number)));
    const all = (): Delivery[] => members.flatMap(({ deliveries }) => deliveries);
    await play.until(() => all().length >= 600, '600 deliveries');
    await play.quiet();
    expect(
      all()
        .map(numberOf)
        .toSorted((a, b) => a - b),
    ).toEqual(range(600));
    for (const { deliveries } of members) expect(deliveries.length).toBeGreaterThan(0);
  });

  when('9: loses nothing of a group when members come and go', async (play) => {
    const from = await play.node();
    const source = { kind: 'group', group: 'workers', pattern: 'orders.#' } as const;
    const first = await (await play.node()).read(source);
    const publishing = from.publishUntilTaken(range(1_000).map((number) => frame(toTopic('orders'), number)));
    await play.untilGot(first, 1);
    const second = await (await play.node()).read(source);
    await play.within(first.open.stop(), 'stop');
    const third = await (await play.node()).read(source);
    await play.within(publishing, 'publish', 60_000);
    const all = (): Delivery[] => [first, second, third].flatMap(({ deliveries }) => deliveries);
    await play.until(() => new Set(all().map(numberOf)).size === 1_000, 'all 1,000', 60_000);
    // What the first had got and could not settle any more came again, marked.
    const repeats = all().length - 1_000;
    expect(repeats).toBeLessThanOrEqual(all().filter(({ isRedelivered }) => isRedelivered).length);
  });

  when('9: takes groups of one name and different patterns for different ones', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const all = await to.read({ kind: 'group', group: 'audit', pattern: '#' });
    const some = await to.read({ kind: 'group', group: 'audit', pattern: 'orders.*' });
    await from.publishAll([frame(toTopic('orders.new'), 1), frame(toTopic('mails.new'), 2)]);
    await play.untilGot(all, 2);
    await play.untilGot(some, 1);
    await play.quiet();
    expect(all.sorted).toEqual([1, 2]);
    expect(some.numbers).toEqual([1]);
  });

  when('9: lets one node be in a group several times', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const source = { kind: 'group', group: 'workers', pattern: 'orders' } as const;
    const windows = [2, 2, 2, 2, 2, 2] as const;
    const members = [await to.read(source, { windows }), await to.read(source, { windows })];
    await from.publishUntilTaken(range(200).map((number) => frame(toTopic('orders'), number)));
    const all = (): number[] => members.flatMap(({ numbers }) => numbers);
    await play.until(() => all().length >= 200, '200 deliveries');
    expect(all().toSorted((a, b) => a - b)).toEqual(range(200));
    for (const { deliveries } of members) expect(deliveries.length).toBeGreaterThan(0);
  });

  when('9: begins a group with its first member, and keeps what comes while it has none', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const source = { kind: 'group', group: 'late', pattern: 'orders' } as const;
    await from.publishAll([frame(toTopic('orders'), 1)]);
    const first = await to.read(source);
    await from.publishAll([frame(toTopic('orders'), 2)]);
    await play.untilGot(first, 1);
    await play.within(first.open.stop({ drainMs: 1_000 }), 'stop');
    await from.publishAll([frame(toTopic('orders'), 3)]);
    const second = await (await play.node()).read(source);
    await play.untilGot(second, 1);
    await play.quiet();
    expect(first.numbers).toEqual([2]);
    expect(second.numbers).toEqual([3]);
  });

  when('10: misses nothing that another publishes after listen has resolved', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const reading = await to.read();
    for (const number of range(30)) {
      await to.listen(`topic-${number}.*`);
      expect(await from.publish([frame(toTopic(`topic-${number}.now`), number)])).toEqual(['ok']);
    }
    await play.untilGot(reading, 30);
    expect(reading.numbers).toEqual(range(30));
  });

  when('10: misses nothing that is published after consume of a group has resolved', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    for (const number of range(10)) {
      const source = { kind: 'group', group: `group-${number}`, pattern: 'now' } as const;
      const reading = await to.read(source);
      expect(await from.publish([frame(toTopic('now'), number)])).toEqual(['ok']);
      await play.untilGot(reading, 1);
      expect(reading.numbers).toEqual([number]);
    }
  });

  when('11: stops a pattern by unlisten, and goes on with the others that fit', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const reading = await to.read();
    await to.listen('a.*');
    await to.listen('#');
    await to.unlisten('a.*');
    await from.publishAll([frame(toTopic('a.b'), 1)]);
    await play.untilGot(reading, 1);
    await to.unlisten('#');
    await from.publishAll([frame(toTopic('a.b'), 2), frame(toNode(to), 3)]);
    await play.untilGot(reading, 2);
    await play.quiet();
    expect(reading.numbers).toEqual([1, 3]);
  });

  when('11: counts listen and unlisten of one pattern', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const reading = await to.read();
    await to.listen('a.*');
    await to.listen('a.*');
    await to.unlisten('a.*');
    await from.publishAll([frame(toTopic('a.b'), 1)]);
    await play.untilGot(reading, 1);
    await to.unlisten('a.*');
    await to.unlisten('a.*');
    await from.publishAll([frame(toTopic('a.b'), 2), frame(toNode(to), 3)]);
    await play.untilGot(reading, 2);
    await play.quiet();
    expect(reading.numbers).toEqual([1, 3]);
  });

  when('12: brings every byte, none, and as many as there may be', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const reading = await to.read();
    const every = Uint8Array.from({ length: 256 }, (_, index) => index);
    const largest = new Uint8Array(has.frameBytesMax).fill(0xa5);
    const sent = [every, new Uint8Array(0), largest];
    for (const bytes of sent)
      expect(await from.publish([{ to: toNode(to), lane: 3, bytes }])).toEqual(['ok']);
    await play.untilGot(reading, 3, 60_000);
    for (const [place, bytes] of sent.entries())
      expect(Buffer.compare(reading.deliveries[place]?.bytes ?? new Uint8Array(1), bytes)).toBe(0);
  });

  when('12: refuses a byte more than there may be, and takes the rest of the call', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const reading = await to.read();
    const tooLarge = { to: toNode(to), lane: 3, bytes: new Uint8Array(has.frameBytesMax + 1) } as const;
    const results = await from.publish([frame(toNode(to), 1), tooLarge, frame(toNode(to), 2)]);
    expect(results).toEqual(['ok', 'too-large', 'ok']);
    await play.untilGot(reading, 2);
    await play.quiet();
    expect(reading.numbers).toEqual([1, 2]);
  });

  when('12: takes many large frames at once', async (play) => {
    const sizeBytes = Math.min(BURST_BYTES_MAX, has.frameBytesMax);
    const [from, to] = [await play.node(), await play.node()];
    const reading = await to.read();
    await from.publishUntilTaken(range(30).map((number) => frame(toNode(to), number, { sizeBytes })));
    await play.untilGot(reading, 30, 60_000);
    expect(reading.numbers).toEqual(range(30));
    expect(reading.deliveries.every(({ bytes }) => bytes.byteLength === sizeBytes)).toBe(true);
  });

  when(`14: serves ${sizes.nodes} nodes and ${sizes.topics} topics at once`, async (play) => {
    const nodes = await Promise.all(range(sizes.nodes).map(() => play.node()));
    const readings = await Promise.all(nodes.map((node) => node.read()));
    const ownerOf = (topic: number): number => topic % nodes.length;
    await Promise.all(
      nodes.map(async (node, place) => {
        for (const topic of range(sizes.topics))
          if (ownerOf(topic) === place) await node.listen(`t.${topic}`);
      }),
    );
    const [first] = nodes;
    await first?.publishUntilTaken(range(sizes.topics).map((topic) => frame(toTopic(`t.${topic}`), topic)));
    for (const [place, reading] of readings.entries()) {
      const own = range(sizes.topics).filter((topic) => ownerOf(topic) === place);
      await play.untilGot(reading, own.length, 60_000);
      expect(reading.sorted).toEqual(own);
    }
  });

  when(
    'capabilities.reportsUnroutable',
    has.reportsUnroutable,
    'tells that there is no such node, and takes the rest of the call',
    async (play) => {
      const [from, to] = [await play.node(), await play.node()];
      const results = await from.publish([frame({ kind: 'node', node: 'nobody' }, 1), frame(toNode(to), 2)]);
      expect(results).toEqual(['unroutable', 'ok']);
    },
  );

  when('32: delivers what is not yet expired, and drops what is never in silence', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const now = harness.host.clock.wallNow();
    await from.publishAll([
      { ...frame(toNode(to), 1), expiresAtMs: now - 1_000 },
      { ...frame(toNode(to), 2), expiresAtMs: now + 3_600_000 },
      frame(toNode(to), 3),
    ]);
    const reading = await to.read();
    await play.until(() => reading.numbers.includes(3), 'the last');
    await play.quiet();
    expect(reading.numbers.filter((number) => number !== 1)).toEqual([2, 3]);
    // A reader sees to it itself; a broker that does, keeps it as what it is.
    const dead = await harness.deadFrames(play.prefix);
    const isGiven = reading.numbers.includes(1);
    expect(dead.map((one) => [numberOf(one), one.reason])).toEqual(isGiven ? [] : [[1, 'expired']]);
  });
}
