/**
 * A node's connection to the server, through all its lives: it ends, and is made again for ever. What shall hold on every connection is
 * said first on each. What is asked waits for a connection, or does not, as the call says.
 */

import type { BrokerState, BrokerStateChange, NodeIdentity } from '../../src/protocol/broker.ts';
import { type BrokerSettings, reconnectPauseMs } from '../../src/protocol/broker-options.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { pause, settledWithin } from '../../src/protocol/deadline.ts';
import { isTroupeError } from '../../src/protocol/errors.ts';
import { type Address, unavailable } from './address.ts';
import type { Call } from './messages.ts';
import { type News, Session, type SessionPorts } from './session.ts';

/** What a client tells its broker. */
export interface ClientEvents {
  readonly introduce: SessionPorts['introduce'];
  /** A connection is there: says what shall hold. */
  readonly restore: (session: Session) => void;
  readonly hears: (news: Exclude<News, { type: 'refuses' }>) => void;
  /** A connection has ended. */
  readonly disconnected: () => void;
  readonly tell: (change: BrokerStateChange) => void;
}

interface Waiter {
  readonly up: (session: Session) => void;
  readonly over: (error: Error) => void;
}

/** The client of one node. */
export class LoopbackClient {
  readonly host: Host;
  session: Session | undefined;
  private readonly address: Address;
  private readonly settings: BrokerSettings;
  private readonly events: ClientEvents;
  private readonly ports: SessionPorts;
  private readonly ending = new AbortController();
  private readonly waiters = new Set<Waiter>();
  private state: BrokerState = 'down';
  private isRefused = false;
  private thrown: Error | undefined;

  constructor(
    address: Address,
    settings: BrokerSettings,
    { node, host }: { readonly node: NodeIdentity; readonly host: Host },
    events: ClientEvents,
  ) {
    this.host = host;
    this.address = address;
    this.settings = settings;
    this.events = events;
    const { introduce } = events;
    this.ports = { address, settings, host, node, introduce, hears: (news) => this.hears(news) };
  }

  /** Connects for the first time. */
  async open(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        await this.connect(attempt);
        return;
      } catch (error) {
        const isFinal = !isTroupeError(error, 'ERR_BROKER_UNAVAILABLE') || this.ending.signal.aborted;
        if (!isFinal && attempt + 1 < this.settings.openAttemptsMax) continue;
        this.end();
        throw error;
      }
    }
  }

  /** The answer, on this connection or a later one. Rejects when there is none within `ms`. */
  call(ms: number, call: Call): Promise<readonly number[]> {
    return this.use(ms, (session) => session.ask(call, this.settings.publishTimeoutMs));
  }

  /** What `ask` gives on this connection or a later one, once it gives something. Rejects when that is not so within `ms`. */
  use<T>(ms: number, ask: (session: Session) => Promise<T | undefined>): Promise<T> {
    const late = new AbortController();
    return settledWithin(this.host.clock, ms, this.answerTo(ask, late.signal), () => {
      late.abort();
      throw this.unavailable(`there was no answer within ${ms} ms`);
    });
  }

  /** A receiver threw, or has not this time. */
  received(thrown: Error | undefined): void {
    this.thrown = thrown;
    this.update();
  }

  unavailable(problem: string): Error {
    return unavailable(this.address.shown, problem);
  }

  /** Disconnects for good. */
  end(): void {
    this.ending.abort();
    this.session?.end('it is closed', 'when-sent');
    for (const { over } of this.waiters) over(this.unavailable('it is closed'));
    this.waiters.clear();
  }

  private hears(news: News): void {
    if (news.type === 'refuses') {
      this.isRefused = news.isRefused;
      this.update();
    } else this.events.hears(news);
  }

  private async connect(attempt: number): Promise<void> {
    const { clock, random } = this.host;
    const { signal } = this.ending;
    if (attempt > 0)
      await pause(clock, reconnectPauseMs(attempt - 1, this.settings.reconnect, random), signal);
    if (signal.aborted) throw this.unavailable('it is closed');
    this.isRefused = false;
    const session = await Session.open(this.ports, signal);
    // It may have ended since it has joined.
    if (!session.isOpen) throw this.unavailable('the connection has ended at once');
    if (signal.aborted) {
      session.end('it is closed');
      throw this.unavailable('it is closed');
    }
    session.whenEnded((problem) => this.lost(problem));
    this.session = session;
    this.events.restore(session);
    this.update();
    for (const { up } of this.waiters) up(session);
    this.waiters.clear();
  }

  private lost(problem: string): void {
    this.session = undefined;
    this.events.disconnected();
    this.update(this.unavailable(problem));
    // Never rejects: it ends with the client.
    if (!this.ending.signal.aborted) void this.reconnect();
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

  private async answerTo<T>(
    ask: (session: Session) => Promise<T | undefined>,
    late: AbortSignal,
  ): Promise<T> {
    for (;;) {
      const session = this.session ?? (await this.nextSession(late));
      const answer = await ask(session);
      if (answer !== undefined) return answer;
      late.throwIfAborted();
    }
  }

  private nextSession(late: AbortSignal): Promise<Session> {
    if (this.ending.signal.aborted) return Promise.reject(this.unavailable('it is closed'));
    return new Promise((up, over) => {
      const waiter: Waiter = { up, over };
      this.waiters.add(waiter);
      late.addEventListener('abort', () => {
        this.waiters.delete(waiter);
        over(this.unavailable('it is too late'));
      });
    });
  }

  private update(cause?: Error): void {
    const { session, isRefused, thrown } = this;
    const state = session === undefined ? 'down' : isRefused || thrown !== undefined ? 'degraded' : 'up';
    if (state === this.state) return;
    this.state = state;
    const why = cause ?? thrown ?? this.unavailable('it refuses what is published');
    this.events.tell(state === 'up' ? { state } : { state, cause: why });
  }
}
