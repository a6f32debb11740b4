/** Cases about opening, closing, names, and what is left behind. */

import { expect } from 'vitest';
import type { Source } from '../../../src/protocol/broker.ts';
import { isTroupeError } from '../../../src/protocol/errors.ts';
import { type BrokerPlay, frame, type PlayNode, range, toNode, toTopic } from '../../support/broker-play.ts';
import { type BrokerCases, IS_FULL } from './cases.ts';

const SLACK_MS = 15_000;

export function lifeCases({ has, when }: BrokerCases): void {
  const takeoverMs = has.takeoverMs + SLACK_MS;

  /** The error that opening ends with. */
  const refusalOf = async (play: BrokerPlay, node: PlayNode): Promise<unknown> =>
    play.within(
      play.openNode(node).then(
        () => undefined,
        (error: unknown) => error,
      ),
      'open',
      60_000,
    );

  when('refuses a name that a living node has, and harms nobody', async (play) => {
    const first = await play.node({ name: 'taken' });
    const reading = await first.read();
    const second = await play.newNode({ name: 'taken' });
    expect(await refusalOf(play, second)).toMatchObject({
      code: 'ERR_NAME_TAKEN',
      details: { name: 'taken' },
    });
    await first.publishAll([frame(toNode(first), 1)]);
    await play.untilGot(reading, 1);
  });

  when('frees a name by close, and its next holder begins with an empty inbox', async (play) => {
    const from = await play.node();
    const first = await play.node({ name: 'again' });
    await first.listen('news');
    await from.publishAll(range(5).map((number) => frame(toNode(first), number)));
    await first.close();
    const second = await play.node({ name: 'again' });
    const reading = await second.read();
    await from.publishAll([frame(toTopic('news'), 6), frame(toNode(second), 7)]);
    await play.untilGot(reading, 1);
    await play.quiet();
    expect(reading.numbers).toEqual([7]);
  });

  when('frees the name of a node that was killed', async (play) => {
    const from = await play.node();
    const first = await play.node({ name: 'phoenix' });
    await from.publishAll([frame(toNode(first), 1)]);
    await first.kill();
    const end = play.harness.host.clock.now() + takeoverMs;
    for (;;) {
      const second = await play.newNode({ name: 'phoenix' });
      const refusal = await refusalOf(play, second);
      if (refusal === undefined) {
        const reading = await second.read();
        await from.publishAll([frame(toNode(second), 2)]);
        await play.untilGot(reading, 1);
        await play.quiet();
        expect(reading.numbers).toEqual([2]);
        return;
      }
      expect(refusal).toMatchObject({ code: 'ERR_NAME_TAKEN' });
      if (play.harness.host.clock.now() > end)
        throw new Error(`The name is still taken after ${takeoverMs} ms.`);
    }
  });

  when('lets one node of two that open under a name at once have it', async (play) => {
    const nodes = [await play.newNode({ name: 'race' }), await play.newNode({ name: 'race' })];
    const refusals = await Promise.all(nodes.map((node) => refusalOf(play, node)));
    expect(refusals.filter((refusal) => refusal === undefined)).toHaveLength(1);
    expect(refusals.find((refusal) => refusal !== undefined)).toMatchObject({ code: 'ERR_NAME_TAKEN' });
  });

  when('reads the inbox once', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const first = await to.read();
    await expect(to.read()).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
    await from.publishAll([frame(toNode(to), 1)]);
    await play.untilGot(first, 1);
    await play.within(first.open.stop(), 'stop');
    const second = await to.read();
    await from.publishAll([frame(toNode(to), 2)]);
    await play.untilGot(second, 1);
    expect([first.numbers, second.numbers]).toEqual([[1], [2]]);
  });

  when('54: answers every call after close, and close itself any number of times', async (play) => {
    const [node, other] = [await play.node(), await play.node()];
    const reading = await node.read();
    await node.close();
    await node.close();
    expect(await node.publish([frame(toNode(other), 1), frame(toTopic('a'), 2)])).toEqual([
      'unavailable',
      'unavailable',
    ]);
    const calls = [
      node.broker.listen('a'),
      node.broker.unlisten('a'),
      node.broker.backlog({ kind: 'inbox' }),
      node.broker.consume({ kind: 'inbox' }, { windows: [1, 1, 1, 1, 1, 1], receive: () => undefined }),
      play.openNode(node),
    ];
    for (const result of await play.within(Promise.allSettled(calls), 'calls after close'))
      if (result.status === 'rejected')
        expect(isTroupeError(result.reason, 'ERR_BROKER_UNAVAILABLE')).toBe(true);
    const [listened, , , consumed] = await Promise.allSettled(calls);
    expect([listened?.status, consumed?.status]).toEqual(['rejected', 'rejected']);
    reading.open.acknowledge(reading.deliveries);
    await play.within(reading.open.stop(), 'stop');
  });

  when('54: answers every call before open', async (play) => {
    const node = await play.newNode();
    expect(await node.publish([frame(toTopic('a'), 1)])).toEqual(['unavailable']);
    await expect(node.listen('a')).rejects.toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
    await expect(node.read()).rejects.toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
    await node.close();
    expect(await refusalOf(play, node)).toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
  });

  when('54: confirms what was published before close, and what waits at others stays', async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const publishing = from.broker.publish(range(50).map((number) => frame(toNode(to), number)));
    await from.close();
    const results = await play.within(publishing, 'publish');
    const reading = await to.read();
    const taken = range(50).filter((number) => results[number] === 'ok');
    await play.until(() => taken.every((number) => reading.numbers.includes(number)), 'all that was taken');
  });

  when('54: stops a reader by close, and gives what it held in a group to another', async (play) => {
    const [from, first, second] = [await play.node(), await play.node(), await play.node()];
    const source: Source = { kind: 'group', group: 'workers', pattern: 'work' };
    const held = await first.read(source, { settle: 'keep' });
    await from.publishAll(range(20).map((number) => frame(toTopic('work'), number)));
    await play.untilGot(held, 20);
    await first.close();
    const next = await second.read(source);
    await play.untilGot(next, 20, takeoverMs);
    expect(next.sorted).toEqual(range(20));
  });

  when(
    'capabilities.reportsUnroutable',
    has.reportsUnroutable,
    '54: knows that a node that was closed is no more',
    async (play) => {
      const [from, to] = [await play.node(), await play.node()];
      await to.close();
      await play.until(
        async () => (await from.publish([frame(toNode(to), 1)]))[0] === 'unroutable',
        'the node is gone',
      );
    },
  );

  when('54: leaves no socket and no timer of a node that was closed', async (play) => {
    const busy = async (): Promise<void> => {
      const [from, to] = [await play.node(), await play.node()];
      await to.listen('news');
      const readings = [await to.read(), await to.read({ kind: 'group', group: 'workers', pattern: 'news' })];
      await from.publishAll([frame(toTopic('news'), 1), frame(toNode(to), 2)]);
      for (const [place, reading] of readings.entries()) await play.untilGot(reading, 2 - place);
      await Promise.all([from.close(), to.close()]);
    };
    // What a driver keeps once for the process is no leak.
    await busy();
    await play.quiet(300);
    const before = activeResources();
    await busy();
    await play.until(
      () => activeResources() <= before,
      `no more than the ${before} sockets and timers there were`,
    );
  });

  const rounds = IS_FULL ? 100 : 10;
  when(`55: reads and hears as before after ${rounds} readers and listeners came and went`, async (play) => {
    const [from, to] = [await play.node(), await play.node()];
    const source: Source = { kind: 'group', group: 'workers', pattern: 'work' };
    for (let round = 0; round < rounds; round++) {
      const passing = [await to.read(), await to.read(source)];
      await to.listen(`round-${round}.#`);
      await to.listen('news');
      for (const { open } of passing) await play.within(open.stop(), 'stop');
      await to.unlisten('news');
    }
    const [inbox, group] = [await to.read(), await to.read(source)];
    await to.listen('news');
    await from.publishAll([
      frame(toTopic('news'), 1),
      frame(toTopic('work'), 2),
      frame(toTopic('round-0.a'), 3),
    ]);
    await play.untilGot(inbox, 2);
    await play.untilGot(group, 1);
    await play.quiet(300);
    expect([inbox.sorted, group.sorted]).toEqual([[1, 3], [2]]);
  });

  when(
    'capabilities.leavesNothing',
    has.leavesNothing,
    '56: leaves nothing but dead letters when all is closed and its time is over',
    async (play) => {
      const options = { expiresMs: 2_000 };
      const nodes = [
        await play.node({ options }),
        await play.node({ options }),
        await play.node({ options }),
      ];
      const [from, to, victim] = nodes;
      if (from === undefined || to === undefined || victim === undefined) throw new Error('Three nodes.');
      await to.listen('news.#');
      const inbox = await to.read(undefined, { settle: 'keep' });
      const group = await to.read({ kind: 'group', group: 'workers', pattern: 'work' });
      await from.publishAll([
        ...range(10).map((number) => frame(toNode(to), number)),
        ...range(10).map((number) => frame(toTopic('work'), number)),
        frame(toTopic('news.today'), 1),
        frame(toNode(victim), 1),
      ]);
      await play.untilGot(inbox, 11);
      await play.untilGot(group, 10);
      const [dead] = inbox.deliveries;
      if (dead !== undefined)
        await play.within(inbox.open.deadLetter(dead, { reason: 'test' }), 'dead letter');
      expect(await play.harness.leftovers(play.prefix)).not.toEqual([]);
      await victim.kill();
      await play.passAll(has.takeoverMs);
      await to.close();
      await from.publish([frame(toTopic('work'), 99)]);
      await from.close();
      await play.passAll(3_000);
      // Whoever comes later finds a clean place, or makes it one: the dead do not clean up, so the living do.
      const last = await play.node({ options });
      await play.passAll(has.takeoverMs + 3_000);
      await last.close();
      await play.until(
        async () => (await play.harness.leftovers(play.prefix)).length === 0,
        'nothing left',
        takeoverMs,
      );
      expect(await play.harness.deadFrames(play.prefix)).toHaveLength(1);
    },
  );

  when('56: forgets a group without members after its time, and not before', async (play) => {
    const options = { expiresMs: 3_000 };
    const [from, to] = [await play.node({ options }), await play.node({ options })];
    const source: Source = { kind: 'group', group: 'short', pattern: 'work' };
    const first = await to.read(source);
    await play.within(first.open.stop(), 'stop');
    await play.passAll(500);
    await from.publishAll([frame(toTopic('work'), 1)]);
    const second = await to.read(source);
    await play.untilGot(second, 1);
    await play.within(second.open.stop({ drainMs: 1_000 }), 'stop');
    if (!has.leavesNothing) return;
    await from.publishAll([frame(toTopic('work'), 2)]);
    await play.passAll(5_000);
    const third = await to.read(source);
    await from.publishAll([frame(toTopic('work'), 3)]);
    await play.untilGot(third, 1);
    await play.quiet();
    expect(third.numbers).toEqual([3]);
  });
}

/** Sockets and timers that keep this process alive; servers are not a broker's. */
function activeResources(): number {
  return process
    .getActiveResourcesInfo()
    .filter((type) => /^(TCPSocketWrap|TLSWrap|PipeWrap|Timeout)$/.test(type)).length;
}
