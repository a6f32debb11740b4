/**
 * Reads all streams of a node over one connection, in one session: the most urgent lanes first, no lane for more than it has room for. When
 * nothing is known to be there it waits at the server for all streams with room at once, and is woken by CLIENT UNBLOCK when there is more to
 * wait for. Before anything new of a stream it takes over what earlier sessions were given: an answer that was cut on the wire, and what the dead held.
 */

import type { Host } from '../../src/protocol/clock.ts';
import { pause } from '../../src/protocol/deadline.ts';
import { listIn, textIn } from './client.ts';
import { type Keys, READERS } from './keys.ts';
import { checkPresent, type Session } from './link.ts';
import { LOOK_OVER, RELEASE, TAKE_OVER } from './scripts.ts';
import { type Entry, entriesIn, type Outlet, ReadStream } from './stream.ts';

/** What a reader needs of its broker. */
export interface ReaderPorts {
  readonly session: Pick<Session, 'writer' | 'reader' | 'readerId'>;
  readonly host: Pick<Host, 'clock' | 'later'>;
  /** Name and fence of the node. */
  readonly fence: readonly [name: string, fence: string];
  readonly consumer: string;
  readonly keys: Pick<Keys, 'nodes' | 'shards'>;
  readonly timeoutMs: number;
  /** Milliseconds that a read waits at the server. */
  readonly blockMs: number;
  /** Called before anything is read or given out: whoever stood still may own nothing any more. */
  readonly check: () => void;
  /** The session is of no use any more. */
  readonly failed: (error: Error) => void;
}

/** Milliseconds beyond those that a read waits after which a server that does not answer is given up. */
const WATCHDOG_MS = 2_000;
/** Streams that are looked over by one command. */
const LOOKED_OVER_MAX = 256;
/** Milliseconds between two attempts to wake a read that has not reached the server yet: at first, doubled each time, and at most. */
const WAKE_AGAIN_MS = 2;
const WAKE_AGAIN_MAX_MS = 128;

/** A read that waits, here or at the server. */
interface Wait {
  readonly streams: ReadonlySet<ReadStream>;
  /** How it is ended before something comes. */
  readonly wake: () => void;
}

export class Reader {
  private readonly ports: ReaderPorts;
  private readonly byKey = new Map<string, ReadStream>();
  /** Most urgent first. */
  private streams: readonly ReadStream[] = [];
  private waiting: Wait | undefined = undefined;
  /** What is done now, and what was given back of what came too late. */
  private step: Promise<void> = Promise.resolve();
  private givenBack: Promise<unknown> = Promise.resolve();
  private isOver = false;
  /** Something was given out by the last step. */
  private hasGiven = false;
  private readonly ending = new AbortController();

  constructor(ports: ReaderPorts) {
    this.ports = ports;
  }

  /**
   * Reads until `end`; rejects as the connection does. What to do next is decided in the same turn in which it is begun, so nothing that
   * happens before is missed, and what happens later finds the read to wake.
   */
  async run(): Promise<void> {
    while (!this.isOver) {
      this.ports.check();
      if (this.isOver) return;
      this.step = this.next();
      await this.step;
      if (this.hasGiven) await this.giveWay();
    }
  }

  /**
   * A read that will wait at the server begins after what was given out has been looked at: whoever answers at once does not wait for it. Where
   * more is known to be there it is read meanwhile.
   */
  private giveWay(): Promise<void> | undefined {
    this.hasGiven = false;
    if (this.streams.some(({ isHot, count }) => isHot && count > 0)) return undefined;
    return new Promise((resolve) => this.ports.host.later(resolve));
  }

  private next(): Promise<void> {
    const open = this.streams.filter(({ count }) => count > 0);
    const behind = open.filter(({ isBehind }) => isBehind);
    if (behind.length > 0) return this.takeOver(behind);
    if (open.some(({ isHot }) => isHot)) return this.pass(open);
    return open.length > 0 ? this.waitAtServer(open) : this.waitHere();
  }

