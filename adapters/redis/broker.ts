/**
 * A broker on Redis streams: one for each lane of an inbox or a group, read by a consumer group, acknowledged by XACK and XDEL. Not
 * pub/sub, which forgets whoever is away; not lists, which know nothing of what is being handled. Bounds, routes and interests are
 * compared in scripts, so that each publish is one step at the server.
 *
 * A node is dead when another one has seen no sign of life of it for `downAfterMs`, during which that other one was connected all the time: a server that
 * was away kills nobody.
 */

import {
  type Broker,
  type BrokerCapabilities,
  type BrokerOptions,
  type BrokerState,
  type BrokerStateChange,
  type ConsumeOptions,
  type Consumption,
  LANES,
  type NodeIdentity,
  type OutFrame,
  type PerLane,
  type PublishResult,
  type Source,
} from '../../src/protocol/broker.ts';
import {
  type BrokerSettings,
  brokerSettings,
  brokerUrl,
  shownUrl,
} from '../../src/protocol/broker-options.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { settledWithin } from '../../src/protocol/deadline.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import { FRAME_BYTES_MAX } from '../../src/protocol/limits.ts';
import { invalidOption, objectOption } from '../../src/protocol/options.ts';
import { type Address, listIn, textIn } from './client.ts';
import { RedisConsumption } from './consumption.ts';
import { Heartbeat } from './heartbeat.ts';
import { groupField, Interests, nodeField } from './interests.ts';
import { Keys } from './keys.ts';
import { Link, type Session } from './link.ts';
import { publishOnce } from './publish.ts';
import { Reader } from './reader.ts';
import { ENTER, INTEREST, LEAVE, TABLE } from './scripts.ts';

/** Certificates of a `rediss://` connection, as Node's `tls.connect` takes them. */
export interface RedisTls {
  readonly ca?: string | Buffer | readonly (string | Buffer)[] | undefined;
  readonly cert?: string | Buffer | undefined;
  readonly key?: string | Buffer | undefined;
  readonly servername?: string | undefined;
  /** True unless said; false only for tests. */
  readonly rejectUnauthorized?: boolean | undefined;
}

/** Options of a Redis broker. */
export interface RedisOptions extends BrokerOptions {
  readonly tls?: RedisTls | undefined;
}

const WINDOW_MAX = 65_535;
/** Times that a publish is tried again because the interests changed under it. */
const STALE_MAX = 10;

/**
 * A broker on the Redis at this URL: `redis://user:password@host:port/database`, or `rediss://` with TLS. Throws `ERR_OPTION_INVALID`.
 * Works with Redis 6.2 and newer; needs `ioredis`.
 */
export function redis(url: string, options?: RedisOptions): Broker {
  const parsed = brokerUrl('redis', url, ['redis:', 'rediss:']);
  const { settings, own } = brokerSettings('redis', options, ['tls']);
  const tls = objectOption('tls', own['tls'], ['ca', 'cert', 'key', 'servername', 'rejectUnauthorized']);
  if (own['tls'] !== undefined && parsed.protocol !== 'rediss:')
    throw invalidOption('tls', 'absent unless the URL begins with rediss://', own['tls']);
  const address = { url, options: parsed.protocol === 'rediss:' ? { tls } : {} };
  return new RedisBroker(address, shownUrl(parsed), settings);
}

/** A group that is read here. */
interface GroupReading {
  readonly field: string;
  readonly streams: readonly string[];
}

class RedisBroker implements Broker {
  readonly kind = 'redis';
  readonly url: string;
  readonly capabilities: BrokerCapabilities;
  private readonly address: Address;
  private readonly settings: BrokerSettings;
  private readonly keys: Keys;
  private readonly interests: Interests;
  private readonly listened = new Map<string, number>();
  private readonly consumptions = new Set<RedisConsumption>();
  private readonly listeners = new Set<(change: BrokerStateChange) => void>();
  private link: Link | undefined = undefined;
  private node: NodeIdentity = { name: '', incarnation: '' };
  private host: Host | undefined = undefined;
  private reader: Reader | undefined = undefined;
  private heartbeat: Heartbeat | undefined = undefined;
  private state: BrokerState = 'down';
  private closing: Promise<void> | undefined = undefined;

