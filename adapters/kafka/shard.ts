/**
 * A shard while this node owns it: its six logs, read into lanes of its own, from where the last owner had come. How far this one comes is
 * told in the log of members, under its epoch; what is told of it later than its loss does not count.
 */

import { type ConsumeOptions, LANES, type Lane, type PerLane } from '../../src/protocol/broker.ts';
import type { Shard } from '../../src/protocol/sharding.ts';
import type { InRecord } from './driver.ts';
import { Lanes } from './lanes.ts';
import type { LedgerShard } from './ledger.ts';
import type { Link } from './link.ts';
import { progressOf, type ShardProgress } from './log-entries.ts';
import type { Cursor } from './reader.ts';
import { perLane } from './records.ts';
import { Watermark } from './watermark.ts';

/** Settled frames of a lane after which its log is cut. */
const TRIM_AFTER_FRAMES = 1_000;

/** What becomes of a shard, for those who read it. @internal */
export interface ShardListener {
  /** Something was settled, given or taken. */
  moved(settled: number): void;
  /** There may be room again. */
  freed(): void;
}

/** @internal */
export class OwnedShard {
  readonly shard: Shard;
  readonly epoch: number;
  readonly topic: string;
  readonly lanes: Lanes;
  private readonly link: Link;
  private readonly listener: ShardListener;
  private readonly accounts: readonly Watermark[];
  /** Settled by an owner before. */
  private readonly done: readonly Set<number>[];
  /** What lies before was, or may have been, given to an owner before; undefined until the ends of the logs are known. */
  private oldBefore: readonly number[] | undefined;
  private readonly trimmed: number[];
  private isRead = false;
  private isOver = false;

  constructor(
    link: Link,
    rest: {
      readonly shard: Shard;
      readonly topic: string;
      readonly from: LedgerShard;
      readonly listener: ShardListener;
    },
  ) {
    const { from, listener } = rest;
    this.link = link;
    this.listener = listener;
    this.shard = rest.shard;
    this.topic = rest.topic;
    this.epoch = from.epoch;
    this.accounts = perLane((lane) => new Watermark(from.safe[lane] ?? 0));
    this.done = perLane((lane) => new Set(from.ahead[lane]));
    this.oldBefore = from.wasExact ? from.given : undefined;
    this.trimmed = [...from.safe];
    this.lanes = new Lanes(link.host, {
      moved: (settled) => {
        if (this.isOver) return;
        listener.moved(settled);
        listener.freed();
      },
      thrown: (error) => link.degrade(`the receiver of frames threw: ${String(error)}`),
    });
  }

  get isBeingRead(): boolean {
    return this.isRead;
  }

  /** Gets ready to be read. Whether it is still owned then. */
  async prepare(): Promise<boolean> {
    const { link, topic } = this;
    if (this.oldBefore === undefined) {
      const { publishTimeoutMs } = link.settings;
      this.oldBefore = await link.call(publishTimeoutMs, (client) => client.offsets(topic, 'end'));
    }
    return !this.isOver;
  }

  attach(options: ConsumeOptions): void {
    this.isRead = true;
    this.lanes.attach(options);
  }

  /** Nothing is given out any more; what was comes again to whoever reads it next. */
  detach(): void {
    this.isRead = false;
    this.lanes.detach();
    this.lanes.recall();
  }

  /** What becomes of it from now on is of no interest; how far it came is. */
  retire(): void {
    this.isOver = true;
    this.detach();
  }

  /** It belongs to somebody else: what was given out of it does, too. */
  end(): void {
    this.isOver = true;
    this.isRead = false;
    this.lanes.detach();
    for (const account of this.accounts) this.lanes.forget(account);
  }

  progress(): ShardProgress {
    const { group, shard } = this.shard;
    const accounts = this.accounts.map(({ given, safe, settledAhead }, lane) => ({
      given,
      safe,
      ahead: [...settledAhead, ...[...(this.done[lane] ?? [])].filter((offset) => offset >= safe)],
    }));
    return { group, shard, epoch: this.epoch, ...progressOf(accounts) };
  }

  /** Frames of its logs that were given to nobody, where they end there. */
  waiting(ends: readonly number[]): PerLane {
    return perLane((lane) => {
      const unread = (ends[lane] ?? 0) - (this.accounts[lane]?.next ?? 0);
      return this.lanes.waitingIn(lane) + Math.max(0, unread);
    });
  }

  /** The offsets before which nobody needs anything, as far as the log of members knows it, by partition; none while that is little. */
  due(known: LedgerShard): ReadonlyMap<number, number> {
    const due = new Map<number, number>();
    for (const lane of LANES) {
      const safe = known.safe[lane] ?? 0;
      if (safe - (this.trimmed[lane] ?? 0) < TRIM_AFTER_FRAMES) continue;
      due.set(lane, safe);
      this.trimmed[lane] = safe;
    }
    return due;
  }

  cursors(): readonly Cursor[] {
    return perLane((lane) => this.cursorOf(lane));
  }

  private cursorOf(lane: Lane): Cursor {
    const account = this.accounts[lane] ?? new Watermark(0);
    return {
      topic: this.topic,
      partition: lane,
      position: () => account.next,
      hasRoom: () => this.isRead && this.lanes.hasRoom(lane),
      take: (records, next) => {
        if (!this.isRead) return;
        for (const record of records) this.take(lane, account, record);
        account.skipTo(next);
        this.listener.moved(0);
      },
      restart: (start, end) => account.restart(account.next > end ? start : Math.max(account.next, start)),
    };
  }

  private take(lane: Lane, account: Watermark, record: InRecord): void {
    const { offset } = record;
    if (offset < account.next || this.done[lane]?.delete(offset) === true) return;
    this.lanes.offer({
      lane,
      bytes: record.value,
      topic: undefined,
      mark: account.take(offset),
      account,
      deliveries: 0,
      isRedelivered: offset < (this.oldBefore?.[lane] ?? 0),
    });
  }
}
