/**
 * A node's connection to its hub, through all its lives: it comes up, ends, and is made again for ever. What shall hold on every
 * connection is restored first on each. What goes over it waits for a connection, or does not, as the call says.
 */

import type { BrokerState, BrokerStateChange, NodeIdentity } from '../../src/protocol/broker.ts';
import { type BrokerSettings, reconnectPauseMs } from '../../src/protocol/broker-options.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { pause, settledWithin } from '../../src/protocol/deadline.ts';
import { isTroupeError } from '../../src/protocol/errors.ts';
import type { Census } from '../../src/protocol/member-view.ts';
import type { Caller, Hub } from './hub.ts';
import type { Connection, ConnectionEnd } from './link.ts';
import type { Hello, NodeRecord } from './node-record.ts';
import { type Room, unavailable } from './room.ts';

/** A connection over which the node is known. @internal */
export interface Session {
  readonly connection: Connection;
  readonly record: NodeRecord;
  readonly room: Room;
}

interface Waiter {
  readonly up: (session: Session) => void;
  readonly over: (error: Error) => void;
}

/** The client of one node. @internal */
export class HubClient implements Caller {
  readonly hub: Hub;
  readonly host: Host;
  readonly hello: Hello;
  readonly prefix: string;
  session: Session | undefined;
  readonly hears: (census: Census) => void;
  private readonly settings: BrokerSettings;
  private readonly restore: (session: Session) => void;
  private readonly disconnected: () => void;
  private readonly tell: (change: BrokerStateChange) => void;
  private readonly ending = new AbortController();
  private readonly waiters = new Set<Waiter>();
  private attempted: Connection | undefined;
  private state: BrokerState = 'down';
  private isRefused = false;
  private thrown: Error | undefined;

  constructor(
    hub: Hub,
    settings: BrokerSettings,
    { node, host }: { readonly node: NodeIdentity; readonly host: Host },
    { restore, disconnected, hears, tell }: HubClientEvents,
  ) {
    const { prefix, maxLength, expiresMs, downAfterMs } = settings;
    this.hub = hub;
    this.settings = settings;
    this.host = host;
    this.prefix = prefix;
    this.hello = { node, maxLength, expiresMs, downAfterMs };
    this.restore = restore;
    this.disconnected = disconnected;
    this.hears = hears;
    this.tell = tell;
  }

  /** Connects for the first time. */
  async open(): Promise<void> {
    const { openAttemptsMax } = this.settings;
    this.hub.register(this);
    for (let attempt = 0; ; attempt++) {
      try {
        await this.connect(attempt);
        return;
      } catch (error) {
        const isTaken = isTroupeError(error, 'ERR_NAME_TAKEN');
        if (!isTaken && !this.ending.signal.aborted && attempt + 1 < openAttemptsMax) continue;
        this.end();
        throw error;
      }
    }
  }

  /** Runs a task at the hub, on this connection or a later one, and gives its answer. Rejects when there is none within `ms`. */
  call<T>(ms: number, task: (session: Session) => T): Promise<T> {
    const late = new AbortController();
    return settledWithin(this.host.clock, ms, this.answerOf(task, late.signal), () => {
      late.abort();
      throw unavailable(`there was no answer within ${ms} ms`);
    });
  }

  /** Runs a task at the hub on this connection; no answer when that ends first, or after `ms`. */
  ask<T>({ connection }: Session, ms: number, task: () => T): Promise<{ readonly value: T } | undefined> {
    let forget: (() => void) | undefined;
    const answer = new Promise<{ readonly value: T } | undefined>((resolve) => {
      if (!connection.isOpen) return resolve(undefined);
      forget = connection.whenEnded(() => resolve(undefined));
      connection.carry('calls', () => {
        const value = task();
        connection.carry('answers', () => resolve({ value }));
      });
    });
    return settledWithin(this.host.clock, ms, answer, () => undefined).finally(() => forget?.());
  }

