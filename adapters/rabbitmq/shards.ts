/** Who owns which shard: the claims of this node, which stand on every session of its consuming connection. */

import type { Channel } from 'amqplib';
import type { Consumption, NodeIdentity } from '../../src/protocol/broker.ts';
import { checkShard } from '../../src/protocol/broker-options.ts';
import type { Host, TimerHandle } from '../../src/protocol/clock.ts';
import { settledWithin } from '../../src/protocol/deadline.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import type { Shard, ShardClaim, Sharding, ShardOwner } from '../../src/protocol/sharding.ts';
import type { Connection, Session } from './connection.ts';
import type { Consumer } from './consumer.ts';
import type { Send } from './members.ts';
import { refusalOf, unavailable } from './refusal.ts';
import type { RabbitmqSettings } from './settings.ts';
import { Claim, PREFETCH } from './shard-claim.ts';
import type { Topology } from './topology.ts';

/** Claims that take their stand at once, each on a channel of its own. */
const STANDING_UP_MAX = 8;
/** Milliseconds for which a token is kept unsettled: RabbitMQ closes the channel of one that is kept for half an hour, or less if so configured. */
const TOKEN_KEPT_MS = 300_000;

/** What shards are opened with. */
export interface ShardsParts {
  readonly host: Host;
  readonly settings: RabbitmqSettings;
  readonly topology: Topology;
  readonly node: NodeIdentity;
  readonly consuming: Connection;
  readonly publishing: Connection;
  readonly send: Send;
}

/** The sharding of a broker. */
export class Shards implements Sharding {
  private readonly settings: RabbitmqSettings;
  private readonly claims = new Map<string, Claim>();
  private parts: ShardsParts | undefined;
  private tokens: { readonly session: Session; readonly channel: Channel } | undefined;
  private renewal: TimerHandle | undefined;
  private tokensMade = 0;

  constructor(settings: RabbitmqSettings) {
    this.settings = settings;
  }

  async claim(given: Shard, owner: ShardOwner): Promise<ShardClaim> {
    const shard = checkShard(given);
    const { parts } = this;
    if (parts === undefined) throw unavailable(this.settings, 'it is not open');
    const id = idOf(shard);
    if (this.claims.has(id))
      throw invalidOption('shard', 'one that this node does not claim yet', `${shard.group} ${shard.shard}`);
    const claim = new Claim({
      host: parts.host,
      settings: this.settings,
      topology: parts.topology,
      shard,
      owner,
      send: parts.send,
      nextTokenId: () => `${parts.node.incarnation}-${(++this.tokensMade).toString(36)}`,
    });
    this.claims.set(id, claim);
    const release = async (): Promise<void> => {
      await claim.release();
      if (this.claims.get(id) === claim) this.claims.delete(id);
    };
    try {
      await parts.consuming.use((session) => this.stand(claim, session));
      await parts.publishing.use(() => claim.seed());
    } catch (error) {
      // It does not reject, and takes back what may come into force later.
      void release();
      throw error;
    }
    return { release };
  }

  /** Reads a shard that this node owns, for as long as it does. */
  async read(shard: Shard, made: () => Consumer): Promise<Consumption> {
    const claim = this.claims.get(idOf(shard));
    const grant = claim?.grant;
    if (claim === undefined || grant === undefined) throw notOwned(shard);
    if (grant.reader !== undefined)
      throw invalidOption(
        'source',
        'a shard that this node does not read yet',
        `${shard.group} ${shard.shard}`,
      );
    const { settings } = this;
    const late = (): never => {
      throw unavailable(settings, 'it did not answer in time');
    };
    const reader = made();
    grant.reader = reader;
    try {
      const { clock } = this.opened().host;
      await settledWithin(clock, settings.connectTimeoutMs, reader.attach(grant.session), late);
      if (claim.grant === grant) return reader;
    } catch (error) {
      if (claim.grant === grant) {
        void reader.stop(); // it does not reject
        throw refusalOf(error, settings);
      }
    }
    void reader.stop(); // as above
    throw notOwned(shard);
  }

  /** Whether anything is owned, so that it must be known in time when that ends. */
  get isOwner(): boolean {
    for (const claim of this.claims.values()) if (claim.grant !== undefined) return true;
    return false;
  }

  /** Called when a reader has stopped. */
  forget(reader: Consumer): void {
    for (const { grant } of this.claims.values()) if (grant?.reader === reader) grant.reader = undefined;
  }

  /** Begins, for `attach`. */
  begin(parts: ShardsParts): void {
    this.parts = parts;
  }

  /** Makes what claims need of a session. Those that stand take their stand on it without being waited for. */
  async attach(session: Session): Promise<void> {
    const channel = session.watch(await session.model.createChannel());
    await channel.prefetch(PREFETCH);
    this.tokens = { session, channel };
    const waiting = [...this.claims.values()];
    const next = async (): Promise<void> => {
      for (let claim = waiting.shift(); claim !== undefined; claim = waiting.shift()) {
        await claim.attach(session, channel);
        void claim.seedOn(session); // it does not reject
      }
    };
    for (let lane = 0; lane < STANDING_UP_MAX; lane++) next().catch((error: unknown) => session.fail(error));
  }

  /** Keeps what is claimed from becoming old. */
  renewSoon(): void {
    const { parts, settings } = this;
    if (parts === undefined) return;
    this.renewal = parts.host.clock.setTimer(Math.min(settings.expiresMs / 3, TOKEN_KEPT_MS), () => {
      this.renewSoon();
      const { session } = parts.consuming;
      if (session !== undefined) this.renew(session).catch((error: unknown) => session.fail(error));
    });
  }

  /** Gives up all that is claimed. Never rejects. */
  async close(): Promise<void> {
    if (this.renewal !== undefined) this.parts?.host.clock.clearTimer(this.renewal);
    this.parts = undefined;
    await Promise.all([...this.claims.values()].map((claim) => claim.release()));
    this.claims.clear();
  }

  private async stand(claim: Claim, session: Session): Promise<void> {
    const { tokens } = this;
    // A session has its channel for tokens before anybody hears of it.
    if (tokens?.session !== session) throw unavailable(this.settings, 'there is no connection');
    await claim.attach(session, tokens.channel);
  }

  private async renew(session: Session): Promise<void> {
    for (const claim of this.claims.values()) await claim.renew(session);
  }

  private opened(): ShardsParts {
    if (this.parts === undefined) throw unavailable(this.settings, 'it is not open');
    return this.parts;
  }
}

function idOf({ group, shard }: Shard): string {
  return `${group}.${shard}`;
}

function notOwned({ group, shard }: Shard): TroupeError<'ERR_SHARD_NOT_OWNED'> {
  return new TroupeError('ERR_SHARD_NOT_OWNED', { group, shard });
}
