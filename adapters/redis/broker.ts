/**
 * A broker on Redis streams: one for each lane of an inbox or a group, read by a consumer group, acknowledged by XACK and XDEL. Not
 * pub/sub, which forgets whoever is away; not lists, which know nothing of what is being handled. Bounds, routes and interests are
 * compared in scripts, so that each publish is one step at the server.
 */

import type {
  Broker,
  BrokerCapabilities,
  BrokerOptions,
  BrokerStateChange,
  ConsumeOptions,
  Consumption,
  NodeIdentity,
  OutFrame,
  PerLane,
  PublishResult,
  Source,
} from '../../src/protocol/broker.ts';
import {
  type BrokerSettings,
  brokerSettings,
  brokerUrl,
  shownUrl,
} from '../../src/protocol/broker-options.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { FRAME_BYTES_MAX, REDIS_KEPT_MS } from '../../src/protocol/limits.ts';
import { invalidOption, objectOption } from '../../src/protocol/options.ts';
import { type Connect, connectTo, listIn, textIn } from './client.ts';
import { type Attachment, RedisConsumption } from './consumption.ts';
import { enterUnder } from './entering.ts';
import { Health } from './health.ts';
import { Heartbeat } from './heartbeat.ts';
import { Interests } from './interests.ts';
import { groupField, Keys, nodeField, READERS } from './keys.ts';
import { fenceOf, Link, type Session } from './link.ts';
import { Listening } from './listening.ts';
import { Publisher } from './publish.ts';
import { Reader } from './reader.ts';
import { LEAVE } from './scripts.ts';
import { Telling } from './telling.ts';

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
const TLS_OPTIONS = ['ca', 'cert', 'key', 'servername', 'rejectUnauthorized'];

/**
 * A broker on the Redis at this URL: `redis://user:password@host:port/database`, or `rediss://` with TLS. Throws `ERR_OPTION_INVALID`.
 * Works with Redis 6.2 and newer; needs `ioredis`.
 */
export function redis(url: string, options?: RedisOptions): Broker {
  const parsed = brokerUrl('redis', url, ['redis:', 'rediss:']);
  // The driver would take parameters for options of its own.
  if (parsed.search !== '') throw invalidOption('redis: url', 'a URL without parameters', 'parameters');
  if (!/^\/?\d*$/.test(parsed.pathname))
    throw invalidOption('redis: url', 'the number of a database as its path', parsed.pathname);
  const { settings, own } = brokerSettings('redis', options, ['tls']);
  const tls = objectOption('tls', own['tls'], TLS_OPTIONS);
  if (own['tls'] !== undefined && parsed.protocol !== 'rediss:')
    throw invalidOption('tls', 'absent unless the URL begins with rediss://', own['tls']);
  const connect = connectTo(url, parsed.protocol === 'rediss:' ? { tls } : {});
  return new RedisBroker(connect, shownUrl(parsed), settings);
}

/** What there is from `open` on. */
interface Opened {
  readonly node: NodeIdentity;
  readonly host: Host;
  readonly link: Link;
  readonly publisher: Publisher;
  readonly telling: Telling;
}

class RedisBroker implements Broker {
  readonly kind = 'redis';
  readonly url: string;
  readonly capabilities: BrokerCapabilities;
  private readonly connect: Connect;
  private readonly settings: BrokerSettings;
  private readonly keptMs: number;
  private readonly keys: Keys;
  private readonly health: Health;
  private readonly listening = new Listening();
  private readonly consumptions = new Set<RedisConsumption>();
  private opened: Opened | undefined = undefined;
  private attachment: Attachment | undefined = undefined;
  private heartbeat: Heartbeat | undefined = undefined;
  private closing: Promise<void> | undefined = undefined;

