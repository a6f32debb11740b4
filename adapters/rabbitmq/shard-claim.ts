/**
 * One claim of a shard by this node: it stands from session to session, and holds the token of the shard on those on which it is given it. A grant
 * ends with its session, and with it whatever reads the shard.
 */

import type { Channel, ConsumeMessage } from 'amqplib';
import type { PublishResult } from '../../src/protocol/broker.ts';
import type { Host } from '../../src/protocol/clock.ts';
import { pause, settledWithin } from '../../src/protocol/deadline.ts';
import type { Shard, ShardOwner } from '../../src/protocol/sharding.ts';
import type { Session } from './connection.ts';
import type { Consumer } from './consumer.ts';
import type { Send } from './members.ts';
import { unavailable } from './refusal.ts';
import type { RabbitmqSettings } from './settings.ts';
import { decodedToken, encodedToken, ShardToken, type Token, type TokenStep } from './shard-token.ts';
import type { Topology } from './topology.ts';

/** Milliseconds until a token that was not taken is published again. */
const AGAIN_MS = 100;

/** What a claim is made with. */
export interface ClaimParts {
  readonly host: Host;
  readonly settings: RabbitmqSettings;
  readonly topology: Topology;
  readonly shard: Shard;
  readonly owner: ShardOwner;
  readonly send: Send;
  /** Names a token as no other. */
  readonly nextTokenId: () => string;
}

/** A time for which the shard is owned. */
export interface Grant {
  readonly epoch: number;
  readonly session: Session;
  /** Who reads the shard. */
  reader: Consumer | undefined;
}

/** A claim on the session there is. */
interface Standing {
  readonly session: Session;
  readonly channel: Channel;
  readonly token: ShardToken;
  readonly consumerTag: string;
}

/** The claim. */
export class Claim {
  private readonly parts: ClaimParts;
  /** Aborted when it is released, with what is under way for it. */
  private readonly releasing = new AbortController();
  private standing: Standing | undefined;
  private attaching: { readonly session: Session; readonly attached: Promise<void> } | undefined;
  private granted: Grant | undefined;

  constructor(parts: ClaimParts) {
    this.parts = parts;
  }

  /** The grant there is, once the owner knows of it. */
  get grant(): Grant | undefined {
    return this.granted;
  }

  /** Stands on a session, with the channel for tokens. Resolves when the shard exists; again at once. */
  attach(session: Session, channel: Channel): Promise<void> {
    if (this.attaching?.session !== session)
      this.attaching = { session, attached: this.stand(session, channel) };
    return this.attaching.attached;
  }

  /** Puts a token where there may be none. Rejects when that is not possible now. */
  async seed(): Promise<void> {
    const { host, nextTokenId, settings } = this.parts;
    // Above all that were there before, should the queue have been away: those were made earlier, and have grown by one a time.
    const first: Token = { epoch: Math.max(0, Math.floor(host.clock.wallNow())), id: nextTokenId() };
    const result = await this.publish(first);
    // A queue that is full has tokens.
    if (result !== 'ok' && result !== 'full')
      throw unavailable(settings, `a token was not taken (${result})`);
  }

  /** As `seed`, until it is done or the session has ended. */
  async seedOn({ over }: Session): Promise<void> {
    const { host, settings } = this.parts;
    while (!over.aborted && !this.releasing.signal.aborted) {
      try {
        await this.seed();
        return;
      } catch {
        // The publishing connection is away, or takes nothing: it tells of that itself.
        await pause(host.clock, settings.reconnect.maxMs, this.releasing.signal);
      }
    }
  }

  /** Declares the queues again unless they are read, and settles the token there was for a new one: neither is to become old. */
  async renew(session: Session): Promise<void> {
    const { topology, shard } = this.parts;
    const { standing, granted } = this;
    if (standing?.session !== session) return;
    if (granted?.reader === undefined)
      await session.onChannel((channel) => topology.declareShard(channel, shard));
    const renewed = standing.token.renew();
    // If it is not taken, there is a next time.
    if (renewed !== undefined && this.standing === standing) await this.publish(renewed);
  }

