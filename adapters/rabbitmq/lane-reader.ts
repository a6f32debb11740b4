/**
 * One lane of a source, read on a channel: what was given out and not settled, by the server's tags. A tag is good for
 * this channel alone, so a reader ends with its channel, and what is settled later finds nothing here.
 */

import type { Channel, ConsumeMessage } from 'amqplib';
import type { Delivery, Lane } from '../../src/protocol/broker.ts';

/** What a reader is made with. */
export interface LaneReaderParts {
  readonly lane: Lane;
  readonly queue: string;
  /** Frames that the server gives out unsettled. */
  readonly window: number;
  /** The inbox: one consumer at a time, also while an earlier one's connection is thought to live. */
  readonly isExclusive: boolean;
  /** Nobody else reads on this channel. */
  readonly isAlone: boolean;
  /** Makes the queue, on the reader's channel, where that is not done yet. */
  readonly declare: () => Promise<void>;
  readonly deliveryOf: (message: ConsumeMessage, lane: Lane) => Delivery;
  /** Called with each frame, inside the driver: it must not throw. */
  readonly arrived: (delivery: Delivery) => void;
  /** Called when the server has ended the consumer. */
  readonly cancelled: () => void;
}

/** The reader. */
export class LaneReader {
  private readonly channel: Channel;
  private readonly parts: LaneReaderParts;
  /** In the order of their tags, which is that of their arrival. */
  private readonly unsettled = new Map<Delivery, number>();
  private acknowledged: number[] = [];
  private consumerTag: string | undefined;

  constructor(channel: Channel, parts: LaneReaderParts) {
    this.channel = channel;
    this.parts = parts;
  }

  /** Begins to read. */
  async begin(): Promise<void> {
    const { queue, window, isExclusive, declare } = this.parts;
    await declare();
    await this.channel.prefetch(window);
    const { consumerTag } = await this.channel.consume(queue, (message) => this.take(message), {
      exclusive: isExclusive,
    });
    this.consumerTag = consumerTag;
  }

  /** From now on its end is news. */
  get hasBegun(): boolean {
    return this.consumerTag !== undefined;
  }

  /** Whether this was given out here and is not settled. */
  has(delivery: Delivery): boolean {
    return this.unsettled.has(delivery);
  }

  get size(): number {
    return this.unsettled.size;
  }

  /** Notes an acknowledgement for `flush`; false if there is nothing to acknowledge. */
  acknowledge(delivery: Delivery): boolean {
    const tag = this.unsettled.get(delivery);
    if (tag === undefined) return false;
    this.unsettled.delete(delivery);
    this.acknowledged.push(tag);
    return true;
  }

  /** Gives a frame back. */
  release(delivery: Delivery): void {
    const tag = this.unsettled.get(delivery);
    if (tag === undefined) return;
    this.unsettled.delete(delivery);
    this.write(() => this.channel.nack(tagged(tag), false, true));
  }

  /** Sends the acknowledgements: one for all below the lowest unsettled frame, and one for each above it; for each where tags are shared. */
  flush(): void {
    if (this.acknowledged.length === 0) return;
    const tags = this.acknowledged.sort((a, b) => a - b);
    this.acknowledged = [];
    const [lowest = Number.POSITIVE_INFINITY] = this.unsettled.values();
    const below = this.parts.isAlone ? tags.findLastIndex((tag) => tag < lowest) : -1;
    this.write(() => {
      const last = tags[below];
      if (last !== undefined) this.channel.ack(tagged(last), true);
      for (const tag of tags.slice(below + 1)) this.channel.ack(tagged(tag), false);
    });
  }

  /** Asks for no further frame. Resolves when none can come. */
  async cancel(): Promise<void> {
    if (this.consumerTag !== undefined) await this.channel.cancel(this.consumerTag);
  }

  /** Closes the channel: the server takes back what is unsettled. Resolves when all acknowledgements have arrived. */
  async close(): Promise<void> {
    this.flush();
    this.unsettled.clear();
    await this.channel.close();
  }

  private take(message: ConsumeMessage | null): void {
    if (message === null) {
      this.parts.cancelled();
      return;
    }
    const delivery = this.parts.deliveryOf(message, this.parts.lane);
    this.unsettled.set(delivery, message.fields.deliveryTag);
    this.parts.arrived(delivery);
  }

  /** A channel that has just ended throws: then the server takes all of it back. */
  private write(frames: () => void): void {
    try {
      frames();
    } catch {
      this.unsettled.clear();
    }
  }
}

/** All that the driver reads of a message to settle it. */
function tagged(deliveryTag: number): ConsumeMessage {
  return { fields: { deliveryTag } } as ConsumeMessage; // see the line above
}
