/**
 * The connection of a node to its server, made anew whenever it is lost: two sockets, one to write and one to read, of one session.
 * There is one session at a time, and nothing of an earlier one has an effect. It knows nothing of streams; whoever uses it restores what was there.
 */

import type { NodeIdentity } from '../../src/protocol/broker.ts';
import { type BrokerSettings, reconnectPauseMs } from '../../src/protocol/broker-options.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { pause } from '../../src/protocol/deadline.ts';
import { isTroupeError, type TroupeError } from '../../src/protocol/errors.ts';
import { Client, type Connect, type Connection, textIn } from './client.ts';
import { connectionError } from './server.ts';

/** The two connections of one session. */
export interface Session {
  /** Writes: nothing on it waits at the server. */
  readonly writer: Connection;
  /** Reads, and may wait at the server for long. */
  readonly reader: Connection;
  /** The server's name for the reader. */
  readonly readerId: number;
  /** The number of the session of this incarnation, from 1. */
  readonly number: number;
  /** The number of its life, from 1: another one after others have taken it for dead. */
  readonly life: number;
}

/** What the value of a node begins with as long as this session is its present one; see `scripts.ts`. */
export function fenceOf(
  { name, incarnation }: NodeIdentity,
  { number }: Pick<Session, 'number'>,
): readonly [name: string, fence: string] {
  return [name, `${incarnation} ${number} `];
}

/** The answer to a script that compares the fence. Throws where this session is not the present one any more. */
export function checkPresent(reply: unknown): unknown {
  if (textIn(reply) === 'gone') throw new Error('other nodes have taken this one for dead');
  return reply;
}

/** What a link needs of its broker. */
export interface LinkPorts {
  readonly connect: Connect;
  /** For errors: without user and password. */
  readonly shown: string;
  readonly settings: BrokerSettings;
  readonly host: Host;
  /** Begins a session at the server; answers its number, and that of the life it is in. What it throws ends the attempt. */
  readonly enter: (writer: Connection, signal: AbortSignal) => Promise<Pick<Session, 'number' | 'life'>>;
  /** Puts everything back in its place. What it throws ends the session. */
  readonly restore: (session: Session) => Promise<void>;
  /** There is a session in which everything is restored. */
  readonly up: (session: Session) => void;
  /** That session is no more. */
  readonly lost: () => void;
  /** There is none, and why: told again when the reason changes. */
  readonly down: (cause: TroupeError) => void;
}

/** A session as the link sees it. */
interface Life extends Session {
  readonly clients: readonly Client[];
  readonly sinceMs: number;
  readonly ended: Promise<Error>;
  end(cause: Error): void;
  isOver: boolean;
}

/** Who waits for a session. */
interface Waiting {
  readonly resolve: (session: Session) => void;
  readonly reject: (error: Error) => void;
}

export class Link {
  private readonly ports: LinkPorts;
  private readonly closing = new AbortController();
  private readonly waiting = new Set<Waiting>();
  /** The one being restored, or the present one. */
  private life: Life | undefined = undefined;
  private isUp = false;
  private work: Promise<void> = Promise.resolve();

  constructor(ports: LinkPorts) {
    this.ports = ports;
  }

  /** The present session; undefined while there is none in which everything is restored. */
  get session(): Session | undefined {
    return this.isUp ? this.life : undefined;
  }

  /** Rejects with `ERR_BROKER_DENIED`, `ERR_NAME_TAKEN`, `ERR_DRIVER_MISSING` at once, with `ERR_BROKER_UNAVAILABLE` after its attempts. */
  async open(): Promise<void> {
    const opening = this.first();
    this.work = opening.then(
      (life) => this.live(life),
      () => undefined,
    );
    await opening;
  }

  /** The present session, or the next one. Rejects when it is closed; is never settled when `signal` aborts before. */
  whenUp(signal: AbortSignal): Promise<Session> {
    const { session } = this;
    if (session !== undefined) return Promise.resolve(session);
    if (this.closing.signal.aborted) return Promise.reject(this.errorOf(new Error(CLOSED)));
    return new Promise((resolve, reject) => {
      const waiting = { resolve, reject };
      this.waiting.add(waiting);
      signal.addEventListener('abort', () => this.waiting.delete(waiting), { once: true });
    });
  }

