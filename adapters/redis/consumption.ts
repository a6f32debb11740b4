/** A source that is being read: what was given out and is not settled, and how it is settled. */

import type { Consumption, DeadFrameInfo, Delivery, Source } from '../../src/protocol/broker.ts';
import { LANES } from '../../src/protocol/broker.ts';
import type { BrokerSettings } from '../../src/protocol/broker-options.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { pause } from '../../src/protocol/deadline.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { DEAD_FRAMES_MAX } from '../../src/protocol/limits.ts';
import { READERS, RELEASED } from './keys.ts';
import type { Session } from './link.ts';
import { type Reader, ReadStream, RedisDelivery } from './reader.ts';
import { BURY } from './scripts.ts';

/** What a consumption needs of its broker. */
export interface ConsumptionPorts {
  readonly host: Host;
  readonly settings: BrokerSettings;
  readonly deadKey: string;
  readonly consumer: string;
  readonly session: () => Session | undefined;
  readonly reader: () => Reader | undefined;
  readonly ended: (consumption: RedisConsumption) => void;
  readonly failed: (error: Error) => void;
}

/** Ids settled by one command. */
const IDS_MAX = 500;

/** One source that is being read. */
export class RedisConsumption implements Consumption {
  readonly source: Source;
  streams: readonly ReadStream[];
  private readonly ports: ConsumptionPorts;
  private readonly acknowledged = new Map<string, string[]>();
  private flushing: Promise<void> | undefined = undefined;
  private stopping: Promise<void> | undefined = undefined;
  private drained: AbortController | undefined = undefined;

  constructor(
    ports: ConsumptionPorts,
    source: Source,
    lanes: readonly { readonly key: string; readonly window: number }[],
    receive: (deliveries: readonly Delivery[]) => void,
  ) {
    this.ports = ports;
    this.source = source;
    const guarded = (deliveries: readonly Delivery[]): void => {
      try {
        receive(deliveries);
      } catch (error) {
        ports.failed(error instanceof Error ? error : new Error('receive threw'));
      }
    };
    this.streams = LANES.map(
      (lane) => new ReadStream(lanes[lane]?.key ?? '', lane, lanes[lane]?.window ?? 1, guarded),
    );
  }

  /** A new connection: what was given out before is given out again by it. */
  begin(_session: Session): void {
    for (const stream of this.streams) stream.ownAfter = '0';
  }

  /** The connection is gone, and with it what could be settled. */
  lose(): void {
    for (const stream of this.streams) stream.unsettled.clear();
    this.acknowledged.clear();
    this.drained?.abort();
  }

  acknowledge(deliveries: readonly Delivery[]): void {
    for (const delivery of this.settled(deliveries)) {
      const { key } = delivery.stream;
      const ids = this.acknowledged.get(key);
      if (ids === undefined) this.acknowledged.set(key, [delivery.id]);
      else ids.push(delivery.id);
    }
    if (this.acknowledged.size === 0 || this.flushing !== undefined) return;
    this.flushing = new Promise((resolve) => {
      this.ports.host.soon(() => {
        this.flushing = undefined;
        resolve(this.flush());
      });
    });
  }

  release(deliveries: readonly Delivery[]): void {
    const byKey = new Map<string, string[]>();
    for (const { stream, id } of this.settled(deliveries))
      byKey.set(stream.key, [...(byKey.get(stream.key) ?? []), id]);
    void this.giveBack(byKey); // it never rejects
  }

