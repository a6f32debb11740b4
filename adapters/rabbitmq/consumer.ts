/**
 * Reads a source: six lanes, each with its own window, handed over together and in order of urgency once what has arrived was read
 * from the socket. It outlives its connection: on the next session it begins again, with what the server then delivers.
 *
 * Nothing of the receiver's runs inside the driver, whose connection would die of what it throws.
 */

import type { Channel, ConsumeMessage } from 'amqplib';
import {
  type ConsumeOptions,
  type Consumption,
  type DeadFrameInfo,
  type Delivery,
  LANES,
  type Lane,
  type PublishResult,
  type Source,
} from '../../src/protocol/broker.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { pause, settledWithin } from '../../src/protocol/deadline.ts';
import type { Session } from './connection.ts';
import { DeliveryCounts } from './delivery-counts.ts';
import { LaneReader } from './lane-reader.ts';
import { unavailable } from './refusal.ts';
import type { RabbitmqSettings } from './settings.ts';
import type { Topology } from './topology.ts';

/** What a consumer is made with. */
export interface ConsumerParts {
  readonly host: Host;
  readonly settings: RabbitmqSettings;
  readonly topology: Topology;
  readonly node: string;
  readonly source: Source;
  readonly options: ConsumeOptions;
  readonly keepDead: (delivery: Delivery, info: DeadFrameInfo) => Promise<PublishResult>;
  /** Called with what the receiver threw, and without when it works again. */
  readonly receiverFailed: (error?: Error) => void;
  /** Called when it is to be read no more. */
  readonly stopped: () => void;
}

/** The consumption. */
export class Consumer implements Consumption {
  private readonly parts: ConsumerParts;
  private readonly counts = new DeliveryCounts();
  /** Of the session there is; empty without one. */
  private readers: readonly LaneReader[] = [];
  /** Hears no more of the session there is. */
  private forgetSession: (() => void) | undefined;
  private readonly arrived: Delivery[][] = LANES.map(() => []);
  private isHandingOver = false;
  private isFlushing = false;
  private hasFailed = false;
  private stopping: Promise<void> | undefined;
  /** Called when nothing is unsettled, while it stops. */
  private drained: (() => void) | undefined;

  constructor(parts: ConsumerParts) {
    this.parts = parts;
  }

  /** Begins to read on a session. Resolves when effective. */
  async attach(session: Session): Promise<void> {
    const isShard = this.parts.source.kind === 'shard';
    // A node may own hundreds of shards, and RabbitMQ allows some two thousand channels: six lanes of a shard share one.
    const shared = isShard ? await session.model.createChannel() : undefined;
    const readers = await Promise.all(LANES.map((lane) => this.reader(session, lane, shared)));
    this.readers = readers;
    this.forgetSession = session.onOver(() => this.detach());
    try {
      if (isShard) await inTurn(readers);
      else await Promise.all(readers.map((reader) => reader.begin()));
    } catch (error) {
      this.leave(readers);
      throw error;
    }
    if (this.stopping !== undefined) this.leave(readers);
  }

