/** A source that is being read: what was given out and is not settled, and how it is settled. */

import type { Consumption, DeadFrameInfo, Delivery, PerLane, Source } from '../../src/protocol/broker.ts';
import { LANES } from '../../src/protocol/broker.ts';
import type { BrokerSettings } from '../../src/protocol/broker-options.ts';
import type { Host, TimerHandle } from '../../src/protocol/clock.ts';
import { pause } from '../../src/protocol/deadline.ts';
import type { TroupeError } from '../../src/protocol/errors.ts';
import { DEAD_FRAMES_MAX } from '../../src/protocol/limits.ts';
import type { Argument } from './client.ts';
import type { Keys } from './keys.ts';
import type { Session } from './link.ts';
import type { Reader } from './reader.ts';
import type { Script } from './scripts.ts';
import { BURY, RELEASE, SETTLE, SETTLE_OWNED } from './scripts.ts';
import { type Lease, Outlet, RedisDelivery } from './stream.ts';

/** What belongs to one session. */
export interface Attachment {
  readonly session: Session;
  readonly reader: Reader;
  /** As whom it reads. */
  readonly consumer: string;
}

/** What a consumption needs of its broker. */
export interface ConsumptionPorts {
  readonly host: Host;
  readonly settings: BrokerSettings;
  readonly keys: Pick<Keys, 'dead' | 'shards'>;
  /** Undefined while there is no connection. */
  readonly attachment: () => Attachment | undefined;
  readonly ended: (consumption: RedisConsumption) => void;
  /** `receive` has thrown. */
  readonly threw: (error: unknown) => void;
  /** The session is of no use any more. */
  readonly drop: (session: Session, cause: Error) => void;
  readonly unavailable: (problem: string) => TroupeError;
}

/** Ids settled by one command. */
const IDS_MAX = 500;
/**
 * Milliseconds that what an inbox has settled waits for more of it, and ids after which it does not. Nobody else ever gets what is in an inbox, so
 * being late costs nothing, and a command for each message costs as much as its reading. What a group has settled is told at once: until then
 * its death has another member do it again.
 */
const SETTLE_AFTER_MS = 5;
const SETTLE_IDS = 64;
const ERROR_CHARACTERS_MAX = 1_000;

/** One source that is being read. */
export class RedisConsumption implements Consumption {
  readonly source: Source;
  /** One for each lane. */
  readonly outlets: readonly Outlet[];
  /** The right by which a shard is read. */
  readonly lease: Lease | undefined;
  private readonly ports: ConsumptionPorts;
  private readonly acknowledged = new Map<string, string[]>();
  private readonly burying = new Map<RedisDelivery, Promise<void>>();
  private isFlushing = false;
  private flushTimer: TimerHandle | undefined = undefined;
  private releasing: Promise<unknown> = Promise.resolve();
  private stopping: Promise<void> | undefined = undefined;
  private readonly drained = new AbortController();

  constructor(
    ports: ConsumptionPorts,
    source: Source,
    reading: {
      readonly streams: readonly string[];
      readonly windows: PerLane;
      readonly receive: (deliveries: readonly Delivery[]) => void;
      readonly lease?: Lease | undefined;
    },
  ) {
    const { streams, windows, receive, lease } = reading;
    this.ports = ports;
    this.source = source;
    const guarded = (deliveries: readonly Delivery[]): void => {
      try {
        receive(deliveries);
      } catch (error) {
        ports.threw(error);
      }
    };
    this.lease = lease;
    this.outlets = LANES.map((lane) => new Outlet(streams[lane] ?? '', lane, windows[lane], guarded, lease));
  }

  /** The connection is gone, and with it what could be settled. */
  lose(): void {
    for (const { unsettled } of this.outlets) unsettled.clear();
    this.acknowledged.clear();
    this.clearFlushTimer();
    this.burying.clear();
    this.look();
  }

  /** What it reads is another's, perhaps: nothing more is given out, and nothing of what was is settled. */
  abandon(): void {
    this.stopping ??= Promise.resolve();
    void this.stopReading(); // it never rejects
    this.lose();
    this.ports.ended(this);
  }

  acknowledge(deliveries: readonly Delivery[]): void {
    for (const delivery of this.settled(deliveries)) {
      const { key } = delivery.outlet;
      const ids = this.acknowledged.get(key);
      if (ids === undefined) this.acknowledged.set(key, [delivery.id]);
      else ids.push(delivery.id);
    }
    if (this.acknowledged.size === 0 || this.isFlushing) return;
    if (this.mayWait) {
      this.flushTimer ??= this.ports.host.clock.setTimer(SETTLE_AFTER_MS, () => {
        void this.flush(); // it never rejects
      });
      return;
    }
    this.isFlushing = true;
    // What is done with one by one goes together, behind what was published meanwhile: nobody waits for it.
    this.ports.host.later(() => {
      this.isFlushing = false;
      void this.flush(); // it never rejects
    });
  }

  /** Whether what is settled is better told together with what will be soon. */
  private get mayWait(): boolean {
    if (this.source.kind !== 'inbox' || this.stopping !== undefined) return false;
    let count = 0;
    for (const ids of this.acknowledged.values()) count += ids.length;
    return count < SETTLE_IDS;
  }

  private clearFlushTimer(): void {
    if (this.flushTimer !== undefined) this.ports.host.clock.clearTimer(this.flushTimer);
    this.flushTimer = undefined;
  }

