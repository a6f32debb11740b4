/**
 * A source that a node reads. On each connection it has a seat of its own at the hub; what was given out on an earlier one is not its
 * any more, and settling that has no effect.
 */

import type {
  ConsumeOptions,
  Consumption,
  DeadFrameInfo,
  Delivery,
  Source,
} from '../../src/protocol/broker.ts';
import type { BrokerSettings } from '../../src/protocol/broker-options.ts';
import { pause } from '../../src/protocol/deadline.ts';
import { durationOption } from '../../src/protocol/options.ts';
import type { HubClient, Session } from './client.ts';
import { type FrameQueue, Member } from './frame-queue.ts';
import type { HeldFrame } from './lane-queue.ts';
import { unavailable } from './room.ts';

/** Characters of an error that are kept with a dead frame. */
const ERROR_CHARACTERS_MAX = 1_000;

interface Seat {
  readonly session: Session;
  readonly member: Member;
  readonly queue: FrameQueue;
  readonly leave: () => void;
}

/** A consumption. @internal */
export class MemoryConsumer implements Consumption {
  readonly source: Source;
  private readonly client: HubClient;
  private readonly options: ConsumeOptions;
  private readonly publishTimeoutMs: number;
  private readonly whenStopped: () => void;
  private seat: Seat | undefined;
  /** Given out on this connection and not settled. */
  private readonly given = new Map<Delivery, HeldFrame>();
  private readonly drained = new AbortController();
  private stopping: Promise<void> | undefined;

  constructor(
    client: HubClient,
    { publishTimeoutMs }: BrokerSettings,
    reading: { readonly source: Source; readonly options: ConsumeOptions; readonly whenStopped: () => void },
  ) {
    this.client = client;
    this.publishTimeoutMs = publishTimeoutMs;
    this.source = reading.source;
    this.options = reading.options;
    this.whenStopped = reading.whenStopped;
  }

  /** Takes a seat at the hub, once on each connection. Runs there. */
  attachTo(session: Session): void {
    const { source, options } = this;
    if (this.stopping !== undefined || this.seat?.session === session) return;
    const { connection, record, room } = session;
    const { name } = record.hello.node;
    const member = new Member(connection, name, options.windows, (frames) => this.arrived(frames));
    const { queue, leave } = room.attach(record, source, member);
    this.seat = { session, member, queue, leave };
    connection.whenEnded(() => this.forgetGiven());
  }

  acknowledge(deliveries: readonly Delivery[]): void {
    this.settle(deliveries, ({ queue, member }, frames) => queue.acknowledge(member, frames));
  }

  release(deliveries: readonly Delivery[]): void {
    this.settle(deliveries, ({ queue, member }, frames) => queue.putBack(member, frames));
  }

  async deadLetter(delivery: Delivery, info: DeadFrameInfo): Promise<void> {
    const { seat } = this;
    const frame = this.given.get(delivery);
    if (seat === undefined || frame === undefined) return;
    // Whoever settles it meanwhile has no effect.
    this.given.delete(delivery);
    const kept = await this.client.ask(seat.session, this.publishTimeoutMs, () =>
      this.bury(seat, frame, info),
    );
    if (kept?.value === true) return this.noteDrained();
    if (this.seat === seat && seat.session.connection.isOpen) this.given.set(delivery, frame);
    else this.noteDrained();
    throw unavailable(kept === undefined ? 'the dead letter was not confirmed' : 'it keeps no dead letters');
  }

  stop(options: { readonly drainMs?: number | undefined } = {}): Promise<void> {
    this.stopping ??= this.leave(durationOption('drainMs', options.drainMs, 0, { zero: true }));
    return this.stopping;
  }

  private async leave(drainMs: number): Promise<void> {
    const { seat, client } = this;
    this.whenStopped();
    if (seat === undefined) return;
    const { connection } = seat.session;
    connection.carry('calls', () => {
      seat.member.isStopping = true;
    });
    if (drainMs > 0 && this.given.size > 0) await pause(client.host.clock, drainMs, this.drained.signal);
    this.given.clear();
    await client.ask(seat.session, this.publishTimeoutMs, seat.leave);
  }

  private arrived(frames: readonly HeldFrame[]): void {
    // What comes after the stop stays with the hub, which takes it back; a receiver may stop in between.
    for (let from = 0; from < frames.length && this.stopping === undefined; ) {
      const lane = frames[from]?.lane;
      let to = from + 1;
      while (frames[to]?.lane === lane && to < frames.length) to++;
      this.hand(frames.slice(from, to));
      from = to;
    }
  }

  /** Hands over frames of one lane. */
  private hand(frames: readonly HeldFrame[]): void {
    const deliveries = frames.map((frame) => {
      const delivery = deliveryOf(frame);
      this.given.set(delivery, frame);
      return delivery;
    });
    try {
      this.options.receive(deliveries);
      this.client.received(undefined);
    } catch (error) {
      this.client.received(error instanceof Error ? error : new Error(String(error)));
    }
  }

  private settle(
    deliveries: readonly Delivery[],
    apply: (seat: Seat, frames: readonly HeldFrame[]) => void,
  ): void {
    const { seat } = this;
    const frames: HeldFrame[] = [];
    for (const delivery of deliveries) {
      const frame = this.given.get(delivery);
      if (frame === undefined) continue;
      this.given.delete(delivery);
      frames.push(frame);
    }
    if (seat === undefined || frames.length === 0) return;
    seat.session.connection.carry('settlements', () => apply(seat, frames));
    this.noteDrained();
  }

  /** At the hub. A second attempt at a frame that is safe there keeps it once. */
  private bury({ queue, member, session }: Seat, frame: HeldFrame, info: DeadFrameInfo): boolean {
    if (this.client.hub.refusesDeadLetters) return false;
    if (!member.unsettled.has(frame)) return true;
    const { node } = session.record.hello;
    const error = info.error?.slice(0, ERROR_CHARACTERS_MAX);
    if (!session.room.bury(frame, node.name, { ...info, error })) return false;
    queue.acknowledge(member, [frame]);
    return true;
  }

  private forgetGiven(): void {
    this.given.clear();
    this.noteDrained();
  }

  private noteDrained(): void {
    if (this.stopping !== undefined && this.given.size === 0) this.drained.abort();
  }
}

function deliveryOf({ lane, bytes, topic, deliveries }: HeldFrame): Delivery {
  // A copy: who gets it may write to it, and it may be given out again.
  return { lane, bytes: new Uint8Array(bytes), topic, deliveries, isRedelivered: deliveries > 1 };
}
