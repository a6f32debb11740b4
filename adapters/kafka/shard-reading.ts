/**
 * Reads all shards of a node over one connection. Which ones changes often, and several at once: what comes waits a moment for more
 * before reading begins anew, what goes is left out by and by.
 */

import type { TimerHandle } from '../../src/protocol/clock.ts';
import type { Link } from './link.ts';
import { Reader } from './reader.ts';
import type { OwnedShard } from './shard.ts';

/** Milliseconds before reading begins anew, when shards have come and when they have gone. */
const COME_MS = 10;
const GONE_MS = 1_000;

/** @internal */
export class ShardReading {
  private readonly link: Link;
  private readonly reader: Reader;
  private readonly shards = new Set<OwnedShard>();
  private timer: TimerHandle | undefined;
  private dueMs = 0;

  constructor(link: Link) {
    this.link = link;
    this.reader = new Reader(link);
  }

  add(shard: OwnedShard): void {
    if (this.shards.has(shard)) return;
    this.shards.add(shard);
    this.plan(COME_MS);
  }

  remove(shard: OwnedShard): void {
    if (!this.shards.delete(shard)) return;
    if (this.shards.size === 0) this.stop();
    else this.plan(GONE_MS);
  }

  wake(): void {
    this.reader.wake();
  }

  /** The connection for requests is gone. */
  drop(): void {
    this.reader.drop();
  }

  stop(): void {
    this.cancel();
    this.reader.stop();
  }

  private plan(ms: number): void {
    const { clock } = this.link.host;
    const dueMs = clock.now() + ms;
    if (this.timer !== undefined && this.dueMs <= dueMs) return;
    this.cancel();
    this.dueMs = dueMs;
    this.timer = clock.setTimer(ms, () => {
      this.timer = undefined;
      const cursors = [...this.shards].flatMap((shard) => shard.cursors());
      // A server answers in this order until the answer is large enough.
      this.reader.read(cursors.toSorted((a, b) => a.partition - b.partition));
    });
  }

  private cancel(): void {
    if (this.timer !== undefined) this.link.host.clock.clearTimer(this.timer);
    this.timer = undefined;
  }
}
