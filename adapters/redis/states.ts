/**
 * A state store in Redis: a hash for each key, changed by scripts that compare the claim. One connection, made when a call needs it and
 * thrown away when it fails; a call that has no answer in time is rejected, and what it left on its way has no effect after a later one.
 */

import type { Host } from '../../src/protocol/clock.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import {
  BROKER_CONNECT_TIMEOUT_MS,
  BROKER_PUBLISH_TIMEOUT_MS,
  RECONNECT_MIN_MS,
  STORE_WAITING_BYTES_MAX,
  STORE_WAITING_MAX,
} from '../../src/protocol/limits.ts';
import { durationOption, integerOption, invalidOption, objectOption } from '../../src/protocol/options.ts';
import {
  checkClaim,
  checkSnapshot,
  checkStateKey,
  snapshotBound,
  staleEpoch,
} from '../../src/protocol/state-claim.ts';
import type { StateClaim, StateKey, StateStore, StateStoreOptions } from '../../src/protocol/state-store.ts';
import { Client, type Connect, listIn, Refusal, textIn } from './client.ts';
import type { Script } from './scripts.ts';
import { connectionError, type RedisTls, serverAt } from './server.ts';
import { ACTIVATE, REMOVE, SAVE } from './state-scripts.ts';

/** Options of a state store in Redis. */
export interface RedisStatesOptions extends StateStoreOptions {
  /** What its keys begin with, in braces: 1 to 32 of the characters a-z, 0-9 and -; `troupe-states` unless said. */
  readonly prefix?: string | undefined;
  readonly tls?: RedisTls | undefined;
  /** Milliseconds for a connection, and again for its first answer: 5,000 unless said. */
  readonly connectTimeoutMs?: number | undefined;
  /** Milliseconds for the answer to a call: 5,000 unless said. */
  readonly callTimeoutMs?: number | undefined;
  /** Calls that may wait, 10,000 unless said; one more rejects with `ERR_STORE_BUSY`. */
  readonly waitingMax?: number | undefined;
  /** Bytes of snapshots that may wait, 64 MiB unless said; more rejects with `ERR_STORE_BUSY`. */
  readonly waitingBytesMax?: number | undefined;
}

/**
 * A state store in the Redis at this URL: `redis://user:password@host:port/database`, or `rediss://` with TLS. Throws `ERR_OPTION_INVALID`.
 * As durable as the server is set up to be: `appendfsync always` for what must outlive a loss of power. Needs `ioredis`.
 */
export function redisStates(url: string, options?: RedisStatesOptions): StateStore {
  const given = objectOption('redis states options', options, OPTIONS);
  const prefix = given['prefix'] ?? 'troupe-states';
  if (typeof prefix !== 'string' || !/^[a-z0-9-]{1,32}$/.test(prefix))
    throw invalidOption('prefix', '1 to 32 of the characters a-z, 0-9 and -', prefix);
  const { connect, shown } = serverAt(url, given['tls']);
  return new RedisStates(connect, shown, {
    prefix,
    snapshotBytesMax: snapshotBound(given['snapshotBytesMax']),
    connectTimeoutMs: durationOption(
      'connectTimeoutMs',
      given['connectTimeoutMs'],
      BROKER_CONNECT_TIMEOUT_MS,
    ),
    callTimeoutMs: durationOption('callTimeoutMs', given['callTimeoutMs'], BROKER_PUBLISH_TIMEOUT_MS),
    waitingMax: integerOption('waitingMax', given['waitingMax'], 1, STORE_WAITING_MAX),
    waitingBytesMax: integerOption('waitingBytesMax', given['waitingBytesMax'], 1, STORE_WAITING_BYTES_MAX),
  });
}

const OPTIONS: readonly (keyof RedisStatesOptions)[] = [
  'prefix',
  'tls',
  'connectTimeoutMs',
  'callTimeoutMs',
  'snapshotBytesMax',
  'waitingMax',
  'waitingBytesMax',
];

interface Settings {
  readonly prefix: string;
  readonly snapshotBytesMax: number;
  readonly connectTimeoutMs: number;
  readonly callTimeoutMs: number;
  readonly waitingMax: number;
  readonly waitingBytesMax: number;
}

/** What there is from `open` on. */
interface Opened {
  readonly host: Host;
  /** This store, unlike every other: what tells its changes from those of another store of the same owner. */
  readonly writer: string;
}

class RedisStates implements StateStore {
  readonly isDurable = true;
  private readonly connect: Connect;
  private readonly shown: string;
  private readonly settings: Settings;
  private readonly ending = new AbortController();
  private readonly calls = new Set<Promise<unknown>>();
  private opened: Opened | undefined;
  private client: Promise<Client> | undefined;
  private lastFailure: { readonly atMs: number; readonly error: TroupeError } | undefined;
  private changes = 0;
  private waitingBytes = 0;
  private closing: Promise<void> | undefined;

  constructor(connect: Connect, shown: string, settings: Settings) {
    this.connect = connect;
    this.shown = shown;
    this.settings = settings;
  }

