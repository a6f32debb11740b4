/** Cases about shards: one owner at a time, epochs that increase, and frames that outlive owners in their order. */

import { expect } from 'vitest';
import type { Delivery } from '../../../src/protocol/broker.ts';
import type { Shard } from '../../../src/protocol/sharding.ts';
import type { LinkFault } from '../../support/broker-harness.ts';
import {
  type BrokerPlay,
  type Claiming,
  frame,
  numberOf,
  type PlayNode,
  type Reading,
  range,
  senderOf,
  toShard,
} from '../../support/broker-play.ts';
import { type BrokerCases, linkFlag, SHORT_TIMES } from './cases.ts';

/** Milliseconds beside the adapter's own bounds: the machine may be busy. */
const SLACK_MS = 15_000;

const shardOf = (shard: number, shards = 64, group = 'accounts'): Shard => ({ group, shard, shards });

export function shardCases({ has, faults, sizes, when }: BrokerCases): void {
  const hasShards = has.grantMs !== undefined;
  const whenShards = (name: string, run: (play: BrokerPlay) => Promise<void>): void =>
    when('grantMs', hasShards, name, run);
  const node = (play: BrokerPlay, hasLink = false): Promise<PlayNode> =>
    play.node({ options: SHORT_TIMES, hasLink });
  const withLink = (fault: LinkFault): [flag: string, has: boolean] =>
    hasShards ? linkFlag(faults, fault) : ['grantMs', false];
  const boundOf = ({ broker: { capabilities } }: PlayNode): number =>
    capabilities.takeoverMs + (capabilities.grantMs ?? 0) + SLACK_MS;
  const untilOwned = (play: BrokerPlay, owner: PlayNode, claim: Claiming): Promise<void> =>
    play.until(() => claim.epoch() !== undefined, `that ${owner.name} owns it`, boundOf(owner));

  whenShards(
    `38: gives each of ${sizes.shards} shards one owner of three nodes that claim all`,
    async (play) => {
      const nodes = [await node(play), await node(play), await node(play)];
      const claims = await Promise.all(
        nodes.map((one) => Promise.all(range(sizes.shards).map((shard) => one.claim(shardOf(shard))))),
      );
      const owners = (shard: number): number =>
        claims.filter((own) => own[shard]?.epoch() !== undefined).length;
      await play.until(
        () => range(sizes.shards).every((shard) => owners(shard) > 0),
        'an owner of each shard',
        boundOf(nodes[0] as PlayNode),
      );
      await play.quiet();
      expect(range(sizes.shards).map(owners)).toEqual(range(sizes.shards).map(() => 1));
    },
  );

  whenShards('38: brings to the owner of a shard what is sent to it, and to nobody else', async (play) => {
    const [a, b] = [await node(play), await node(play)];
    const [one, two] = [shardOf(1), shardOf(2)];
    const [claimA, claimB] = [await a.claim(one), await b.claim(two)];
    await untilOwned(play, a, claimA);
    await untilOwned(play, b, claimB);
    const readingA = await a.read({ kind: 'shard', ...one });
    const readingB = await b.read({ kind: 'shard', ...two });
    await b.publishAll(range(20).map((number) => frame(toShard(number % 2 === 0 ? one : two), number)));
    await play.untilGot(readingA, 10);
    await play.untilGot(readingB, 10);
    await play.quiet();
    expect(readingA.numbers).toEqual(range(10).map((number) => 2 * number));
    expect(readingB.numbers).toEqual(range(10).map((number) => 2 * number + 1));
  });

  whenShards('38: keeps what is sent to a shard that nobody owns for its next owner', async (play) => {
    const [from, first, second] = [await node(play), await node(play), await node(play)];
    const shard = shardOf(0);
    const claim = await first.claim(shard);
    await untilOwned(play, first, claim);
    await claim.release();
    await from.publishAll(range(10).map((number) => frame(toShard(shard), number)));
    const next = await second.claim(shard);
    await untilOwned(play, second, next);
    const reading = await second.read({ kind: 'shard', ...shard });
    await play.untilGot(reading, 10);
    expect(reading.numbers).toEqual(range(10));
  });

  whenShards('38: says that a shard is unroutable that nobody has claimed', async (play) => {
    const from = await node(play);
    if (!has.reportsUnroutable) return;
    expect(await from.publish([frame(toShard(shardOf(5)), 1)])).toEqual(['unroutable']);
  });

  whenShards('25: bounds a shard, and shows its backlog', async (play) => {
    const owner = await play.node({ options: { ...SHORT_TIMES, maxLength: 5 } });
    const shard = shardOf(3);
    await untilOwned(play, owner, await owner.claim(shard));
    const results = await owner.publish(range(5).map((number) => frame(toShard(shard), number)));
    expect(results).toEqual(range(5).map(() => 'ok'));
    await play.until(
      async () => (await owner.backlog({ kind: 'shard', ...shard }))?.[3] === 5,
      'a backlog of five',
    );
    if (has.bound !== 'exact') return;
    expect(await owner.publish([frame(toShard(shard), 6)])).toEqual(['full']);
  });

  whenShards('42: keeps shards of different groups, and of one number, apart', async (play) => {
    const [a, b] = [await node(play), await node(play)];
    const [mine, yours] = [shardOf(7, 64, 'mine'), shardOf(7, 64, 'yours')];
    const claims = [await a.claim(mine), await b.claim(yours)] as const;
    await untilOwned(play, a, claims[0]);
    await untilOwned(play, b, claims[1]);
    const readings = [
      await a.read({ kind: 'shard', ...mine }),
      await b.read({ kind: 'shard', ...yours }),
    ] as const;
    await a.publishAll([frame(toShard(mine), 1), frame(toShard(yours), 2)]);
    await play.untilGot(readings[0], 1);
    await play.untilGot(readings[1], 1);
    await claims[0].release();
    await play.quiet();
    expect(readings.map(({ numbers }) => numbers)).toEqual([[1], [2]]);
    expect(claims[1].told).toHaveLength(1);
  });

  whenShards('40: lets nobody but its owner read a shard', async (play) => {
    const [owner, other] = [await node(play), await node(play)];
    const shard = shardOf(9);
    const claim = await owner.claim(shard);
    await untilOwned(play, owner, claim);
    const waiting = await other.claim(shard);
    const refused = { code: 'ERR_SHARD_NOT_OWNED', details: { group: 'accounts' } };
    await expect(other.read({ kind: 'shard', ...shard })).rejects.toMatchObject(refused);
    await expect(owner.read({ kind: 'shard', ...shardOf(10) })).rejects.toMatchObject(refused);
    await waiting.release();
    await claim.release();
    await expect(owner.read({ kind: 'shard', ...shard })).rejects.toMatchObject(refused);
  });

  whenShards('40: refuses a second claim of one node, and what is no shard', async (play) => {
    const owner = await node(play);
    await owner.claim(shardOf(0));
    for (const bad of [
      shardOf(0),
      shardOf(64),
      shardOf(-1),
      shardOf(0.5),
      shardOf(0, 0),
      shardOf(0, 1_025),
      shardOf(0, 64, 'a.b'),
    ])
      await expect(owner.claim(bad)).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID' });
  });

  whenShards('43: grants what was released to the next claim, with a higher epoch', async (play) => {
    const [a, b] = [await node(play), await node(play)];
    const shard = shardOf(11);
    const epochs: number[] = [];
    const first = await a.claim(shard);
    await untilOwned(play, a, first);
    epochs.push(first.epoch() ?? 0);
    const second = await b.claim(shard);
    await first.release();
    await untilOwned(play, b, second);
    epochs.push(second.epoch() ?? 0);
    const third = await a.claim(shard);
    await second.release();
    await untilOwned(play, a, third);
    epochs.push(third.epoch() ?? 0);
    await third.release();
    const fourth = await a.claim(shard);
    await untilOwned(play, a, fourth);
    epochs.push(fourth.epoch() ?? 0);
    expect(epochs.every((epoch, n) => Number.isSafeInteger(epoch) && epoch > (epochs[n - 1] ?? 0))).toBe(
      true,
    );
    // Each was told once, and of no loss: it had released it.
    expect([first, second, third, fourth].map(({ told }) => told.length)).toEqual([1, 1, 1, 1]);
  });

  whenShards('43: ends the reading of a shard with its claim, and each claim once', async (play) => {
    const [a, b] = [await node(play), await node(play)];
    const shard = shardOf(13);
    const first = await a.claim(shard);
    await untilOwned(play, a, first);
    const held = await a.read({ kind: 'shard', ...shard }, { settle: 'keep' });
    await b.publishAll([frame(toShard(shard), 1)]);
    await play.untilGot(held, 1);
    await first.release();
    await b.publishAll([frame(toShard(shard), 2)]);
    const again = await a.claim(shard);
    await first.release();
    await untilOwned(play, a, again);
    const reading = await a.read({ kind: 'shard', ...shard });
    await play.untilGot(reading, 2);
    await play.quiet();
    expect([held.numbers, reading.numbers, again.told.length]).toEqual([[1], [1, 2], 1]);
  });

  when(
    ...withLink('cutRst'),
    '43: gives to others what is released by a node without a connection, once it has one',
    async (play) => {
      const [a, b] = [await node(play, true), await node(play)];
      const shard = shardOf(14);
      const first = await a.claim(shard);
      await untilOwned(play, a, first);
      const second = await b.claim(shard);
      await a.link.cutRst();
      await play.until(() => !a.isUp, 'that the connection is gone');
      await first.release();
      await a.link.heal();
      await untilOwned(play, b, second);
      // It may have lost the shard with its connection, before it released it.
      expect(first.told.filter((told) => told !== 'lost')).toHaveLength(1);
    },
  );

  when(...withLink('cutRst'), '43: passes over a claim of a node without a connection', async (play) => {
    const [a, b, c] = [await node(play), await node(play, true), await node(play)];
    const shard = shardOf(15);
    const first = await a.claim(shard);
    await untilOwned(play, a, first);
    const second = await b.claim(shard);
    const third = await c.claim(shard);
    await b.link.cutRst();
    await play.until(() => !b.isUp, 'that the connection is gone');
    await first.release();
    await untilOwned(play, c, third);
    expect(second.told).toEqual([]);
    await b.link.heal();
    await third.release();
    await untilOwned(play, b, second);
  });

  whenShards('43: grants the shards of a node that closes, with what it held, to others', async (play) => {
    const [from, a, b] = [await node(play), await node(play), await node(play)];
    const shard = shardOf(12);
    const first = await a.claim(shard);
    await untilOwned(play, a, first);
    const held = await a.read({ kind: 'shard', ...shard }, { settle: 'keep' });
    await from.publishAll(range(10).map((number) => frame(toShard(shard), number)));
    await play.untilGot(held, 10);
    held.open.acknowledge(held.deliveries.slice(0, 3));
    const second = await b.claim(shard);
    await a.close();
    await untilOwned(play, b, second);
    expect(second.epoch()).toBeGreaterThan(first.told[0] as number);
    const reading = await b.read({ kind: 'shard', ...shard });
    await play.until(
      () => range(7).every((n) => reading.numbers.includes(n + 3)),
      'what the first had not settled',
    );
    await from.publishAll([frame(toShard(shard), 10)]);
    await play.until(() => reading.numbers.includes(10), 'what was sent later');
    expect(reading.numbers.filter((number) => number >= 3)).toEqual(range(8).map((n) => n + 3));
  });

  whenShards(
    '39: loses nothing of a shard whose owner is killed under load, and keeps its order',
    async (play) => {
      const [from, a, b] = [await node(play), await node(play), await node(play)];
      const shards = range(4).map((shard) => shardOf(shard, 4));
      const handled = new Map<number, number[]>(shards.map(({ shard }) => [shard, []]));
      const read = async (owner: PlayNode, shard: Shard): Promise<Reading> =>
        owner.read(
          { kind: 'shard', ...shard },
          {
            settle: (deliveries: readonly Delivery[], { open }) => {
              if (owner.isKilled) return;
              for (const delivery of deliveries) handled.get(senderOf(delivery))?.push(numberOf(delivery));
              open.acknowledge(deliveries);
            },
          },
        );
      const first = await Promise.all(shards.map((shard) => a.claim(shard)));
      for (const [n, claim] of first.entries()) {
        await untilOwned(play, a, claim);
        await read(a, shards[n] as Shard);
      }
      const second = await Promise.all(shards.map((shard) => b.claim(shard)));
      const perShard = Math.floor(sizes.ordered / 10);
      const frames = range(perShard).flatMap((number) =>
        shards.map((shard) => frame(toShard(shard), number, { sender: shard.shard })),
      );
      const publishing = from.publishUntilTaken(frames);
      await play.until(
        () => [...handled.values()].every((numbers) => numbers.length > perShard / 10),
        'that some are handled',
      );
      await a.kill();
      for (const [n, claim] of second.entries()) {
        await untilOwned(play, b, claim);
        // What was killed lives on in this process, and may have heard that it has lost the shard.
        expect(claim.epoch()).toBeGreaterThan(first[n]?.told[0] as number);
        await read(b, shards[n] as Shard);
      }
      await publishing;
      const firstOnes = (numbers: readonly number[]): number[] => [...new Set(numbers)];
      await play.until(
        () => [...handled.values()].every((numbers) => firstOnes(numbers).length === perShard),
        'that all are handled',
        60_000,
      );
      // What was handled and not yet forgotten comes again; first times are in order.
      for (const numbers of handled.values()) expect(firstOnes(numbers)).toEqual(range(perShard));
    },
  );

  when(
    ...withLink('halfOpen'),
    '40: tells an owner that is cut off before another is granted, and what it settles later has no effect',
    async (play) => {
      const [from, a, b] = [await node(play), await node(play, true), await node(play)];
      const shard = shardOf(20);
      const order: string[] = [];
      const first = await a.claim(shard, { lost: () => order.push('lost') });
      await untilOwned(play, a, first);
      const held = await a.read({ kind: 'shard', ...shard }, { settle: 'keep' });
      await from.publishAll(range(10).map((number) => frame(toShard(shard), number)));
      await play.untilGot(held, 10);
      const second = await b.claim(shard, { granted: () => order.push('granted') });
      await a.link.halfOpen();
      await untilOwned(play, b, second);
      expect(order).toEqual(['lost', 'granted']);
      await a.link.heal();
      held.open.acknowledge(held.deliveries);
      held.open.release(held.deliveries);
      await play.until(() => a.isUp, 'that the first is connected');
      await play.quiet();
      await expect(a.read({ kind: 'shard', ...shard })).rejects.toMatchObject({
        code: 'ERR_SHARD_NOT_OWNED',
      });
      const reading = await b.read({ kind: 'shard', ...shard });
      await play.untilGot(reading, 10);
      await play.quiet();
      expect(reading.numbers).toEqual(range(10));
      expect(second.epoch()).toBeGreaterThan(first.told[0] as number);
      // The claim of the first stands: it is granted when the second has done.
      await second.release();
      await untilOwned(play, a, first);
      expect(first.told.at(-1)).toBeGreaterThan(second.told.at(-1) as number);
    },
  );

  when(
    ...withLink('cutRst'),
    '40: lets an owner go on whose connection is made anew in time, or tells it that it has lost',
    async (play) => {
      const [from, a] = [await node(play), await node(play, true)];
      const shard = shardOf(21);
      const claim = await a.claim(shard);
      await untilOwned(play, a, claim);
      await a.link.cutRst();
      await play.until(() => !a.isUp, 'that the connection is gone');
      await a.link.heal();
      await play.until(() => a.isUp, 'that the connection is back');
      await untilOwned(play, a, claim);
      const epochs = claim.told.filter((told) => told !== 'lost');
      expect(epochs).toEqual(epochs.toSorted((one, other) => one - other));
      const reading = await a.read({ kind: 'shard', ...shard });
      await from.publishAll([frame(toShard(shard), 1)]);
      await play.untilGot(reading, 1);
    },
  );

  whenShards('41: loses nothing when one node after the other is replaced under load', async (play) => {
    const from = await node(play);
    const shards = range(6).map((shard) => shardOf(shard, 6));
    const handled = new Map<number, number[]>(shards.map(({ shard }) => [shard, []]));
    const join = async (): Promise<PlayNode> => {
      const member = await node(play);
      for (const shard of shards) {
        const own = (): void => {
          member
            .read(
              { kind: 'shard', ...shard },
              {
                settle: (deliveries, { open }) => {
                  for (const delivery of deliveries) handled.get(shard.shard)?.push(numberOf(delivery));
                  open.acknowledge(deliveries);
                },
              },
            )
            // It was closed meanwhile.
            .catch(() => undefined);
        };
        await member.claim(shard, { granted: own });
      }
      return member;
    };
    let members = [await join(), await join(), await join()];
    const perShard = Math.floor(sizes.ordered / 10);
    const frames = range(perShard).flatMap((number) => shards.map((shard) => frame(toShard(shard), number)));
    const publishing = from.publishUntilTaken(frames);
    for (let round = 0; round < 3; round++) {
      const [oldest, ...others] = members;
      const newest = await join();
      await oldest?.close();
      members = [...others, newest];
    }
    await publishing;
    await play.until(
      () => [...handled.values()].every((numbers) => new Set(numbers).size === perShard),
      'that all are handled',
      60_000,
    );
    for (const numbers of handled.values()) expect([...new Set(numbers)]).toEqual(range(perShard));
  });

  whenShards('56: forgets a shard without claims after its time, and leaves nothing', async (play) => {
    if (!has.leavesNothing) return;
    const owner = await play.node({ options: { ...SHORT_TIMES, expiresMs: 2_000 } });
    const shard = shardOf(1, 2);
    const claim = await owner.claim(shard);
    await untilOwned(play, owner, claim);
    await owner.publishAll([frame(toShard(shard), 1)]);
    await claim.release();
    await owner.close();
    await play.until(
      async () => {
        // Brokers without timers of their own forget when somebody comes by.
        const visitor = await play.node({ options: { ...SHORT_TIMES, expiresMs: 2_000 } });
        await visitor.close();
        return (await play.harness.leftovers(play.prefix)).length === 0;
      },
      'that nothing is left',
      60_000,
    );
  });
}
