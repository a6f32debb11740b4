/**
 * Publishes frames and tells what became of each, within its time. Frames of different lanes or destinations go side by side; those of
 * one lane of one destination in a sequence. Messages are persistent, and answered when the server has written them.
 */

import type { Channel } from 'amqplib';
import {
  type DeadFrameInfo,
  type Delivery,
  type Destination,
  LANES,
  type Lane,
  type NodeIdentity,
  type OutFrame,
  type PublishResult,
} from '../../src/protocol/broker.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { settledWithin } from '../../src/protocol/deadline.ts';
import { FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import type { Connection, Session } from './connection.ts';
import { NodePace, ONE_BY_ONE, type Pace, TopicPaces } from './pace.ts';
import { type Outgoing, PublishLane } from './publish-lane.ts';
import { Sequence } from './sequence.ts';
import type { RabbitmqSettings } from './settings.ts';
import type { Topology } from './topology.ts';

/** Characters of the text that is kept with a dead letter. */
const ERROR_CHARACTERS_MAX = 1_000;

/** What a publisher is made with. */
export interface PublisherParts {
  readonly host: Host;
  readonly settings: RabbitmqSettings;
  readonly topology: Topology;
  readonly node: NodeIdentity;
  readonly connection: Connection;
}

/** The frames of a call that belong to one sequence, by their places in it. */
interface Part {
  readonly lane: Lane;
  readonly pace: Pace;
  readonly frames: Outgoing[];
  readonly places: number[];
}

/** The publishing half of a node. */
export class Publisher {
  private readonly parts: PublisherParts;
  private readonly lanes: readonly PublishLane[];
  /** What nodes tell one another beside frames. */
  private readonly control: PublishLane;
  private readonly topicPaces: TopicPaces;
  /** The channel for questions about queues. The server closes it when there is no such queue. */
  private questions: Promise<Channel> | undefined;

  constructor(parts: PublisherParts) {
    this.parts = parts;
    this.topicPaces = new TopicPaces(parts.settings.maxLength);
    this.lanes = LANES.map((lane) => new PublishLane(`${parts.node.incarnation}.${lane}.`));
    this.control = new PublishLane(`${parts.node.incarnation}.c.`);
  }

  /** Makes what it needs of a session. */
  async prepare(session: Session): Promise<void> {
    await session.onChannel((channel) => this.parts.topology.declareShared(channel));
    await Promise.all([...this.lanes, this.control].map((lane) => lane.open(session)));
    this.questions = undefined;
  }

  /** One result for each frame. Never rejects. */
  async publish(frames: readonly OutFrame[]): Promise<readonly PublishResult[]> {
    const { connection, host, settings } = this.parts;
    const results = new Array<PublishResult | undefined>(frames.length).fill(undefined);
    if (connection.session === undefined || connection.isBlocked)
      return frames.map(({ bytes }) => (bytes.byteLength > FRAME_BYTES_MAX ? 'too-large' : 'unavailable'));
    const parts = this.split(frames, results);
    let left = 0;
    for (const { frames: own } of parts) left += own.length;
    if (left === 0) return results.map((result) => result ?? 'too-large');
    const sequences: Sequence[] = [];
    const settled = new Promise<void>((resolve) => {
      for (const part of parts) sequences.push(this.sequence(part, results, () => --left === 0 && resolve()));
    });
    for (const sequence of sequences) sequence.begin();
    await settledWithin(host.clock, settings.publishTimeoutMs, settled, () => {
      for (const sequence of sequences) sequence.stop();
    });
    // What has no result now was sent.
    return results.map((result) => result ?? 'unknown');
  }

  /** Keeps a frame among the dead letters. */
  keepDead({ lane, bytes, topic, deliveries }: Delivery, info: DeadFrameInfo): Promise<PublishResult> {
    const { host, topology, node } = this.parts;
    const frame: Outgoing = {
      exchange: '',
      key: topology.deadLetters,
      bytes: bufferOf(info.bytes ?? bytes),
      options: {
        mandatory: true,
        timestamp: Math.floor(host.clock.wallNow() / 1_000),
        headers: {
          reason: info.reason,
          ...(info.error === undefined ? {} : { error: info.error.slice(0, ERROR_CHARACTERS_MAX) }),
          ...(topic === undefined ? {} : { topic }),
          node: node.name,
          lane,
          deliveries,
        },
      },
    };
    return this.publishOne(this.lane(lane), frame);
  }

  /** Publishes something that is no frame. Never rejects. */
  send(exchange: string, key: string, content: Buffer, isMandatory: boolean): Promise<PublishResult> {
    return this.publishOne(this.control, {
      exchange,
      key,
      bytes: content,
      options: { mandatory: isMandatory },
    });
  }

  private publishOne(lane: PublishLane, frame: Outgoing): Promise<PublishResult> {
    const { host, settings, connection } = this.parts;
    if (connection.isBlocked) return Promise.resolve('unavailable');
    const settled = new Promise<PublishResult>((resolve) => {
      new Sequence(lane, [frame], ONE_BY_ONE, (_place, result) => resolve(result)).begin();
    });
    return settledWithin<PublishResult>(host.clock, settings.publishTimeoutMs, settled, () => 'unknown');
  }

  private sequence(
    { lane, pace, frames, places }: Part,
    results: (PublishResult | undefined)[],
    settled: () => void,
  ): Sequence {
    return new Sequence(this.lane(lane), frames, pace, (place, result) => {
      results[places[place] ?? -1] = result;
      settled();
    });
  }

  /** Groups frames by lane and destination; what is too large has its result at once. */
  private split(frames: readonly OutFrame[], results: (PublishResult | undefined)[]): Part[] {
    const parts = new Map<string, Part>();
    for (const [place, frame] of frames.entries()) {
      if (frame.bytes.byteLength > FRAME_BYTES_MAX) {
        results[place] = 'too-large';
        continue;
      }
      const outgoing = this.outgoing(frame);
      const id = `${frame.lane}${outgoing.exchange}/${outgoing.key}`;
      let part = parts.get(id);
      if (part === undefined) {
        const { key } = outgoing;
        const isTopic = frame.to.kind === 'topic';
        const pace = isTopic ? this.topicPaces.of(key) : new NodePace(() => this.roomOf(key));
        part = { lane: frame.lane, pace, frames: [], places: [] };
        parts.set(id, part);
      }
      part.frames.push(outgoing);
      part.places.push(place);
    }
    return [...parts.values()];
  }

  private outgoing({ to, lane, bytes, expiresAtMs }: OutFrame): Outgoing {
    const { host, topology } = this.parts;
    const isTopic = to.kind === 'topic';
    const leftMs = expiresAtMs === undefined ? undefined : expiresAtMs - host.clock.wallNow();
    return {
      exchange: isTopic ? topology.exchange : '',
      key: keyOf(to, lane, topology),
      bytes: bufferOf(bytes),
      options: {
        mandatory: !isTopic,
        ...(leftMs === undefined ? {} : { expiration: String(Math.max(0, Math.ceil(leftMs))) }),
      },
    };
  }

  private lane(lane: Lane): PublishLane {
    const found = this.lanes[lane];
    if (found === undefined) throw new Error(`There is no lane ${lane}.`);
    return found;
  }

  /** Free places of a queue; 0 where there is none, or nobody answers. */
  private async roomOf(queue: string): Promise<number> {
    const questions = this.questionChannel();
    try {
      const { messageCount } = await (await questions).checkQueue(queue);
      return this.parts.settings.maxLength - messageCount;
    } catch {
      if (this.questions === questions) this.questions = undefined;
      return 0;
    }
  }

  private questionChannel(): Promise<Channel> {
    this.questions ??= this.newQuestionChannel();
    return this.questions;
  }

  private async newQuestionChannel(): Promise<Channel> {
    const { session } = this.parts.connection;
    if (session === undefined) throw new Error('There is no connection.');
    const channel = await session.model.createChannel();
    channel.on('error', () => undefined); // the question that it is about has failed
    return channel;
  }
}

function keyOf(to: Destination, lane: Lane, topology: Topology): string {
  switch (to.kind) {
    case 'node':
      return topology.inbox(to.node, lane);
    case 'topic':
      return topology.routingKey(to.topic, lane);
    case 'shard':
      return topology.shard(to, lane);
  }
}

/** The same bytes, as the driver wants them. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