  async open(host: Host): Promise<void> {
    if (this.opened !== undefined || this.closing !== undefined) throw this.closed();
    const parts = Array.from({ length: 4 }, () => Math.floor(host.random() * 2 ** 32).toString(36));
    this.opened = { host, writer: parts.join('-') };
    await this.connected(this.opened);
  }

  async activate(key: StateKey, claim: StateClaim): Promise<Uint8Array | undefined> {
    const snapshot = await this.run(ACTIVATE, key, claim, undefined);
    return Buffer.isBuffer(snapshot) ? new Uint8Array(snapshot) : undefined;
  }

  async save(key: StateKey, claim: StateClaim, snapshot: Uint8Array): Promise<void> {
    await this.run(SAVE, key, claim, snapshot);
  }

  async remove(key: StateKey, claim: StateClaim): Promise<void> {
    await this.run(REMOVE, key, claim, undefined);
  }

  close(): Promise<void> {
    this.closing ??= this.finish();
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async finish(): Promise<void> {
    await Promise.allSettled(this.calls); // each ends in bounded time
    this.ending.abort(); // an attempt of `open`
    const client = await this.client?.catch(() => undefined);
    client?.destroy(new Error('it was closed'));
  }

  private async run(script: Script, key: StateKey, claim: StateClaim, bytes: unknown): Promise<unknown> {
    const { opened, closing, settings } = this;
    if (opened === undefined || closing !== undefined) throw this.closed();
    const checked = checkStateKey(key);
    const by = checkClaim(claim);
    const snapshot = script === SAVE ? checkSnapshot(checked, bytes, settings.snapshotBytesMax) : undefined;
    return this.counted(snapshot?.byteLength ?? 0, async () => {
      const [verdict, value] = listIn(await this.call(opened, script, checked, by, snapshot));
      if (textIn(verdict) === 'stale') throw staleEpoch(checked, by, Number(textIn(value)));
      // 'late': a later change of the same claim has been made, so this one lies before it.
      return value;
    });
  }

  private async counted<T>(bytes: number, call: () => Promise<T>): Promise<T> {
    const { waitingMax, waitingBytesMax } = this.settings;
    const { waitingBytes } = this;
    const waiting = this.calls.size;
    // One alone is always let in: it is bounded by itself.
    if (waiting >= waitingMax || (waitingBytes > 0 && waitingBytes + bytes > waitingBytesMax))
      throw new TroupeError('ERR_STORE_BUSY', { store: this.shown, waiting, waitingBytes });
    this.waitingBytes += bytes;
    const called = call();
    this.calls.add(called);
    try {
      return await called;
    } finally {
      this.calls.delete(called);
      this.waitingBytes -= bytes;
    }
  }

  private async call(
    opened: Opened,
    script: Script,
    { kind, key }: StateKey,
    { epoch, owner }: StateClaim,
    snapshot: Uint8Array | undefined,
  ): Promise<unknown> {
    const client = await this.connected(opened);
    const { prefix, callTimeoutMs } = this.settings;
    // Numbered where it is sent: numbers follow the order at the server. A kind has no colon in it.
    const parameters = [epoch, owner, opened.writer, ++this.changes];
    try {
      return await client.run(
        callTimeoutMs,
        script,
        [`{${prefix}}:state:${kind}:${key}`],
        snapshot === undefined ? parameters : [...parameters, Buffer.from(snapshot.buffer)],
      );
    } catch (cause) {
      throw this.failed(cause);
    }
  }

  /** The connection, or an attempt that all calls of its time share; after one that failed, none for a moment. */
  private async connected({ host }: Opened): Promise<Client> {
    const { lastFailure, settings } = this;
    if (this.client === undefined) {
      if (lastFailure !== undefined && host.clock.now() - lastFailure.atMs < RECONNECT_MIN_MS)
        throw lastFailure.error;
      const made = Client.connect(this.connect, host, settings.connectTimeoutMs, this.ending.signal);
      this.client = made;
      made.then(
        (client) => {
          client.onEnd = () => this.forget(made);
        },
        (cause: unknown) => {
          this.lastFailure = { atMs: host.clock.now(), error: this.failed(cause) };
          this.forget(made);
        },
      );
    }
    try {
      return await this.client;
    } catch (cause) {
      throw this.failed(cause);
    }
  }

  private forget(client: Promise<Client>): void {
    if (this.client === client) this.client = undefined;
  }

  private failed(cause: unknown): TroupeError {
    const error = connectionError(this.shown, cause);
    if (!(cause instanceof Refusal) || error.code === 'ERR_BROKER_DENIED') return error;
    // The server has answered: it takes nothing now, or what is there is not ours.
    return new TroupeError('ERR_STORE_FAILED', { store: this.shown, problem: cause.message.slice(0, 200) });
  }

  private closed(): TroupeError<'ERR_STORE_CLOSED'> {
    return new TroupeError('ERR_STORE_CLOSED', { store: this.shown });
  }
}