  constructor(address: Address, shown: string, settings: BrokerSettings) {
    this.address = address;
    this.url = shown;
    this.settings = settings;
    this.keys = new Keys(settings.prefix);
    this.interests = new Interests(this.keys);
    this.capabilities = Object.freeze({
      durability: 'disk',
      bound: 'exact',
      deliveryCount: 'broker',
      reportsUnroutable: true,
      keepsOrderOnRedelivery: false,
      frameBytesMax: FRAME_BYTES_MAX,
      takeoverMs: settings.downAfterMs + 3 * settings.heartbeatMs,
      leavesNothing: true,
    });
  }

  async open(node: NodeIdentity, host: Host): Promise<void> {
    if (this.link !== undefined) throw invalidOption('broker', 'one that was not opened before', node.name);
    this.node = node;
    this.host = host;
    this.link = new Link({
      address: this.address,
      shown: this.url,
      settings: this.settings,
      host,
      restore: (session) => this.restore(session),
      lost: () => this.lost(),
      changed: (state, cause) => this.changed(state, cause),
    });
    try {
      await this.link.open();
    } catch (error) {
      this.link.close();
      throw error;
    }
    this.changed('up');
  }

  async publish(frames: readonly OutFrame[]): Promise<readonly PublishResult[]> {
    const session = this.link?.session;
    const tooLarge = frames.map(({ bytes }) => bytes.length > FRAME_BYTES_MAX);
    const sent = frames.filter((_, n) => tooLarge[n] !== true);
    const results =
      session === undefined ? sent.map(() => 'unavailable' as const) : await this.send(session, sent);
    let next = 0;
    return tooLarge.map((isTooLarge) => (isTooLarge ? 'too-large' : (results[next++] ?? 'unknown')));
  }

  async listen(pattern: string): Promise<void> {
    const count = this.listened.get(pattern) ?? 0;
    this.listened.set(pattern, count + 1);
    if (count > 0) return;
    try {
      await this.told(nodeField(this.node.name, pattern), true);
    } catch (error) {
      this.listened.delete(pattern);
      throw error;
    }
  }

  async unlisten(pattern: string): Promise<void> {
    const count = this.listened.get(pattern) ?? 0;
    if (count > 1) this.listened.set(pattern, count - 1);
    if (count !== 1) return;
    this.listened.delete(pattern);
    await this.told(nodeField(this.node.name, pattern), false);
  }

  async consume(source: Source, { windows, receive }: ConsumeOptions): Promise<Consumption> {
    const { host, link } = this;
    if (host === undefined || link === undefined) throw this.unavailable('it is not open');
    if (windows.some((window) => !Number.isInteger(window) || window < 1 || window > WINDOW_MAX))
      throw invalidOption('windows', `whole numbers from 1 to ${WINDOW_MAX}`, windows);
    const streams = LANES.map((lane) => this.streamOf(source, lane));
    if (source.kind === 'group') {
      const { group, pattern } = source;
      await this.told(groupField(group, pattern), true, streams);
    }
    const consumption = new RedisConsumption(
      {
        host,
        settings: this.settings,
        deadKey: this.keys.dead,
        consumer: this.consumer,
        session: () => link.session,
        reader: () => this.reader,
        ended: (ended) => this.consumptions.delete(ended),
        failed: (error) => this.degrade(error),
      },
      source,
      LANES.map((lane) => ({ key: streams[lane] ?? '', window: windows[lane] })),
      receive,
    );
    this.consumptions.add(consumption);
    this.reader?.add(consumption.streams);
    return consumption;
  }

