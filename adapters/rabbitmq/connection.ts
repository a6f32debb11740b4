/**
 * A connection that comes back. Each time it is up is a session of its own, which ends once and for good, by whatever comes first; the
 * driver tells of one end several times and in several ways. What is made on a session, channels and consumers, ends with it.
 *
 * It knows no queues: what a session needs is made by `prepare`, and the connection is up when that is done.
 */

import type { Channel, ChannelModel } from 'amqplib';
import { reconnectPauseMs } from '../../src/protocol/broker-options.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { pause, settledWithin } from '../../src/protocol/deadline.ts';
import { isTroupeError, type TroupeError } from '../../src/protocol/errors.ts';
import { refusalOf, unavailable } from './refusal.ts';
import type { RabbitmqSettings } from './settings.ts';

/** Milliseconds that the server has to answer a farewell. */
const FAREWELL_MS = 1_000;

/** What a connection is made with. */
export interface ConnectionParts {
  readonly host: Host;
  readonly settings: RabbitmqSettings;
  /** Opens a connection; aborting the signal destroys its socket at any time. */
  readonly dial: (signal: AbortSignal) => Promise<ChannelModel>;
  /** Makes what a session needs. Called for each session, before anybody hears of it. */
  readonly prepare: (session: Session) => Promise<void>;
  /** Called when `session` or `isBlocked` has changed, with the reason if something is wrong. */
  readonly changed: (cause?: TroupeError) => void;
}

/** One life of a connection. */
export class Session {
  readonly model: ChannelModel;
  private readonly controller: AbortController;
  private readonly listeners = new Set<() => void>();

  constructor(model: ChannelModel, controller: AbortController) {
    this.model = model;
    this.controller = controller;
    controller.signal.addEventListener('abort', () => {
      for (const listener of this.listeners) listener();
    });
    // Both are told of one end, in this order; the first has the reason.
    model.on('error', (cause) => this.fail(cause));
    model.on('close', (cause) => this.fail(cause ?? new Error('the connection was closed')));
  }

  /** Aborted when it has ended, with the reason. */
  get over(): AbortSignal {
    return this.controller.signal;
  }

  /** Calls the listener when it ends, unless the answer is called before. */
  onOver(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Ends it, and destroys its socket. */
  fail(cause: unknown): void {
    if (!this.over.aborted) this.controller.abort(cause);
  }

  /** A channel whose failure is told to `failed`, or ends the session unless said. */
  watch<C extends Channel>(channel: C, failed: (cause: unknown) => void = (cause) => this.fail(cause)): C {
    channel.on('error', failed);
    channel.on('close', () => failed(new Error('a channel was closed')));
    return channel;
  }

  /** Work on a channel that nobody else uses: what goes wrong in it closes that channel alone, and rejects. */
  async onChannel<T>(work: (channel: Channel) => Promise<T>): Promise<T> {
    const channel = await this.model.createChannel();
    channel.on('error', () => undefined); // the rejected call has it as well
    try {
      return await work(channel);
    } finally {
      // One that the server has closed throws.
      await channel.close().catch(() => undefined);
    }
  }
}

/** The connection. */
export class Connection {
  private readonly parts: ConnectionParts;
  private readonly closing = new AbortController();
  private readonly waiting = new Set<() => void>();
  private current: Session | undefined;
  private blocked = false;

  constructor(parts: ConnectionParts) {
    this.parts = parts;
  }

  /** The session there is, if it is up. */
  get session(): Session | undefined {
    return this.current;
  }

  /** The server takes no frames on it now. */
  get isBlocked(): boolean {
    return this.blocked;
  }

  /** Resolves when it is up for the first time. Rejects after a few attempts, or at once with what no attempt can change. */
  async open(): Promise<void> {
    const { settings } = this.parts;
    for (let attempt = 1; ; attempt++) {
      try {
        this.begin(await this.connect());
        return;
      } catch (error) {
        const isFinal = isTroupeError(error, 'ERR_BROKER_DENIED') || attempt >= settings.openAttemptsMax;
        if (isFinal || this.closing.signal.aborted) throw error;
        await this.pause(attempt - 1);
      }
    }
  }

