/**
 * The broker port on a loopback server. The server has a hub of `troupe/memory`, so what it promises is what that promises: exact bounds, exact order,
 * counted deliveries. All of it is in the memory of the serving process, and for the processes of one machine.
 */

import type {
  Broker,
  BrokerCapabilities,
  BrokerOptions,
  BrokerStateChange,
  ConsumeOptions,
  Consumption,
  NodeIdentity,
  OutFrame,
  PerLane,
  PublishResult,
  Source,
} from '../../src/protocol/broker.ts';
import {
  type BrokerSettings,
  brokerSettings,
  checkAbout,
  checkWindows,
  isShard,
} from '../../src/protocol/broker-options.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { Interest } from '../../src/protocol/interest.ts';
import { FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import { Listeners } from '../../src/protocol/listeners.ts';
import { MemberView } from '../../src/protocol/member-view.ts';
import type { Membership } from '../../src/protocol/membership.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import type { Shard } from '../../src/protocol/sharding.ts';
import { type Address, addressOf, unavailable } from './address.ts';
import { LoopbackClient } from './client.ts';
import { LoopbackConsumer } from './consumer.ts';
import { Publisher } from './publisher.ts';
import { Roster } from './roster.ts';
import type { News, Session } from './session.ts';
import { LoopbackShards } from './shards.ts';

/** Options of a broker on a loopback server: those that all brokers have. */
export type LoopbackOptions = BrokerOptions;

/** Milliseconds beside a bound, for a busy machine. */
const SLACK_MS = 1_000;

/** A broker on the server that gave out this URL. Throws `ERR_OPTION_INVALID`. */
export function loopback(url: string, options?: LoopbackOptions): Broker {
  return new LoopbackBroker(addressOf(url), brokerSettings('loopback', options, []).settings);
}

function capabilitiesOf({ downAfterMs }: BrokerSettings): BrokerCapabilities {
  return Object.freeze({
    durability: 'memory',
    bound: 'exact',
    deliveryCount: 'broker',
    reportsUnroutable: true,
    keepsOrderOnRedelivery: true,
    frameBytesMax: FRAME_BYTES_MAX,
    takeoverMs: downAfterMs + SLACK_MS,
    downMs: downAfterMs + SLACK_MS,
    grantMs: SLACK_MS,
    leavesNothing: true,
  });
}

class LoopbackBroker implements Broker {
  readonly kind = 'loopback';
  readonly url: string;
  readonly capabilities: BrokerCapabilities;
  readonly members: Membership;
  readonly shards: LoopbackShards;
  private readonly address: Address;
  private readonly settings: BrokerSettings;
  private readonly listeners = new Listeners<BrokerStateChange>();
  private readonly interest = new Interest();
  private readonly consumers = new Map<number, LoopbackConsumer>();
  private readonly publisher: Publisher;
  private readonly view = new MemberView();
  private readers = 0;
  private about: string | undefined;
  private roster: Roster | undefined;
  private client: LoopbackClient | undefined;
  private closing: Promise<void> | undefined;

  constructor(address: Address, settings: BrokerSettings) {
    this.url = address.shown;
    this.address = address;
    this.settings = settings;
    this.capabilities = capabilitiesOf(settings);
    this.publisher = new Publisher(settings.publishTimeoutMs, (node) => this.roster?.misses(node) ?? false);
    this.members = {
      view: () => this.view.view(),
      onChange: (listener) => this.view.onChange(listener),
      describe: (about) => this.describe(about),
    };
    this.shards = new LoopbackShards({
      client: () => this.openClient(),
      connectTimeoutMs: settings.connectTimeoutMs,
      unread: (shard) => this.unread(shard),
    });
  }

  async open(node: NodeIdentity, host: Host): Promise<void> {
    if (this.closing !== undefined) throw unavailable(this.url, 'it is closed');
    if (this.client !== undefined) throw unavailable(this.url, 'it was opened before, and is opened once');
    const roster = new Roster(this.view, node, host, this.settings.downAfterMs);
    this.roster = roster;
    this.client = new LoopbackClient(
      this.address,
      this.settings,
      { node, host },
      {
        introduce: (life) => roster.introduce(life),
        restore: (session) => this.restore(session),
        hears: (news) => this.hears(news, roster),
        disconnected: () => this.shards.loseAll(),
        tell: (change) => this.listeners.tell(change),
      },
    );
    await this.client.open();
  }

  publish(frames: readonly OutFrame[]): Promise<readonly PublishResult[]> {
    const session = this.closing === undefined ? this.client?.session : undefined;
    return this.publisher.publish(session, frames);
  }

  async listen(pattern: string): Promise<void> {
    const client = this.openClient();
    this.interest.add(pattern);
    try {
      await client.call(this.settings.connectTimeoutMs, { type: 'listen', pattern });
    } catch (error) {
      this.interest.remove(pattern);
      throw error;
    }
  }

  async unlisten(pattern: string): Promise<void> {
    const client = this.openClient();
    if (!this.interest.remove(pattern) || this.interest.has(pattern)) return;
    const told = client.call(this.settings.connectTimeoutMs, { type: 'unlisten', pattern });
    // Without an answer, the next connection begins without it.
    await told.catch(() => undefined);
  }

  async consume(source: Source, options: ConsumeOptions): Promise<Consumption> {
    const client = this.openClient();
    checkWindows(options.windows);
    if (
      source.kind === 'inbox' &&
      [...this.consumers.values()].some((other) => other.source.kind === 'inbox')
    )
      throw invalidOption(
        'source',
        'something else, since the inbox is read once and is being read',
        source.kind,
      );
    if (source.kind === 'shard' && !this.shards.owns(source)) throw notOwned(source);
    const number = ++this.readers;
    const consumer = new LoopbackConsumer(client, this.settings.publishTimeoutMs, {
      number,
      source,
      options,
      whenStopped: () => this.consumers.delete(number),
    });
    this.consumers.set(number, consumer);
    try {
      const isReading = await client.use(this.settings.connectTimeoutMs, (session) =>
        consumer.readOver(session),
      );
      if (source.kind === 'shard' && !(isReading && this.shards.owns(source))) throw notOwned(source);
      if (!isReading) throw unavailable(this.url, 'it is closed');
    } catch (error) {
      await consumer.stop();
      throw error;
    }
    return consumer;
  }

  async backlog(source: Source): Promise<PerLane | undefined> {
    const asked = this.openClient().call(this.settings.publishTimeoutMs, { type: 'backlog', source });
    const values = await asked.catch(() => undefined);
    // The server answers with six numbers.
    return values as PerLane | undefined;
  }

  onState(listener: (change: BrokerStateChange) => void): () => void {
    return this.listeners.add(listener);
  }

  close(): Promise<void> {
    this.closing ??= this.leave();
    return this.closing;
  }

  private async leave(): Promise<void> {
    const { client } = this;
    this.shards.end();
    this.roster?.end();
    const stopped = [...this.consumers.values()].map((consumer) => consumer.stop());
    await client?.session?.ask({ type: 'leave' }, this.settings.publishTimeoutMs);
    client?.end();
    await Promise.all(stopped);
  }

  /** Says what holds on every connection, and that this is all. */
  private restore(session: Session): void {
    const { publishTimeoutMs } = this.settings;
    // Without an answer, the next connection begins with all of it.
    for (const pattern of this.interest.patterns())
      void session.ask({ type: 'listen', pattern }, publishTimeoutMs);
    if (this.about !== undefined) void session.ask({ type: 'describe', about: this.about }, publishTimeoutMs);
    this.shards.restore(session, publishTimeoutMs);
    session.tell({ type: 'restored' });
    for (const consumer of this.consumers.values()) void consumer.readOver(session);
  }

  private hears(news: Exclude<News, { type: 'refuses' }>, roster: Roster): void {
    switch (news.type) {
      case 'census':
        roster.hears(news);
        return;
      case 'deliveries':
        this.consumers.get(news.reader)?.arrived(news);
        return;
      case 'granted':
        this.shards.granted(news.shard, news.epoch);
        return;
    }
  }

  private async describe(about: string): Promise<void> {
    const client = this.openClient();
    this.about = checkAbout(about);
    await client.call(this.settings.connectTimeoutMs, { type: 'describe', about });
  }

  private async unread(shard: Shard): Promise<void> {
    const readers = [...this.consumers.values()].filter(({ source }) => isShard(source, shard));
    await Promise.all(readers.map((reader) => reader.stop()));
  }

  private openClient(): LoopbackClient {
    if (this.closing !== undefined) throw unavailable(this.url, 'it is closed');
    if (this.client === undefined) throw unavailable(this.url, 'it is not open');
    return this.client;
  }
}

function notOwned({ group, shard }: Shard): TroupeError {
  return new TroupeError('ERR_SHARD_NOT_OWNED', { group, shard });
}