  /** A receiver threw, or has not this time. */
  received(thrown: Error | undefined): void {
    this.thrown = thrown;
    this.update();
  }

  refused(isRefused: boolean): void {
    this.isRefused = isRefused;
    this.update();
  }

  killed(): void {
    this.end('its node was killed');
  }

  /** Disconnects for good. */
  end(problem = 'it is closed'): void {
    this.ending.abort();
    this.attempted?.end({ isGone: true, problem });
    this.session?.connection.end({ isGone: true, problem });
    this.hub.unregister(this);
    for (const { over } of this.waiters) over(unavailable(problem));
    this.waiters.clear();
  }

  private async connect(attempt: number): Promise<void> {
    const { reconnect, connectTimeoutMs } = this.settings;
    const { clock, random } = this.host;
    if (attempt > 0) await pause(clock, reconnectPauseMs(attempt - 1, reconnect, random), this.ending.signal);
    if (this.ending.signal.aborted) throw unavailable('it is closed');
    const { connection, joined } = this.hub.connect(this);
    this.attempted = connection;
    try {
      const record = await settledWithin(clock, connectTimeoutMs, joined, () => {
        throw unavailable(`there was no answer within ${connectTimeoutMs} ms`);
      });
      this.begin({ connection, record, room: this.hub.roomOf(this.prefix) });
    } catch (error) {
      connection.end({ isGone: false, problem: 'it was given up' });
      throw error;
    } finally {
      this.attempted = undefined;
    }
  }

  private begin(session: Session): void {
    const { connection } = session;
    // It may have ended since it has answered.
    if (!connection.isOpen) throw unavailable('the connection has ended at once');
    connection.whenEnded((end) => this.lost(end));
    this.session = session;
    this.isRefused = this.hub.refusesPublishes;
    connection.carry('calls', () => this.restore(session));
    this.update();
    for (const { up } of this.waiters) up(session);
    this.waiters.clear();
  }

  private lost({ isGone, problem }: ConnectionEnd): void {
    this.session = undefined;
    this.disconnected();
    this.update(unavailable(problem));
    // Never rejects: it ends with the client.
    if (!isGone) void this.reconnect();
  }

  private async reconnect(): Promise<void> {
    for (let attempt = 1; !this.ending.signal.aborted; attempt++) {
      try {
        await this.connect(attempt);
        return;
      } catch {
        // Told of by the state: down until it succeeds.
      }
    }
  }

  private async answerOf<T>(task: (session: Session) => T, late: AbortSignal): Promise<T> {
    const { publishTimeoutMs } = this.settings;
    for (;;) {
      const session = this.session ?? (await this.nextSession(late));
      const answer = await this.ask(session, publishTimeoutMs, () => task(session));
      if (answer !== undefined) return answer.value;
      late.throwIfAborted();
    }
  }

  private nextSession(late: AbortSignal): Promise<Session> {
    if (this.ending.signal.aborted) return Promise.reject(unavailable('it is closed'));
    return new Promise((up, over) => {
      const waiter: Waiter = { up, over };
      this.waiters.add(waiter);
      late.addEventListener('abort', () => {
        this.waiters.delete(waiter);
        over(unavailable('it is too late'));
      });
    });
  }

  private update(cause?: Error): void {
    const { session, isRefused, thrown } = this;
    const state = session === undefined ? 'down' : isRefused || thrown !== undefined ? 'degraded' : 'up';
    if (state === this.state) return;
    this.state = state;
    const why = cause ?? thrown ?? unavailable('it refuses what is published');
    this.tell(state === 'up' ? { state } : { state, cause: why });
  }
}

interface HubClientEvents {
  /** Runs at the hub at the start of each connection. */
  readonly restore: (session: Session) => void;
  /** A connection has ended. */
  readonly disconnected: () => void;
  /** Who lives has changed. */
  readonly hears: (census: Census) => void;
  /** Hears of each change of state. */
  readonly tell: (change: BrokerStateChange) => void;
}
