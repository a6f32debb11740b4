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
import { type BrokerSettings, brokerSettings, checkWindows } from '../../src/protocol/broker-options.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { FRAME_BYTES_MAX, REDIS_KEPT_MS, SHARD_CLAIM_AGAIN_MS } from '../../src/protocol/limits.ts';
import type { Membership } from '../../src/protocol/membership.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import type { Shard, ShardClaim, Sharding, ShardOwner } from '../../src/protocol/sharding.ts';
import { Claims } from './claims.ts';
import { type Connect, type Connection, listIn, textIn } from './client.ts';
import { type Attachment, RedisConsumption } from './consumption.ts';
import { type EnteringState, enterUnder } from './entering.ts';
import { Health } from './health.ts';
import { Heartbeat } from './heartbeat.ts';
import { Interests } from './interests.ts';
import { groupField, Keys, nodeField, READERS, shardField } from './keys.ts';
import { leave } from './leaving.ts';
import { fenceOf, Link, type Session } from './link.ts';
import { Listening } from './listening.ts';
import { Members } from './members.ts';
import { Publisher } from './publish.ts';
import { Reader } from './reader.ts';
import { ABOUTS } from './scripts.ts';
import { type RedisTls, serverAt } from './server.ts';
import { ShardKeeping } from './shard-keeping.ts';
import type { Lease } from './stream.ts';
import { Telling } from './telling.ts';

/** Options of a Redis broker. */
export interface RedisOptions extends BrokerOptions {
  readonly tls?: RedisTls | undefined;
}

/** Milliseconds that a read waits at the server at the most. */
const BLOCK_MAX_MS = 5_000;

/**
 * A broker on the Redis at this URL: `redis://user:password@host:port/database`, or `rediss://` with TLS. Throws `ERR_OPTION_INVALID`.
 * Works with Redis 6.2 and newer; needs `ioredis`.
 */
export function redis(url: string, options?: RedisOptions): Broker {
  const { settings, own } = brokerSettings('redis', options, ['tls']);
  const { connect, shown } = serverAt(url, own['tls']);
  return new RedisBroker(connect, shown, settings);
}

/** What there is from `open` on. */
interface Opened {
  readonly node: NodeIdentity;
  readonly host: Host;
  readonly link: Link;
  readonly publisher: Publisher;
  readonly telling: Telling;
  readonly claims: Claims;
}

