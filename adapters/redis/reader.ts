/**
 * Reads all streams of a node over one connection: most urgent lanes first without waiting, and only when none has anything it waits at
 * the server for all of them at once. No lane is asked for more than its window has room for. After every reconnect it first reads what the
 * server holds as given to it: an answer that was cut on the wire is never given again otherwise.
 */

import type { Delivery, Lane } from '../../src/protocol/broker.ts';
import { type Client, listIn, textIn } from './client.ts';
import { READERS } from './keys.ts';
import type { Session } from './link.ts';

/** Milliseconds that a read waits at the server, and those after which a server that does not answer is given up. */
const BLOCK_MS = 5_000;
const WATCHDOG_MS = BLOCK_MS + 2_000;
/** Entries of one stream in one answer. */
const COUNT_MAX = 128;

/** A frame that was given out. */
export class RedisDelivery implements Delivery {
  readonly lane: Lane;
  readonly bytes: Uint8Array;
  readonly topic: string | undefined;
  readonly deliveries: number;
  /** Its place in its stream. */
  readonly id: string;
  readonly stream: ReadStream;

  constructor(stream: ReadStream, id: string, fields: Fields, deliveries: number) {
    this.stream = stream;
    this.lane = stream.lane;
    this.id = id;
    this.bytes = fields.bytes;
    this.topic = fields.topic;
    this.deliveries = deliveries;
  }

  get isRedelivered(): boolean {
    return this.deliveries > 1;
  }
}

interface Fields {
  readonly bytes: Uint8Array;
  readonly topic: string | undefined;
}

/** One lane of a source. */
export class ReadStream {
  readonly key: string;
  readonly lane: Lane;
  readonly window: number;
  readonly receive: (deliveries: readonly Delivery[]) => void;
  readonly unsettled = new Set<RedisDelivery>();
  /** It is not read any more. */
  isStopped = false;
  /** The last entry seen of those that were given to this consumer before; undefined when there are no more. */
  ownAfter: string | undefined = '0';

  constructor(key: string, lane: Lane, window: number, receive: (deliveries: readonly Delivery[]) => void) {
    this.key = key;
    this.lane = lane;
    this.window = window;
    this.receive = receive;
  }

  get room(): number {
    return this.isStopped ? 0 : Math.min(COUNT_MAX, this.window - this.unsettled.size);
  }
}

/** The reading of one session. */
export class Reader {
  private readonly session: Session;
  private readonly consumer: string;
  private readonly timeoutMs: number;
  private readonly failed: (error: Error) => void;
  /** Most urgent first. */
  private streams: ReadStream[] = [];
  private waitsAt: 'server' | 'here' | 'nowhere' = 'nowhere';
  private wakeHere: () => void = () => undefined;
  private isOver = false;
  private isWoken = false;

  constructor(session: Session, consumer: string, timeoutMs: number, failed: (error: Error) => void) {
    this.session = session;
    this.consumer = consumer;
    this.timeoutMs = timeoutMs;
    this.failed = failed;
  }

  /** Reads until `end`, or until the connection fails. */
  async run(): Promise<void> {
    while (!this.isOver) {
      this.isWoken = false;
      if (await this.pass()) continue;
      if (this.isOver || this.isWoken) continue;
      const open = this.streams.filter(({ room }) => room > 0);
      if (open.length === 0) await this.waitHere();
      else await this.waitAtServer(open);
    }
  }

  add(streams: readonly ReadStream[]): void {
    this.streams = [...this.streams, ...streams].sort((a, b) => a.lane - b.lane);
    this.wake();
  }

  remove(streams: readonly ReadStream[]): void {
    this.streams = this.streams.filter((each) => !streams.includes(each));
    this.wake();
  }

  /** A stream has room again, or there is something new to read. */
  wake(): void {
    this.isWoken = true;
    if (this.waitsAt === 'here') this.wakeHere();
    if (this.waitsAt !== 'server') return;
    this.waitsAt = 'nowhere'; // once is enough
    const { writer, readerId } = this.session;
    writer
      .call(this.timeoutMs, 'CLIENT', 'UNBLOCK', readerId)
      .catch((error: unknown) => this.failed(asError(error)));
  }

  end(): void {
    this.isOver = true;
    this.wakeHere();
  }

  /** Hands over what was taken from others. */
  taken(stream: ReadStream, entries: readonly unknown[]): void {
    this.handOver(stream, entries, (entry) => Number(entry[2]) + 1);
  }

