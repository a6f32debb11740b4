/** Cases about streams between systems of several nodes: parts in order, each once, with credit, through whatever happens to the broker. */

import { expect } from 'vitest';
import { z } from 'zod';
import { agent, isTroupeError, protocol, stream } from '../../../src/index.ts';
import type { PartStream } from '../../../src/protocol/part-stream.ts';
import { PRIORITIES } from '../../../src/protocol/priority.ts';
import type { StreamOptions } from '../../../src/protocol/ref.ts';
import { type BrokerPlay, range } from '../../support/broker-play.ts';
import { endingOf } from '../../support/puppet.ts';
import { SystemPlay } from '../../support/system-play.ts';
import { type BrokerCases, linkFlag, SHORT_TIMES } from './cases.ts';

const SLACK_MS = 30_000;
const LONG_MS = 600_000;

const Teller = protocol('teller', { tell: stream(z.number(), z.number(), z.string()) });

/** What a teller has made so far, over all of its streams. */
class TellerBook {
  made = 0;
  begun = 0;
  ended = 0;
  readonly agent;

  constructor(failsAt = Infinity) {
    const tell = this.tell.bind(this, failsAt);
    this.agent = agent(Teller, { state: (): object => ({}), on: { tell: (_, count) => tell(count) } });
  }

  private async *tell(failsAt: number, count: number): AsyncGenerator<number, string, void> {
    this.begun++;
    try {
      for (let n = 0; n < count; n++) {
        if (n === failsAt) throw new Error('fail');
        this.made++;
        yield n;
      }
      return 'end';
    } finally {
      this.ended++;
    }
  }
}

