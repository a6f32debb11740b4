/**
 * The inbox of a node: its own log, and the bus as far as the node listens. Both are read into the same six lanes. How far it is, and
 * that it lives, it says in commits of a consumer group that nobody ever joins.
 */

import type { ConsumeOptions, Consumption, Lane, NodeIdentity, PerLane } from '../../src/protocol/broker.ts';
import { pause } from '../../src/protocol/deadline.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import { patternMatcher } from '../../src/protocol/pattern.ts';
import { Committer } from './committer.ts';
import { LaneConsumption } from './consumption.ts';
import { type InRecord, type KafkaClient, KafkaFailure } from './driver.ts';
import { Lanes } from './lanes.ts';
import type { Link } from './link.ts';
import type { Names } from './names.ts';
import { type Cursor, Reader } from './reader.ts';
import { type NodeNote, perLane, readNodeNote, topicOf, writeNodeNote } from './records.ts';
import { inboxTopic } from './topics.ts';
import { Watermark } from './watermark.ts';

/** Settled frames of a lane after which its log is cut. */
const TRIM_AFTER_FRAMES = 1_000;

/** The header of a record that claims the inbox, and the lane in whose log it is. */
const CLAIM = 'claim';
const CLAIM_LANE: Lane = 0;

interface Holder {
  readonly note: NodeNote;
  readonly safe: number;
}

interface Interest {
  readonly fits: (topic: string) => boolean;
  /** Where the bus ended when it began, by lane. */
  readonly from: readonly number[];
  count: number;
}

/** @internal */
export class Inbox {
  private readonly link: Link;
  private readonly names: Names;
  private readonly node: NodeIdentity;
  private readonly topic: string;
  private readonly lanes: Lanes;
  private readonly reader: Reader;
  private readonly committer: Committer;
  private own = perLane(() => new Watermark(0));
  private bus = perLane(() => new Watermark(0));
  private readonly trimmed: number[] = [0, 0, 0, 0, 0, 0];
  private mayTrim = true;
  private readonly interest = new Map<string, Interest>();
  private isRead = false;

  constructor(link: Link, names: Names, node: NodeIdentity) {
    this.link = link;
    this.names = names;
    this.node = node;
    this.topic = names.inbox(node.name);
    this.reader = new Reader(link);
    this.committer = new Committer(link.host, () =>
      link.call(link.settings.publishTimeoutMs, (client) => this.commit(client)),
    );
    this.lanes = new Lanes(link.host, {
      moved: (settled) => {
        this.committer.moved(settled);
        this.reader.wake();
      },
      thrown: (error) => link.degrade(`the receiver of frames threw: ${String(error)}`),
    });
  }

  /** Makes the inbox, empty, for this life of the node. Rejects with `ERR_NAME_TAKEN` when another one lives. */
  async begin(client: KafkaClient): Promise<void> {
    const { connectTimeoutMs } = this.link.settings;
    await this.link.insist(client, connectTimeoutMs, () => client.createTopic(inboxTopic(this.topic)));
    await this.claim(client);
    await this.link.insist(client, connectTimeoutMs, async () => {
      const ends = await client.offsets(this.topic, 'end');
      this.own = perLane((lane) => new Watermark(ends[lane] ?? 0));
      for (const [lane, end] of ends.entries()) this.trimmed[lane] = end;
      await this.commit(client);
    });
  }

  /** On each new connection. */
  async restore(client: KafkaClient): Promise<void> {
    const { connectTimeoutMs } = this.link.settings;
    await this.link.insist(client, connectTimeoutMs, () => client.createTopic(inboxTopic(this.topic)));
    await this.link.insist(client, connectTimeoutMs, () => this.beat(client));
    this.lanes.resume();
  }

  /** Says that this node lives, and forgets what was read. Rejects with `ERR_NAME_TAKEN` when another one has taken its place. */
  async beat(client: KafkaClient): Promise<void> {
    const holder = await this.holder(client);
    if (holder !== undefined && holder.note.incarnation !== this.node.incarnation)
      throw this.taken(holder.note);
    await this.commit(client);
    await this.trim(client);
  }

  /** The connection is gone. */
  lost(): void {
    this.lanes.hold();
    this.lanes.recall();
    this.reader.drop();
  }