  async backlog(source: Source): Promise<PerLane | undefined> {
    const session = this.link?.session;
    if (session === undefined) return undefined;
    const { publishTimeoutMs } = this.settings;
    const lengths = LANES.map(async (lane) => {
      const key = this.streamOf(source, lane);
      const [length, pending] = await Promise.all([
        session.writer.call(publishTimeoutMs, 'XLEN', key),
        session.writer.call(publishTimeoutMs, 'XPENDING', key, 'readers').catch(() => [0]),
      ]);
      return Number(length) - Number(listIn(pending)[0] ?? 0);
    });
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = await Promise.all(lengths);
    return [a, b, c, d, e, f];
  }

  onState(listener: (change: BrokerStateChange) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    await Promise.all([...this.consumptions].map((consumption) => consumption.stop()));
    const { link, node } = this;
    const session = link?.session;
    if (session !== undefined) {
      const left = session.writer.run(this.settings.publishTimeoutMs, LEAVE, this.nodeKeys, [
        node.name,
        node.incarnation,
      ]);
      await left.catch(() => undefined); // others will see that it is gone
    }
    link?.close();
    this.listeners.clear();
  }

  // --- session ----------------------------------------------------------------------------------------------------

  private async restore(session: Session): Promise<void> {
    const { node, settings, host } = this;
    const { downAfterMs, expiresMs, publishTimeoutMs } = settings;
    const parameters = [node.name, node.incarnation, downAfterMs, expiresMs];
    const holder = textIn(await session.writer.run(publishTimeoutMs, ENTER, this.nodeKeys, parameters));
    if (holder !== '')
      throw new TroupeError('ERR_NAME_TAKEN', { name: node.name, holder: `the incarnation ${holder}` });
    for (const pattern of this.listened.keys())
      await this.tell(session, nodeField(node.name, pattern), true, []);
    for (const { field, streams } of this.groups) await this.tell(session, field, true, streams);
    const reader = new Reader(session, this.consumer, publishTimeoutMs, (error) =>
      this.link?.drop(session, error),
    );
    for (const consumption of this.consumptions) consumption.begin(session);
    this.reader = reader;
    reader.add([...this.consumptions].flatMap(({ streams }) => streams));
    reader.run().catch((error: unknown) => this.link?.drop(session, error as Error));
    if (host === undefined) return;
    this.heartbeat = new Heartbeat({
      host,
      settings,
      session,
      node,
      keys: this.keys,
      groups: () => this.groups,
      consumptions: () => this.consumptions,
      reader,
      failed: (error) => this.link?.drop(session, error),
    });
    this.heartbeat.start();
    await this.warn(session);
  }

  private lost(): void {
    this.reader?.end();
    this.heartbeat?.end();
    this.reader = undefined;
    this.heartbeat = undefined;
    for (const consumption of this.consumptions) consumption.lose();
  }

  /** What may lose frames is said once for each connection. Who may not ask is not told. */
  private async warn({ writer }: Session): Promise<void> {
    for (const [name, good] of [
      ['appendonly', 'yes'],
      ['maxmemory-policy', 'noeviction'],
    ] as const) {
      const reply = await writer.call(this.settings.publishTimeoutMs, 'CONFIG', 'GET', name).catch(() => []);
      const value = textIn(listIn(reply)[1]);
      if (value === '' || value === good) continue;
      this.tellState(
        'degraded',
        this.unavailable(`its ${name} is '${value}', and only '${good}' keeps what it was given`),
      );
    }
  }

  // --- publishing and interest ------------------------------------------------------------------------------------

  private async send(session: Session, frames: readonly OutFrame[]): Promise<readonly PublishResult[]> {
    if (frames.length === 0) return [];
    const { interests, keys, settings } = this;
    try {
      for (let times = 0; times < STALE_MAX; times++) {
        const results = await publishOnce(session, { keys, interests, settings }, frames);
        if (results !== 'stale') {
          if (this.state === 'degraded') this.changed('up');
          return results;
        }
        await this.refresh(session);
      }
      return frames.map(() => 'unavailable');
    } catch (error) {
      return this.failure(error, session, frames);
    }
  }

