/**
 * Makes the logs of shards when they are claimed first. Whoever claims claims many at once, often, and a server needs some milliseconds for
 * each partition: so they are asked for together, a part at a time, and each is there when its leaders know it.
 */

import type { KafkaClient } from './driver.ts';
import type { Ledger } from './ledger.ts';
import type { Link } from './link.ts';
import type { ShardName } from './log-entries.ts';
import type { Names } from './names.ts';
import { shardTopic } from './topics.ts';

/** Shards that are asked for at once, and milliseconds for a server to make them. */
const BATCH_SHARDS = 64;
const MAKE_MS = 30_000;

interface Order {
  readonly topic: string;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** @internal */
export class ShardTopics {
  private readonly link: Link;
  private readonly names: Names;
  private readonly ledger: Ledger;
  private readonly orders: Order[] = [];
  private isBusy = false;

  constructor(link: Link, names: Names, ledger: Ledger) {
    this.link = link;
    this.names = names;
    this.ledger = ledger;
  }

  /** Resolves when they are there. Rejects with `KafkaFailure`. */
  make(shard: ShardName): Promise<void> {
    // Who has claimed it has made them.
    if (this.ledger.shard(shard) !== undefined) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.orders.push({ topic: this.names.shard(shard), resolve, reject });
      this.link.host.soon(() => void this.work()); // it catches what goes wrong
    });
  }

  private async work(): Promise<void> {
    if (this.isBusy) return;
    this.isBusy = true;
    while (this.orders.length > 0) {
      const orders = this.orders.splice(0, BATCH_SHARDS);
      const specs = orders.map(({ topic }) => shardTopic(topic));
      try {
        await this.insist((client) => client.createTopics(specs));
        for (const { topic, resolve } of orders) {
          await this.insist((client) => client.offsets(topic, 'end'));
          resolve();
        }
      } catch (error) {
        for (const { reject } of orders) reject(error);
      }
    }
    this.isBusy = false;
  }

  /** For as long as it takes: a server that is gone is noticed by others, and ends what is under way. */
  private insist<T>(request: (client: KafkaClient) => Promise<T>): Promise<T> {
    return this.link.call(MAKE_MS, request);
  }
}