export function streamCases({ has, faults, sizes, when }: BrokerCases): void {
  const hasNodes = has.downMs !== undefined;
  const whenNodes = (name: string, run: (play: BrokerPlay) => Promise<void>): void =>
    when('downMs', hasNodes, name, run);
  const downMs = (has.downMs ?? 0) + SLACK_MS;

  /** A system with a teller at `tellers` places, and one that reads. */
  const pair = async (
    play: BrokerPlay,
    { book = new TellerBook(), ...options }: { book?: TellerBook } & Parameters<SystemPlay['system']>[1] = {},
  ) => {
    const systems = new SystemPlay(play);
    const a = await systems.system({}, options);
    const b = await systems.system({}, options);
    await play.within(b.system.spawn(book.agent.pool({ size: 8 }), { name: 'teller' }), 'spawn');
    await systems.meet(a, b);
    const tell = (count: number, given: StreamOptions = {}) =>
      a.system
        .ref(Teller, '/user/teller', { node: b.name })
        .stream('tell', count, { timeoutMs: LONG_MS, ...given });
    return { a, b, book, tell };
  };

  whenNodes(
    '58: brings the parts of streams in order, each once, then the result, in every priority',
    async (play) => {
      const { a, book, tell } = await pair(play);
      const count = Math.min(300, sizes.ordered);
      const read = PRIORITIES.map((priority) => readAll(tell(count, { priority })));
      for (const { got, end } of await play.within(Promise.all(read), 'all parts', 60_000)) {
        expect(got).toEqual(range(count));
        expect(end).toBe('end');
      }
      await play.quiet();
      expect([book.made, book.ended, a.asksInFlight]).toEqual([6 * count, 6, 0]);
    },
  );

  whenNodes(
    '59: makes no more parts than the window while nobody reads, and goes on when somebody does',
    async (play) => {
      const { book, tell } = await pair(play);
      const parts = tell(1_000, { window: 5 });
      expect(await play.within(parts.next(), 'the first part')).toEqual({ done: false, value: 0 });
      await play.until(() => book.made >= 5, 'the window');
      await play.quiet();
      expect(book.made).toBeLessThanOrEqual(6);
      for (const n of range(50)) {
        expect((await play.within(parts.next(), 'a part')).value).toBe(n + 1);
        expect(book.made).toBeLessThanOrEqual(n + 2 + 5);
      }
      await parts.return();
      await play.until(() => book.ended === 1, 'the end of the work');
    },
  );

  whenNodes('60: ends the work for whoever breaks off, aborts, or runs out of time', async (play) => {
    const { a, b, book, tell } = await pair(play);
    const control = new AbortController();
    const [broken, aborted, late] = [
      tell(1_000_000),
      tell(1_000_000, { signal: control.signal }),
      tell(1_000_000, { timeoutMs: 1_500 }),
    ];
    for (const parts of [broken, aborted, late]) await play.within(parts.next(), 'a part');
    await broken.return();
    control.abort(new Error('enough'));
    await expect(aborted.next()).rejects.toThrow('enough');
    await play.until(() => book.ended === 3, 'the end of the work', SLACK_MS);
    const { error } = await play.within(readAll(late), 'the rest', SLACK_MS);
    expect(isTroupeError(error) ? error.code : error).toBe('ERR_STREAM_TIMEOUT');
    await play.until(() => a.asksInFlight === 0, 'the end of the calls');
    const { inFlight } = b.system.inspect(b.system.ref(Teller, '/user/teller'))?.pool ?? {};
    expect([inFlight, b.system.deadLetters.list()]).toEqual([0, []]);
  });

  whenNodes(
    '61: gives what was sent before a failure, and fails long before its time when its node is killed',
    async (play) => {
      const failing = await pair(play, { book: new TellerBook(7), options: SHORT_TIMES });
      const { got, error } = await play.within(readAll(failing.tell(10)), 'the failure');
      expect([got, isTroupeError(error) ? error.code : error]).toEqual([range(7), 'ERR_ACTOR_FAILED']);
      const killed = await pair(play, { options: SHORT_TIMES });
      const parts = killed.tell(1_000, { window: 8 });
      expect((await play.within(parts.next(), 'a part')).value).toBe(0);
      await play.until(() => killed.book.made >= 8, 'the window');
      await play.quiet();
      await killed.b.kill();
      await play.until(() => killed.a.lost.length === 1, 'that the node is lost', downMs);
      const rest = await play.within(readAll(parts), 'the rest', SLACK_MS);
      expect(rest.got).toEqual(range(rest.got.length).map((n) => n + 1));
      expect(rest.got.length).toBeGreaterThanOrEqual(7);
      expect(isTroupeError(rest.error) ? rest.error.code : rest.error).toBe('ERR_NODE_DOWN');
      expect(killed.a.asksInFlight).toBe(0);
    },
  );

  when(
    ...(hasNodes ? linkFlag(faults, 'cutRst') : (['downMs', false] as [string, boolean])),
    '62: goes on after a cut of either node where it was: each part once, in order',
    async (play) => {
      const { a, b, book, tell } = await pair(play, {
        hasLink: true,
        options: { ...SHORT_TIMES, downAfterMs: 60_000 },
      });
      const count = Math.min(200, sizes.ordered);
      const reads = range(4).map(() => {
        const parts = tell(count, { window: 8 });
        return { parts, got: [] as number[] };
      });
      const readTo = async (many: number): Promise<void> => {
        for (const { parts, got } of reads)
          while (got.length < many)
            got.push(Number((await play.within(parts.next(), 'a part', SLACK_MS)).value));
      };
      await readTo(count / 4);
      for (const [place, cut] of [a, b].entries()) {
        await cut.node.link.cutRst();
        const ending = endingOf(readTo((count / 4) * (place + 2)));
        await play.passAll(300);
        await cut.node.link.heal();
        await play.until(() => ending.is !== undefined, 'the next quarter', SLACK_MS);
        expect(ending.error).toBeUndefined();
      }
      for (const { parts, got } of reads) {
        const { got: rest, end } = await play.within(readAll(parts), 'the last quarter', SLACK_MS);
        expect([...got, ...rest]).toEqual(range(count));
        expect(end).toBe('end');
      }
      expect([book.begun, book.ended, a.lost, b.lost]).toEqual([4, 4, [], []]);
    },
  );

  when(
    'faults.server',
    hasNodes && faults.server !== undefined && has.durability !== 'process',
    '62: goes on where it was when the server is killed and comes back',
    async (play) => {
      const { a, b, book, tell } = await pair(play, { options: SHORT_TIMES });
      const count = 100;
      const parts = tell(count, { window: 8 });
      const got: number[] = [];
      for (const _ of range(10)) got.push(Number((await play.within(parts.next(), 'a part')).value));
      await faults.server?.kill();
      const reading = endingOf(readAll(parts));
      await play.passAll(1_000);
      expect(reading.is).toBeUndefined();
      await faults.server?.restart();
      await play.until(() => reading.is !== undefined, 'the rest', 100_000);
      expect(reading.value).toEqual({ got: range(count).slice(10), end: 'end' });
      expect(got).toEqual(range(10));
      expect([book.begun, book.ended, a.lost, b.lost]).toEqual([1, 1, [], []]);
    },
  );
}

/** Reads to the end, or to the error. */
async function readAll(
  parts: PartStream<number, string>,
): Promise<{ readonly got: number[]; readonly end?: unknown; readonly error?: unknown }> {
  const got: number[] = [];
  try {
    for await (const part of parts) got.push(part);
    return { got, end: await parts.result };
  } catch (error) {
    return { got, error };
  }
}
