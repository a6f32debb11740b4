/**
 * What there is at the server, all below the prefix: one topic exchange, a queue for each lane of an inbox and of a group, a queue that
 * exists as long as the connection of a node, and the queue of dead letters.
 *
 * A queue for each lane and not one with priorities: each has a bound and a window of its own, so what fills one delays no other.
 */

import type { Channel, Options } from 'amqplib';
import { LANES, type Lane, type Source } from '../../src/protocol/broker.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { codeOf, RESOURCE_LOCKED } from './refusal.ts';
import type { RabbitmqSettings } from './settings.ts';

type Group = Extract<Source, { readonly kind: 'group' }>;

/** Dead letters that are kept: far more than an operator reads, and at most so many megabytes as frames have. One more is refused. */
const DEAD_FRAMES_MAX = 100_000;
/** RabbitMQ 4 drops a frame after 20 deliveries unless told otherwise. How often is enough is decided above. */
const DELIVERY_LIMIT = 1_000_000_000;
/** Bytes that the name of a queue may have. */
const NAME_BYTES_MAX = 255;

/** The names of everything, and how it is declared. */
export class Topology {
  /** Topics are published to it, with the routing key `<lane>.<topic>`. */
  readonly exchange: string;
  readonly deadLetters: string;
  private readonly settings: RabbitmqSettings;

  constructor(settings: RabbitmqSettings) {
    this.settings = settings;
    this.exchange = `${settings.prefix}.t`;
    this.deadLetters = `${settings.prefix}.dl`;
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

  queue(source: Source, node: string, lane: Lane): string {
    return source.kind === 'inbox' ? this.inbox(node, lane) : this.group(source, lane);
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
      await channel.assertQueue(this.aliveQueue(node), { exclusive: true, durable: false });
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
    await channel.deleteQueue(this.aliveQueue(node));
  }

  async declareGroup(channel: Channel, group: Group, lane: Lane): Promise<void> {
    const queue = this.group(group, lane);
    await channel.assertQueue(queue, this.laneQueue(this.settings.groupQueues));
    await channel.bindQueue(queue, this.exchange, this.routingKey(group.pattern, lane));
  }

  private aliveQueue(node: string): string {
    return `${this.settings.prefix}.alive.${node}`;
  }

  /** A queue that goes when nobody has used it for a time, and refuses what it has no room for. What expires in it is kept apart. */
  private laneQueue(type: 'classic' | 'quorum'): Options.AssertQueue {
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