  async listen(pattern: string): Promise<void> {
    const { link } = this;
    const { connectTimeoutMs } = link.settings;
    await link.ready(connectTimeoutMs);
    const ends = await link
      .call(connectTimeoutMs, (client) => client.offsets(this.names.bus, 'end'))
      .catch((error: unknown) => {
        throw link.errorOf(error);
      });
    const known = this.interest.get(pattern);
    if (known !== undefined) {
      known.count++;
      return;
    }
    const isFirst = this.interest.size === 0;
    if (isFirst) for (const [lane, end] of ends.entries()) this.bus[lane]?.skipTo(end);
    this.interest.set(pattern, { fits: patternMatcher(pattern), from: ends, count: 1 });
    if (isFirst && this.isRead) this.reader.read(this.cursors());
    this.committer.moved(0);
  }

  unlisten(pattern: string): void {
    const known = this.interest.get(pattern);
    if (known === undefined) return;
    known.count--;
    if (known.count > 0) return;
    this.interest.delete(pattern);
    if (this.interest.size === 0 && this.isRead) this.reader.read(this.cursors());
    this.committer.moved(0);
  }

  async consume(options: ConsumeOptions, whenStopped: () => void): Promise<Consumption> {
    const { link, lanes, names, node } = this;
    if (this.isRead)
      throw invalidOption(
        'source',
        'something else, since the inbox is read once and is being read',
        'inbox',
      );
    this.isRead = true;
    try {
      await link.ready(link.settings.connectTimeoutMs);
    } catch (error) {
      this.isRead = false;
      throw error;
    }
    lanes.attach(options);
    this.reader.read(this.cursors());
    return new LaneConsumption({
      link,
      names,
      node: node.name,
      lanes,
      halt: () => lanes.detach(),
      leave: async () => {
        whenStopped();
        lanes.recall();
        this.reader.stop();
        this.isRead = false;
        await this.committer.flush();
      },
    });
  }

  /** What is in its own log, and on the bus, and was given to nobody; frames of the bus that were not read yet count all. */
  async backlog(): Promise<PerLane> {
    const { publishTimeoutMs } = this.link.settings;
    const ends = await this.link.call(publishTimeoutMs, (client) => client.offsets(this.topic, 'end'));
    const busEnds =
      this.interest.size === 0
        ? []
        : await this.link.call(publishTimeoutMs, (client) => client.offsets(this.names.bus, 'end'));
    const unread = (end: number | undefined, { next }: Watermark): number =>
      end === undefined ? 0 : Math.max(0, end - next);
    return perLane(
      (lane) =>
        this.lanes.waitingIn(lane) +
        unread(ends[lane], this.own[lane]) +
        unread(busEnds[lane], this.bus[lane]),
    );
  }

  stop(): void {
    this.reader.stop();
    this.committer.cancel();
  }

  /** Removes all of it. Never rejects. */
  async remove(): Promise<void> {
    const { publishTimeoutMs } = this.link.settings;
    const { topic, link } = this;
    await link.call(publishTimeoutMs, (client) => client.removeTopic(topic)).catch(() => undefined);
    await link.call(publishTimeoutMs, (client) => client.removeGroup(topic)).catch(() => undefined);
  }

  /**
   * Writes into the inbox itself that this node wants it. Whoever wrote so before, or holds it, may live: that is seen by its commits
   * during `downAfterMs`, not by comparing clocks.
   */
  private async claim(client: KafkaClient): Promise<void> {
    const { link, node, topic } = this;
    const { connectTimeoutMs, downAfterMs, heartbeatMs } = link.settings;
    const { clock } = link.host;
    const ask = <T>(request: () => Promise<T>): Promise<T> => link.insist(client, connectTimeoutMs, request);
    const before = await ask(() => this.holder(client));
    const claim = { value: new Uint8Array(0), headers: { [CLAIM]: node.incarnation } };
    const place = await ask(() => client.produce(topic, CLAIM_LANE, [claim]));
    const isHeld = before !== undefined && before.note.incarnation !== node.incarnation;
    if (!isHeld && !(await ask(() => this.hasRival(client, before?.safe, place)))) return;
    const endMs = clock.now() + downAfterMs;
    while (clock.now() < endMs) {
      await pause(clock, Math.min(heartbeatMs / 2, Math.max(1, endMs - clock.now())));
      const now = await ask(() => this.holder(client));
      if (now !== undefined && now.note.atMs !== before?.note.atMs) throw this.taken(now.note);
    }
  }

