/**
 * The broker within one process, and the plainest reading of the port: exact bounds, exact order, counted deliveries. Nodes that share a
 * hub share its messages. Everything passes through the host's macrotasks, as it would through sockets, so nothing here is faster
 * to answer than a caller may expect of a server.
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
import { HubClient, type Session } from './client.ts';
import { MemoryConsumer } from './consumer.ts';
import { Hub, memoryHub } from './hub.ts';
import type { MemoryHub } from './memory-hub.ts';
import { unavailable } from './room.ts';
import { MemoryShards } from './shards.ts';

/** Options of a memory broker. */
export interface MemoryOptions extends BrokerOptions {
  /** What it shares with others; a hub of its own unless said, and then it is alone. */
  readonly hub?: MemoryHub | undefined;
}

const CAPABILITIES: BrokerCapabilities = Object.freeze({
  durability: 'process',
  bound: 'exact',
  deliveryCount: 'broker',
  reportsUnroutable: true,
  keepsOrderOnRedelivery: true,
  frameBytesMax: FRAME_BYTES_MAX,
  takeoverMs: 0,
  downMs: 0,
  grantMs: 0,
  leavesNothing: true,
});

/** A broker in memory. Throws `ERR_OPTION_INVALID`. */
export function memory(options?: MemoryOptions): Broker {
  const { settings, own } = brokerSettings('memory', options, ['hub']);
  const hub = own['hub'] ?? memoryHub();
  if (!(hub instanceof Hub)) throw invalidOption('hub', 'a hub made by memoryHub', hub);
  return new MemoryBroker(settings, hub);
}

class MemoryBroker implements Broker {
  readonly kind = 'memory';
  readonly url = 'memory:';
  readonly capabilities = CAPABILITIES;
  readonly members: Membership;
  readonly shards: MemoryShards;
  private readonly settings: BrokerSettings;
  private readonly hub: Hub;
  private readonly listeners = new Listeners<BrokerStateChange>();
  private readonly interest = new Interest();
  private readonly consumers = new Set<MemoryConsumer>();
  private readonly known = new MemberView();
  private about = '';
  private client: HubClient | undefined;
  private closing: Promise<void> | undefined;

  constructor(settings: BrokerSettings, hub: Hub) {
    this.settings = settings;
    this.hub = hub;
    this.members = {
      view: () => this.known.view(),
      onChange: (listener) => this.known.onChange(listener),
      describe: (about) => this.describe(about),
    };
    this.shards = new MemoryShards({
      client: () => this.openClient(),
      connectTimeoutMs: settings.connectTimeoutMs,
      downAfterMs: settings.downAfterMs,
      unread: (shard) => this.unread(shard),
    });
  }

  async open(node: NodeIdentity, host: Host): Promise<void> {
    if (this.closing !== undefined) throw unavailable('it is closed');
    if (this.client !== undefined) throw unavailable('it was opened before, and is opened once');
    this.client = new HubClient(
      this.hub,
      this.settings,
      { node, host },
      {
        restore: (session) => this.restore(session),
        disconnected: () => this.disconnected(),
        hears: (census) => this.known.follow(census),
        tell: (change) => this.listeners.tell(change),
      },
    );
    await this.client.open();
  }

  async publish(frames: readonly OutFrame[]): Promise<readonly PublishResult[]> {
    const isTooLarge = ({ bytes }: OutFrame): boolean => bytes.byteLength > FRAME_BYTES_MAX;
    // Copied before anything else happens: what was published does not change.
    const fitting = frames
      .filter((frame) => !isTooLarge(frame))
      .map((frame) => ({ ...frame, bytes: new Uint8Array(frame.bytes) }));
    const sizes = frames.map(isTooLarge);
    const results = (await this.send(fitting))[Symbol.iterator]();
    return sizes.map((isOver) => (isOver ? 'too-large' : (results.next().value ?? 'unknown')));
  }

  async listen(pattern: string): Promise<void> {
    const client = this.openClient();
    this.interest.add(pattern);
    try {
      await client.call(this.settings.connectTimeoutMs, (session) => this.tellInterest(session));
    } catch (error) {
      this.interest.remove(pattern);
      throw error;
    }
  }

