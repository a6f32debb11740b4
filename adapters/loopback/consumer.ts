/**
 * A source that a node reads. It is read anew on each connection, under another number; what was given out on an earlier one is not its
 * any more, and settling that has no effect.
 */

import type {
  ConsumeOptions,
  Consumption,
  DeadFrameInfo,
  Delivery,
  Source,
} from '../../src/protocol/broker.ts';
import { pause } from '../../src/protocol/deadline.ts';
import { durationOption } from '../../src/protocol/options.ts';
import type { LoopbackClient } from './client.ts';
import type { Call } from './messages.ts';
import type { News, Session } from './session.ts';

/** Characters of an error that are kept with a dead frame. */
const ERROR_CHARACTERS_MAX = 1_000;
/** Deliveries that one message settles. */
const SETTLED_MAX = 65_536;

/** A consumption. */
export class LoopbackConsumer implements Consumption {
  readonly source: Source;
  /** Under which number the server knows it. */
  readonly number: number;
  private readonly client: LoopbackClient;
  private readonly options: ConsumeOptions;
  private readonly publishTimeoutMs: number;
  private readonly whenStopped: () => void;
  /** The connection over which it reads. */
  private session: Session | undefined;
  private reading: Promise<boolean | undefined> = Promise.resolve(undefined);
  /** Given out on this connection and not settled, with the server's numbers. */
  private readonly given = new Map<Delivery, number>();
  private readonly drained = new AbortController();
  private stopping: Promise<void> | undefined;

  constructor(
    client: LoopbackClient,
    publishTimeoutMs: number,
    reading: {
      readonly number: number;
      readonly source: Source;
      readonly options: ConsumeOptions;
      readonly whenStopped: () => void;
    },
  ) {
    this.client = client;
    this.publishTimeoutMs = publishTimeoutMs;
    this.number = reading.number;
    this.source = reading.source;
    this.options = reading.options;
    this.whenStopped = reading.whenStopped;
  }

  /** Begins to read, once on each connection. Whether it does, once the server has answered; it does not when it has stopped, nor a shard of another. */
  readOver(session: Session): Promise<boolean | undefined> {
    if (this.stopping !== undefined) return Promise.resolve(false);
    if (this.session === session) return this.reading;
    this.session = session;
    session.whenEnded(() => this.forgetGiven());
    const { number: reader, source, options } = this;
    const call: Call = { type: 'consume', reader, source, windows: options.windows };
    this.reading = session
      .ask(call, this.publishTimeoutMs)
      .then((values) => (values === undefined ? undefined : values[0] === 1));
    return this.reading;
  }

  /** Deliveries have come for it. */
  arrived({ lane, frames }: Extract<News, { type: 'deliveries' }>): void {
    // What comes after the stop stays with the server, which takes it back.
    if (this.stopping !== undefined) return;
    const received = frames.map(({ delivery: number, topic, deliveries, bytes }) => {
      const delivery: Delivery = { lane, bytes, topic, deliveries, isRedelivered: deliveries > 1 };
      this.given.set(delivery, number);
      return delivery;
    });
    try {
      this.options.receive(received);
      this.client.received(undefined);
    } catch (error) {
      this.client.received(error instanceof Error ? error : new Error(String(error)));
    }
  }

  acknowledge(deliveries: readonly Delivery[]): void {
    this.settle('acknowledge', deliveries);
  }

  release(deliveries: readonly Delivery[]): void {
    this.settle('release', deliveries);
  }

  async deadLetter(delivery: Delivery, { reason, error, bytes }: DeadFrameInfo): Promise<void> {
    const { session, number: reader } = this;
    const number = this.given.get(delivery);
    if (session === undefined || number === undefined) return;
    // Whoever settles it meanwhile has no effect.
    this.given.delete(delivery);
    const why = { reason, error: error?.slice(0, ERROR_CHARACTERS_MAX), bytes };
    const kept = await session.ask({ type: 'bury', reader, delivery: number, ...why }, this.publishTimeoutMs);
    if (kept?.[0] === 1) return this.noteDrained();
    if (this.session === session && session.isOpen) this.given.set(delivery, number);
    else this.noteDrained();
    throw this.client.unavailable(
      kept === undefined ? 'the dead letter was not confirmed' : 'it keeps no dead letters',
    );
  }

  stop(options: { readonly drainMs?: number | undefined } = {}): Promise<void> {
    this.stopping ??= this.leave(durationOption('drainMs', options.drainMs, 0, { zero: true }));
    return this.stopping;
  }

  private async leave(drainMs: number): Promise<void> {
    const { session, client, number: reader } = this;
    this.whenStopped();
    if (session === undefined) return;
    session.tell({ type: 'quiet', reader });
    if (drainMs > 0 && this.given.size > 0) await pause(client.host.clock, drainMs, this.drained.signal);
    this.given.clear();
    await session.ask({ type: 'stop', reader }, this.publishTimeoutMs);
  }

  private settle(how: 'acknowledge' | 'release', deliveries: readonly Delivery[]): void {
    const { session, number: reader } = this;
    const numbers: number[] = [];
    for (const delivery of deliveries) {
      const number = this.given.get(delivery);
      if (number === undefined) continue;
      this.given.delete(delivery);
      numbers.push(number);
    }
    if (session === undefined || numbers.length === 0) return;
    for (let at = 0; at < numbers.length; at += SETTLED_MAX)
      session.tell({ type: 'settle', reader, how, deliveries: numbers.slice(at, at + SETTLED_MAX) });
    this.noteDrained();
  }

  private forgetGiven(): void {
    this.given.clear();
    this.noteDrained();
  }

  private noteDrained(): void {
    if (this.stopping !== undefined && this.given.size === 0) this.drained.abort();
  }
}
