/** Cases about pools over several systems: every job once, by somebody who lives, and nobody works for a pool that is no more. */

import { expect } from 'vitest';
import { type BrokerPlay, range } from '../../support/broker-play.ts';
import { endingOf, never } from '../../support/puppet.ts';
import { ClerkBook, type PlaySystem, SystemPlay } from '../../support/system-play.ts';
import { type BrokerCases, SHORT_TIMES } from './cases.ts';

/** Milliseconds beside the adapter's own bounds: the machine may be busy. */
const SLACK_MS = 60_000;
const LONG_MS = 600_000;
const JOBS = 200;
/** A job that never ends. */
const NEVER = -7;

export function poolCases({ has, when }: BrokerCases): void {
  const hasNodes = has.downMs !== undefined;
  const downMs = (has.downMs ?? 0) + SLACK_MS;
  const whenNodes = (name: string, run: (play: BrokerPlay) => Promise<void>): void =>
    when('downMs', hasNodes, name, run);

  /** A pool of a front, with two workers on each of two nodes. */
  const pooled = async (play: BrokerPlay) => {
    const systems = new SystemPlay(play);
    const work = (n: number): unknown => (n === NEVER ? never() : undefined);
    const [first, second] = [new ClerkBook(work), new ClerkBook(work)];
    const front = await systems.system({}, { options: SHORT_TIMES });
    const a = await systems.system({}, { options: SHORT_TIMES }, [first]);
    const b = await systems.system({}, { options: SHORT_TIMES }, [second]);
    await systems.meet(front, a, b);
    const policy = { size: 4, nodes: 'all', shutdownMs: 1_000 } as const;
    const pool = await front.system.spawn(first.agent.pool(policy));
    const spawned = (...counts: readonly number[]): Promise<void> =>
      play.until(
        () => [a, b].every((each, place) => each.spawned === counts[place]),
        `workers: ${counts.join(' and ')}`,
        downMs,
      );
    await spawned(2, 2);
    return { systems, front, a, b, first, second, pool, spawned };
  };
  const answered = async (
    play: BrokerPlay,
    { front, first, second, pool }: Awaited<ReturnType<typeof pooled>>,
  ) => {
    const replies = Promise.all(range(JOBS).map((n) => pool.ask('count', n, { timeoutMs: LONG_MS })));
    expect(await play.within(replies, 'replies', SLACK_MS)).toEqual(range(JOBS).map((n) => 2 * n));
    expect([...first.counted, ...second.counted].toSorted((x, y) => x - y)).toEqual(range(JOBS));
    expect(Math.min(first.counted.length, second.counted.length)).toBeGreaterThan(0);
    expect(front.system.deadLetters.list()).toEqual([]);
  };

  whenNodes('have each job done once, by workers of all nodes, and leave none of them', async (play) => {
    const own = await pooled(play);
    await answered(play, own);
    await play.within(own.front.system.stop(own.pool), 'the end of the pool', SLACK_MS);
    expect([own.a.spawned, own.b.spawned]).toEqual([0, 0]);
  });

  const ends = async (play: BrokerPlay, end: (worker: PlaySystem) => Promise<void>) => {
    const own = await pooled(play);
    const { first, pool, a, b, front } = own;
    const ended: Promise<void>[] = [];
    const asks = range(JOBS).map((n) => endingOf(pool.ask('count', n, { timeoutMs: LONG_MS })));
    await play.until(() => first.counted.length > 0, 'the first jobs', SLACK_MS);
    ended.push(end(a));
    await play.until(() => asks.every(({ is }) => is !== undefined), 'the ends of all', downMs);
    await Promise.all(ended);
    await play.until(() => b.spawned === 4, 'the workers of the other node', downMs);
    expect(await play.within(pool.ask('count', -1), 'ask', SLACK_MS)).toBe(-2);
    const failed = asks.flatMap(({ is }, n) => (is === 'resolved' ? [] : [n]));
    const counted = [...own.first.counted, ...own.second.counted];
    expect(new Set(counted).size).toBe(counted.length);
    return { failed, letters: front.system.deadLetters.list() };
  };

  whenNodes(
    'lose no more than what a node had in hand when it is killed, and do nothing twice',
    async (play) => {
      const { failed, letters } = await ends(play, (worker) => worker.kill());
      expect(failed.length).toBeLessThanOrEqual(2);
      expect(letters.map(({ reason }) => reason)).toEqual(failed.map(() => 'handler-failed'));
    },
  );

  whenNodes('lose nothing when a node leaves', async (play) => {
    const { failed, letters } = await ends(play, (worker) => worker.end());
    expect([failed, letters]).toEqual([[], []]);
  });

  whenNodes('end with their node, when it is killed, wherever their workers are', async (play) => {
    const { systems, front, a, pool, first, spawned, b } = await pooled(play);
    expect(pool.tell('file', 1)).toBe('accepted');
    await front.kill();
    await spawned(0, 0);
    const again = await systems.system({}, { options: SHORT_TIMES });
    await systems.meet(again, a, b);
    const next = await again.system.spawn(first.agent.pool({ size: 2, nodes: [a.name, b.name] }));
    await spawned(1, 1);
    expect(await play.within(next.ask('count', 2), 'ask', SLACK_MS)).toBe(4);
  });

  whenNodes('stop an actor of another node, and say when that is over or its node is lost', async (play) => {
    const { front, a, b, spawned, second } = await pooled(play);
    const start = () => play.within(front.system.spawnOn(b.name, second.agent), 'a start', SLACK_MS);
    const [one, two] = [await start(), await start()];
    await spawned(2, 4);
    await play.within(
      a.system.stop(a.system.ref(one.protocol, one.address)),
      'a stop by a third node',
      SLACK_MS,
    );
    await spawned(2, 3);
    two.tell('file', NEVER);
    await play.until(() => second.filed.includes(NEVER), 'its turn', SLACK_MS);
    const stopped = endingOf(front.system.stop(two));
    await play.passAll(500);
    expect(stopped.is).toBeUndefined();
    await b.kill();
    await play.until(() => stopped.is !== undefined, 'the end of the stop', downMs);
    expect(stopped.is).toBe('ERR_NODE_DOWN');
  });
}