  /** Gives the token back, and claims no more. Never rejects. */
  async release(): Promise<void> {
    if (this.releasing.signal.aborted) return;
    const { host, settings } = this.parts;
    this.releasing.abort();
    const { granted } = this;
    this.granted = undefined;
    await granted?.reader?.stop();
    const leaving = this.leave().catch(() => undefined); // the session has ended, and the claim with it
    await settledWithin(host.clock, settings.publishTimeoutMs, leaving, () => undefined);
  }

  private async leave(): Promise<void> {
    // One that is just beginning to stand has to be waited for.
    await this.attaching?.attached;
    const { standing } = this;
    if (standing === undefined) return;
    const { channel, consumerTag, token } = standing;
    // First, or it would come back here.
    await channel.cancel(consumerTag);
    this.standing = undefined;
    if (token.held !== undefined) channel.nack(tagged(token.held.tag), false, true);
    // Its answer comes after the token has gone.
    await channel.prefetch(PREFETCH);
  }

  private async stand(session: Session, channel: Channel): Promise<void> {
    const { topology, shard, nextTokenId } = this.parts;
    await session.onChannel((own) => topology.declareShard(own, shard));
    const token = new ShardToken(nextTokenId);
    const arrived: ConsumeMessage[] = [];
    const take = (message: ConsumeMessage | null): void => {
      if (message === null) session.fail(new Error('the queue of a token was deleted'));
      else if (this.standing?.token === token) this.take(this.standing, message);
      else arrived.push(message);
    };
    const { consumerTag } = await channel.consume(topology.token(shard), take);
    session.over.throwIfAborted();
    const standing: Standing = { session, channel, token, consumerTag };
    this.standing = standing;
    session.onOver(() => this.lose(standing));
    for (const message of arrived) this.take(standing, message);
  }

  private take(standing: Standing, { content, fields }: ConsumeMessage): void {
    const { channel, token } = standing;
    const read = decodedToken(content);
    if (read === undefined) channel.ack(tagged(fields.deliveryTag));
    else this.follow(standing, token.received({ ...read, tag: fields.deliveryTag }));
  }

  private follow(standing: Standing, { drop, raise, granted }: TokenStep): void {
    if (this.standing !== standing) return;
    for (const { tag } of drop) standing.channel.ack(tagged(tag));
    if (raise !== undefined) void this.raise(standing, raise); // it does not reject
    if (granted !== undefined) this.own(standing, granted);
  }

  private async raise(standing: Standing, token: Token): Promise<void> {
    if (this.releasing.signal.aborted) return;
    const result = await this.publish(token);
    if (result === 'ok') return;
    if (result === 'unroutable') standing.session.fail(new Error('the queue of a token was deleted'));
    await pause(this.parts.host.clock, AGAIN_MS, this.releasing.signal);
    if (this.standing === standing) this.follow(standing, standing.token.again(token.id));
  }

  private own(standing: Standing, epoch: number): void {
    const { host, owner } = this.parts;
    // Not inside the driver's events, whose connection would die of what is thrown there.
    host.soon(() => {
      if (this.standing !== standing || this.releasing.signal.aborted) return;
      this.granted = { epoch, session: standing.session, reader: undefined };
      safely(() => owner.granted(epoch));
    });
  }

  private lose(standing: Standing): void {
    if (this.standing !== standing) return;
    this.standing = undefined;
    const { granted } = this;
    this.granted = undefined;
    if (granted === undefined) return;
    void granted.reader?.stop(); // it does not reject
    safely(() => this.parts.owner.lost());
  }

  private publish(token: Token): Promise<PublishResult> {
    const { send, topology, shard } = this.parts;
    return send('', topology.token(shard), encodedToken(token), true);
  }
}

/** Tokens that a consumer is given unsettled: the one it keeps, the one that beats it, and what is in between. */
export const PREFETCH = 4;

/** All that the driver reads of a message to settle it. */
function tagged(deliveryTag: number): ConsumeMessage {
  return { fields: { deliveryTag } } as ConsumeMessage; // see the line above
}

/** An owner may not throw. If it does, others must not miss what they are told. */
function safely(call: () => void): void {
  try {
    call();
  } catch {
    // Nobody is there to be told: whoever claims has promised it.
  }
}
