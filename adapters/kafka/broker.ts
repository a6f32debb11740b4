/**
 * The broker over Kafka. A log for each inbox and one for all topics, each with a partition for each lane; they are read by fetches
 * of our own, at offsets that we know, since a consumer of the driver couples its partitions. Consumer groups of Kafka keep how
 * far readers are, and say which member of a group owns what. `docs/decisions/0012-kafka.md` tells why.
 */

import type {
  Broker,
  BrokerCapabilities,
  BrokerStateChange,
  ConsumeOptions,
  Consumption,
  NodeIdentity,
  OutFrame,
  PerLane,
  PublishResult,
  Source,
} from '../../src/protocol/broker.ts';
import { checkShard, checkWindows } from '../../src/protocol/broker-options.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { settledWithin } from '../../src/protocol/deadline.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import { Listeners } from '../../src/protocol/listeners.ts';
import { MemberView } from '../../src/protocol/member-view.ts';
import type { Membership } from '../../src/protocol/membership.ts';
import type { Sharding } from '../../src/protocol/sharding.ts';
import { Coordination } from './coordination.ts';
import type { KafkaClient } from './driver.ts';
import { GroupMember, groupBacklog } from './group.ts';
import { Inbox } from './inbox.ts';
import { kafkajsDriver } from './kafkajs-driver.ts';
import { Link } from './link.ts';
import { Names } from './names.ts';
import { type KafkaOptions, type KafkaSettings, kafkaSettings } from './options.ts';
import { Publisher } from './publisher.ts';
import { busTopic, deadLetterTopic, membersTopic } from './topics.ts';

/** Milliseconds after the end of a killed member's session until others have its slots: they join again, and read. */
const REBALANCE_MS = 3_000;
/** Milliseconds after the end of a killed node's session until others have said so, and have read it. */
const ACCUSE_MS = 2_000;
/** Milliseconds for a word to be written and read. */
const GRANT_MS = 1_000;

/**
 * A broker over Kafka: `kafka('kafka://a:9092,b:9092')`, or `kafkas://` for TLS; `user:password@` before the addresses is SASL PLAIN.
 * Needs the package kafkajs 2.2.4. Throws `ERR_OPTION_INVALID`.
 */
export function kafka(url: string, options?: KafkaOptions): Broker {
  return new KafkaBroker(kafkaSettings(url, options));
}

interface Parts {
  readonly node: NodeIdentity;
  readonly link: Link;
  readonly inbox: Inbox;
  readonly coordination: Coordination;
  readonly publisher: Publisher;
}

class KafkaBroker implements Broker {
  readonly kind = 'kafka';
  readonly url: string;
  readonly capabilities: BrokerCapabilities;
  readonly members: Membership;
  readonly shards: Sharding;
  private readonly settings: KafkaSettings;
  private readonly names: Names;
  private readonly listeners = new Listeners<BrokerStateChange>();
  private readonly view = new MemberView();
  private readonly groupMembers = new Set<GroupMember>();
  private readonly consumptions = new Set<Consumption>();
  private parts: Parts | undefined;
  private isOpen = false;
  private closing: Promise<void> | undefined;

  constructor(settings: KafkaSettings) {
    this.settings = settings;
    this.url = settings.shown;
    this.names = new Names(settings.prefix);
    this.capabilities = Object.freeze({
      durability: 'disk',
      bound: 'advisory',
      deliveryCount: 'consumer',
      reportsUnroutable: true,
      keepsOrderOnRedelivery: true,
      frameBytesMax: FRAME_BYTES_MAX,
      takeoverMs: settings.downAfterMs + REBALANCE_MS,
      downMs: settings.downAfterMs + ACCUSE_MS,
      grantMs: GRANT_MS,
      leavesNothing: false,
    });
    this.members = {
      view: () => this.view.view(),
      onChange: (listener) => this.view.onChange(listener),
      describe: async (about) => this.opened().coordination.describe(about),
    };
    this.shards = { claim: async (shard, owner) => this.opened().coordination.claims.claim(shard, owner) };
  }

  async open(node: NodeIdentity, host: Host): Promise<void> {
    if (this.closing !== undefined) throw this.unavailable('it is closed');
    if (this.parts !== undefined) throw this.unavailable('it was opened before, and is opened once');
    const { settings, names } = this;
    const home = busTopic(names, settings);
    const clientId = `${settings.prefix}-${node.name}`;
    const link = new Link(kafkajsDriver(settings, host, { clientId, home }), settings, host, {
      home,
      user: {
        restore: (client) => this.restore(client),
        beat: (client) => this.beat(client),
        lost: () => this.lost(),
        tell: (change) => this.listeners.tell(change),
      },
    });
    const inbox = new Inbox(link, names, node);
    const coordination = new Coordination(link, names, { node, view: this.view });
    const publisher = new Publisher(link, names, coordination);
    this.parts = { node, link, inbox, coordination, publisher };
    try {
      await link.open(async (client) => {
        await link.insist(client, settings.connectTimeoutMs, () =>
          client.createTopic(deadLetterTopic(names)),
        );
        await inbox.begin(client);
      });
    } catch (error) {
      link.close();
      throw error;
    }
    try {
      await coordination.begin();
      this.isOpen = true;
    } catch (error) {
      await inbox.remove();
      link.close();
      throw error;
    }
  }

