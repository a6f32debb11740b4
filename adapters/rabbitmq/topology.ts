/**
 * What there is at the server, all below the prefix: one topic exchange, a queue for each lane of an inbox, of a group and of a shard, a queue
 * that exists as long as the connection of a node, an exchange through which nodes tell of themselves and a queue by which they are
 * counted, a queue for the token of each shard, and the queue of dead letters.
 *
 * A queue for each lane and not one with priorities: each has a bound and a window of its own, so what fills one delays no other.
 */

import type { Channel, Options } from 'amqplib';
import { LANES, type Lane, type Source } from '../../src/protocol/broker.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { BROKER_EXPIRES_MS } from '../../src/protocol/limits.ts';
import type { Shard } from '../../src/protocol/sharding.ts';
import { codeOf, RESOURCE_LOCKED } from './refusal.ts';
import type { RabbitmqSettings } from './settings.ts';

type Group = Extract<Source, { readonly kind: 'group' }>;

/** Dead letters that are kept: far more than an operator reads, and at most so many megabytes as frames have. One more is refused. */
const DEAD_FRAMES_MAX = 100_000;
/** RabbitMQ 4 drops a frame after 20 deliveries unless told otherwise. How often is enough is decided above. */
const DELIVERY_LIMIT = 1_000_000_000;
/** Messages of other nodes that wait for one that stands still. The oldest are dropped: it hears again of whoever it misses. */
const NEWS_MAX = 10_000;
/** Tokens of a shard: one, and those that nodes make who do not know whether there is one. Its owner drops them. */
const TOKENS_MAX = 64;
/** Bytes that the name of a queue may have. */
const NAME_BYTES_MAX = 255;
const SINGLE = { 'x-single-active-consumer': true };

interface LaneQueue extends Options.AssertQueue {
  readonly durable: true;
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** The names of everything, and how it is declared. */
export class Topology {
  /** Topics are published to it, with the routing key `<lane>.<topic>`. */
  readonly exchange: string;
  readonly deadLetters: string;
  /** Whatever nodes tell all nodes is published to it. */
  readonly members: string;
  /** Every node consumes from it, and nothing is ever in it: RabbitMQ counts its consumers. */
  readonly nodes: string;
  private readonly settings: RabbitmqSettings;

  constructor(settings: RabbitmqSettings) {
    this.settings = settings;
    this.exchange = `${settings.prefix}.t`;
    this.deadLetters = `${settings.prefix}.dl`;
    this.members = `${settings.prefix}.m`;
    this.nodes = `${settings.prefix}.nodes`;
  }

  inbox(node: string, lane: Lane): string {
    return `${this.settings.prefix}.in.${node}.${lane}`;
  }

  /** Neither prefix nor group has a dot, and the lane is one character: no two groups have one name. */
  group({ group, pattern }: Group, lane: Lane): string {
    const name = `${this.settings.prefix}.gr.${group}.${pattern}.${lane}`;
    return Buffer.byteLength(name) <= NAME_BYTES_MAX
      ? name
      : `${this.settings.prefix}.gr.${group}.=${digest(pattern)}.${lane}`;
  }

  shard({ group, shard }: Shard, lane: Lane): string {
    return `${this.settings.prefix}.sh.${group}.${shard}.${lane}`;
  }

  /** The queue of the token of a shard: whoever holds that owns the shard. */
  token({ group, shard }: Shard): string {
    return `${this.settings.prefix}.sh.${group}.${shard}.token`;
  }

  /** The queue that lives as long as the connection of a node, and takes what it is told of other nodes. */
  alive(node: string): string {
    return `${this.settings.prefix}.alive.${node}`;
  }

  queue(source: Source, node: string, lane: Lane): string {
    switch (source.kind) {
      case 'inbox':
        return this.inbox(node, lane);
      case 'group':
        return this.group(source, lane);
      case 'shard':
        return this.shard(source, lane);
    }
  }

  routingKey(topicOrPattern: string, lane: Lane): string {
    return `${lane}.${topicOrPattern}`;
  }

  /** What is there once for a prefix. */
  async declareShared(channel: Channel): Promise<void> {
    await channel.assertExchange(this.exchange, 'topic', { durable: true });
    await channel.assertQueue(this.deadLetters, {
      durable: true,
      arguments: { 'x-max-length': DEAD_FRAMES_MAX, 'x-overflow': 'reject-publish' },
    });
  }

