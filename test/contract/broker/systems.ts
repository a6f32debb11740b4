/** Cases about systems of actors on several nodes: what is sent between them means what it means in one process. */

import { expect } from 'vitest';
import { isTroupeError } from '../../../src/protocol/errors.ts';
import { PRIORITIES } from '../../../src/protocol/priority.ts';
import { type BrokerPlay, range } from '../../support/broker-play.ts';
import { deferred, endingOf, never } from '../../support/puppet.ts';
import { ClerkBook, type PlaySystem, SystemPlay } from '../../support/system-play.ts';
import { type BrokerCases, IS_FULL, linkFlag, SHORT_TIMES } from './cases.ts';

/** Milliseconds beside the adapter's own bound: the machine may be busy. */
const SLACK_MS = 30_000;
const LONG_MS = 600_000;
/** Milliseconds without room after which there is none: longer than what was refused waits before it is offered again. */
const FULL_MS = 2_500;

export function systemCases({ has, faults, sizes, when }: BrokerCases): void {
  const hasNodes = has.downMs !== undefined;
  const whenNodes = (name: string, run: (play: BrokerPlay) => Promise<void>): void =>
    when('downMs', hasNodes, name, run);
  const downMs = (has.downMs ?? 0) + SLACK_MS;

  whenNodes('1 2: brings what is told, sent and asked once, each priority in order', async (play) => {
    const systems = new SystemPlay(play);
    const book = new ClerkBook();
    const [a, b] = [await systems.system(), await systems.system({ clerk: book })];
    await systems.meet(a, b);
    const clerk = a.clerk(b.name);
    const count = Math.min(600, sizes.ordered);
    const priorityOf = (n: number) => PRIORITIES[n % PRIORITIES.length] ?? 'normal';
    for (const n of range(count)) expect(clerk.tell('file', n, { priority: priorityOf(n) })).toBe('accepted');
    await play.until(() => book.filed.length === count, 'all that was told', 60_000);
    for (const [place] of PRIORITIES.entries()) {
      const own = (n: number): boolean => n % PRIORITIES.length === place;
      expect(book.filed.filter(own)).toEqual(range(count).filter(own));
    }
    await play.within(clerk.send('file', -1), 'send');
    await play.within(clerk.send('file', -2, { receipt: true }), 'send with a receipt');
    expect(book.filed.slice(-2)).toEqual([-1, -2]);
    expect(await play.within(clerk.ask('count', 21), 'ask')).toBe(42);
  });

  whenNodes(
    '17: P49: has what waits for an actor handled by priority, then in the order of its sender',
    async (play) => {
      const systems = new SystemPlay(play);
      const book = new ClerkBook();
      const [a, b] = [await systems.system(), await systems.system({ clerk: book })];
      await systems.meet(a, b);
      const clerk = a.clerk(b.name);
      const here = b.system.ref(clerk.protocol, 'clerk');
      b.system.suspend(here);
      const rankOf = (n: number): number => (n * 5 + 3) % PRIORITIES.length;
      for (const n of range(120)) clerk.tell('file', n, { priority: PRIORITIES[rankOf(n)] });
      await play.until(() => b.system.inspect(here)?.mailbox.queued === 120, 'all of them');
      b.system.resume(here);
      await play.until(() => book.filed.length === 120, 'their turns');
      expect(book.filed).toEqual(range(120).toSorted((x, y) => rankOf(x) - rankOf(y)));
    },
  );

  whenNodes(
    '18: lets what has waited long enough past what is more urgent, where the actor ages',
    async (play) => {
      const systems = new SystemPlay(play);
      const book = new ClerkBook(undefined, { agingMs: 100 });
      const [a, b] = [await systems.system(), await systems.system({ clerk: book })];
      await systems.meet(a, b);
      const clerk = a.clerk(b.name);
      const here = b.system.ref(clerk.protocol, 'clerk');
      b.system.suspend(here);
      await play.within(clerk.send('file', 0, { priority: 'background', receipt: true }), 'the old one');
      await play.passAll(700);
      await play.within(clerk.send('file', 1, { priority: 'critical', receipt: true }), 'the urgent one');
      await play.within(clerk.send('file', 2, { priority: 'background', receipt: true }), 'the new one');
      b.system.resume(here);
      await play.until(() => book.filed.length === 3, 'their turns');
      expect(book.filed).toEqual([0, 1, 2]);
    },
  );

  whenNodes('4: answers 500 asks at once, each with its own reply', async (play) => {
    const systems = new SystemPlay(play);
    const [a, b] = [await systems.system(), await systems.system({ clerk: new ClerkBook() })];
    await systems.meet(a, b);
    const clerk = a.clerk(b.name);
    const replies = Promise.all(range(500).map((n) => clerk.ask('count', n)));
    expect(await play.within(replies, 'replies', 60_000)).toEqual(range(500).map((n) => 2 * n));
    expect(a.asksInFlight).toBe(0);
  });

  whenNodes(
    '5 36: rejects an ask long before its time when its node is killed, and goes on with the next of that name',
    async (play) => {
      const systems = new SystemPlay(play);
      const busy = new ClerkBook(never);
      const a = await systems.system({}, { options: SHORT_TIMES });
      const b = await systems.system({ clerk: busy }, { name: 'worker', options: SHORT_TIMES });
      await systems.meet(a, b);
      const clerk = a.clerk('worker');
      const asked = endingOf(clerk.ask('count', 1, { timeoutMs: LONG_MS }));
      await play.until(() => busy.counted.length === 1, 'the ask');
      await b.kill();
      await play.until(() => asked.is !== undefined, 'the end of the ask', downMs);
      expect(asked.is).toBe('ERR_NODE_DOWN');
      expect(a.lost).toEqual(['worker']);
      expect(clerk.tell('file', 2)).toBe('actor-unknown');
      const again = new ClerkBook();
      const next = await systems.system({ clerk: again }, { name: 'worker', options: SHORT_TIMES });
      await systems.meet(a, next);
      expect(await play.within(clerk.ask('count', 3), 'ask', SLACK_MS)).toBe(6);
      expect([busy.filed, again.filed, a.asksInFlight]).toEqual([[], [], 0]);
    },
  );

  whenNodes(
    '6 29: ends an ask and a send with a receipt by their time, and the work for them',
    async (play) => {
      const systems = new SystemPlay(play);
      const book = new ClerkBook((_, signal) => aborted(signal), { capacity: 1 });
      const [a, b] = [await systems.system(), await systems.system({ clerk: book })];
      await systems.meet(a, b);
      const clerk = a.clerk(b.name);
      const asked = endingOf(clerk.ask('count', 1, { timeoutMs: 1_000 }));
      await play.until(() => book.counted.length === 1, 'the ask');
      clerk.tell('file', 2);
      const held = endingOf(clerk.send('file', 3, { timeoutMs: 500, receipt: true }));
      await play.until(() => held.is !== undefined && asked.is !== undefined, 'the ends of both', SLACK_MS);
      expect([asked.is, held.is]).toEqual(['ERR_ASK_TIMEOUT', 'ERR_SEND_TIMEOUT']);
      await play.until(() => book.aborted.length === 1, 'the end of the work');
      await play.until(() => book.filed.length === 1, 'what stood behind it');
      await play.quiet();
      expect([book.filed, a.asksInFlight]).toEqual([[2], 0]);
    },
  );

  whenNodes(
    '16 27: lets critical messages past an actor that is full and blocked, for it and for others',
    async (play) => {
      const systems = new SystemPlay(play);
      const gate = deferred();
      const blocked = new ClerkBook(() => gate.promise, { capacity: 4 });
      const free = new ClerkBook();
      const [a, b] = [await systems.system(), await systems.system({ clerk: blocked, free })];
      await systems.meet(a, b);
      const clerk = a.clerk(b.name);
      for (const n of range(400)) clerk.tell('file', n, { priority: 'background' });
      const inspect = () => b.system.inspect(b.system.ref(clerk.protocol, 'clerk'))?.mailbox;
      await play.until(() => (inspect()?.waiting ?? 0) >= 64, 'the backlog');
      const { clock } = play.harness.host;
      const begun = clock.now();
      expect(
        await play.within(a.clerk(b.name, 'free').ask('count', 1, { priority: 'critical' }), 'ask'),
      ).toBe(2);
      expect(clock.now() - begun).toBeLessThan(5_000);
      await play.within(clerk.send('file', -1, { priority: 'critical', receipt: true }), 'receipt');
      gate.resolve();
      await play.until(() => blocked.filed.length === 401, 'the rest', 60_000);
      expect(blocked.filed.indexOf(-1)).toBeLessThanOrEqual(1);
      expect(blocked.filed.filter((n) => n >= 0)).toEqual(range(400));
    },
  );

  whenNodes(
    '25 26: says full once actor, node and broker are, keeps what it accepted, and goes on',
    async (play) => {
      const systems = new SystemPlay(play);
      const gate = deferred();
      const book = new ClerkBook(() => gate.promise, { capacity: 2 });
      const maxLength = 5;
      const a = await systems.system({}, { options: { maxLength } });
      const b = await systems.system({ clerk: book }, { options: { maxLength } });
      await systems.meet(a, b);
      const clerk = a.clerk(b.name);
      let accepted = 0;
      const fill = (): number => {
        const before = accepted;
        while (accepted - before < 4_000 && clerk.tell('file', accepted) === 'accepted') accepted++;
        return accepted - before;
      };
      const { clock } = play.harness.host;
      let changedAt = clock.now();
      await play.until(
        () => {
          if (fill() > 0) changedAt = clock.now();
          return clock.now() - changedAt > FULL_MS;
        },
        'that everything is full',
        90_000,
      );
      const sent = endingOf(clerk.send('file', -1, { timeoutMs: 500 }));
      await play.until(() => sent.is !== undefined, 'the end of the send', SLACK_MS);
      expect(sent.is).toBe('ERR_SEND_TIMEOUT');
      gate.resolve();
      await play.until(() => book.filed.length >= accepted, 'all that was accepted', 110_000);
      expect(book.filed).toEqual(range(accepted));
    },
  );

  whenNodes('32: makes what expires on the way a dead letter, and no turn', async (play) => {
    const systems = new SystemPlay(play);
    const gate = deferred();
    const book = new ClerkBook(() => gate.promise, { capacity: 1 });
    const [a, b] = [await systems.system(), await systems.system({ clerk: book })];
    await systems.meet(a, b);
    const clerk = a.clerk(b.name);
    clerk.tell('file', 0);
    await play.until(() => book.filed.length === 1, 'the first');
    clerk.tell('file', 1, { ttlMs: 1_000 });
    clerk.tell('file', 2, { ttlMs: 1_000 });
    await play.passAll(1_200);
    gate.resolve();
    await play.until(() => b.system.deadLetters.list().length === 2, 'the dead letters', SLACK_MS);
    expect(b.system.deadLetters.list().map(({ reason }) => reason)).toEqual(['expired', 'expired']);
    expect(book.filed).toEqual([0]);
  });

  whenNodes(
    '7 10 11: brings what is published to each subscriber of every node once, from the moment it subscribes',
    async (play) => {
      const systems = new SystemPlay(play);
      const [a, b, c] = [await systems.system(), await systems.system(), await systems.system()];
      await systems.meet(a, b, c);
      const got: number[][] = [[], [], [], []];
      const subscribe = (at: PlaySystem, pattern: string, place: number) =>
        play.within(
          at.system.subscribe<number>(pattern, (n) => got[place]?.push(n)),
          'subscribe',
        );
      await subscribe(a, 'news.#', 0);
      await subscribe(b, 'news.*', 1);
      const short = await subscribe(b, 'news.today', 2);
      for (const n of range(20)) await play.within(a.system.publish('news.today', n), 'publish');
      await subscribe(c, '#', 3);
      // Published is not arrived: what is still on its way would find it gone.
      await play.until(() => got[2]?.length === 20, 'what is for the short one');
      await play.within(short.unsubscribe(), 'unsubscribe');
      for (const n of range(20)) await play.within(b.system.publish('news.today', 20 + n), 'publish');
      await play.until(
        () => got[0]?.length === 40 && got[1]?.length === 40 && got[3]?.length === 20,
        'all of them',
      );
      await play.quiet();
      expect(got).toEqual([range(40), range(40), range(20), range(20).map((n) => 20 + n)]);
    },
  );

  whenNodes(
    '9 19: gives each message of a group to one member, and what a killed one had in hand to another',
    async (play) => {
      const systems = new SystemPlay(play);
      const a = await systems.system({}, { options: SHORT_TIMES });
      const b = await systems.system({}, { options: SHORT_TIMES });
      const c = await systems.system({}, { options: SHORT_TIMES });
      await systems.meet(a, b, c);
      const [got, stuck] = [[] as number[], [] as number[]];
      const join = (at: PlaySystem, take: (n: number) => unknown) =>
        play.within(at.system.subscribe<number>('jobs.*', take, { group: 'workers' }), 'join');
      await join(b, (n) => {
        stuck.push(n);
        return never();
      });
      await join(c, (n) => got.push(n));
      for (const n of range(40)) await play.within(a.system.publish('jobs.x', n), 'publish');
      await play.until(() => stuck.length > 0 && got.length > 0, 'that both have some');
      await b.kill();
      await play.until(() => got.length >= 40, 'all of them at the other', has.takeoverMs + SLACK_MS);
      await play.quiet();
      expect(got.toSorted((x, y) => x - y)).toEqual(range(40));
    },
  );

  when(
    'faults.server',
    hasNodes && faults.server !== undefined && has.durability !== 'process',
    '44: loses nothing that was accepted, and nobody, when the server is killed and comes back',
    async (play) => {
      const systems = new SystemPlay(play);
      const book = new ClerkBook();
      const a = await systems.system({}, { options: SHORT_TIMES });
      const b = await systems.system({ clerk: book }, { options: SHORT_TIMES });
      await systems.meet(a, b);
      const clerk = a.clerk(b.name);
      let sent = 0;
      const burst = (count: number): void => {
        for (let n = 0; n < count; n++) expect(clerk.tell('file', sent++)).toBe('accepted');
      };
      burst(300);
      await faults.server?.kill();
      burst(300);
      await play.passAll(IS_FULL ? 20_000 : 3_000);
      await faults.server?.restart();
      burst(300);
      await play.until(() => book.filed.length >= sent, 'all that was told', 100_000);
      await play.quiet(300);
      expect(book.filed).toEqual(range(sent));
      expect([a.lost, b.lost]).toEqual([[], []]);
      expect(await play.within(clerk.ask('count', 1), 'ask', SLACK_MS)).toBe(2);
    },
  );

  for (const fault of ['cutRst', 'halfOpen', 'oneWay', 'latency', 'byteByByte'] as const)
    when(
      ...(hasNodes ? linkFlag(faults, fault) : (['downMs', false] as [string, boolean])),
      `46: keeps each message once and in order over a wire with ${fault}, at either end`,
      async (play) => {
        const systems = new SystemPlay(play);
        const book = new ClerkBook();
        const options = { ...SHORT_TIMES, downAfterMs: 60_000 };
        const a = await systems.system({}, { options, hasLink: true });
        const b = await systems.system({ clerk: book }, { options, hasLink: true });
        await systems.meet(a, b);
        const clerk = a.clerk(b.name);
        let sent = 0;
        const asked: Promise<number>[] = [];
        const traffic = async (): Promise<void> => {
          for (let round = 0; round < 8; round++) {
            for (let n = 0; n < 20; n++) clerk.tell('file', sent++);
            asked.push(clerk.ask('count', round, { timeoutMs: LONG_MS }));
            await play.passAll(40);
          }
        };
        for (const { node } of [a, b]) {
          const { link } = node;
          if (fault === 'oneWay') await link.oneWay('to-client');
          else if (fault === 'latency') await link.latency(60);
          else await link[fault]();
          await traffic();
          await link.heal();
        }
        await play.within(Promise.all(asked), 'replies', 100_000);
        await play.until(() => book.filed.length >= sent, 'all that was told', 60_000);
        expect(book.filed).toEqual(range(sent));
        expect(book.counted).toHaveLength(asked.length);
        expect([a.lost, b.lost]).toEqual([[], []]);
      },
    );

  when(
    ...(hasNodes ? linkFlag(faults, 'halfOpen') : (['downMs', false] as [string, boolean])),
    '37: takes a node that is silent for too long for dead, and knows it as another one when it is back',
    async (play) => {
      const systems = new SystemPlay(play);
      const [bookA, bookB] = [new ClerkBook((_, signal) => aborted(signal)), new ClerkBook()];
      const a = await systems.system({ clerk: bookA }, { options: SHORT_TIMES });
      const b = await systems.system({ clerk: bookB }, { options: SHORT_TIMES, hasLink: true });
      await systems.meet(a, b);
      const lifeOf = (name: string) => a.system.nodes.find((node) => node.name === name)?.incarnation;
      const before = lifeOf(b.name);
      const asked = endingOf(b.clerk(a.name).ask('count', 7, { timeoutMs: LONG_MS }));
      await play.until(() => bookA.counted.length === 1, 'the ask of b');
      await b.node.link.halfOpen();
      await play.until(() => a.lost.length === 1, 'that b is lost', downMs);
      await play.until(() => bookA.aborted.length === 1, 'the end of the work for b');
      await b.node.link.heal();
      await play.until(() => lifeOf(b.name) !== undefined, 'that b is back', 60_000);
      expect(lifeOf(b.name)).not.toBe(before);
      await play.until(() => asked.is !== undefined, 'the end of the ask of b', SLACK_MS);
      expect(asked.is).toBe('ERR_NODE_DOWN');
      expect(await play.within(a.clerk(b.name).ask('count', 2), 'ask', SLACK_MS)).toBe(4);
      b.clerk(a.name).tell('file', 1);
      await play.until(() => bookA.filed.length === 1, 'a message of the new life', SLACK_MS);
    },
  );

  whenNodes(
    '35 54: is no destination any more once it leaves, and gives what came before an outcome',
    async (play) => {
      const systems = new SystemPlay(play);
      const book = new ClerkBook();
      const [a, b] = [await systems.system(), await systems.system({ clerk: book })];
      await systems.meet(a, b);
      const clerk = a.clerk(b.name);
      const answered: unknown[] = [];
      for (const n of range(200))
        clerk.ask('count', n, { timeoutMs: LONG_MS }).then(
          () => answered.push('reply'),
          (error: unknown) => answered.push(isTroupeError(error) ? error.code : error),
        );
      await b.end();
      await play.until(() => answered.length === 200, 'an outcome of each', downMs);
      expect(new Set(answered)).not.toContain('ERR_ASK_TIMEOUT');
      expect(answered.filter((each) => each === 'reply')).toHaveLength(book.counted.length);
      await play.until(() => !a.nodes.includes(b.name), 'that b has left', 30_000);
      expect(a.lost).toEqual([]);
      expect(clerk.tell('file', 1)).toBe('actor-unknown');
    },
  );
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((_, fail) => {
    signal.addEventListener('abort', () => fail(signal.reason));
  });
}
