/**
 * The connection of a node to its server, made anew whenever it is lost: two sockets, one to write and one to read, of one generation.
 * What belongs to an earlier generation has no effect. It knows nothing of streams; whoever uses it restores what was there.
 */

import type { BrokerState } from '../../src/protocol/broker.ts';
import { type BrokerSettings, reconnectPauseMs } from '../../src/protocol/broker-options.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { pause } from '../../src/protocol/deadline.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import { type Address, Client } from './client.ts';

/** One generation of the two connections. */
export interface Session {
  /** Writes: nothing on it waits at the server. */
  readonly writer: Client;
  /** Reads, and may wait at the server for long. */
  readonly reader: Client;
  readonly readerId: number;
}

/** What a link needs of its broker. */
export interface LinkPorts {
  readonly address: Address;
  /** For errors: without user and password. */
  readonly shown: string;
  readonly settings: BrokerSettings;
  readonly host: Host;
  /** Puts everything back in its place. What it throws ends the session. */
  readonly restore: (session: Session) => Promise<void>;
  /** The session is no more. */
  readonly lost: (session: Session) => void;
  readonly changed: (state: BrokerState, cause?: Error) => void;
}

/** The connection of one node. */
export class Link {
  /** Undefined while there is none. */
  session: Session | undefined = undefined;
  private readonly ports: LinkPorts;
  private readonly closing = new AbortController();
  private attempts = 0;
  /** Called when there is a session that everything is restored in. */
  private waiting: ((session: Session) => void)[] = [];
  private isRestored = false;

  constructor(ports: LinkPorts) {
    this.ports = ports;
  }

  /** Rejects with `ERR_BROKER_DENIED`, `ERR_NAME_TAKEN`, `ERR_DRIVER_MISSING` at once, with `ERR_BROKER_UNAVAILABLE` after its attempts. */
  async open(): Promise<void> {
    const { settings, host } = this.ports;
    for (let attempt = 0; ; attempt++) {
      try {
        await this.connect();
        return;
      } catch (error) {
        const final = this.errorOf(error);
        if (!isTroupeError(final, 'ERR_BROKER_UNAVAILABLE') || attempt + 1 >= settings.openAttemptsMax)
          throw final;
        await pause(
          host.clock,
          reconnectPauseMs(attempt, settings.reconnect, host.random),
          this.closing.signal,
        );
      }
    }
  }

  /** The present session, or the next one. */
  whenUp(): Promise<Session> {
    const { session } = this;
    if (session !== undefined && this.isRestored) return Promise.resolve(session);
    return new Promise((resolve) => {
      this.waiting.push(resolve);
    });
  }

  /** Ends the session at once: it will be made anew. */
  drop(session: Session, cause: Error): void {
    if (this.session !== session) return;
    this.session = undefined;
    this.isRestored = false;
    session.writer.destroy();
    session.reader.destroy();
    this.ports.lost(session);
    if (this.closing.signal.aborted) return;
    this.ports.changed('down', this.errorOf(cause));
    void this.reconnect(); // it never rejects
  }

  /** No socket is left, and none will be made. */
  close(): void {
    this.closing.abort();
    const { session } = this;
    if (session !== undefined) this.drop(session, new Error('it was closed'));
  }

  private async reconnect(): Promise<void> {
    const { settings, host } = this.ports;
    while (this.session === undefined && !this.closing.signal.aborted) {
      await pause(
        host.clock,
        reconnectPauseMs(this.attempts++, settings.reconnect, host.random),
        this.closing.signal,
      );
      if (this.closing.signal.aborted) return;
      try {
        await this.connect();
        this.attempts = 0;
        this.ports.changed('up');
      } catch {
        // What was wrong shows again, or is over, at the next attempt; `down` has said why.
      }
    }
  }

  private async connect(): Promise<void> {
    const { address, settings, host, restore } = this.ports;
    const { connectTimeoutMs } = settings;
    const writer = await Client.connect(address, host.clock, connectTimeoutMs);
    let session: Session | undefined;
    try {
      const reader = await Client.connect(address, host.clock, connectTimeoutMs);
      const made: Session = {
        writer,
        reader,
        readerId: Number(await reader.call(connectTimeoutMs, 'CLIENT', 'ID')),
      };
      session = made;
      if (this.closing.signal.aborted) throw new Error('it was closed');
      writer.onEnd = (cause) => this.drop(made, cause);
      reader.onEnd = (cause) => this.drop(made, cause);
      this.session = made;
      await restore(made);
      if (this.session !== made) throw new Error('the connection was lost at once');
      this.isRestored = true;
      for (const resolve of this.waiting.splice(0)) resolve(made);
    } catch (error) {
      this.session = undefined;
      writer.onEnd = () => undefined;
      writer.destroy();
      if (session !== undefined) {
        session.reader.onEnd = () => undefined;
        session.reader.destroy();
        this.ports.lost(session);
      }
      throw error;
    }
  }

  private errorOf(cause: unknown): Error {
    if (isTroupeError(cause)) return cause;
    const { shown: url } = this.ports;
    const text = cause instanceof Error ? cause.message : String(cause as string);
    const code = isDenial(text) ? 'ERR_BROKER_DENIED' : 'ERR_BROKER_UNAVAILABLE';
    // The message alone: a cause of the client's may carry the command, and with it a password.
    return new TroupeError(code, { broker: 'redis', url, problem: text.slice(0, 200) });
  }
}

/** Answers of a server that does not want this client, and errors of TLS about certificates. */
function isDenial(text: string): boolean {
  return /^(WRONGPASS|NOAUTH|NOPERM|ERR (invalid password|AUTH|Client sent AUTH))|certificate|self.signed|unable to verify/i.test(
    text,
  );
}