  /** Reads for these as well, if they have not been stopped. */
  add(outlets: readonly Outlet[]): void {
    for (const outlet of outlets) {
      if (outlet.isStopped) continue;
      const stream = this.byKey.get(outlet.key) ?? new ReadStream(outlet);
      if (!stream.outlets.includes(outlet)) stream.outlets.push(outlet);
      stream.isBehind = true;
      this.byKey.set(outlet.key, stream);
    }
    this.sort();
  }

  /** Reads for these no more. Resolves when nothing that was read for them is on its way. */
  remove(outlets: readonly Outlet[]): Promise<void> {
    for (const outlet of outlets) {
      const stream = this.byKey.get(outlet.key);
      const place = stream?.outlets.indexOf(outlet) ?? -1;
      if (stream === undefined || place < 0) continue;
      stream.outlets.splice(place, 1);
      if (stream.outlets.length === 0) this.byKey.delete(outlet.key);
    }
    const { step } = this;
    this.sort();
    const over = (): Promise<unknown> => this.givenBack;
    return step.then(over, over).then(() => undefined);
  }

  /** There is room again in a stream that had none. */
  freed(key: string): void {
    const stream = this.byKey.get(key);
    if (stream !== undefined && this.waiting?.streams.has(stream) === false) this.waiting.wake();
  }

  /** There may be something to take over. */
  sweep(keys: Iterable<string>): void {
    for (const key of keys) {
      const stream = this.byKey.get(key);
      if (stream !== undefined) stream.isBehind = true;
    }
    this.waiting?.wake();
  }

  /** Looks where there is something to take over, without waking a read for nothing. Rejects as the connection does. */
  async lookOver(): Promise<void> {
    const { session, fence, consumer, keys, timeoutMs } = this.ports;
    const streams = this.streams.toSorted(
      (a, b) => Number(a.lease !== undefined) - Number(b.lease !== undefined),
    );
    for (let from = 0; from < streams.length; from += LOOKED_OVER_MAX) {
      const page = streams.slice(from, from + LOOKED_OVER_MAX);
      const owned = page.filter(({ lease }) => lease !== undefined).length;
      const names = [keys.nodes, ...page.map(({ key }) => key)];
      const parameters = [...fence, consumer, owned];
      const found = checkPresent(await session.writer.run(timeoutMs, LOOK_OVER, names, parameters));
      const behind = listIn(found).flatMap((place) => page[Number(place) - 1]?.key ?? []);
      if (behind.length > 0 && !this.isOver) this.sweep(behind);
    }
  }

  end(): void {
    this.isOver = true;
    this.ending.abort();
    this.waiting?.wake();
  }

  private sort(): void {
    this.streams = [...this.byKey.values()].sort((a, b) => a.lane - b.lane);
    this.waiting?.wake();
  }

  private async takeOver(behind: readonly ReadStream[]): Promise<void> {
    const asked = behind.map(async (stream) => {
      const { count } = stream;
      stream.isBehind = false; // whatever is released from now on is seen by the next one
      const entries = entriesIn(checkPresent(await this.takeOverOf(stream, count)));
      if (entries.length >= count) stream.isBehind = true;
      return [stream, entries] as const;
    });
    for (const [stream, entries] of await Promise.all(asked)) this.handOut(stream, entries);
  }

  private takeOverOf({ key, lease }: ReadStream, count: number): Promise<unknown> {
    const { session, fence, consumer, keys, timeoutMs } = this.ports;
    const names = [keys.nodes, key];
    const parameters = [...fence, consumer, count];
    if (lease !== undefined) {
      names.push(keys.shards);
      parameters.push(lease.field, lease.value);
    }
    return session.reader.run(timeoutMs, TAKE_OVER, names, parameters);
  }