  async deadLetter(delivery: Delivery, info: DeadFrameInfo): Promise<void> {
    const { session: current, settings, deadKey, consumer } = this.ports;
    const session = current();
    if (!(delivery instanceof RedisDelivery) || !delivery.stream.unsettled.has(delivery)) return;
    if (session === undefined) return;
    const { stream, id, topic } = delivery;
    const kept: (string | Buffer | Uint8Array)[] = [
      'b',
      Buffer.from(info.bytes ?? delivery.bytes),
      'reason',
      info.reason,
    ];
    if (info.error !== undefined) kept.push('error', info.error.slice(0, ERROR_CHARACTERS_MAX));
    if (topic !== undefined) kept.push('t', topic);
    kept.push('source', stream.key, 'deliveries', String(delivery.deliveries), 'node', consumer);
    const parameters = [id, consumer, DEAD_FRAMES_MAX, ...kept];
    const answer = Number(
      await session.writer.run(settings.publishTimeoutMs, BURY, [stream.key, deadKey], parameters),
    );
    if (answer < 0)
      throw new TroupeError('ERR_BROKER_UNAVAILABLE', {
        broker: 'redis',
        url: deadKey,
        problem: `it holds ${DEAD_FRAMES_MAX} dead letters, and takes no more until some are removed`,
      });
    this.settled([delivery]);
  }

  stop(options?: { readonly drainMs?: number | undefined }): Promise<void> {
    this.stopping ??= this.end(options?.drainMs ?? 0);
    return this.stopping;
  }

  private async end(drainMs: number): Promise<void> {
    const { ports, streams } = this;
    for (const stream of streams) stream.isStopped = true;
    ports.reader()?.remove(streams);
    this.drained = new AbortController();
    if (drainMs > 0 && this.isBusy) await pause(ports.host.clock, drainMs, this.drained.signal);
    await this.flushing;
    await this.flush();
    this.release(streams.flatMap(({ unsettled }) => [...unsettled]));
    await this.releasing;
    ports.ended(this);
  }

  private releasing: Promise<void> = Promise.resolve();

  private giveBack(byKey: ReadonlyMap<string, readonly string[]>): Promise<void> {
    const session = this.ports.session();
    if (session === undefined || byKey.size === 0) return this.releasing;
    const { publishTimeoutMs } = this.ports.settings;
    const given = [...byKey].flatMap(([key, ids]) =>
      pages(ids).map((page) =>
        session.writer
          .call(publishTimeoutMs, 'XCLAIM', key, READERS, RELEASED, 0, ...page, 'JUSTID')
          .catch(() => undefined),
      ),
    );
    this.releasing = Promise.all([this.releasing, ...given]).then(() => undefined);
    return this.releasing;
  }

  private get isBusy(): boolean {
    return this.streams.some(({ unsettled }) => unsettled.size > 0);
  }

  /** Those that were not settled before, and belong to this connection. */
  private settled(deliveries: readonly Delivery[]): readonly RedisDelivery[] {
    const settled: RedisDelivery[] = [];
    let isFreed = false;
    for (const delivery of deliveries) {
      if (!(delivery instanceof RedisDelivery)) continue;
      const { stream } = delivery;
      isFreed ||= stream.unsettled.size >= stream.window;
      if (stream.unsettled.delete(delivery)) settled.push(delivery);
    }
    if (isFreed) this.ports.reader()?.wake();
    if (!this.isBusy) this.drained?.abort();
    return settled;
  }

  /** Tells the server what is done. What does not get through is given out again. */
  private async flush(): Promise<void> {
    const session = this.ports.session();
    const byKey = [...this.acknowledged];
    this.acknowledged.clear();
    if (session === undefined) return;
    const { publishTimeoutMs } = this.ports.settings;
    const told = byKey.flatMap(([key, ids]) =>
      pages(ids).flatMap((page) => [
        session.writer.call(publishTimeoutMs, 'XACK', key, READERS, ...page),
        session.writer.call(publishTimeoutMs, 'XDEL', key, ...page),
      ]),
    );
    await Promise.allSettled(told);
  }
}

const ERROR_CHARACTERS_MAX = 1_000;

function pages(ids: readonly string[]): readonly (readonly string[])[] {
  const result: (readonly string[])[] = [];
  for (let n = 0; n < ids.length; n += IDS_MAX) result.push(ids.slice(n, n + IDS_MAX));
  return result;
}
