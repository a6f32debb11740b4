/**
 * The part of the broker port that tells which nodes live. It comes from what the broker itself knows (a heartbeat that is seen or not
 * seen, a connection that is gone, a group's members), never from a vote among nodes. An adapter may lack it.
 *
 * - **Complete.** When `open` has resolved, the view holds this node and all that were open before. One that comes later is `up` within `heartbeatMs`
 *   and a round trip; one that closes is `left` within the same time; one that was killed is `down` within `capabilities.downMs`.
 * - **Final.** An incarnation that was told as `down` or `left` is never up again. A node that others took for dead, since it was paused
 *   or cut off, and that comes back, is another one: its incarnation has `.2` behind it, then `.3`, and everybody hears the same
 *   name. It hears of its own end as the others do: `down` of what it was, then `up` of what it is.
 * - **An outage is nobody's death.** While a node is not connected, or does not see its own signs of life, its view stays as it is.
 */

/** One life of one process. */
export interface NodeIdentity {
  /** Unique among the living; `checkNodeName` has passed it. */
  readonly name: string;
  /** 1 to 32 characters of `[a-z0-9]`, unlike that of every other life of any node. */
  readonly incarnation: string;
}

/** A text that no other life has: neither names nor incarnations have a space. @internal */
export function lifeKey({ name, incarnation }: NodeIdentity): string {
  return `${name} ${incarnation}`;
}

/** Bytes of UTF-8 that a node may say of itself. */
export const ABOUT_BYTES_MAX = 8_192;

/** A node that lives, as others know it. */
export interface Member extends NodeIdentity {
  /** What it says of itself; empty until it has. */
  readonly about: string;
}

/** `up`: it has come. `changed`: it says something else of itself. `down`: it was lost. `left`: it was closed. */
export interface MemberChange {
  readonly kind: 'up' | 'changed' | 'down' | 'left';
  /** As it is now; as it was last, where it is gone. */
  readonly member: Member;
}

/** Who lives, as one node sees it; from `open` on. */
export interface Membership {
  /** All that live, this node among them, in no order. The same array until something changes. */
  view(): readonly Member[];
  /** Tells of each change from now on, when the view has it already, until the function it returns is called. */
  onChange(listener: (change: MemberChange) => void): () => void;
  /**
   * Says something of this node, instead of what it said before. Resolves when the broker has it. Rejects with `ERR_OPTION_INVALID` for
   * more than `ABOUT_BYTES_MAX`, with `ERR_BROKER_UNAVAILABLE` when it could not be told in time: it is told with the next connection.
   */
  describe(about: string): Promise<void>;
}
