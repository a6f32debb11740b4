/** Cases about which nodes live, and that all nodes say the same of it. */

import { expect } from 'vitest';
import { ABOUT_BYTES_MAX } from '../../../src/protocol/membership.ts';
import type { LinkFault } from '../../support/broker-harness.ts';
import { BrokerPlay, lifeOf, type PlayNode } from '../../support/broker-play.ts';
import { type BrokerCases, linkFlag, SHORT_TIMES } from './cases.ts';

/** Milliseconds beside the adapter's own bound: the machine may be busy. */
const SLACK_MS = 15_000;

export function memberCases({ harness, has, faults, when }: BrokerCases): void {
  const hasMembers = has.downMs !== undefined;
  const withLink = (fault: LinkFault): [flag: string, has: boolean] =>
    hasMembers ? linkFlag(faults, fault) : ['downMs', false];
  const boundOf = ({ broker }: PlayNode): number => (broker.capabilities.downMs ?? 0) + SLACK_MS;
  const whenMembers = (name: string, run: (play: BrokerPlay) => Promise<void>): void =>
    when('downMs', hasMembers, name, run);
  const three = async (play: BrokerPlay): Promise<[PlayNode, PlayNode, PlayNode]> => [
    await play.node({ options: SHORT_TIMES }),
    await play.node({ options: SHORT_TIMES }),
    await play.node({ options: SHORT_TIMES }),
  ];
  const lives = (...all: readonly PlayNode[]): readonly string[] =>
    all.map(({ identity }) => lifeOf(identity)).toSorted();
  const untilAll = (play: BrokerPlay, who: readonly PlayNode[], knows: readonly string[]): Promise<void> =>
    play.until(
      () => who.every(({ living }) => living.join() === knows.join()),
      `that all know ${knows.join()}, and not ${who.map(({ living }) => living.join()).join(' or ')}`,
      boundOf(who[0] as PlayNode),
    );

  whenMembers('35: knows itself and all that were open before it when it is open', async (play) => {
    const open: PlayNode[] = [];
    for (let count = 0; count < 3; count++) {
      const node = await play.node({ options: SHORT_TIMES });
      open.push(node);
      expect(node.living).toEqual(lives(...open));
    }
  });

  whenMembers(
    '35: tells everybody once who comes, who says something of itself, and who is closed',
    async (play) => {
      const [a, b, c] = await three(play);
      await untilAll(play, [a, b, c], lives(a, b, c));
      await play.within(b.members.describe('keeps the mail'), 'describe');
      const aboutAt = ({ members }: PlayNode): string | undefined =>
        members.view().find(({ name }) => name === b.name)?.about;
      await play.until(
        () => [a, b, c].every((node) => aboutAt(node) === 'keeps the mail'),
        'what b says of itself',
      );
      await b.close();
      await untilAll(play, [a, c], lives(a, c));
      await play.quiet();
      const [lifeB, lifeC] = [lifeOf(b.identity), lifeOf(c.identity)];
      expect(a.changes.filter((change) => change.endsWith(lifeB))).toEqual([
        `up ${lifeB}`,
        `changed ${lifeB}`,
        `left ${lifeB}`,
      ]);
      expect(c.changes.filter((change) => change.endsWith(lifeB))).toEqual([
        `changed ${lifeB}`,
        `left ${lifeB}`,
      ]);
      expect(a.changes).toContain(`up ${lifeC}`);
    },
  );

  whenMembers('35: tells a newcomer what the others say of themselves', async (play) => {
    const first = await play.node({ options: SHORT_TIMES });
    await play.within(first.members.describe('was here before'), 'describe');
    const second = await play.node({ options: SHORT_TIMES });
    await play.until(
      () => second.members.view().some(({ about }) => about === 'was here before'),
      'what the first says of itself',
    );
  });

  whenMembers('35: refuses a node that says too much of itself', async (play) => {
    const node = await play.node({ options: SHORT_TIMES });
    await expect(node.members.describe('x'.repeat(ABOUT_BYTES_MAX + 1))).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
    });
    await play.within(node.members.describe('x'.repeat(ABOUT_BYTES_MAX)), 'describe');
  });

  whenMembers('35: keeps nodes of different prefixes apart', async (play) => {
    const node = await play.node({ options: SHORT_TIMES });
    const elsewhere = new BrokerPlay(harness);
    const other = await elsewhere.node({ options: SHORT_TIMES });
    await play.quiet();
    expect([node.living, other.living]).toEqual([lives(node), lives(other)]);
    await elsewhere.end();
  });

  whenMembers('36: tells everybody that a node was killed', async (play) => {
    const [a, b, c] = await three(play);
    await untilAll(play, [a, b, c], lives(a, b, c));
    await b.kill();
    await untilAll(play, [a, c], lives(a, c));
    expect(a.changes).toContain(`down ${lifeOf(b.identity)}`);
    expect(c.changes).toContain(`down ${lifeOf(b.identity)}`);
  });

  whenMembers('36: knows the next holder of a name from the one before', async (play) => {
    const watcher = await play.node({ options: SHORT_TIMES });
    const first = await play.node({ name: 'again', options: SHORT_TIMES });
    await untilAll(play, [watcher], lives(watcher, first));
    await first.close();
    const second = await play.node({ name: 'again', options: SHORT_TIMES });
    await untilAll(play, [watcher, second], lives(watcher, second));
    await play.quiet();
    expect(watcher.changes).toEqual([
      `up ${lifeOf(first.identity)}`,
      `left ${lifeOf(first.identity)}`,
      `up ${lifeOf(second.identity)}`,
    ]);
  });

  when(
    ...withLink('halfOpen'),
    '37: takes a node that is silent for too long for dead, for good: it comes back as another one',
    async (play) => {
      const watcher = await play.node({ options: SHORT_TIMES });
      const node = await play.node({ options: SHORT_TIMES, hasLink: true });
      await untilAll(play, [watcher, node], lives(watcher, node));
      await node.link.halfOpen();
      await untilAll(play, [watcher], lives(watcher));
      await node.link.heal();
      const first = lifeOf(node.identity);
      const both = [lifeOf(watcher.identity), `${first}.2`].toSorted();
      await untilAll(play, [watcher, node], both);
      expect(watcher.changes).toEqual([`up ${first}`, `down ${first}`, `up ${first}.2`]);
      expect(node.changes).toEqual([`down ${first}`, `up ${first}.2`]);
    },
  );

  when(
    ...withLink('cutRst'),
    '37: does not take a node for dead whose connection is made anew',
    async (play) => {
      const watcher = await play.node({ options: SHORT_TIMES });
      const node = await play.node({ options: SHORT_TIMES, hasLink: true });
      await untilAll(play, [watcher, node], lives(watcher, node));
      const before = [...watcher.changes];
      await node.link.cutRst();
      await play.until(() => !node.isUp, 'that the connection is gone');
      await node.link.heal();
      await play.until(() => node.isUp, 'that the connection is back');
      await play.passAll(2 * SHORT_TIMES.downAfterMs);
      expect([watcher.changes, node.changes]).toEqual([before, []]);
    },
  );

  when(
    ...withLink('cutRst'),
    '35: tells with its next connection what a node says of itself while it has none',
    async (play) => {
      const watcher = await play.node({ options: SHORT_TIMES });
      const node = await play.node({ options: SHORT_TIMES, hasLink: true });
      await node.link.cutRst();
      await play.until(() => !node.isUp, 'that the connection is gone');
      const saying = node.members.describe('said while alone').catch((error: unknown) => error);
      expect(await play.within(saying, 'describe')).toMatchObject({ code: 'ERR_BROKER_UNAVAILABLE' });
      await node.link.heal();
      await play.until(
        () => watcher.members.view().some(({ about }) => about === 'said while alone'),
        'what was said while alone',
      );
    },
  );

  const { server } = faults;
  when(
    hasMembers ? 'faults.server' : 'downMs',
    hasMembers && server !== undefined,
    '44: tells of a node that was killed while the server was away',
    async (play) => {
      const [a, b, c] = await three(play);
      await untilAll(play, [a, b, c], lives(a, b, c));
      await server?.kill();
      try {
        await play.until(() => [a, b, c].every(({ isUp }) => !isUp), 'that the server is gone', 40_000);
        await c.kill();
      } finally {
        await play.within(server?.restart() ?? Promise.resolve(), 'the restart', 120_000);
      }
      await play.until(() => a.isUp && b.isUp, 'that the others are connected', 60_000);
      await untilAll(play, [a, b], lives(a, b));
      expect(a.changes.at(-1)).toBe(`down ${lifeOf(c.identity)}`);
    },
  );

  when(
    hasMembers ? 'faults.server' : 'downMs',
    hasMembers && server !== undefined,
    '44: takes nobody for dead while the server is away, however long (P111)',
    async (play) => {
      const all = await three(play);
      await untilAll(play, all, lives(...all));
      const before = all.map(({ changes }) => [...changes]);
      await server?.kill();
      try {
        await play.until(() => all.every(({ isUp }) => !isUp), 'that the server is gone', 40_000);
        await play.passAll(2 * SHORT_TIMES.downAfterMs);
      } finally {
        await play.within(server?.restart() ?? Promise.resolve(), 'the restart', 120_000);
      }
      await play.until(() => all.every(({ isUp }) => isUp), 'that all are connected', 60_000);
      await play.passAll(2 * SHORT_TIMES.downAfterMs);
      expect(all.map(({ changes }) => changes)).toEqual(before);
      expect(all.map(({ living }) => living)).toEqual(all.map(() => lives(...all)));
    },
  );
}