  /** Does something on the session there is, or the next one; again if that ends meanwhile. Rejects when `connectTimeoutMs` are over. */
  async use<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const { host, settings } = this.parts;
    const endMs = host.clock.now() + settings.connectTimeoutMs;
    for (;;) {
      const leftMs = Math.max(0, endMs - host.clock.now());
      const session = this.current ?? (await this.next(leftMs));
      try {
        const result = await settledWithin(host.clock, leftMs, work(session), () => {
          throw unavailable(settings, 'it did not answer in time');
        });
        // What was made on a session that has ended meanwhile is made again.
        session.over.throwIfAborted();
        return result;
      } catch (error) {
        if (!session.over.aborted || host.clock.now() >= endMs) throw refusalOf(error, settings);
      }
    }
  }

  /** Says farewell if there is somebody to say it to, and ends. Nothing of it is left. Never rejects. */
  async close(): Promise<void> {
    const session = this.current;
    if (session !== undefined) {
      this.current = undefined;
      const farewell = session.model.close().catch(() => undefined);
      await settledWithin(this.parts.host.clock, FAREWELL_MS, farewell, () => undefined);
    }
    this.closing.abort();
    session?.fail(new Error('closed'));
    this.wake();
  }

  /** One attempt; what it leaves behind when it fails is destroyed. */
  private async connect(): Promise<Session> {
    const { host, settings, dial, prepare } = this.parts;
    const controller = new AbortController();
    const abort = (): void => controller.abort(new Error('closed'));
    this.closing.signal.addEventListener('abort', abort);
    const late = (): never => {
      throw new Error(`no connection within ${settings.connectTimeoutMs} ms`);
    };
    try {
      const model = await settledWithin(host.clock, settings.connectTimeoutMs, dial(controller.signal), late);
      const session = new Session(model, controller);
      model.on('blocked', () => this.block(session, true));
      model.on('unblocked', () => this.block(session, false));
      await settledWithin(host.clock, settings.connectTimeoutMs, prepare(session), late);
      session.over.throwIfAborted();
      return session;
    } catch (error) {
      const refusal = refusalOf(error, settings);
      controller.abort(refusal);
      throw refusal;
    } finally {
      this.closing.signal.removeEventListener('abort', abort);
    }
  }

  private begin(session: Session): void {
    this.current = session;
    this.blocked = false;
    session.onOver(() => this.lost(session));
    this.wake();
    this.parts.changed();
  }

  private lost(session: Session): void {
    if (this.current !== session) return; // it was closed
    this.current = undefined;
    this.parts.changed(refusalOf(session.over.reason, this.parts.settings));
    void this.reconnect(); // it catches all that goes wrong
  }

  private async reconnect(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      await this.pause(attempt);
      if (this.closing.signal.aborted) return;
      try {
        const session = await this.connect();
        if (this.closing.signal.aborted) session.fail(new Error('closed'));
        else this.begin(session);
        return;
      } catch (error) {
        if (!this.closing.signal.aborted) this.parts.changed(refusalOf(error, this.parts.settings));
      }
    }
  }

  private pause(attempt: number): Promise<void> {
    const { host, settings } = this.parts;
    const ms = reconnectPauseMs(attempt, settings.reconnect, host.random);
    return pause(host.clock, ms, this.closing.signal);
  }

  private async next(withinMs: number): Promise<Session> {
    const { host, settings } = this.parts;
    const over = new AbortController();
    const wake = (): void => over.abort();
    if (!this.closing.signal.aborted) {
      this.waiting.add(wake);
      await pause(host.clock, withinMs, over.signal);
      this.waiting.delete(wake);
    }
    if (this.current === undefined) throw unavailable(settings, 'there is no connection');
    return this.current;
  }

  private wake(): void {
    for (const wake of this.waiting) wake();
  }

  private block(session: Session, isBlocked: boolean): void {
    if (this.current !== session) return;
    this.blocked = isBlocked;
    const problem = 'it has raised an alarm and takes no messages';
    this.parts.changed(isBlocked ? unavailable(this.parts.settings, problem) : undefined);
  }
}