  /** One look at every stream that has room; whether anything came. */
  private async pass(): Promise<boolean> {
    const open = this.streams.filter(({ room }) => room > 0);
    const answers = open.map(async (stream) => {
      const { key, room, ownAfter } = stream;
      const place = ownAfter ?? '>';
      const reply = await this.call(
        'XREADGROUP',
        'GROUP',
        READERS,
        this.consumer,
        'COUNT',
        room,
        'STREAMS',
        key,
        place,
      );
      return { stream, entries: entriesIn(reply, key), isOwn: ownAfter !== undefined };
    });
    let isAny = false;
    for (const answer of answers) {
      const { stream, entries, isOwn } = await answer;
      if (this.isOver) return false;
      if (isOwn) await this.again(stream, entries);
      else if (entries.length > 0) this.handOver(stream, entries, () => 1);
      isAny ||= entries.length > 0 || isOwn;
    }
    return isAny;
  }

  /** What this consumer was given before: in an answer that never arrived, or before a reconnect. */
  private async again(stream: ReadStream, entries: readonly unknown[]): Promise<void> {
    const last = listIn(entries.at(-1))[0];
    stream.ownAfter = last === undefined ? undefined : textIn(last);
    if (entries.length === 0) return;
    const first = textIn(listIn(entries[0])[0]);
    const pending = await this.call(
      'XPENDING',
      stream.key,
      READERS,
      first,
      textIn(last),
      entries.length,
      this.consumer,
    );
    const counts = new Map(listIn(pending).map((each) => [textIn(listIn(each)[0]), Number(listIn(each)[3])]));
    this.handOver(stream, entries, (entry) => counts.get(textIn(entry[0])) ?? 2);
  }

  private handOver(
    stream: ReadStream,
    entries: readonly unknown[],
    countOf: (entry: readonly unknown[]) => number,
  ): void {
    const deliveries: RedisDelivery[] = [];
    for (const each of entries) {
      const entry = listIn(each);
      const id = textIn(entry[0]);
      const fields = fieldsIn(entry[1]);
      // An entry that was deleted by an operator is only a number in the list of what is pending.
      if (fields === undefined) void this.call('XACK', stream.key, READERS, id).catch(() => undefined);
      else deliveries.push(new RedisDelivery(stream, id, fields, countOf(entry)));
    }
    for (const delivery of deliveries) stream.unsettled.add(delivery);
    if (deliveries.length > 0) stream.receive(deliveries);
  }

  private waitHere(): Promise<void> {
    this.waitsAt = 'here';
    return new Promise((resolve) => {
      this.wakeHere = () => {
        this.waitsAt = 'nowhere';
        resolve();
      };
    });
  }

  private async waitAtServer(open: readonly ReadStream[]): Promise<void> {
    this.waitsAt = 'server';
    const count = Math.min(...open.map(({ room }) => room));
    const keys = open.map(({ key }) => key);
    const news = open.map(() => '>');
    const reply = await this.call(
      'XREADGROUP',
      'GROUP',
      READERS,
      this.consumer,
      'COUNT',
      count,
      'BLOCK',
      BLOCK_MS,
      'STREAMS',
      ...keys,
      ...news,
    );
    this.waitsAt = 'nowhere';
    if (this.isOver) return;
    for (const stream of open) {
      const entries = entriesIn(reply, stream.key);
      if (entries.length > 0) this.handOver(stream, entries, () => 1);
    }
  }

  private call(command: string, ...parameters: Parameters<Client['call']>[2][]): Promise<unknown> {
    return this.session.reader.call(WATCHDOG_MS, command, ...parameters);
  }
}

/** The entries of one stream in the answer of XREADGROUP. */
function entriesIn(reply: unknown, key: string): readonly unknown[] {
  for (const stream of listIn(reply)) {
    const [name, entries] = listIn(stream);
    if (textIn(name) === key) return listIn(entries);
  }
  return [];
}

function fieldsIn(list: unknown): Fields | undefined {
  const parts = listIn(list);
  let bytes: Uint8Array | undefined;
  let topic: string | undefined;
  for (let n = 0; n + 1 < parts.length; n += 2) {
    const value = parts[n + 1];
    if (textIn(parts[n]) === 'b' && Buffer.isBuffer(value)) bytes = value;
    if (textIn(parts[n]) === 't') topic = textIn(value);
  }
  return bytes === undefined ? undefined : { bytes, topic };
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error('the connection failed', { cause: error });
}