  acknowledge(deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries)
      if (this.readerOf(delivery)?.acknowledge(delivery)) this.counts.forget(delivery);
    this.flushSoon();
    this.checkDrained();
  }

  release(deliveries: readonly Delivery[]): void {
    // The last first: the server puts each back where it stood, and gives out the first it has.
    for (const delivery of deliveries.toReversed()) this.readerOf(delivery)?.release(delivery);
    this.checkDrained();
  }

  async deadLetter(delivery: Delivery, info: DeadFrameInfo): Promise<void> {
    if (this.readerOf(delivery)?.has(delivery) !== true) return;
    const result = await this.parts.keepDead(delivery, info);
    if (result !== 'ok')
      throw unavailable(
        this.parts.settings,
        `the dead letter was not kept (${result}); the frame is unsettled`,
      );
    this.acknowledge([delivery]);
  }

  stop({ drainMs = 0 }: { readonly drainMs?: number | undefined } = {}): Promise<void> {
    this.stopping ??= this.end(drainMs);
    return this.stopping;
  }

  private async end(drainMs: number): Promise<void> {
    const { host, settings } = this.parts;
    const { readers } = this;
    const ending = async (): Promise<void> => {
      for (const lane of this.arrived) this.release(lane.splice(0));
      await Promise.all(readers.map((reader) => reader.cancel()));
      if (drainMs > 0 && this.unsettledCount > 0) {
        const drained = new Promise<void>((resolve) => {
          this.drained = resolve;
        });
        await settledWithin(host.clock, drainMs, drained, () => undefined);
      }
      // Before their channels end: that is meant.
      if (this.readers === readers) this.readers = [];
      await Promise.all(this.closed(readers));
    };
    const withinMs = drainMs + settings.publishTimeoutMs;
    // What fails has lost its session: then the server takes everything back by itself.
    await settledWithin(
      host.clock,
      withinMs,
      ending().catch(() => undefined),
      () => undefined,
    );
    // Closing that is not answered was sent: the server takes back what it gives out until it reads that.
    this.leave(readers);
    this.detach();
    this.parts.stopped();
  }

  private async reader(session: Session, lane: Lane, shared: Channel | undefined): Promise<LaneReader> {
    const { source, topology, node, options } = this.parts;
    const channel = shared ?? (await session.model.createChannel());
    const reader = new LaneReader(channel, {
      lane,
      queue: topology.queue(source, node, lane),
      window: options.windows[lane],
      isExclusive: source.kind === 'inbox',
      isAlone: shared === undefined,
      declare: async () => {
        if (source.kind === 'group') await topology.declareGroup(channel, source, lane);
      },
      deliveryOf: (message, of) => this.deliveryOf(message, of),
      arrived: (delivery) => this.take(delivery),
      cancelled: () => session.fail(new Error('a queue was deleted while it was read')),
    });
    session.watch(channel, (cause) => {
      if (reader.hasBegun && this.readers.includes(reader)) session.fail(cause);
    });
    return reader;
  }

  private deliveryOf({ content, fields, properties }: ConsumeMessage, lane: Lane): Delivery {
    const isTopic = fields.exchange === this.parts.topology.exchange;
    const delivery: Delivery = {
      lane,
      bytes: content,
      ...(isTopic ? { topic: fields.routingKey.slice(fields.routingKey.indexOf('.') + 1) } : {}),
      deliveries: this.counts.count(properties, fields.redelivered),
      isRedelivered: fields.redelivered,
    };
    this.counts.remember(delivery, properties);
    return delivery;
  }

  private take(delivery: Delivery): void {
    if (this.stopping !== undefined) {
      this.release([delivery]);
      return;
    }
    this.arrived[delivery.lane]?.push(delivery);
    if (this.isHandingOver) return;
    this.isHandingOver = true;
    this.parts.host.soon(() => this.handOver());
  }

  private handOver(): void {
    this.isHandingOver = false;
    const deliveries = this.arrived.flatMap((lane) => lane.splice(0));
    if (deliveries.length === 0) return;
    try {
      this.parts.options.receive(deliveries);
      if (this.hasFailed) this.parts.receiverFailed();
      this.hasFailed = false;
    } catch (error) {
      this.hasFailed = true;
      this.parts.receiverFailed(error instanceof Error ? error : new Error(String(error)));
      void this.giveBackLater(deliveries); // it does not reject
    }
  }

  /** What a receiver has thrown at comes again, but not at once: it may throw each time. */
  private async giveBackLater(deliveries: readonly Delivery[]): Promise<void> {
    await pause(this.parts.host.clock, this.parts.settings.reconnect.maxMs);
    this.release(deliveries);
  }

  private readerOf(delivery: Delivery): LaneReader | undefined {
    return this.readers[delivery.lane];
  }

  private get unsettledCount(): number {
    return this.readers.reduce((sum, reader) => sum + reader.size, 0);
  }

  private flushSoon(): void {
    if (this.isFlushing) return;
    this.isFlushing = true;
    this.parts.host.soon(() => {
      this.isFlushing = false;
      for (const reader of this.readers) reader.flush();
    });
  }

  private checkDrained(): void {
    if (this.drained !== undefined && this.unsettledCount === 0) this.drained();
  }

  /** Closes channels, and waits for no answer. */
  private leave(readers: readonly LaneReader[]): void {
    if (this.readers === readers) this.detach();
    // One whose channel has ended throws, and needs no closing.
    for (const closed of this.closed(readers)) void closed.catch(() => undefined);
  }

  /** Closes each channel once, when all acknowledgements were sent. */
  private closed(readers: readonly LaneReader[]): Promise<void>[] {
    for (const reader of readers) reader.flush();
    const ofChannels = this.parts.source.kind === 'shard' ? readers.slice(0, 1) : readers;
    return ofChannels.map((reader) => reader.close());
  }

  private detach(): void {
    this.forgetSession?.();
    this.forgetSession = undefined;
    this.readers = [];
    for (const lane of this.arrived) lane.length = 0;
    this.drained?.();
  }
}

/** The window of a consumer is what was said last on its channel: on one that is shared, nobody may come in between. */
async function inTurn(readers: readonly LaneReader[]): Promise<void> {
  for (const reader of readers) await reader.begin();
}