  async publish(frames: readonly OutFrame[]): Promise<readonly PublishResult[]> {
    if (!this.isOpen || this.parts === undefined) return frames.map(() => 'unavailable');
    return this.parts.publisher.publish(frames);
  }

  async listen(pattern: string): Promise<void> {
    await this.opened().inbox.listen(pattern);
  }

  async unlisten(pattern: string): Promise<void> {
    this.opened().inbox.unlisten(pattern);
  }

  async consume(source: Source, options: ConsumeOptions): Promise<Consumption> {
    checkWindows(options.windows);
    let member: GroupMember | undefined;
    let consumption: Consumption | undefined;
    const whenStopped = (): void => {
      if (consumption !== undefined) this.consumptions.delete(consumption);
      if (member !== undefined) this.groupMembers.delete(member);
    };
    const { inbox, coordination, link, node } = this.opened();
    try {
      switch (source.kind) {
        case 'inbox':
          consumption = await inbox.consume(options, whenStopped);
          break;
        case 'group':
          member = new GroupMember(link, this.names, { node, source });
          this.groupMembers.add(member);
          consumption = await member.consume(options, whenStopped);
          break;
        case 'shard':
          return await coordination.claims.consume(source, options, whenStopped);
      }
    } catch (error) {
      whenStopped();
      throw error;
    }
    this.consumptions.add(consumption);
    return consumption;
  }

  async backlog(source: Source): Promise<PerLane | undefined> {
    this.opened();
    if (source.kind === 'shard') checkShard(source);
    return this.waiting(source).catch(() => undefined);
  }

  onState(listener: (change: BrokerStateChange) => void): () => void {
    return this.listeners.add(listener);
  }

  close(): Promise<void> {
    this.closing ??= this.leave();
    return this.closing;
  }

  private waiting(source: Source): Promise<PerLane | undefined> {
    const { inbox, coordination, link } = this.opened();
    switch (source.kind) {
      case 'inbox':
        return inbox.backlog();
      case 'group':
        return groupBacklog(link, this.names, source);
      case 'shard':
        return coordination.backlog(source);
    }
  }

  private async leave(): Promise<void> {
    const { parts, isOpen } = this;
    this.isOpen = false;
    if (parts === undefined) return;
    // The inbox may be somebody else's.
    if (!isOpen) return parts.link.close();
    const { link, inbox, coordination, publisher } = parts;
    const end = async (): Promise<void> => {
      await Promise.all([...this.consumptions].map((consumption) => consumption.stop()));
      inbox.stop();
      await publisher.settled();
      await coordination.leave();
      await inbox.remove();
    };
    const { connectTimeoutMs, publishTimeoutMs } = this.settings;
    await settledWithin(link.host.clock, connectTimeoutMs + publishTimeoutMs, end(), () => undefined);
    inbox.stop();
    coordination.stop();
    link.close();
  }

  private async restore(client: KafkaClient): Promise<void> {
    const { parts } = this;
    if (parts === undefined) return;
    const { link, inbox, coordination } = parts;
    for (const topic of [deadLetterTopic(this.names), membersTopic(this.names)])
      await link.insist(client, this.settings.connectTimeoutMs, () => client.createTopic(topic));
    await inbox.restore(client);
    coordination.restore();
  }

  private async beat(client: KafkaClient): Promise<void> {
    if (this.closing !== undefined) return;
    await this.parts?.inbox.beat(client);
    await this.parts?.coordination.beat();
    for (const member of this.groupMembers) member.beat();
  }

  private lost(): void {
    this.parts?.inbox.lost();
    this.parts?.coordination.lost();
    for (const member of this.groupMembers) member.lost();
  }

  private opened(): Parts {
    if (this.closing !== undefined) throw this.unavailable('it is closed');
    if (this.parts === undefined || !this.isOpen) throw this.unavailable('it is not open');
    return this.parts;
  }

  private unavailable(problem: string): TroupeError<'ERR_BROKER_UNAVAILABLE'> {
    return new TroupeError('ERR_BROKER_UNAVAILABLE', { broker: 'kafka', url: this.settings.shown, problem });
  }
}