  async unlisten(pattern: string): Promise<void> {
    const client = this.openClient();
    if (!this.interest.remove(pattern)) return;
    const told = client.call(this.settings.connectTimeoutMs, (session) => this.tellInterest(session));
    // Without an answer, the next connection begins by telling it.
    await told.catch(() => undefined);
  }

  async consume(source: Source, options: ConsumeOptions): Promise<Consumption> {
    const client = this.openClient();
    checkWindows(options.windows);
    if (source.kind === 'inbox' && [...this.consumers].some((other) => other.source.kind === 'inbox'))
      throw invalidOption(
        'source',
        'something else, since the inbox is read once and is being read',
        source.kind,
      );
    if (source.kind === 'shard' && !this.shards.owns(source))
      throw new TroupeError('ERR_SHARD_NOT_OWNED', { group: source.group, shard: source.shard });
    const consumer: MemoryConsumer = new MemoryConsumer(client, this.settings, {
      source,
      options,
      whenStopped: () => this.consumers.delete(consumer),
    });
    this.consumers.add(consumer);
    try {
      await client.call(this.settings.connectTimeoutMs, (session) => consumer.attachTo(session));
    } catch (error) {
      await consumer.stop();
      throw error;
    }
    return consumer;
  }

  async backlog(source: Source): Promise<PerLane | undefined> {
    const client = this.openClient();
    const known = client.call(
      this.settings.publishTimeoutMs,
      ({ room, record }): PerLane => room.queueOf(record, source)?.backlog() ?? [0, 0, 0, 0, 0, 0],
    );
    return known.catch(() => undefined);
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
    const stopped = [...this.consumers].map((consumer) => consumer.stop());
    const session = client?.session;
    if (client !== undefined && session !== undefined)
      await client.ask(session, this.settings.publishTimeoutMs, () => session.room.leave(session.record));
    client?.end();
    await Promise.all(stopped);
  }

  private send(frames: readonly OutFrame[]): Promise<readonly PublishResult[]> {
    const { client } = this;
    const session = client?.session;
    const all = (result: PublishResult): readonly PublishResult[] => frames.map(() => result);
    if (client === undefined || session === undefined || this.closing !== undefined || frames.length === 0)
      return Promise.resolve(all('unavailable'));
    const { connection, record, room } = session;
    const { clock } = client.host;
    return new Promise((resolve) => {
      const settle = (results: readonly PublishResult[]): void => {
        clock.clearTimer(timer);
        forget();
        resolve(results);
      };
      const timer = clock.setTimer(this.settings.publishTimeoutMs, () => settle(all('unknown')));
      const forget = connection.whenEnded(() => settle(all('unknown')));
      const isSent = connection.carry('publishes', () => {
        const results = this.hub.refusesPublishes
          ? all('unavailable')
          : room.publish(frames, record.hello.node.name, connection);
        connection.carry('confirms', () => settle(results));
      });
      if (!isSent) settle(all('unavailable'));
    });
  }

  /** What holds on every connection; runs at the hub. */
  private restore(session: Session): void {
    this.tellInterest(session);
    this.tellAbout(session);
    this.shards.restore(session);
    for (const consumer of this.consumers) consumer.attachTo(session);
  }

  private disconnected(): void {
    if (this.client !== undefined && this.closing === undefined) this.shards.disconnected(this.client);
  }

  private async describe(about: string): Promise<void> {
    const client = this.openClient();
    this.about = checkAbout(about);
    await client.call(this.settings.connectTimeoutMs, (session) => this.tellAbout(session));
  }

  private tellAbout({ room, record }: Session): void {
    if (record.about === this.about) return;
    record.about = this.about;
    room.presence.tell();
  }

  private async unread(shard: Shard): Promise<void> {
    const readers = [...this.consumers].filter(({ source }) => isShard(source, shard));
    await Promise.all(readers.map((reader) => reader.stop()));
  }

  private tellInterest({ room, record }: Session): void {
    room.listen(record, this.interest.patterns());
  }

  private openClient(): HubClient {
    if (this.closing !== undefined) throw unavailable('it is closed');
    if (this.client === undefined) throw unavailable('it is not open');
    return this.client;
  }
}