  release(deliveries: readonly Delivery[]): void {
    const attachment = this.ports.attachment();
    const byKey = new Map<string, string[]>();
    for (const { outlet, id } of this.settled(deliveries)) {
      const ids = byKey.get(outlet.key);
      if (ids === undefined) byKey.set(outlet.key, [id]);
      else ids.push(id);
    }
    if (attachment === undefined || byKey.size === 0) return;
    const { consumer, reader } = attachment;
    const given = this.tell(attachment, RELEASE, byKey, [consumer]).then(() => reader.sweep(byKey.keys()));
    this.releasing = Promise.all([this.releasing, given]);
  }

  deadLetter(delivery: Delivery, info: DeadFrameInfo): Promise<void> {
    const attachment = this.ports.attachment();
    if (!(delivery instanceof RedisDelivery) || !delivery.outlet.unsettled.has(delivery) || !attachment)
      return Promise.resolve();
    const before = this.burying.get(delivery);
    if (before !== undefined) return before;
    const burying = this.bury(attachment, delivery, info);
    this.burying.set(delivery, burying);
    return burying;
  }

  stop(options?: { readonly drainMs?: number | undefined }): Promise<void> {
    this.stopping ??= this.end(options?.drainMs ?? 0);
    return this.stopping;
  }

  /** Resolves when nothing that was read is on its way any more. */
  private stopReading(): Promise<void> {
    for (const outlet of this.outlets) outlet.isStopped = true;
    return this.ports.attachment()?.reader.remove(this.outlets) ?? Promise.resolve();
  }

  private async end(drainMs: number): Promise<void> {
    const { ports, outlets } = this;
    const quiet = this.stopReading();
    this.look();
    if (drainMs > 0) await pause(ports.host.clock, drainMs, this.drained.signal);
    const flushed = this.flush();
    await Promise.allSettled(this.burying.values());
    this.release(outlets.flatMap(({ unsettled }) => [...unsettled]));
    // Whoever reads a shard next has all of it from the beginning on; other sources are looked over again and again.
    await Promise.all([flushed, this.releasing, this.lease && quiet]);
    ports.ended(this);
  }

  private async bury(
    attachment: Attachment,
    delivery: RedisDelivery,
    { reason, error, bytes }: DeadFrameInfo,
  ): Promise<void> {
    const { settings, keys, unavailable } = this.ports;
    const { session, consumer } = attachment;
    const { outlet, id, topic, deliveries } = delivery;
    const kept: Argument[] = ['b', Buffer.from(bytes ?? delivery.bytes), 'reason', reason];
    if (error !== undefined) kept.push('error', error.slice(0, ERROR_CHARACTERS_MAX));
    if (topic !== undefined) kept.push('t', topic);
    kept.push('source', outlet.key, 'deliveries', deliveries, 'node', consumer);
    const { lease } = this;
    const names = [outlet.key, keys.dead, ...(lease === undefined ? [] : [keys.shards])];
    const parameters = [id, consumer, DEAD_FRAMES_MAX, lease?.field ?? '', lease?.value ?? '', ...kept];
    try {
      const answer = await session.writer.run(settings.publishTimeoutMs, BURY, names, parameters);
      if (Number(answer) < 0)
        throw new Error(`it holds ${DEAD_FRAMES_MAX} dead letters, and takes no more until some are removed`);
    } catch (cause) {
      this.burying.delete(delivery);
      throw unavailable(cause instanceof Error ? cause.message : 'the dead letter was not kept');
    }
    this.burying.delete(delivery);
    this.settled([delivery]);
  }

  /** Those that were not settled before, and belong to this connection. */
  private settled(deliveries: readonly Delivery[]): readonly RedisDelivery[] {
    const settled: RedisDelivery[] = [];
    const freed = new Set<string>();
    for (const delivery of deliveries) {
      if (!(delivery instanceof RedisDelivery) || this.burying.has(delivery)) continue;
      const { outlet } = delivery;
      const wasFull = outlet.room <= 0;
      if (!outlet.unsettled.delete(delivery)) continue;
      settled.push(delivery);
      if (wasFull && !outlet.isStopped) freed.add(outlet.key);
    }
    for (const key of freed) this.ports.attachment()?.reader.freed(key);
    this.look();
    return settled;
  }

  /** Lets a stop go on that waits for the last to be settled. */
  private look(): void {
    const isStopped = this.outlets.every((outlet) => outlet.isStopped);
    if (isStopped && this.outlets.every(({ unsettled }) => unsettled.size === 0)) this.drained.abort();
  }

  /** Tells the server what is done. */
  private async flush(): Promise<void> {
    this.clearFlushTimer();
    const attachment = this.ports.attachment();
    const byKey = new Map(this.acknowledged);
    this.acknowledged.clear();
    if (attachment === undefined) return;
    const { lease } = this;
    if (lease === undefined) await this.tell(attachment, SETTLE, byKey, []);
    else
      await this.tell(attachment, SETTLE_OWNED, byKey, [lease.field, lease.value], [this.ports.keys.shards]);
  }

  /** What does not get through is given out again, in the next session. */
  private async tell(
    { session }: Attachment,
    script: Script,
    byKey: ReadonlyMap<string, readonly string[]>,
    first: readonly string[],
    tables: readonly string[] = [],
  ): Promise<void> {
    const { publishTimeoutMs } = this.ports.settings;
    const told: Promise<unknown>[] = [];
    for (const [key, ids] of byKey)
      for (let n = 0; n < ids.length; n += IDS_MAX) {
        const page = [...first, ...ids.slice(n, n + IDS_MAX)];
        told.push(session.writer.run(publishTimeoutMs, script, [key, ...tables], page));
      }
    await Promise.all(told).catch((error: unknown) => this.ports.drop(session, error as Error));
  }
}
