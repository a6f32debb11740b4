/**
 * Who owns a shard, decided by a queue that RabbitMQ gives to one consumer at a time. In it is a token, a message with a number. Whoever is given
 * it publishes the next number into the same queue, which nobody else can get; the number that comes back is the epoch of its grant, and is
 * kept, unsettled, for as long as the shard is owned. When the owner's connection ends, RabbitMQ gives the token to the next consumer.
 *
 * There may be more than one token after a crash, and since whoever claims a shard adds one: there may be none. The highest counts,
 * and the others go. A token that was published is never granted to anybody but its publisher, so none is granted twice.
 */

/** A token, as it stands in the queue. */
export interface Token {
  readonly epoch: number;
  /** Whose it is. */
  readonly id: string;
}

/** A token that was given out, with the server's tag. */
export interface HeldToken extends Token {
  readonly tag: number;
}

/** What is to be done when a token has come. */
export interface TokenStep {
  /** Tokens that are to be settled: they go. */
  readonly drop: readonly HeldToken[];
  /** A token that is to be published. */
  readonly raise?: Token;
  /** The shard is owned from now on. */
  readonly granted?: number;
}

/** Above that, an epoch is none: somebody has forged it, and there must be room for those after it. */
const EPOCH_MAX = 2 ** 52;
/** Bytes of a token. */
const TOKEN_BYTES_MAX = 1_024;

/** A token as bytes. */
export function encodedToken({ epoch, id }: Token): Buffer {
  return Buffer.from(JSON.stringify({ epoch, id }));
}

/** What bytes say; undefined if it is no token. */
export function decodedToken(bytes: Buffer): Token | undefined {
  if (bytes.byteLength > TOKEN_BYTES_MAX) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || !('epoch' in value) || !('id' in value))
    return undefined;
  const { epoch, id } = value;
  if (typeof epoch !== 'number' || !Number.isSafeInteger(epoch) || epoch < 0 || epoch > EPOCH_MAX)
    return undefined;
  return typeof id === 'string' ? { epoch, id } : undefined;
}

/** The tokens of one shard that one consumer was given. */
export class ShardToken {
  private readonly nextId: () => string;
  private top: HeldToken | undefined;
  /** What was published last, to come back. */
  private awaited: Token | undefined;
  private isOwner = false;

  constructor(nextId: () => string) {
    this.nextId = nextId;
  }

  /** The token that is kept. */
  get held(): HeldToken | undefined {
    return this.top;
  }

  /** A token has come. */
  received(token: HeldToken): TokenStep {
    const isAwaited = token.id === this.awaited?.id;
    if (this.isOwner) return this.receivedAsOwner(token, isAwaited);
    const dropped = this.keepHigher(token);
    // Nothing as high came before it, or something higher would be awaited by now.
    if (isAwaited) {
      this.isOwner = true;
      this.awaited = undefined;
      return { drop: dropped, granted: token.epoch };
    }
    // What is on its way is beaten, or nothing is. One that is as high may have been granted to whoever was here before.
    if (this.awaited === undefined || (this.top?.epoch ?? 0) >= this.awaited.epoch)
      return this.raised(dropped);
    return { drop: dropped };
  }

  /** What was published did not arrive, or may not have: publishes again, unless something else has happened. */
  again(id: string): TokenStep {
    return !this.isOwner && this.awaited?.id === id ? this.raised([]) : { drop: [] };
  }

  /** A copy of the token that is owned, to be kept instead of it: RabbitMQ wants to see messages settled after a time. */
  renew(): Token | undefined {
    if (!this.isOwner || this.top === undefined) return undefined;
    this.awaited = { epoch: this.top.epoch, id: this.nextId() };
    return this.awaited;
  }

  private receivedAsOwner(token: HeldToken, isAwaited: boolean): TokenStep {
    const { top } = this;
    // Somebody who claims the shard has made it, or would have been granted it, and was never given it.
    if (!isAwaited || top === undefined) return { drop: [token] };
    this.top = token;
    this.awaited = undefined;
    return { drop: [top] };
  }

  private keepHigher(token: HeldToken): HeldToken[] {
    const { top } = this;
    const isHigher = top === undefined || token.epoch > top.epoch;
    if (isHigher) this.top = token;
    const lower = isHigher ? top : token;
    return lower === undefined ? [] : [lower];
  }

  private raised(drop: readonly HeldToken[]): TokenStep {
    this.awaited = { epoch: (this.top?.epoch ?? 0) + 1, id: this.nextId() };
    return { drop, raise: this.awaited };
  }
}