  private failure(error: unknown, session: Session, frames: readonly OutFrame[]): readonly PublishResult[] {
    const text = error instanceof Error ? error.message : '';
    if (/\bNOPERM\b/.test(text)) return frames.map(() => 'denied');
    if (/\b(OOM|MISCONF|LOADING|READONLY|NOREPLICAS)\b/.test(text)) {
      this.degrade(error as Error);
      return frames.map(() => 'unavailable');
    }
    if (this.link?.session === session) this.link.drop(session, error as Error);
    return frames.map(() => 'unknown');
  }

  private async refresh({ writer }: Session): Promise<void> {
    const { keys, settings } = this;
    const reply = listIn(
      await writer.run(settings.publishTimeoutMs, TABLE, [keys.interests, keys.version], []),
    );
    this.interests.replace(textIn(reply[0]), listIn(reply[1]).map(textIn));
  }

  /** Tells the server of an interest, now or, while there is no connection, when there is one again. */
  private async told(field: string, isWanted: boolean, streams: readonly string[] = []): Promise<void> {
    const { host, link, settings } = this;
    if (host === undefined || link === undefined) throw this.unavailable('it is not open');
    const { publishTimeoutMs } = settings;
    const session = await settledWithin(host.clock, publishTimeoutMs, link.whenUp(), () => {
      throw this.unavailable(`there was no connection for ${publishTimeoutMs} ms`);
    });
    try {
      await this.tell(session, field, isWanted, streams);
    } catch (error) {
      throw isTroupeError(error)
        ? error
        : this.unavailable(error instanceof Error ? error.message : 'it failed');
    }
  }

  private async tell(
    session: Session,
    field: string,
    isWanted: boolean,
    streams: readonly string[],
  ): Promise<void> {
    const { publishTimeoutMs, expiresMs } = this.settings;
    const { nodes, interests, version, groups } = this.keys;
    const parameters = [field, isWanted ? '1' : '0', expiresMs];
    await session.writer.run(
      publishTimeoutMs,
      INTEREST,
      [nodes, interests, version, groups, ...streams],
      parameters,
    );
  }

  // --- names ------------------------------------------------------------------------------------------------------

  private get consumer(): string {
    return `${this.node.name}.${this.node.incarnation}`;
  }

  private get nodeKeys(): readonly string[] {
    const { nodes, interests, version, groups } = this.keys;
    return [nodes, interests, version, groups, ...LANES.map((lane) => this.keys.inbox(this.node.name, lane))];
  }

  private get groups(): readonly GroupReading[] {
    return [...this.consumptions].flatMap(({ source }) =>
      source.kind === 'group'
        ? [
            {
              field: groupField(source.group, source.pattern),
              streams: LANES.map((lane) => this.streamOf(source, lane)),
            },
          ]
        : [],
    );
  }

  private streamOf(source: Source, lane: (typeof LANES)[number]): string {
    return source.kind === 'inbox'
      ? this.keys.inbox(this.node.name, lane)
      : this.keys.group(source.group, source.pattern, lane);
  }

  // --- state ------------------------------------------------------------------------------------------------------

  private degrade(error: Error): void {
    if (this.state !== 'up') return;
    this.changed('degraded', this.unavailable(error.message.slice(0, 200)));
  }

  private changed(state: BrokerState, cause?: Error): void {
    if (this.state === state) return;
    this.state = state;
    this.tellState(state, cause);
  }

  private tellState(state: BrokerState, cause: Error | undefined): void {
    for (const listener of this.listeners) listener(cause === undefined ? { state } : { state, cause });
  }

  private unavailable(problem: string): TroupeError {
    return new TroupeError('ERR_BROKER_UNAVAILABLE', { broker: 'redis', url: this.url, problem });
  }
}