  /** One look at every stream that has room, without waiting. */
  private async pass(open: readonly ReadStream[]): Promise<void> {
    const byCount = new Map<number, ReadStream[]>();
    for (const stream of open) {
      const same = byCount.get(stream.count);
      if (same === undefined) byCount.set(stream.count, [stream]);
      else same.push(stream);
    }
    const asked = [...byCount].map(async ([count, streams]) => ({
      count,
      streams,
      reply: await this.read(streams, count, []),
    }));
    this.arrived(await Promise.all(asked));
  }

  private async waitAtServer(open: readonly ReadStream[]): Promise<void> {
    const count = Math.min(...open.map((stream) => stream.count));
    let isBeingWoken = false;
    const wait: Wait = {
      streams: new Set(open),
      wake: () => {
        if (isBeingWoken) return;
        isBeingWoken = true;
        this.unblock(wait).catch((error: unknown) => this.ports.failed(error as Error));
      },
    };
    this.waiting = wait;
    const reply = await this.read(open, count, ['BLOCK', this.ports.blockMs]);
    this.waiting = undefined;
    this.arrived([{ count, streams: open, reply }]);
  }

  /**
   * Wakes a read that waits at the server. It may not have got there yet, since it goes by another connection: then the server answers 0, and is asked
   * again until the read has been woken or has come back by itself.
   */
  private async unblock(wait: Wait): Promise<void> {
    const { session, timeoutMs, host } = this.ports;
    for (
      let pauseMs = WAKE_AGAIN_MS;
      this.waiting === wait;
      pauseMs = Math.min(2 * pauseMs, WAKE_AGAIN_MAX_MS)
    ) {
      const woken = await session.writer.call(timeoutMs, 'CLIENT', 'UNBLOCK', session.readerId);
      if (Number(woken) === 1 || this.waiting !== wait) return;
      await pause(host.clock, pauseMs, this.ending.signal);
    }
  }

  private waitHere(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting = {
        streams: new Set(),
        wake: () => {
          this.waiting = undefined;
          resolve();
        },
      };
    });
  }

  private read(
    streams: readonly ReadStream[],
    count: number,
    block: readonly (string | number)[],
  ): Promise<unknown> {
    const { session, consumer, blockMs } = this.ports;
    const keys = streams.map(({ key }) => key);
    const news = streams.map(() => '>');
    return session.reader.call(
      blockMs + WATCHDOG_MS,
      'XREADGROUP',
      'GROUP',
      READERS,
      consumer,
      'COUNT',
      count,
      ...block,
      'STREAMS',
      ...keys,
      ...news,
    );
  }

  private arrived(
    answers: readonly {
      readonly count: number;
      readonly streams: readonly ReadStream[];
      readonly reply: unknown;
    }[],
  ): void {
    const arrived: (readonly [ReadStream, readonly Entry[]])[] = [];
    for (const { count, streams, reply } of answers) {
      const byKey = new Map(
        listIn(reply).map((each) => [textIn(listIn(each)[0]), entriesIn(listIn(each)[1])]),
      );
      for (const stream of streams) {
        const entries = byKey.get(stream.key) ?? [];
        stream.isHot = entries.length >= count;
        arrived.push([stream, entries]);
      }
    }
    arrived.sort(([a], [b]) => a.lane - b.lane);
    for (const [stream, entries] of arrived) this.handOut(stream, entries);
  }

  private handOut(stream: ReadStream, entries: readonly Entry[]): void {
    this.ports.check();
    if (this.isOver) return; // the next session takes them over
    if (entries.length > 0) this.hasGiven = true;
    const left = stream.handOut(entries);
    if (left.length === 0) return;
    // Its reader was stopped while they were on their way.
    const { session, timeoutMs, consumer, failed } = this.ports;
    const given = session.writer.run(timeoutMs, RELEASE, [stream.key], [consumer, ...left]).then(
      () => this.sweep([stream.key]),
      (error: unknown) => failed(error as Error),
    );
    this.givenBack = Promise.all([this.givenBack, given]);
  }
}