  constructor(connect: Connect, shown: string, settings: BrokerSettings) {
    this.connect = connect;
    this.url = shown;
    this.settings = settings;
    this.keptMs = Math.max(settings.expiresMs, REDIS_KEPT_MS);
    this.keys = new Keys(settings.prefix);
    this.health = new Health(shown);
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
    const { settings, keys, keptMs, health, listening, connect, url } = this;
    if (this.closing !== undefined) throw health.unavailable('it is closed');
    if (this.opened !== undefined) throw health.unavailable('it was opened before, and is opened once');
    const entering = { node, host, settings, keys: nodeKeys(keys, node), keptMs };
    const link = new Link({
      connect,
      shown: url,
      settings,
      host,
      enter: (writer, signal) =>
        enterUnder({ ...entering, patterns: () => listening.patterns }, writer, signal),
      restore: (session) => this.restore(opened, session),
      up: (session) => {
        health.up();
        void this.warn(session); // it never rejects
      },
      lost: () => this.lost(),
      down: (cause) => health.down(cause),
    });
    const opened: Opened = {
      node,
      host,
      link,
      publisher: new Publisher({
        keys,
        settings,
        interests: new Interests(keys),
        clock: host.clock,
        session: () => link.session,
        fence: (session) => fenceOf(node, session),
        drop: (session, cause) => link.drop(session, cause),
        refused: ({ message }) => health.degrade(message),
      }),
      telling: new Telling({
        host,
        link,
        node,
        keys,
        keptMs,
        timeoutMs: settings.publishTimeoutMs,
        unavailable: (problem) => health.unavailable(problem),
      }),
    };
    this.opened = opened;
    await link.open();
  }

  async publish(frames: readonly OutFrame[]): Promise<readonly PublishResult[]> {
    const isTooLarge = frames.map(({ bytes }) => bytes.length > FRAME_BYTES_MAX);
    // Copied before anything else happens: what was published does not change.
    const sent = frames
      .filter((_, n) => isTooLarge[n] !== true)
      .map(({ to, lane, bytes }) => ({ to, lane, bytes: Buffer.from(bytes) }));
    const publisher = this.closing === undefined ? this.opened?.publisher : undefined;
    const results = (await publisher?.publish(sent)) ?? sent.map(() => 'unavailable' as const);
    if (results.includes('ok')) this.health.well();
    let next = 0;
    return isTooLarge.map((isOver) => (isOver ? 'too-large' : (results[next++] ?? 'unknown')));
  }

  async listen(pattern: string): Promise<void> {
    const { node, telling } = this.use();
    return this.listening.add(pattern, () => telling.tell(nodeField(node.name, pattern), true));
  }

  async unlisten(pattern: string): Promise<void> {
    const { node, telling } = this.use();
    if (!this.listening.remove(pattern)) return;
    // Without an answer, the next session begins by telling it.
    await telling.tell(nodeField(node.name, pattern), false).catch(() => undefined);
  }

  async consume(source: Source, { windows, receive }: ConsumeOptions): Promise<Consumption> {
    const { host, link, node, telling } = this.use();
    checkWindows(windows);
    if (source.kind === 'inbox' && [...this.consumptions].some((other) => other.source.kind === 'inbox'))
      throw invalidOption(
        'source',
        'something else, since the inbox is read once and is being read',
        'inbox',
      );
    const { settings, keys, health } = this;
    const ports = {
      host,
      settings,
      deadKey: keys.dead,
      attachment: () => this.attachment,
      ended: (ended: RedisConsumption) => this.consumptions.delete(ended),
      threw: (error: unknown) => health.degrade(error instanceof Error ? error.message : 'receive threw'),
      drop: (session: Session, cause: Error) => link.drop(session, cause),
      unavailable: (problem: string) => health.unavailable(problem),
    };
    const streams = keys.streamsOf(source, node.name);
    const consumption = new RedisConsumption(ports, source, { streams, windows, receive });
    // From now on every new session knows of it.
    this.consumptions.add(consumption);
    try {
      if (source.kind === 'group') await telling.tell(groupField(source.group, source.pattern), true);
    } catch (error) {
      await consumption.stop();
      throw error;
    }
    // It may have been stopped by `close` meanwhile.
    if (this.consumptions.has(consumption)) this.attachment?.reader.add(consumption.outlets);
    return consumption;
  }

  async backlog(source: Source): Promise<PerLane | undefined> {
    const { link, node } = this.use();
    const { session } = link;
    if (session === undefined) return undefined;
    const { publishTimeoutMs } = this.settings;
    const waiting = this.keys.streamsOf(source, node.name).map(async (key) => {
      const [length, pending] = await Promise.all([
        session.writer.call(publishTimeoutMs, 'XLEN', key),
        // A group that nobody has made holds nothing.
        session.writer.call(publishTimeoutMs, 'XPENDING', key, READERS).catch(() => undefined),
      ]);
      return Math.max(0, Number(length) - Number(listIn(pending)[0] ?? 0));
    });
    const lanes = await Promise.all(waiting).catch(() => undefined);
    if (lanes === undefined) return undefined;
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = lanes;
    return [a, b, c, d, e, f];
  }

