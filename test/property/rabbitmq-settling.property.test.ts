// Goal: whatever is settled in whatever order, the server forgets exactly what was acknowledged, takes back what was released, and is
// never told of a tag twice, which would end the channel.
// Method: a channel that keeps tags as RabbitMQ does, and refuses what RabbitMQ would.

import type { Channel, ConsumeMessage } from 'amqplib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LaneReader } from '../../adapters/rabbitmq/lane-reader.ts';
import type { Delivery } from '../../src/protocol/broker.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';

class ServerChannel {
  readonly unsettled = new Set<number>();
  readonly acknowledged = new Set<number>();
  readonly released = new Set<number>();
  frames = 0;
  private deliver: (message: ConsumeMessage) => void = () => undefined;
  private tag = 0;

  async prefetch(): Promise<void> {
    // Windows are the server's affair.
  }

  async consume(
    _queue: string,
    deliver: (message: ConsumeMessage) => void,
  ): Promise<{ consumerTag: string }> {
    this.deliver = deliver;
    return { consumerTag: 'c' };
  }

  next(): void {
    this.unsettled.add(++this.tag);
    // Only what a reader reads.
    this.deliver({ fields: { deliveryTag: this.tag } } as ConsumeMessage);
  }

  ack({ fields: { deliveryTag } }: ConsumeMessage, allUpTo: boolean): void {
    const tags = allUpTo ? [...this.unsettled].filter((tag) => tag <= deliveryTag) : [deliveryTag];
    this.settle(tags, this.acknowledged);
  }

  nack({ fields: { deliveryTag } }: ConsumeMessage): void {
    this.settle([deliveryTag], this.released);
  }

  private settle(tags: readonly number[], into: Set<number>): void {
    this.frames++;
    if (tags.length === 0) throw new Error('PRECONDITION_FAILED');
    for (const tag of tags) {
      if (!this.unsettled.delete(tag)) throw new Error(`PRECONDITION_FAILED - unknown delivery tag ${tag}`);
      into.add(tag);
    }
  }
}

const step = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ type: 'deliver' } as const) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('acknowledge' as const), place: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('release' as const), place: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.constant({ type: 'flush' } as const) },
);

describe('settling on RabbitMQ', () => {
  it(
    'reaches the server for each frame once, as it was meant',
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { size: 'max', maxLength: 100 }), async (steps) => {
          const channel = new ServerChannel();
          const given: Delivery[] = [];
          const reader = new LaneReader(channel as unknown as Channel, {
            lane: 3,
            queue: 'q',
            window: 100,
            isExclusive: true,
            isAlone: true,
            declare: async () => undefined,
            deliveryOf: () => ({ lane: 3, bytes: new Uint8Array(), deliveries: 1, isRedelivered: false }),
            arrived: (delivery) => given.push(delivery),
            cancelled: () => undefined,
          });
          await reader.begin();
          const acknowledged = new Set<number>();
          const released = new Set<number>();
          for (const one of steps) {
            if (one.type === 'deliver') channel.next();
            else if (one.type === 'flush') reader.flush();
            else {
              const delivery = given[one.place];
              if (delivery === undefined) continue;
              const tag = one.place + 1;
              const isOpen = !acknowledged.has(tag) && !released.has(tag);
              if (one.type === 'release') {
                if (isOpen) released.add(tag);
                reader.release(delivery);
              } else expect(reader.acknowledge(delivery)).toBe(isOpen);
              if (isOpen && one.type === 'acknowledge') acknowledged.add(tag);
            }
          }
          reader.flush();
          expect(channel.acknowledged).toEqual(acknowledged);
          expect(channel.released).toEqual(released);
          expect(reader.size).toBe(given.length - acknowledged.size - released.size);
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it('takes one acknowledgement for all that is settled without a gap', async () => {
    const channel = new ServerChannel();
    const given: Delivery[] = [];
    const reader = new LaneReader(channel as unknown as Channel, {
      lane: 3,
      queue: 'q',
      window: 100,
      isExclusive: true,
      isAlone: true,
      declare: async () => undefined,
      deliveryOf: () => ({ lane: 3, bytes: new Uint8Array(), deliveries: 1, isRedelivered: false }),
      arrived: (delivery) => given.push(delivery),
      cancelled: () => undefined,
    });
    await reader.begin();
    for (let count = 0; count < 50; count++) channel.next();
    for (const delivery of given.slice(0, 40)) reader.acknowledge(delivery);
    for (const delivery of given.slice(45)) reader.acknowledge(delivery);
    reader.flush();
    expect([channel.frames, channel.unsettled.size]).toEqual([1 + 5, 5]);
  });
});