  /**
   * Takes the name of a node for as long as this connection lives: RabbitMQ gives an exclusive queue to one connection and deletes it with
   * that. Rejects with `ERR_NAME_TAKEN`.
   */
  async takeName(channel: Channel, node: string): Promise<void> {
    try {
      await channel.assertQueue(this.alive(node), {
        exclusive: true,
        durable: false,
        arguments: { 'x-max-length': NEWS_MAX },
      });
    } catch (error) {
      if (codeOf(error) !== RESOURCE_LOCKED) throw error;
      const holder = 'a living node on this RabbitMQ';
      throw new TroupeError('ERR_NAME_TAKEN', { name: node, holder }, { cause: error });
    }
  }

  /** Makes the inbox, with the patterns that it listens to. What is in it stays. */
  async declareInbox(channel: Channel, node: string, patterns: Iterable<string>): Promise<void> {
    for (const lane of LANES) await channel.assertQueue(this.inbox(node, lane), this.laneQueue('classic'));
    for (const pattern of patterns) await this.bindInbox(channel, node, pattern);
  }

  async bindInbox(channel: Channel, node: string, pattern: string): Promise<void> {
    for (const lane of LANES)
      await channel.bindQueue(this.inbox(node, lane), this.exchange, this.routingKey(pattern, lane));
  }

  async unbindInbox(channel: Channel, node: string, pattern: string): Promise<void> {
    for (const lane of LANES)
      await channel.unbindQueue(this.inbox(node, lane), this.exchange, this.routingKey(pattern, lane));
  }

  async deleteInbox(channel: Channel, node: string): Promise<void> {
    for (const lane of LANES) await channel.deleteQueue(this.inbox(node, lane));
  }

  async giveName(channel: Channel, node: string): Promise<void> {
    await channel.deleteQueue(this.alive(node));
  }

  async declareGroup(channel: Channel, group: Group, lane: Lane): Promise<void> {
    const queue = this.group(group, lane);
    await channel.assertQueue(queue, this.laneQueue(this.settings.groupQueues));
    await channel.bindQueue(queue, this.exchange, this.routingKey(group.pattern, lane));
  }

  /** Makes the exchange and the queue of all nodes. RabbitMQ deletes the queue with its last consumer. */
  async declareMembers(channel: Channel): Promise<void> {
    await channel.assertExchange(this.members, 'fanout', { durable: true });
    await channel.assertQueue(this.nodes, {
      durable: true,
      autoDelete: true,
      // Where a server has ended before its last consumer.
      // The same for all nodes, whatever their options.
      arguments: { 'x-expires': BROKER_EXPIRES_MS },
    });
  }

  async bindMember(channel: Channel, node: string): Promise<void> {
    await channel.bindQueue(this.alive(node), this.members, '');
  }

  /**
   * Makes the queues of a shard, which are used as long as they are read or declared again. A single active consumer reads each: of two owners
   * the later one is given something when the earlier one's connection has ended, and what that has not settled is back in its place.
   */
  async declareShard(channel: Channel, shard: Shard): Promise<void> {
    const { durable, arguments: lane } = this.laneQueue(this.settings.groupQueues);
    for (const at of LANES)
      await channel.assertQueue(this.shard(shard, at), { durable, arguments: { ...lane, ...SINGLE } });
    const { 'x-queue-type': type, 'x-expires': expires } = lane;
    await channel.assertQueue(this.token(shard), {
      durable,
      arguments: {
        'x-queue-type': type,
        'x-expires': expires,
        'x-max-length': TOKENS_MAX,
        'x-overflow': 'reject-publish',
        ...(type === 'quorum' ? { 'x-delivery-limit': DELIVERY_LIMIT } : {}),
        ...SINGLE,
      },
    });
  }

  /** A queue that goes when nobody has used it for a time, and refuses what it has no room for. What expires in it is kept apart. */
  private laneQueue(type: 'classic' | 'quorum'): LaneQueue {
    const { maxLength, expiresMs } = this.settings;
    const common = {
      'x-queue-type': type,
      'x-expires': Math.ceil(expiresMs),
      'x-max-length': maxLength,
      'x-overflow': 'reject-publish',
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': this.deadLetters,
    };
    const quorum = { 'x-delivery-limit': DELIVERY_LIMIT, 'x-dead-letter-strategy': 'at-least-once' };
    return { durable: true, arguments: type === 'quorum' ? { ...common, ...quorum } : common };
  }
}

/** 128 bits of a text, by FNV-1a: for names that would be too long. Nobody gains by two that meet: they would share their own frames. */
function digest(text: string): string {
  let hash = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58dn;
  for (const byte of Buffer.from(text))
    hash = BigInt.asUintN(128, (hash ^ BigInt(byte)) * 0x0000_0000_0100_0000_0000_0000_0000_013bn);
  return hash.toString(36);
}