  onState(listener: (change: BrokerStateChange) => void): () => void {
    return this.health.onChange(listener);
  }

  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    await Promise.all([...this.consumptions].map((consumption) => consumption.stop()));
    const { opened, keys, settings } = this;
    await opened?.link.close(async (session) => {
      const { publishTimeoutMs, expiresMs } = settings;
      const { writer } = session;
      const groups = listIn(await writer.call(publishTimeoutMs, 'HKEYS', keys.groups)).map(textIn);
      const all = [...nodeKeys(keys, opened.node), ...groups.flatMap((field) => keys.groupsOf(field))];
      await writer.run(publishTimeoutMs, LEAVE, all, [...fenceOf(opened.node, session), expiresMs]);
    });
    this.health.end();
  }

  // --- session ----------------------------------------------------------------------------------------------------

  private async restore({ node, host, link, telling }: Opened, session: Session): Promise<void> {
    const { settings, keys, keptMs, health } = this;
    // A group that is joined while this goes on is told of once the session is up, and read then.
    const known = new Set(this.consumptions);
    for (const field of groupsOf(known)) await telling.tellIn(session, field, true);
    const fence = fenceOf(node, session);
    const failed = (error: Error): void => link.drop(session, error);
    const consumer = `${node.name}.${node.incarnation}.${session.number}`;
    const reader = new Reader({
      session,
      clock: host.clock,
      fence,
      consumer,
      nodes: keys.nodes,
      timeoutMs: settings.publishTimeoutMs,
      failed,
    });
    for (const each of this.consumptions)
      if (known.has(each) || each.source.kind === 'inbox') reader.add(each.outlets);
    this.attachment = { session, reader, consumer };
    reader.run().catch(failed);
    this.heartbeat = new Heartbeat({
      host,
      settings,
      session,
      fence,
      keys,
      keptMs,
      groups: () => groupsOf(this.consumptions),
      beaten: () => {
        health.well();
        reader.sweep();
      },
      refused: ({ message }) => health.degrade(message),
      failed,
    });
    this.heartbeat.start();
  }

  private lost(): void {
    this.attachment?.reader.end();
    this.heartbeat?.end();
    this.attachment = undefined;
    this.heartbeat = undefined;
    for (const consumption of this.consumptions) consumption.lose();
  }

  /** Tells of settings that may lose frames, for each session. Who may not ask for them is told nothing. */
  private async warn({ writer }: Session): Promise<void> {
    for (const [name, good] of [
      ['appendonly', 'yes'],
      ['maxmemory-policy', 'noeviction'],
    ] as const) {
      const reply = await writer.call(this.settings.publishTimeoutMs, 'CONFIG', 'GET', name).catch(() => []);
      const value = textIn(listIn(reply)[1]);
      if (value !== '' && value !== good)
        this.health.degrade(`its ${name} is '${value}', and only '${good}' keeps what it was given`);
    }
  }

  private use(): Opened {
    if (this.closing !== undefined) throw this.health.unavailable('it is closed');
    if (this.opened === undefined) throw this.health.unavailable('it is not open');
    return this.opened;
  }
}

/** The fields of the groups that are read, each once. */
function groupsOf(consumptions: Iterable<RedisConsumption>): readonly string[] {
  const fields = [...consumptions].flatMap(({ source }) =>
    source.kind === 'group' ? [groupField(source.group, source.pattern)] : [],
  );
  return [...new Set(fields)];
}

/** The tables, and the streams of a node's inbox. */
function nodeKeys(keys: Keys, { name }: NodeIdentity): readonly string[] {
  return [...keys.tables, ...keys.inboxes(name)];
}

function checkWindows(windows: PerLane): void {
  const isWindow = (size: unknown): boolean =>
    Number.isInteger(size) && Number(size) >= 1 && Number(size) <= WINDOW_MAX;
  if (!Array.isArray(windows) || windows.length !== 6 || !windows.every(isWindow))
    throw invalidOption('windows', `six whole numbers from 1 to ${WINDOW_MAX}`, windows);
}