  /** Whether somebody else has written a claim before ours, which is at `place`. */
  private async hasRival(client: KafkaClient, safe: number | undefined, place: number): Promise<boolean> {
    const { topic, node } = this;
    const starts = await client.offsets(topic, 'start');
    const leader = (await client.leaders(topic))[CLAIM_LANE] ?? -1;
    let offset = Math.max(safe ?? 0, starts[CLAIM_LANE] ?? 0);
    while (offset < place) {
      const [fetched] = await client.fetch(leader, [{ topic, partition: CLAIM_LANE, offset }], 0);
      if (fetched === undefined || fetched.next <= offset) return false;
      for (const { headers, offset: at } of fetched.records)
        if (at < place && headers[CLAIM] !== undefined && headers[CLAIM] !== node.incarnation) return true;
      offset = fetched.next;
    }
    return false;
  }

  private async holder(client: KafkaClient): Promise<Holder | undefined> {
    const commit = (await client.committed(this.topic, this.topic, [CLAIM_LANE])).get(CLAIM_LANE);
    const note = readNodeNote(commit?.metadata);
    return commit === undefined || note === undefined ? undefined : { note, safe: commit.offset };
  }

  private taken({ incarnation }: NodeNote): TroupeError<'ERR_NAME_TAKEN'> {
    const holder = `another node (incarnation ${incarnation})`;
    return new TroupeError('ERR_NAME_TAKEN', { name: this.node.name, holder });
  }

  private async commit(client: KafkaClient): Promise<void> {
    const { topic, names, interest } = this;
    await client.commit(topic, topic, this.commitsOf(this.own));
    if (interest.size > 0 || this.bus[0].next > 0)
      await client.commit(topic, names.bus, this.commitsOf(this.bus));
  }

  private commitsOf(accounts: readonly Watermark[]): {
    readonly partition: number;
    readonly offset: number;
    readonly metadata: string;
  }[] {
    const atMs = this.link.host.clock.wallNow();
    const { incarnation } = this.node;
    return accounts.map(({ safe, given }, partition) => {
      const patterns = partition === 0 && accounts === this.bus ? [...this.interest.keys()] : [];
      return { partition, offset: safe, metadata: writeNodeNote({ incarnation, atMs, given, patterns }) };
    });
  }

  private async trim(client: KafkaClient): Promise<void> {
    const due = new Map<number, number>();
    for (const [lane, { safe }] of this.own.entries())
      if (safe - (this.trimmed[lane] ?? 0) >= TRIM_AFTER_FRAMES) due.set(lane, safe);
    if (due.size === 0 || !this.mayTrim) return;
    try {
      await client.trim(this.topic, due);
      for (const [lane, offset] of due) this.trimmed[lane] = offset;
    } catch (error) {
      if (!(error instanceof KafkaFailure) || error.kind !== 'denied') throw error;
      this.mayTrim = false;
      this.link.degrade(`the inbox may not be trimmed, and grows: ${error.message}`);
    }
  }

  private cursors(): Cursor[] {
    const { topic, names, lanes } = this;
    const lanesOf = (name: string, accounts: readonly Watermark[]): Cursor[] =>
      accounts.map((account, place) => {
        const lane = place as Lane; // there are six
        return {
          topic: name,
          partition: lane,
          position: () => account.next,
          hasRoom: () => lanes.hasRoom(lane),
          take: (records, next) => this.take(lane, account, records, next),
          restart: (start, end) =>
            account.restart(account.next > end ? start : Math.max(account.next, start)),
        };
      });
    return [...lanesOf(topic, this.own), ...(this.interest.size === 0 ? [] : lanesOf(names.bus, this.bus))];
  }

  private take(lane: Lane, account: Watermark, records: readonly InRecord[], next: number): void {
    for (const record of records) {
      const topic = account === this.bus[lane] ? topicOf(record) : undefined;
      const isOurs =
        account === this.own[lane] || (topic !== undefined && this.wants(topic, lane, record.offset));
      if (!isOurs) continue;
      this.lanes.offer({
        lane,
        bytes: record.value,
        topic,
        mark: account.take(record.offset),
        account,
        deliveries: 0,
        isRedelivered: false,
      });
    }
    account.skipTo(next);
    this.committer.moved(0);
  }

  private wants(topic: string, lane: Lane, offset: number): boolean {
    for (const { fits, from } of this.interest.values())
      if (offset >= (from[lane] ?? 0) && fits(topic)) return true;
    return false;
  }
}
