/**
 * A node's connection to its cluster, through all its lives: one client for requests, pinged at each heartbeat, and made again for
 * ever once one of its requests had no answer. Who reads has a client of its own, which ends with this one.
 */

import type { BrokerState, BrokerStateChange } from '../../src/protocol/broker.ts';
import { reconnectPauseMs } from '../../src/protocol/broker-options.ts';
import type { Host, TimerHandle } from '../../src/protocol/clock.ts';
import { pause, settledWithin } from '../../src/protocol/deadline.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import { type KafkaClient, type KafkaDriver, KafkaFailure, type TopicSpec } from './driver.ts';
import { failureOf } from './kafkajs-failures.ts';
import type { KafkaSettings } from './options.ts';

/** Pauses before a request that was refused is made again, in milliseconds: topics and groups take that long to be there. */
const AGAIN_MIN_MS = 20;
const AGAIN_MAX_MS = 200;
/** Share of a request's time that is left for each attempt: one that has less would be taken for lost, and its connection with it. */
const ATTEMPT_SHARE = 0.2;
/** Least milliseconds between attempts with credentials that were refused. */
const DENIED_PAUSE_MS = 1_000;

/** What a node does over a connection. @internal */
export interface LinkUser {
  /** On each new connection, before anything else uses it. */
  restore(client: KafkaClient): Promise<void>;
  /** At each heartbeat. */
  beat(client: KafkaClient): Promise<void>;
  /** The connection is gone; what was given out on it counts no more. */
  lost(): void;
  tell(change: BrokerStateChange): void;
}

/** @internal */
export class Link {
  readonly driver: KafkaDriver;
  readonly settings: KafkaSettings;
  readonly host: Host;
  readonly home: TopicSpec;
  /** While it is up. */
  client: KafkaClient | undefined;
  private readonly user: LinkUser;
  private readonly ending = new AbortController();
  private readonly waiters = new Set<() => void>();
  private state: BrokerState = 'down';
  private heartbeat: TimerHandle | undefined;

  constructor(
    driver: KafkaDriver,
    settings: KafkaSettings,
    host: Host,
    rest: { readonly home: TopicSpec; readonly user: LinkUser },
  ) {
    this.driver = driver;
    this.settings = settings;
    this.host = host;
    this.home = rest.home;
    this.user = rest.user;
  }

  get isClosed(): boolean {
    return this.ending.signal.aborted;
  }

  /** Connects for the first time, and does `first` on it. */
  async open(first: (client: KafkaClient) => Promise<void>): Promise<void> {
    const { openAttemptsMax } = this.settings;
    for (let attempt = 0; ; attempt++) {
      try {
        await this.connect(first);
        return;
      } catch (error) {
        const isFinal = isTroupeError(error) || failureOf(error).kind === 'denied';
        if (isFinal || this.isClosed || attempt + 1 >= openAttemptsMax) throw this.errorOf(error);
        await this.pauseBefore(attempt);
      }
    }
  }

  /** The client, or the next one within `ms`. Rejects with `ERR_BROKER_UNAVAILABLE`. */
  async ready(ms: number): Promise<KafkaClient> {
    const { clock } = this.host;
    const endMs = clock.now() + ms;
    while (this.client === undefined) {
      const restMs = endMs - clock.now();
      if (this.isClosed || restMs <= 0)
        throw this.unavailable(this.isClosed ? 'it is closed' : 'there is no connection');
      let up: (() => void) | undefined;
      const changed = new Promise<void>((resolve) => {
        up = resolve;
        this.waiters.add(resolve);
      });
      await settledWithin(clock, restMs, changed, () => undefined);
      if (up !== undefined) this.waiters.delete(up);
    }
    return this.client;
  }

  /** Makes a request over the present connection. What has no answer within `ms` ends it. Rejects with `KafkaFailure`. */
  async call<T>(ms: number, request: (client: KafkaClient) => Promise<T>): Promise<T> {
    const { client } = this;
    if (client === undefined) throw new KafkaFailure('not-sent', 'there is no connection');
    try {
      return await this.insist(client, ms, request);
    } catch (error) {
      if (isTroupeError(error)) throw error;
      const failure = failureOf(error, this.settings);
      this.suspect(client, failure);
      throw failure;
    }
  }

  /** Makes a request until it is not refused any more, for `ms` in all. What is refused last is what it rejects with. */
  async insist<T>(client: KafkaClient, ms: number, request: (client: KafkaClient) => Promise<T>): Promise<T> {
    const { clock } = this.host;
    const endMs = clock.now() + ms;
    const lastMs = endMs - ms * ATTEMPT_SHARE;
    for (let pauseMs = AGAIN_MIN_MS; ; pauseMs = Math.min(AGAIN_MAX_MS, pauseMs * 2)) {
      try {
        return await this.within(endMs - clock.now(), request(client));
      } catch (error) {
        const isRefused = error instanceof KafkaFailure && error.kind === 'refused';
        if (!isRefused || clock.now() + pauseMs > lastMs || this.isClosed) throw error;
        await pause(clock, pauseMs, this.ending.signal);
      }
    }
  }