  /** Ends a session at once: another will be made. */
  drop(session: Session, cause: Error): void {
    const { life } = this;
    if (life === undefined || life !== session || life.isOver) return;
    const wasUp = this.isUp;
    life.isOver = true;
    this.isUp = false;
    this.life = undefined;
    for (const client of life.clients) client.destroy(cause);
    this.ports.lost();
    if (wasUp && !this.closing.signal.aborted) this.ports.down(this.errorOf(cause));
    life.end(cause);
  }

  /** Says goodbye if there is a session, and resolves when no socket and no timer is left. It never rejects. */
  async close(goodbye: (session: Session) => Promise<unknown>): Promise<void> {
    if (this.life !== undefined) await goodbye(this.life).catch(() => undefined);
    this.closing.abort();
    for (const { reject } of this.waiting) reject(this.errorOf(new Error(CLOSED)));
    this.waiting.clear();
    if (this.life !== undefined) this.drop(this.life, new Error(CLOSED));
    await this.work;
  }

  private async first(): Promise<Life> {
    const { settings, host } = this.ports;
    const { signal } = this.closing;
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.connect();
      } catch (error) {
        const final = this.errorOf(error);
        const mayTryAgain = isTroupeError(final, 'ERR_BROKER_UNAVAILABLE') && !signal.aborted;
        if (!mayTryAgain || attempt + 1 >= settings.openAttemptsMax) throw final;
        await pause(host.clock, reconnectPauseMs(attempt, settings.reconnect, host.random), signal);
        if (signal.aborted) throw this.errorOf(new Error(CLOSED));
      }
    }
  }

  /** One session after the other, for ever. */
  private async live(first: Life): Promise<void> {
    const { settings, host } = this.ports;
    let life: Life | undefined = first;
    // A session that ends soon after it began counts as an attempt that failed.
    let attempts = 0;
    while (life !== undefined) {
      await life.ended;
      if (host.clock.now() - life.sinceMs > settings.reconnect.maxMs) attempts = 0;
      life = await this.again(attempts++);
    }
  }

  private async again(attempts: number): Promise<Life | undefined> {
    const { settings, host, down } = this.ports;
    const { signal } = this.closing;
    for (let attempt = attempts; !signal.aborted; attempt++) {
      await pause(host.clock, reconnectPauseMs(attempt, settings.reconnect, host.random), signal);
      if (signal.aborted) break;
      try {
        return await this.connect();
      } catch (error) {
        if (!signal.aborted) down(this.errorOf(error));
      }
    }
    return undefined;
  }

  private async connect(): Promise<Life> {
    const { connect, settings, host, enter, restore, up } = this.ports;
    const { connectTimeoutMs } = settings;
    const { signal } = this.closing;
    const clients: Client[] = [];
    const client = async (): Promise<Client> => {
      const made = await Client.connect(connect, host, connectTimeoutMs, signal);
      clients.push(made);
      return made;
    };
    let life: Life | undefined;
    try {
      const [writer, reader] = [await client(), await client()];
      const readerId = Number(await reader.call(connectTimeoutMs, 'CLIENT', 'ID'));
      const { number, life: lives } = await enter(writer, signal);
      const made = lifeOf({ writer, reader, readerId, number, life: lives }, clients, host.clock.now());
      life = made;
      this.life = made;
      for (const each of clients) each.onEnd = (cause) => this.drop(made, cause);
      if (signal.aborted) throw new Error(CLOSED);
      await restore(made);
      if (made.isOver) throw await made.ended;
    } catch (error) {
      if (life !== undefined) this.drop(life, error as Error);
      for (const each of clients) each.destroy(error as Error);
      throw error;
    }
    this.isUp = true;
    up(life);
    for (const { resolve } of this.waiting) resolve(life);
    this.waiting.clear();
    return life;
  }

  private errorOf(cause: unknown): TroupeError {
    return connectionError(this.ports.shown, cause);
  }
}

const CLOSED = 'it was closed';

function lifeOf(session: Session, clients: readonly Client[], sinceMs: number): Life {
  let end: (cause: Error) => void = () => undefined;
  const ended = new Promise<Error>((resolve) => {
    end = resolve;
  });
  return { ...session, clients, sinceMs, ended, end, isOver: false };
}
