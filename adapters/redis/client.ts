/**
 * One connection to Redis that is used until it fails and then thrown away: the client's own reconnecting, queueing and sending again are
 * off, since they repeat commands silently or leave them without an answer for ever (ioredis issues 2193, 1285, 1164).
 */

import type { Redis } from 'ioredis';
import type { Host } from '../../src/protocol/clock.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { Script } from './scripts.ts';

export type Argument = string | number | Buffer;

/** What is asked of a connection. Replies are Buffers, numbers, null, and lists of them. */
export interface Connection {
  /**
   * Rejects with a `Refusal` where the server answers by an error, and with what ended the connection otherwise. When there is no answer
   * within `timeoutMs` the connection is thrown away, since answers come in order.
   */
  call(timeoutMs: number, command: string, ...parameters: readonly Argument[]): Promise<unknown>;
  /** Runs a script: by its digest once the server knows it. */
  run(
    timeoutMs: number,
    script: Script,
    keys: readonly string[],
    parameters: readonly Argument[],
  ): Promise<unknown>;
}

/** The server answered by an error, and the connection is well. */
export class Refusal extends Error {
  /** Whether it takes nothing that needs memory or disk for the time being, from anybody. */
  get isOverload(): boolean {
    return /^(OOM|MISCONF|NOREPLICAS)\b/.test(this.message);
  }
}

/** Makes the client's own object. A function, so that no password is in what may be printed. */
export type Connect = (connectTimeoutMs: number) => Promise<Redis>;

export class Client implements Connection {
  /** Called once, when it can be used no more. */
  onEnd: (cause: Error) => void = () => undefined;
  private readonly redis: Redis;
  private readonly host: Host;
  private readonly known = new Set<string>();
  private readonly waiting = new Set<(cause: Error) => void>();
  private ended: Error | undefined = undefined;

  private constructor(redis: Redis, host: Host) {
    this.redis = redis;
    this.host = host;
    redis.on('error', (error: Error) => this.destroy(error));
    redis.on('close', () => this.destroy(new Error('the connection was closed')));
    redis.on('end', () => this.destroy(new Error('the connection was closed')));
  }

  /** Rejects with what went wrong, when it takes longer than `timeoutMs`, and when `signal` aborts. */
  static async connect(
    connect: Connect,
    host: Host,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<Client> {
    const client = new Client(await connect(timeoutMs), host);
    const abort = (): void => client.destroy(new Error('it was closed'));
    signal.addEventListener('abort', abort);
    try {
      if (signal.aborted) abort();
      await client.within(timeoutMs, 'the attempt to connect', () => client.redis.connect());
      await client.call(timeoutMs, 'PING');
      return client;
    } catch (error) {
      client.destroy(error as Error);
      throw error;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  call(timeoutMs: number, command: string, ...parameters: readonly Argument[]): Promise<unknown> {
    return this.within(timeoutMs, command, () =>
      this.redis.callBuffer(command, parameters as (string | Buffer | number)[]),
    );
  }

  async run(
    timeoutMs: number,
    { text, digest }: Script,
    keys: readonly string[],
    parameters: readonly Argument[],
  ): Promise<unknown> {
    const rest = [keys.length, ...keys, ...parameters];
    if (!this.known.has(digest)) {
      this.known.add(digest);
      return this.call(timeoutMs, 'EVAL', text, ...rest);
    }
    try {
      return await this.call(timeoutMs, 'EVALSHA', digest, ...rest);
    } catch (error) {
      // An operator has emptied the server's cache of scripts.
      if (!(error instanceof Refusal && error.message.startsWith('NOSCRIPT'))) throw error;
      return this.call(timeoutMs, 'EVAL', text, ...rest);
    }
  }

  /** Every answer that is waited for ends with the connection, whatever becomes of the client's own promise. */
  private within(timeoutMs: number, what: string, ask: () => Promise<unknown>): Promise<unknown> {
    if (this.ended !== undefined) return Promise.reject(this.ended);
    const { clock } = this.host;
    return new Promise((fulfil, reject) => {
      const late = (): void => {
        if (this.waiting.has(fail)) this.destroy(new Error(`no answer to ${what} within ${timeoutMs} ms`));
      };
      // A process that stood still has answers to read before it may say that there are none.
      const timer = clock.setTimer(timeoutMs, () => this.host.later(late));
      const settled = (): boolean => {
        clock.clearTimer(timer);
        return this.waiting.delete(fail);
      };
      const fail = (cause: Error): void => {
        if (settled()) reject(cause);
      };
      this.waiting.add(fail);
      ask().then(
        (answer) => {
          settled();
          fulfil(answer);
        },
        (error: unknown) => fail(plainError(error)),
      );
    });
  }

  /** Ends it at once, and every call that waits. */
  destroy(cause: Error): void {
    if (this.ended !== undefined) return;
    this.ended = new Error(plainError(cause).message);
    this.redis.disconnect();
    // A socket that hangs is closed all the same: `disconnect` alone waits for the other side.
    (this.redis as unknown as { stream?: { destroy(): void } }).stream?.destroy();
    for (const fail of this.waiting) fail(this.ended);
    this.onEnd(this.ended);
  }
}

/** An error without what the client puts beside its text: the command, with passwords and frames. */
function plainError(error: unknown): Error {
  if (!(error instanceof Error)) return new Error('the connection failed');
  if (error.name === 'ReplyError') return new Refusal(error.message);
  // An attempt at several addresses fails without a text of its own.
  const [first] = error instanceof AggregateError ? (error.errors as unknown[]) : [];
  return new Error(error.message || (first instanceof Error ? first.message : '') || 'the connection failed');
}

/** How to connect to a URL with these options of the client's. */
export function connectTo(url: string, options: Readonly<Record<string, unknown>>): Connect {
  return async (connectTimeout) => {
    let driver: typeof import('ioredis').Redis;
    try {
      driver = (await import('ioredis')).Redis;
    } catch (cause) {
      throw new TroupeError('ERR_DRIVER_MISSING', { package: 'ioredis' }, { cause });
    }
    return new driver(url, {
      ...options,
      lazyConnect: true,
      protocol: 2,
      connectTimeout,
      enableReadyCheck: false, // the first command shows whether it is ready
      disableClientInfo: true,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      autoResubscribe: false,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
      reconnectOnError: () => false,
    });
  };
}

/** The text of a reply. */
export function textIn(reply: unknown): string {
  return Buffer.isBuffer(reply) ? reply.toString() : typeof reply === 'string' ? reply : '';
}

/** The parts of a reply. */
export function listIn(reply: unknown): readonly unknown[] {
  return Array.isArray(reply) ? reply : [];
}

/** The fields and values of a hash. */
export function pairsIn(reply: unknown): readonly (readonly [field: string, value: string])[] {
  const parts = listIn(reply).map(textIn);
  return parts.flatMap((field, n) => (n % 2 === 0 ? [[field, parts[n + 1] ?? ''] as const] : []));
}