  /** What a request gives, or a failure when it has no answer in time. */
  within<T>(ms: number, request: Promise<T>): Promise<T> {
    return settledWithin(this.host.clock, Math.max(1, ms), request, () => {
      throw new KafkaFailure('lost', `there was no answer within ${Math.round(ms)} ms`);
    });
  }

  /** Ends the connection if that failure means that there is none. */
  suspect(client: KafkaClient, failure: KafkaFailure): void {
    if (failure.kind !== 'lost' && failure.kind !== 'not-sent') return;
    if (this.client !== client) return;
    this.drop();
    this.become('down', this.errorOf(failure));
    this.user.lost();
    void this.reconnect(); // it catches what goes wrong, for ever
  }

  /** Connected, and something is refused or lost. The next good heartbeat ends it. */
  degrade(problem: string): void {
    if (this.client !== undefined) this.become('degraded', this.unavailable(problem));
  }

  close(): void {
    this.ending.abort();
    this.drop();
    for (const wake of this.waiters) wake();
  }

  /** The error of the port for a failure. */
  errorOf(error: unknown): Error {
    if (isTroupeError(error)) return error;
    const failure = failureOf(error, this.settings);
    const details = { broker: 'kafka', url: this.settings.shown, problem: failure.message };
    return failure.kind === 'denied'
      ? new TroupeError('ERR_BROKER_DENIED', details, { cause: failure })
      : new TroupeError('ERR_BROKER_UNAVAILABLE', details, { cause: failure });
  }

  unavailable(problem: string): TroupeError<'ERR_BROKER_UNAVAILABLE'> {
    return new TroupeError('ERR_BROKER_UNAVAILABLE', { broker: 'kafka', url: this.settings.shown, problem });
  }

  /** Waits before an attempt to connect. */
  pauseBefore(attempt: number, leastMs = 0): Promise<void> {
    const { clock, random } = this.host;
    const ms = Math.max(leastMs, reconnectPauseMs(attempt, this.settings.reconnect, random));
    return pause(clock, ms, this.ending.signal);
  }

  private async connect(first: (client: KafkaClient) => Promise<void>): Promise<void> {
    let early: KafkaFailure | undefined;
    const client = await this.driver.connect((failure) => {
      early ??= failure;
      if (this.client !== undefined) this.suspect(client, failure);
    });
    try {
      await first(client);
      if (early !== undefined) throw early;
      if (this.isClosed) throw this.unavailable('it is closed');
    } catch (error) {
      client.close();
      throw error;
    }
    this.client = client;
    this.become('up');
    this.plan();
    for (const wake of this.waiters) wake();
  }

  private async reconnect(): Promise<void> {
    for (let attempt = 0; !this.isClosed; attempt++) {
      let leastMs = 0;
      try {
        await this.pauseBefore(attempt);
        if (this.isClosed) return;
        await this.connect((client) => this.user.restore(client));
        return;
      } catch (error) {
        const cause = this.errorOf(error);
        if (isTroupeError(cause, 'ERR_BROKER_DENIED')) leastMs = DENIED_PAUSE_MS;
        if (!this.isClosed) this.become('down', cause);
      }
      if (leastMs > 0) await pause(this.host.clock, leastMs, this.ending.signal);
    }
  }

  private plan(): void {
    const { clock } = this.host;
    const { heartbeatMs } = this.settings;
    this.heartbeat = clock.setTimer(heartbeatMs, () => {
      void this.beat(); // it catches what goes wrong
    });
  }

  private async beat(): Promise<void> {
    const { client } = this;
    if (client === undefined) return;
    try {
      await this.call(this.settings.publishTimeoutMs, (used) => this.user.beat(used));
      if (this.client === client) this.become('up');
    } catch (error) {
      // One that had no answer has ended the connection.
      if (this.client === client) this.become('degraded', this.errorOf(error));
    }
    if (this.client === client) this.plan();
  }

  private drop(): void {
    if (this.heartbeat !== undefined) this.host.clock.clearTimer(this.heartbeat);
    this.heartbeat = undefined;
    this.client?.close();
    this.client = undefined;
  }

  private become(state: BrokerState, cause?: Error): void {
    if (state === this.state && state !== 'degraded') return;
    this.state = state;
    this.user.tell(cause === undefined ? { state } : { state, cause });
  }
}
