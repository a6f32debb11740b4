/**
 * How far the readers of a log have come, by what they have committed. It is asked for, kept, and may be old: a reader is never further
 * back than it says, and one that came since has begun at the end of the log, so it is no further behind than the log has grown since.
 */

import { LANES, type Lane } from '../../src/protocol/broker.ts';
import { patternMatcher } from '../../src/protocol/pattern.ts';
import type { Shard } from '../../src/protocol/sharding.ts';
import type { KafkaClient } from './driver.ts';
import type { Link } from './link.ts';
import type { Names } from './names.ts';
import { readNodeNote, readSlotNote } from './records.ts';

/** @internal */
export interface Readers {
  /** What has no log is unroutable, as nobody has begun to read it. */
  readonly mayBeNone: boolean;
  /** Whether somebody has begun to read it, as far as that is known without a log. */
  areThere(): Promise<boolean>;
  readonly isKnown: boolean;
  /** Asks how far they are. */
  ask(client: KafkaClient): Promise<void>;
  /** The offset before which all readers of a topic have been given all, or `otherwise` where nothing is known. */
  givenTo(topic: string, lane: Lane, otherwise: number): number;
  forget(): void;
}

/** The one reader of an inbox. @internal */
export class InboxReader implements Readers {
  readonly mayBeNone = true;
  private readonly link: Link;
  private readonly topic: string;
  private readonly lane: Lane;
  private given: number | undefined;

  constructor(link: Link, topic: string, lane: Lane) {
    this.link = link;
    this.topic = topic;
    this.lane = lane;
  }

  get isKnown(): boolean {
    return this.given !== undefined;
  }

  async ask(client: KafkaClient): Promise<void> {
    const { link, topic, lane } = this;
    const commits = await link.insist(client, link.settings.publishTimeoutMs, () =>
      client.committed(topic, topic, [lane]),
    );
    const commit = commits.get(lane);
    this.given = readNodeNote(commit?.metadata)?.given ?? commit?.offset;
  }

  areThere(): Promise<boolean> {
    return Promise.resolve(true);
  }

  givenTo(_topic: string, _lane: Lane, otherwise: number): number {
    return this.given ?? otherwise;
  }

  forget(): void {
    this.given = undefined;
  }
}

/** What is known of shards. @internal */
export interface ShardLedger {
  /** Whether it was ever claimed. */
  isThere(shard: Shard): Promise<boolean>;
  /** All before was given to an owner, by lane. */
  givenOf(shard: Shard): readonly number[] | undefined;
}

/** The owner of a shard, whoever that is. Its progress is told to all nodes, so nobody has to ask. @internal */
export class ShardReader implements Readers {
  readonly mayBeNone = true;
  readonly isKnown = true;
  private readonly ledger: ShardLedger;
  private readonly shard: Shard;
  private isClaimed = false;

  constructor(ledger: ShardLedger, shard: Shard) {
    this.ledger = ledger;
    this.shard = shard;
  }

  async areThere(): Promise<boolean> {
    this.isClaimed ||= await this.ledger.isThere(this.shard);
    return this.isClaimed;
  }

  ask(): Promise<void> {
    return Promise.resolve();
  }

  givenTo(_topic: string, lane: Lane, otherwise: number): number {
    return this.ledger.givenOf(this.shard)?.[lane] ?? otherwise;
  }

  forget(): void {
    this.isClaimed = false;
  }
}

interface BusReader {
  readonly fits: (topic: string) => boolean;
  readonly given: readonly number[];
}

/** All that read the bus: nodes that listen, and groups. @internal */
export class BusReaders implements Readers {
  readonly mayBeNone = false;
  private readonly link: Link;
  private readonly names: Names;
  private readers: readonly BusReader[] | undefined;
  private ends: readonly number[] = [];
  private asking: Promise<void> | undefined;

  constructor(link: Link, names: Names) {
    this.link = link;
    this.names = names;
  }

  get isKnown(): boolean {
    return this.readers !== undefined;
  }

  ask(client: KafkaClient): Promise<void> {
    this.asking ??= this.askNow(client).finally(() => {
      this.asking = undefined;
    });
    return this.asking;
  }

  areThere(): Promise<boolean> {
    return Promise.resolve(true);
  }

  givenTo(topic: string, lane: Lane, otherwise: number): number {
    // For those that came since.
    let given = this.ends[lane] ?? otherwise;
    for (const reader of this.readers ?? [])
      if (reader.fits(topic)) given = Math.min(given, reader.given[lane] ?? given);
    return given;
  }

  forget(): void {
    this.readers = undefined;
    this.ends = [];
  }

  private async askNow(client: KafkaClient): Promise<void> {
    const { link, names } = this;
    const timeoutMs = link.settings.publishTimeoutMs;
    const ends = await link.insist(client, timeoutMs, () => client.offsets(names.bus, 'end'));
    const groups = await link.insist(client, timeoutMs, () => client.groups());
    const found = await Promise.all(
      groups.map(async (group): Promise<readonly BusReader[]> => {
        if (!group.startsWith(names.inboxes) && !group.startsWith(names.groups)) return [];
        const isNode = group.startsWith(names.inboxes);
        const reader = await link.insist(client, timeoutMs, () =>
          isNode ? this.nodeReader(client, group) : this.groupReader(client, group),
        );
        return reader === undefined ? [] : [reader];
      }),
    );
    this.readers = found.flat();
    this.ends = ends;
  }

  private async nodeReader(client: KafkaClient, group: string): Promise<BusReader | undefined> {
    const commits = await client.committed(group, this.names.bus, LANES);
    const notes = LANES.map((lane) => readNodeNote(commits.get(lane)?.metadata));
    const [first] = notes;
    if (first === undefined || first.patterns.length === 0 || this.isOver(first.atMs)) return undefined;
    const matchers = first.patterns.map(patternMatcher);
    return {
      fits: (topic) => matchers.some((matches) => matches(topic)),
      given: notes.map((note) => note?.given ?? Number.POSITIVE_INFINITY),
    };
  }

  private async groupReader(client: KafkaClient, group: string): Promise<BusReader | undefined> {
    const slots = (await client.leaders(group)).map((_, slot) => slot);
    const commits = await client.committed(group, group, slots);
    const notes = [...commits.values()].flatMap(({ metadata }) => readSlotNote(metadata) ?? []);
    const living = notes.filter(({ atMs }) => !this.isOver(atMs));
    const [first] = living;
    if (first === undefined) return undefined;
    return {
      fits: patternMatcher(first.pattern),
      given: LANES.map((lane) => Math.min(...living.map(({ given }) => given[lane] ?? 0))),
    };
  }

  /** Nobody has said anything for so long that what it holds is kept no more. */
  private isOver(atMs: number): boolean {
    return this.link.host.clock.wallNow() - atMs > this.link.settings.expiresMs;
  }
}
