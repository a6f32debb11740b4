/**
 * Reads partitions on connections of its own: one long poll at each server that leads some of them. A partition whose lane has no
 * room is left out; while one is, polls are short, so that it comes back soon. With all in it, a poll waits long.
 */

import type { Lane } from '../../src/protocol/broker.ts';
import { pause } from '../../src/protocol/deadline.ts';
import { type Ask, type Fetched, type InRecord, type KafkaClient, KafkaFailure } from './driver.ts';
import { failureOf } from './kafkajs-failures.ts';
import type { Link } from './link.ts';

/** Milliseconds for which a poll waits: with all partitions in it, and at first with some of them. */
const LONG_WAIT_MS = 500;
const SHORT_WAIT_MS = 10;
/** Milliseconds between attempts to read, when the connection for requests is well. */
const AGAIN_MS = 50;

/** A partition that is read. @internal */
export interface Cursor {
  readonly topic: string;
  readonly partition: Lane;
  /** The offset to read from. */
  position(): number;
  hasRoom(): boolean;
  take(records: readonly InRecord[], next: number): void;
  /** The log begins at `start` and goes on at `end`, and our position is in neither. */
  restart(start: number, end: number): void;
}

/** @internal */
export class Reader {
  private readonly link: Link;
  private cursors: readonly Cursor[] = [];
  private round: AbortController | undefined;
  private client: KafkaClient | undefined;
  private wakers: (() => void)[] = [];

  constructor(link: Link) {
    this.link = link;
  }

  /** Reads these, and nothing else, from now on. */
  read(cursors: readonly Cursor[]): void {
    this.stop();
    this.cursors = cursors;
    if (cursors.length === 0) return;
    this.round = new AbortController();
    void this.run(this.round.signal); // it catches what goes wrong
  }

  /** There may be room again. */
  wake(): void {
    for (const wake of this.wakers.splice(0)) wake();
  }

  /** The connection for requests is gone: this one probably too. */
  drop(): void {
    this.client?.close();
  }

  stop(): void {
    this.round?.abort();
    this.round = undefined;
    this.client?.close();
    this.client = undefined;
    this.wake();
  }

  private async run(signal: AbortSignal): Promise<void> {
    const { link } = this;
    const { clock } = link.host;
    while (!signal.aborted && !link.isClosed) {
      const main = link.client;
      try {
        if (main === undefined) {
          await link.ready(link.settings.connectTimeoutMs);
          continue;
        }
        await this.connected(signal);
      } catch (error) {
        if (signal.aborted) return;
        const failure = failureOf(error, link.settings);
        if (failure.kind === 'out-of-range') await this.reposition(failure).catch(() => undefined);
        // What was given out over it counts no more, as if the one for requests were gone.
        else if (failure.kind === 'lost' && main !== undefined) link.suspect(main, failure);
        else if (main !== undefined && main === link.client) await this.probe();
        await pause(clock, AGAIN_MS, signal);
      }
    }
  }

  private async connected(signal: AbortSignal): Promise<void> {
    const { link } = this;
    const client = await link.driver.connect(() => this.wake());
    if (signal.aborted) {
      client.close();
      return;
    }
    this.client = client;
    try {
      const polls = [...(await this.byLeader(client))].map(([leader, cursors]) =>
        this.poll(client, signal, { leader, cursors }),
      );
      await Promise.all(polls);
    } finally {
      client.close();
      if (this.client === client) this.client = undefined;
    }
  }

  private async byLeader(client: KafkaClient): Promise<Map<number, Cursor[]>> {
    const { publishTimeoutMs } = this.link.settings;
    const found = new Map<number, Cursor[]>();
    for (const topic of new Set(this.cursors.map((cursor) => cursor.topic))) {
      const leaders = await this.link.within(publishTimeoutMs, client.leaders(topic));
      for (const cursor of this.cursors.filter((one) => one.topic === topic)) {
        const leader = leaders[cursor.partition] ?? -1;
        if (leader < 0) throw new KafkaFailure('refused', `${topic} has no leader`);
        found.set(leader, [...(found.get(leader) ?? []), cursor]);
      }
    }
    return found;
  }

  private async poll(
    client: KafkaClient,
    signal: AbortSignal,
    { leader, cursors }: { readonly leader: number; readonly cursors: readonly Cursor[] },
  ): Promise<void> {
    let shortMs = SHORT_WAIT_MS;
    while (!signal.aborted && this.client === client) {
      const open = cursors.filter((cursor) => cursor.hasRoom());
      if (open.length === 0) {
        await new Promise<void>((resolve) => this.wakers.push(resolve));
        continue;
      }
      const isWhole = open.length === cursors.length;
      const waitMs = isWhole ? LONG_WAIT_MS : shortMs;
      const asks = open.map((cursor) => ({
        topic: cursor.topic,
        partition: cursor.partition,
        offset: cursor.position(),
      }));
      const deadlineMs = waitMs + this.link.settings.publishTimeoutMs;
      const fetched = await this.link.within(deadlineMs, client.fetch(leader, asks, waitMs));
      if (signal.aborted) return;
      const isEmpty = !deliver(open, asks, fetched);
      shortMs = isEmpty && !isWhole ? Math.min(LONG_WAIT_MS, shortMs * 2) : SHORT_WAIT_MS;
    }
  }

  /** Goes where the log is. */
  private async reposition(failure: KafkaFailure): Promise<void> {
    const { link } = this;
    const topics = failure.at === undefined ? this.cursors.map(({ topic }) => topic) : [failure.at.topic];
    for (const topic of new Set(topics)) {
      const starts = await link.call(link.settings.publishTimeoutMs, (client) =>
        client.offsets(topic, 'start'),
      );
      const ends = await link.call(link.settings.publishTimeoutMs, (client) => client.offsets(topic, 'end'));
      for (const cursor of this.cursors) {
        const start = starts[cursor.partition];
        const end = ends[cursor.partition];
        if (cursor.topic !== topic || start === undefined || end === undefined) continue;
        const position = cursor.position();
        if (position >= start && position <= end) continue;
        cursor.restart(start, end);
        link.degrade(
          `frames of ${topic} are gone: its log begins at ${start}, and ${position} was to be read`,
        );
      }
    }
  }

  private async probe(): Promise<void> {
    const { link } = this;
    await link
      .call(link.settings.publishTimeoutMs, (client) => client.offsets(link.home.name, 'end'))
      .catch(() => undefined);
  }
}

/** Hands over what was read, most urgent lane first, and in the order of the cursors; whether there was something. */
function deliver(cursors: readonly Cursor[], asks: readonly Ask[], fetched: readonly Fetched[]): boolean {
  const placeOf = ({ topic, partition }: Fetched): number =>
    asks.findIndex((ask) => ask.topic === topic && ask.partition === partition);
  const inTurn = fetched
    .map((one) => ({ ...one, place: placeOf(one) }))
    .toSorted((a, b) => a.partition - b.partition || a.place - b.place);
  let isAny = false;
  for (const { place, records, next } of inTurn) {
    const ask = asks[place];
    const cursor = cursors[place];
    // One that has moved meanwhile wants something else.
    if (ask === undefined || cursor === undefined || cursor.position() !== ask.offset) continue;
    if (next <= ask.offset) continue;
    isAny = true;
    cursor.take(records, next);
  }
  return isAny;
}
