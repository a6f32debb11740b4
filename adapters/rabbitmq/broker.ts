/**
 * The broker port on RabbitMQ. What is used of it: durable queues and persistent messages with publisher confirms, so that `ok` means
 * written; a topic exchange, whose bindings are in force when they are answered; `reject-publish`, so that a full queue is heard of;
 * exclusive queues and consumers, which make a name and an inbox one node's, and tell that it lives; single active consumers, which make a
 * shard one node's; connections apart for publishing and consuming, since an
 * alarm stops the one that publishes, and acknowledgements must still flow.
 *
 * The driver's own recovery is not used: it neither publishes again nor restores consumers. See docs/decisions/0011-rabbitmq.md.
 */

import type { Channel } from 'amqplib';
import {
  type Broker,
  type BrokerCapabilities,
  type BrokerState,
  type BrokerStateChange,
  type ConsumeOptions,
  type Consumption,
  LANES,
  type NodeIdentity,
  type OutFrame,
  type PerLane,
  type PublishResult,
  type Source,
} from '../../src/protocol/broker.ts';
import { checkWindows } from '../../src/protocol/broker-options.ts';
import type { Host, TimerHandle } from '../../src/protocol/clock.ts';
import { settledWithin } from '../../src/protocol/deadline.ts';
import { FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import { Listeners } from '../../src/protocol/listeners.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import { Connection, type ConnectionParts, type Session } from './connection.ts';
import { Consumer } from './consumer.ts';
import { type Driver, dialled, loadDriver } from './driver.ts';
import { GRACE_MS, Members, type Send } from './members.ts';
import { Publisher } from './publisher.ts';
import { LOOK_MS } from './pulse.ts';
import { codeOf, NOT_FOUND, unavailable } from './refusal.ts';
import { type RabbitmqOptions, type RabbitmqSettings, rabbitmqSettings } from './settings.ts';
import { Shards } from './shards.ts';
import { Topology } from './topology.ts';

/**
 * A broker on a RabbitMQ 3.8 or later: `amqp://user:password@host:5672/vhost`, or `amqps:`. Throws `ERR_OPTION_INVALID`. Nothing is
 * loaded or connected before it is opened.
 */
export function rabbitmq(url: string, options?: RabbitmqOptions): Broker {
  return rabbitmqOn(loadDriver, url, options);
}

/** As `rabbitmq`, on a driver that a test has made. @internal */
export function rabbitmqOn(
  load: () => Promise<Driver>,
  url: string,
  options: RabbitmqOptions | undefined,
): Broker {
  return new RabbitmqBroker(load, rabbitmqSettings(url, options));
}

/** What an open broker has. */
interface Parts {
  readonly node: NodeIdentity;
  readonly host: Host;
  readonly publishing: Connection;
  readonly consuming: Connection;
  readonly publisher: Publisher;
}

class RabbitmqBroker implements Broker {
  readonly kind = 'rabbitmq';
  readonly url: string;
  readonly capabilities: BrokerCapabilities;
  readonly members: Members;
  readonly shards: Shards;
  private readonly load: () => Promise<Driver>;
  private readonly settings: RabbitmqSettings;
  private readonly topology: Topology;
  private phase: 'new' | 'opening' | 'open' | 'closed' = 'new';
  private parts: Parts | undefined;
  private state: BrokerState = 'up';
  private readonly listeners = new Listeners<BrokerStateChange>();
  /** Patterns that the inbox listens to, and how often each was asked for. */
  private readonly interest = new Map<string, number>();
  /** The end of the last change of interest: they are made one after the other. */
  private interestChanged: Promise<unknown> = Promise.resolve();
  private readonly consumers = new Set<Consumer>();
  private readonly failing = new Set<Consumer>();
  /** Who reads the inbox, or is about to. */
  private inboxReader: Consumer | undefined;
  private renewal: TimerHandle | undefined;
  private closing: Promise<void> | undefined;

  constructor(load: () => Promise<Driver>, settings: RabbitmqSettings) {
    this.load = load;
    this.settings = settings;
    this.url = settings.shownUrl;
    this.topology = new Topology(settings);
    this.members = new Members(settings);
    this.shards = new Shards(settings);
    const isQuorum = settings.groupQueues === 'quorum';
    this.capabilities = Object.freeze({
      durability: 'disk',
      bound: isQuorum ? 'approximate' : 'exact',
      deliveryCount: isQuorum ? 'broker' : 'consumer',
      reportsUnroutable: true,
      keepsOrderOnRedelivery: true,
      frameBytesMax: FRAME_BYTES_MAX,
      // A process that dies is noticed at once. A machine that does is by three heartbeats.
      takeoverMs: 3_000 * settings.heartbeatSeconds + 1_000,
      downMs: 3_000 * settings.heartbeatSeconds + LOOK_MS + GRACE_MS + 500,
      grantMs: 1_000,
      leavesNothing: true,
      passesFullTopics: true,
    });
  }

  async open(node: NodeIdentity, host: Host): Promise<void> {
    if (this.phase !== 'new') throw unavailable(this.settings, 'it was opened before');
    this.phase = 'opening';
    try {
      const { connect } = await this.load();
      this.parts = this.partsFor(node, host, connect);
      await this.parts.publishing.open();
      await this.parts.consuming.open();
      await this.members.meet();
      if (this.isClosed()) throw unavailable(this.settings, 'it was closed');
      this.phase = 'open';
      this.renewSoon();
      this.shards.renewSoon();
    } catch (error) {
      await Promise.all([this.parts?.publishing.close(), this.parts?.consuming.close()]);
      // It may be tried again, unless it was closed meanwhile.
      if (!this.isClosed()) this.phase = 'new';
      throw error;
    }
  }

  async publish(frames: readonly OutFrame[]): Promise<readonly PublishResult[]> {
    if (this.phase !== 'open' || this.parts === undefined) return frames.map(() => 'unavailable');
    return this.parts.publisher.publish(frames);
  }

  async listen(pattern: string): Promise<void> {
    await this.changeInterest(async ({ consuming, node }) => {
      const count = this.interest.get(pattern) ?? 0;
      // Before it is in force: a session that begins meanwhile must have it.
      this.interest.set(pattern, count + 1);
      if (count > 0) return;
      const bind = (channel: Channel): Promise<void> => this.topology.bindInbox(channel, node.name, pattern);
      await consuming
        .use((session) => session.onChannel(bind))
        .catch((error: unknown) => {
          this.interest.delete(pattern);
          throw error;
        });
    });
  }

  async unlisten(pattern: string): Promise<void> {
    await this.changeInterest(async ({ consuming, node }) => {
      const count = this.interest.get(pattern) ?? 0;
      if (count > 1) this.interest.set(pattern, count - 1);
      if (count !== 1) return;
      this.interest.delete(pattern);
      const unbind = (channel: Channel): Promise<void> =>
        this.topology.unbindInbox(channel, node.name, pattern);
      await consuming
        .use((session) => session.onChannel(unbind))
        .catch((error: unknown) => {
          this.interest.set(pattern, 1);
          throw error;
        });
    });
  }

  async consume(source: Source, options: ConsumeOptions): Promise<Consumption> {
    checkWindows(options.windows);
    const { consuming } = this.opened();
    if (source.kind === 'shard') return this.shards.read(source, () => this.consumer(source, options));
    const isInbox = source.kind === 'inbox';
    if (isInbox && this.inboxReader !== undefined)
      throw invalidOption('source', 'a group, since the inbox is read already', 'inbox');
    const consumer = this.consumer(source, options);
    if (isInbox) this.inboxReader = consumer;
    try {
      await consuming.use((session) => consumer.attach(session));
    } catch (error) {
      this.forget(consumer);
      // An answer that comes late must not make it read after all. It does not reject.
      void consumer.stop();
      throw error;
    }
    this.consumers.add(consumer);
    return consumer;
  }

  async backlog(source: Source): Promise<PerLane | undefined> {
    const { consuming, node } = this.opened();
    const count = async (channel: Channel): Promise<PerLane> => {
      const counts: number[] = [];
      for (const lane of LANES) {
        const queue = this.topology.queue(source, node.name, lane);
        counts.push((await channel.checkQueue(queue)).messageCount);
      }
      const [first = 0, second = 0, third = 0, fourth = 0, fifth = 0, last = 0] = counts;
      return [first, second, third, fourth, fifth, last];
    };
    return consuming.use((session) =>
      session.onChannel(count).catch((error: unknown) => {
        if (codeOf(error) === NOT_FOUND) return undefined;
        throw error;
      }),
    );
  }

  onState(listener: (change: BrokerStateChange) => void): () => void {
    return this.listeners.add(listener);
  }

  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private consumer(source: Source, options: ConsumeOptions): Consumer {
    const { host, node, publisher } = this.opened();
    const consumer: Consumer = new Consumer({
      host,
      settings: this.settings,
      topology: this.topology,
      node: node.name,
      source,
      options,
      keepDead: (delivery, info) => publisher.keepDead(delivery, info),
      receiverFailed: (error) => this.receiverFailed(consumer, error),
      stopped: () => this.forget(consumer),
    });
    return consumer;
  }

  private async end(): Promise<void> {
    const wasOpen = this.phase === 'open';
    this.phase = 'closed';
    const { parts } = this;
    if (parts === undefined) return;
    const { host, publishing, consuming, node } = parts;
    await Promise.all([this.shards.close(), ...[...this.consumers].map((consumer) => consumer.stop())]);
    await this.members.leave();
    if (this.renewal !== undefined) host.clock.clearTimer(this.renewal);
    if (wasOpen && consuming.session !== undefined) {
      const removing = consuming.session.onChannel(async (channel) => {
        await this.topology.deleteInbox(channel, node.name);
        await this.topology.giveName(channel, node.name);
      });
      // What cannot be removed now goes by itself: the name with the connection, the inbox when its time is over.
      const ignored = removing.catch(() => undefined);
      await settledWithin(host.clock, this.settings.publishTimeoutMs, ignored, () => undefined);
    }
    await Promise.all([publishing.close(), consuming.close()]);
  }

  private partsFor(node: NodeIdentity, host: Host, connect: Driver['connect']): Parts {
    const { settings, topology } = this;
    const common = (role: string): Omit<ConnectionParts, 'prepare'> => ({
      host,
      settings,
      dial: dialled(connect, settings, `troupe ${node.name} ${role}`),
      changed: (cause) => this.refresh(cause),
    });
    let hasInbox = false;
    const publishing: Connection = new Connection({
      ...common('publishes'),
      prepare: (session) => publisher.prepare(session),
    });
    const publisher = new Publisher({ host, settings, topology, node, connection: publishing });
    const send: Send = (exchange, key, content, isMandatory) =>
      publisher.send(exchange, key, content, isMandatory);
    const told = { host, settings, topology, node, publishing, send };
    const consuming = new Connection({
      ...common('consumes'),
      prepare: async (session) => {
        await this.prepareInbox(session, node.name, !hasInbox);
        hasInbox = true;
        await this.members.attach(session);
        await this.shards.attach(session);
        await Promise.all([...this.consumers].map((consumer) => consumer.attach(session)));
      },
    });
    this.members.begin({ ...told, mustAnswer: () => this.shards.isOwner });
    this.shards.begin({ ...told, consuming });
    return { node, host, publishing, consuming, publisher };
  }

  /** Takes the name, then makes the inbox: an empty one at the start, the one there is later. */
  private async prepareInbox(session: Session, name: string, isFirst: boolean): Promise<void> {
    await session.onChannel(async (channel) => {
      await this.topology.takeName(channel, name);
      await this.topology.declareShared(channel);
      if (isFirst) await this.topology.deleteInbox(channel, name);
      await this.topology.declareInbox(channel, name, this.interest.keys());
    });
  }

  /** An inbox that nobody reads is used by being declared again: otherwise it would go while its node lives. */
  private renewSoon(): void {
    const parts = this.parts;
    if (parts === undefined) return;
    this.renewal = parts.host.clock.setTimer(this.settings.expiresMs / 3, () => {
      const { session } = parts.consuming;
      const declare = (channel: Channel): Promise<void> =>
        this.topology.declareInbox(channel, parts.node.name, []);
      if (session !== undefined && this.inboxReader === undefined)
        session.onChannel(declare).catch((error: unknown) => session.fail(error));
      this.renewSoon();
    });
  }

  private async changeInterest(change: (parts: Parts) => Promise<void>): Promise<void> {
    const parts = this.opened();
    const changed = this.interestChanged.then(() => change(parts));
    this.interestChanged = changed.catch(() => undefined);
    await changed;
  }

  private opened(): Parts {
    if (this.phase !== 'open' || this.parts === undefined)
      throw unavailable(this.settings, this.isClosed() ? 'it was closed' : 'it is not open');
    return this.parts;
  }

  private isClosed(): boolean {
    return this.phase === 'closed';
  }

  private forget(consumer: Consumer): void {
    this.consumers.delete(consumer);
    this.shards.forget(consumer);
    if (this.failing.delete(consumer)) this.refresh();
    if (this.inboxReader === consumer) this.inboxReader = undefined;
  }

  private receiverFailed(consumer: Consumer, error?: Error): void {
    if (error === undefined) this.failing.delete(consumer);
    else this.failing.add(consumer);
    this.refresh(error);
  }

  private refresh(cause?: Error): void {
    if (this.phase !== 'open' || this.parts === undefined) return;
    const { publishing, consuming } = this.parts;
    const isUp = publishing.session !== undefined && consuming.session !== undefined;
    const isWell = !publishing.isBlocked && this.failing.size === 0;
    const state: BrokerState = isUp ? (isWell ? 'up' : 'degraded') : 'down';
    if (state === this.state) return;
    this.state = state;
    const change = state === 'up' || cause === undefined ? { state } : { state, cause };
    // Not inside the driver's events, where this may have begun: a listener may close the broker.
    this.parts.host.soon(() => this.listeners.tell(change));
  }
}