class RedisBroker implements Broker {
  readonly kind = 'redis';
  readonly url: string;
  readonly capabilities: BrokerCapabilities;
  readonly members: Membership;
  readonly shards: Sharding;
  private readonly seen: Members;
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
      downMs: settings.downAfterMs + 2 * settings.heartbeatMs,
      grantMs: 4 * SHARD_CLAIM_AGAIN_MS,
      leavesNothing: true,
    });
    const seen = new Members(() => this.describe());
    this.seen = seen;
    this.members = {
      view: () => seen.view(),
      onChange: (listener) => seen.onChange(listener),
      describe: async (about) => {
        this.use();
        await seen.describe(about);
      },
    };
    this.shards = { claim: (shard, owner) => this.claim(shard, owner) };
  }

  async open(node: NodeIdentity, host: Host): Promise<void> {
    const { settings, keys, keptMs, health, listening, connect, url } = this;
    if (this.closing !== undefined) throw health.unavailable('it is closed');
    if (this.opened !== undefined) throw health.unavailable('it was opened before, and is opened once');
    const claims = this.newClaims(node, host, () => link);
    this.seen.onChange(({ kind }) => {
      if (kind === 'down' || kind === 'left') claims.ask(); // what it owned may be had
    });
    const entering = { node, host, settings, keys: nodeKeys(keys, node), keptMs };
    // What a new session goes on from.
    let last = { session: 0, life: 0 };
    const state = (): EnteringState => {
      const { about, aboutNumber } = this.seen;
      return { ...last, about, aboutNumber, patterns: listening.patterns };
    };
    const link = new Link({
      connect,
      shown: url,
      settings,
      host,
      enter: async (writer, signal) => {
        const {
          session: number,
          life,
          isForgotten,
          sentMs,
        } = await enterUnder({ ...entering, state }, writer, signal);
        last = { session: number, life };
        claims.entered(life, sentMs, isForgotten);
        return { number, life };
      },
      restore: (session) => this.restore(opened, session),
      up: (session) => {
        health.up();
        claims.begin();
        void this.warn(session); // it never rejects
      },
      lost: () => {
        claims.pause();
        this.lost();
      },
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
      claims,
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
    const { host, link, node, telling, claims } = this.use();
    checkWindows(windows);
    const lease = source.kind === 'shard' ? leaseOf(source, claims) : undefined;
    if (source.kind !== 'group' && this.readingOf(source) !== undefined)
      throw invalidOption(
        'source',
        'something else, since an inbox or a shard is read once and this is being read',
        source.kind,
      );
    const { settings, keys, health } = this;
    const ports = {
      host,
      settings,
      keys,
      attachment: () => this.attachment,
      ended: (ended: RedisConsumption) => this.consumptions.delete(ended),
      threw: (error: unknown) => health.degrade(error instanceof Error ? error.message : 'receive threw'),
      drop: (session: Session, cause: Error) => link.drop(session, cause),
      unavailable: (problem: string) => health.unavailable(problem),
    };
    const streams = keys.streamsOf(source, node.name);
    const consumption = new RedisConsumption(ports, source, { streams, windows, receive, lease });
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
    const { opened, keys, settings } = this;
    await Promise.all([...this.consumptions].map((consumption) => consumption.stop()));
    opened?.claims.close();
    await opened?.link.close((session) => leave({ node: opened.node, keys, settings }, session));
    this.health.end();
  }

  // --- members and shards -----------------------------------------------------------------------------------------

  private async describe(): Promise<void> {
    const { node, telling } = this.use();
    const { about, aboutNumber } = this.seen;
    this.seen.told(node, await telling.describe(aboutNumber, about), aboutNumber);
  }

  private async claim(shard: Shard, owner: ShardOwner): Promise<ShardClaim> {
    return this.use().claims.claim(shard, owner);
  }

  private newClaims(node: NodeIdentity, host: Host, link: () => Link): Claims {
    const { settings, keys, keptMs, health } = this;
    const reading = (field: string): RedisConsumption | undefined =>
      [...this.consumptions].find(({ lease }) => lease?.field === field);
    return new Claims({
      host,
      settings,
      node,
      keys,
      keptMs,
      session: () => link().session,
      drop: (session, cause) => link().drop(session, cause),
      stop: async (field) => reading(field)?.stop(),
      lost: (field) => reading(field)?.abandon(),
      kept: (field) => this.attachment?.reader.add(reading(field)?.outlets ?? []),
      threw: (error) => health.degrade(error instanceof Error ? error.message : 'an owner threw'),
      unavailable: (problem) => health.unavailable(problem),
    });
  }

  private readingOf(source: Source): RedisConsumption | undefined {
    const name = (one: Source): string => (one.kind === 'shard' ? shardField(one) : one.kind);
    return [...this.consumptions].find((other) => name(other.source) === name(source));
  }

  /** What the table of nodes says, and what nodes say that had not been heard. */
  private async look(writer: Connection, rows: ReadonlyMap<string, string>): Promise<void> {
    const { seen, keys, settings } = this;
    const names = seen.unheard(rows);
    const texts =
      names.length === 0 ? [] : await writer.run(settings.publishTimeoutMs, ABOUTS, [keys.about], names);
    seen.look(rows, new Map(names.map((name, n) => [name, textIn(listIn(texts)[n])])));
  }

  // --- session ----------------------------------------------------------------------------------------------------

  private async restore({ node, host, link, telling, claims }: Opened, session: Session): Promise<void> {
    const { settings, keys, keptMs, health } = this;
    // A group that is joined while this goes on is told of once the session is up, and read then.
    const known = new Set(this.consumptions);
    for (const field of groupsOf(known)) await telling.tellIn(session, field, true);
    const fence = fenceOf(node, session);
    const failed = (error: Error): void => link.drop(session, error);
    const consumer = `${node.name}.${node.incarnation}.${session.number}`;
    const reader = new Reader({
      session,
      host,
      fence,
      consumer,
      keys,
      timeoutMs: settings.publishTimeoutMs,
      // One that nobody hears any more is over before others can own what it reads.
      blockMs: Math.min(BLOCK_MAX_MS, settings.downAfterMs - settings.heartbeatMs),
      check: () => claims.check(),
      failed,
    });
    // Shards follow once they are confirmed.
    for (const each of this.consumptions)
      if (each.source.kind === 'inbox' || (each.source.kind === 'group' && known.has(each)))
        reader.add(each.outlets);
    this.attachment = { session, reader, consumer };
    const keeping = new ShardKeeping({ settings, session, keys, keptMs, owned: () => claims.owned });
    const heartbeat = new Heartbeat({
      host,
      settings,
      session,
      fence,
      keys,
      keptMs,
      groups: () => groupsOf(this.consumptions),
      signed: (sentMs) => claims.signed(sentMs),
      look: (rows) => this.look(session.writer, rows),
      isOver: (name, value) => this.seen.isOver(name, value),
      keep: (ms) => keeping.pass(ms),
      beaten: () => {
        health.well();
        reader.lookOver().catch(failed);
      },
      refused: ({ message }) => health.degrade(message),
      failed,
    });
    this.heartbeat = heartbeat;
    await heartbeat.begin();
    // After it has heard who lives: others may send to this life of the node as soon as the server has it.
    reader.run().catch(failed);
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

/** Throws `ERR_SHARD_NOT_OWNED`. */
function leaseOf(shard: Shard, claims: Claims): Lease {
  const lease = claims.leaseOf(shard);
  if (lease === undefined)
    throw new TroupeError('ERR_SHARD_NOT_OWNED', { group: shard.group, shard: shard.shard });
  return lease;
}
