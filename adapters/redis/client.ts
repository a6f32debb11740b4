/**
 * One connection to Redis that is used until it fails and then thrown away: the client's own reconnecting, queueing and sending again are
 * off, since they repeat commands silently or leave them without an answer for ever (ioredis issues 2193, 1285, 1164).
 */

import type { Redis } from 'ioredis';
import type { Clock } from '../../src/protocol/clock.ts';
import { settledWithin } from '../../src/protocol/deadline.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { Script } from './scripts.ts';

export type Argument = string | number | Buffer | Uint8Array;

/** Where and how a client connects. */
export interface Address {
  readonly url: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/** One connection. Replies are Buffers, numbers, null, and lists of them. */
export class Client {
  /** Called once, when it can be used no more. */
  onEnd: (cause: Error) => void = () => undefined;
  private readonly redis: Redis;
  private readonly clock: Clock;
  private readonly known = new Set<string>();
  private cause: Error | undefined = undefined;
  private isOver = false;

  private constructor(redis: Redis, clock: Clock) {
    this.redis = redis;
    this.clock = clock;
    redis.on('error', (error: Error) => {
      this.cause ??= error;
    });
    redis.on('close', () => this.end(this.cause ?? new Error('the connection was closed')));
  }

  /** Rejects with what went wrong, or when it takes longer than `timeoutMs`. */
  static async connect(address: Address, clock: Clock, timeoutMs: number): Promise<Client> {
    const redis = await newRedis(address, timeoutMs);
    const client = new Client(redis, clock);
    try {
      await settledWithin(clock, timeoutMs, redis.connect(), () => {
        throw new Error(`no connection within ${timeoutMs} ms`);
      });
      await client.call(timeoutMs, 'PING');
    } catch (error) {
      const cause = client.cause ?? error;
      client.destroy();
      throw cause;
    }
    return client;
  }

  /** Rejects when there is no answer within `timeoutMs`; the connection is thrown away then, since answers come in order. */
  async call(timeoutMs: number, command: string, ...parameters: readonly Argument[]): Promise<unknown> {
    if (this.isOver) throw this.cause ?? new Error('the connection has ended');
    const answer = this.redis.callBuffer(command, parameters as (string | Buffer | number)[]);
    return settledWithin(this.clock, timeoutMs, answer, () => {
      const error = new Error(`no answer to ${command} within ${timeoutMs} ms`);
      this.cause ??= error;
      this.destroy();
      throw error;
    });
  }

  /** Runs a script: by its digest once the server knows it. */
  async run(
    timeoutMs: number,
    script: Script,
    keys: readonly string[],
    parameters: readonly Argument[],
  ): Promise<unknown> {
    const { text, digest } = script;
    const rest = [keys.length, ...keys, ...parameters];
    if (!this.known.has(digest)) {
      this.known.add(digest);
      return this.call(timeoutMs, 'EVAL', text, ...rest);
    }
    try {
      return await this.call(timeoutMs, 'EVALSHA', digest, ...rest);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
      return this.call(timeoutMs, 'EVAL', text, ...rest);
    }
  }

  /** Ends it at once. */
  destroy(): void {
    this.redis.disconnect();
    this.end(this.cause ?? new Error('the connection was given up'));
  }

  private end(cause: Error): void {
    if (this.isOver) return;
    this.isOver = true;
    this.cause = cause;
    // A socket that hangs is closed all the same: `disconnect` alone waits for the other side.
    (this.redis as unknown as { stream?: { destroy(): void } }).stream?.destroy();
    this.onEnd(cause);
  }
}

async function newRedis({ url, options }: Address, connectTimeout: number): Promise<Redis> {
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
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    reconnectOnError: () => false,
  });
}

/** The text of a reply. */
export function textIn(reply: unknown): string {
  return Buffer.isBuffer(reply) ? reply.toString() : typeof reply === 'string' ? reply : '';
}

/** The parts of a reply. */
export function listIn(reply: unknown): readonly unknown[] {
  return Array.isArray(reply) ? reply : [];
}
