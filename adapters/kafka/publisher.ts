/**
 * Publishes: one produce in flight for each partition, in order. What a reader has not been given yet is counted before each: where a
 * log ends is in the answer to every produce, and how far readers are is asked when one of them could be too far behind.
 */

import type { Destination, Lane, OutFrame, PublishResult } from '../../src/protocol/broker.ts';
import { pause, settledWithin } from '../../src/protocol/deadline.ts';
import { FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import type { KafkaClient, OutRecord } from './driver.ts';
import { failureOf } from './kafkajs-failures.ts';
import type { Link } from './link.ts';
import type { Names } from './names.ts';
import { BusReaders, InboxReader, type Readers, type ShardLedger, ShardReader } from './readers.ts';
import { toRecord } from './records.ts';

/** Bytes and frames of one produce. */
const BATCH_BYTES = FRAME_BYTES_MAX;
const BATCH_FRAMES = 1_000;
/** Destinations that are remembered. */
const OUTLETS_MAX = 2_000;
/** Milliseconds for which it is believed that a lane is full. */
const BELIEVED_MS = 50;
/** Milliseconds in which servers hear of a new topic. */
const HEARD_OF_MS = 50;

interface Letter {
  readonly frame: OutFrame;
  /** Its place in the call. */
  readonly place: number;
}

/** @internal */
export class Publisher {
  private readonly link: Link;
  private readonly names: Names;
  private readonly bus: BusReaders;
  private readonly ledger: ShardLedger;
  private readonly outlets = new Map<string, Outlet>();

  constructor(link: Link, names: Names, ledger: ShardLedger) {
    this.link = link;
    this.names = names;
    this.ledger = ledger;
    this.bus = new BusReaders(link, names);
  }

  async publish(frames: readonly OutFrame[]): Promise<readonly PublishResult[]> {
    const results = frames.map((): PublishResult => 'unavailable');
    const letters = new Map<Outlet, Letter[]>();
    for (const [place, frame] of frames.entries()) {
      if (frame.bytes.byteLength > FRAME_BYTES_MAX) {
        results[place] = 'too-large';
        continue;
      }
      const outlet = this.outletOf(frame);
      const letter = { frame, place };
      const own = letters.get(outlet);
      if (own === undefined) letters.set(outlet, [letter]);
      else own.push(letter);
    }
    await Promise.all(
      [...letters].map(async ([outlet, own]) => {
        const found = await outlet.send(own);
        for (const [at, { place }] of own.entries()) results[place] = found[at] ?? 'unavailable';
      }),
    );
    return results;
  }

  /** Resolves when what is being published has its results. */
  async settled(): Promise<void> {
    await Promise.all([...this.outlets.values()].map((outlet) => outlet.settled()));
  }

  private outletOf({ to, lane }: OutFrame): Outlet {
    const topic = this.topicOf(to);
    const key = `${topic} ${lane}`;
    let outlet = this.outlets.get(key);
    if (outlet === undefined) {
      this.forgetSome();
      outlet = new Outlet(this.link, { topic, lane, readers: this.readersOf(to, lane) });
      this.outlets.set(key, outlet);
    }
    return outlet;
  }

  private topicOf(to: Destination): string {
    switch (to.kind) {
      case 'node':
        return this.names.inbox(to.node);
      case 'topic':
        return this.names.bus;
      case 'shard':
        return this.names.shard(to);
    }
  }

  private readersOf(to: Destination, lane: Lane): Readers {
    switch (to.kind) {
      case 'node':
        return new InboxReader(this.link, this.names.inbox(to.node), lane);
      case 'topic':
        return this.bus;
      case 'shard':
        return new ShardReader(this.ledger, to);
    }
  }

  private forgetSome(): void {
    if (this.outlets.size < OUTLETS_MAX) return;
    for (const [key, outlet] of this.outlets) if (!outlet.isBusy) this.outlets.delete(key);
  }
}

/** One partition, as it is written to. */
class Outlet {
  private readonly link: Link;
  private readonly topic: string;
  private readonly lane: Lane;
  private readonly readers: Readers;
  private last: Promise<unknown> = Promise.resolve();
  private waiting = 0;
  /** Where the log ends, as far as we know, and where it ended when we heard of it first. */
  private end: number | undefined;
  private firstEnd = 0;
  private askedAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    link: Link,
    rest: {
      readonly topic: string;
      readonly lane: Lane;
      readonly readers: Readers;
    },
  ) {
    this.link = link;
    this.topic = rest.topic;
    this.lane = rest.lane;
    this.readers = rest.readers;
  }

  get isBusy(): boolean {
    return this.waiting > 0;
  }

  async settled(): Promise<void> {
    await this.last;
  }

  /** After what is being sent. Never rejects. */
  async send(letters: readonly Letter[]): Promise<readonly PublishResult[]> {
    const { clock } = this.link.host;
    const endMs = clock.now() + this.link.settings.publishTimeoutMs;
    const before = this.last;
    this.waiting++;
    const turn = settledWithin(clock, this.link.settings.publishTimeoutMs, before, () => 'late').then(
      (late) =>
        late === 'late' ? letters.map((): PublishResult => 'unavailable') : this.sendNow(letters, endMs),
    );
    // The next one also waits for the one before this, if that takes longer.
    this.last = Promise.all([before, turn]);
    const results = await turn;
    this.waiting--;
    return results;
  }

  private async sendNow(letters: readonly Letter[], endMs: number): Promise<readonly PublishResult[]> {
    const { client } = this.link;
    const results = letters.map((): PublishResult => 'unavailable');
    if (client === undefined) return results;
    let fitting: readonly number[];
    try {
      const isThere = await this.link.within(this.restMs(endMs), this.readers.areThere());
      if (!isThere) return letters.map(() => 'unroutable');
      fitting = await this.link.within(this.restMs(endMs), this.fitting(client, letters));
    } catch (error) {
      const result = this.resultOf(client, error);
      return letters.map(() => result);
    }
    for (const at of letters.keys()) results[at] = 'full';
    for (const at of fitting) results[at] = 'unavailable';
    for (const batch of batches(letters, fitting)) {
      const result = await this.produce(client, batch.map((at) => letters[at]).filter(isLetter), endMs);
      for (const at of batch) results[at] = result;
      if (result === 'denied' || result === 'unroutable') for (const at of fitting) results[at] = result;
      if (result !== 'ok') break;
    }
    return results;
  }

  /** The places of the letters for which there is room. After one that has none there is none for those behind it. */
  private async fitting(client: KafkaClient, letters: readonly Letter[]): Promise<readonly number[]> {
    const fitting = this.countFitting(letters);
    const isFresh = this.link.host.clock.now() - this.askedAtMs < BELIEVED_MS;
    if (fitting.length === letters.length || this.end === undefined || isFresh) return fitting;
    await this.ask(client);
    return this.countFitting(letters);
  }

  private countFitting(letters: readonly Letter[]): readonly number[] {
    const { maxLength } = this.link.settings;
    const full = new Set<string>();
    const fitting: number[] = [];
    for (const [at, { frame }] of letters.entries()) {
      const topic = frame.to.kind === 'topic' ? frame.to.topic : '';
      if (full.has(topic)) continue;
      // As long as nothing is known, readers have all that was there before.
      const given = this.readers.givenTo(topic, this.lane, this.firstEnd);
      const end = this.end ?? this.firstEnd;
      const length = end + fitting.length - Math.min(given, end);
      if (length >= maxLength) full.add(topic);
      else fitting.push(at);
    }
    return fitting;
  }

  private async ask(client: KafkaClient): Promise<void> {
    await this.readers.ask(client);
    this.askedAtMs = this.link.host.clock.now();
  }

  private async produce(
    client: KafkaClient,
    letters: readonly Letter[],
    endMs: number,
  ): Promise<PublishResult> {
    const { link } = this;
    const records = letters.map(({ frame }) => toRecord(frame));
    try {
      const base = await link.insist(client, this.restMs(endMs), () => this.write(client, records));
      // A topic that was made again begins anew, and so do its readers.
      if (this.end === undefined || base < this.end) {
        this.firstEnd = base;
        this.readers.forget();
      }
      this.end = base + records.length;
      // Nobody waits for it: until then what we send is bounded by what we have sent.
      if (!this.readers.isKnown) this.ask(client).catch(() => undefined);
      return 'ok';
    } catch (error) {
      return this.resultOf(client, error);
    }
  }

  /** A topic that was made a moment ago is not known to all servers: one that is not there is asked for twice. */
  private async write(client: KafkaClient, records: readonly OutRecord[]): Promise<number> {
    try {
      return await client.produce(this.topic, this.lane, records);
    } catch (error) {
      if (failureOf(error).kind !== 'no-topic') throw error;
      await pause(this.link.host.clock, HEARD_OF_MS);
      return client.produce(this.topic, this.lane, records);
    }
  }

  private resultOf(client: KafkaClient, error: unknown): PublishResult {
    const failure = failureOf(error, this.link.settings);
    this.link.suspect(client, failure);
    switch (failure.kind) {
      case 'no-topic':
        this.end = undefined;
        return this.readers.mayBeNone ? 'unroutable' : 'unavailable';
      case 'denied':
      case 'too-large':
        return failure.kind;
      case 'lost':
        return 'unknown';
      case 'refused':
        this.link.degrade(`the server takes nothing: ${failure.message}`);
        return 'unavailable';
      case 'not-sent':
      case 'fenced':
      case 'rebalancing':
      case 'out-of-range':
        return 'unavailable';
    }
  }

  private restMs(endMs: number): number {
    return Math.max(1, endMs - this.link.host.clock.now());
  }
}

function isLetter(letter: Letter | undefined): letter is Letter {
  return letter !== undefined;
}

/** Places, in parts that are sent at once. */
function batches(letters: readonly Letter[], places: readonly number[]): number[][] {
  const found: number[][] = [];
  let bytes = 0;
  for (const place of places) {
    const size = letters[place]?.frame.bytes.byteLength ?? 0;
    const batch = found.at(-1);
    if (batch === undefined || batch.length >= BATCH_FRAMES || bytes + size > BATCH_BYTES) {
      found.push([place]);
      bytes = size;
    } else {
      batch.push(place);
      bytes += size;
    }
  }
  return found;
}
