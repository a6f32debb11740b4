/**
 * How often frames were delivered. Quorum queues say it. Classic ones only say that a frame was delivered before, so those that were are
 * counted here, by the ids that publishers give them: that counts from the second time on, and within this process.
 */

import type { MessageProperties } from 'amqplib';
import type { Delivery } from '../../src/protocol/broker.ts';

/** Ids that are remembered: as many as may be unsettled in the largest windows, and more. The oldest is forgotten. */
const IDS_MAX = 10_000;

/** The counts of one consumer. */
export class DeliveryCounts {
  private readonly byId = new Map<string, number>();
  private readonly ids = new WeakMap<Delivery, string>();

  /** The number of this delivery. */
  count({ messageId, headers }: MessageProperties, isRedelivered: boolean): number {
    // Deliveries before this one that came back.
    const told: unknown = headers?.['x-delivery-count'];
    const byServer = typeof told === 'number' ? told + 1 : 1;
    if (!isRedelivered) return byServer;
    const id = String(messageId);
    const count = Math.max(byServer, (this.byId.get(id) ?? 1) + 1);
    this.byId.delete(id); // so that it becomes the youngest
    this.byId.set(id, count);
    const [oldest] = this.byId.keys();
    if (this.byId.size > IDS_MAX && oldest !== undefined) this.byId.delete(oldest);
    return count;
  }

  /** Notes whose delivery this is, if it is counted. */
  remember(delivery: Delivery, { messageId }: MessageProperties): void {
    if (delivery.isRedelivered) this.ids.set(delivery, String(messageId));
  }

  /** A frame that will not come again. */
  forget(delivery: Delivery): void {
    const id = this.ids.get(delivery);
    if (id !== undefined) this.byId.delete(id);
  }
}
