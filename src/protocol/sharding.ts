/**
 * The part of the broker port that gives each shard of a group one owner at a time. Where a shard should be is decided above: a node claims what it
 * ought to own and releases what it ought not to. The broker decides who owns it. An adapter may lack this part.
 *
 * - **One owner.** A claim is granted when nobody else owns the shard; of several claims one is. `lost` is called before somebody else is
 *   granted, as long as this process runs and its clock goes: a process that stood still learns of it when it goes on, so that whatever
 *   is written elsewhere must be refused there by the epoch.
 * - **Epochs** of a shard are whole numbers that increase with every grant, whoever gets it.
 * - **In time.** What is released is granted to another claim within `capabilities.grantMs`; what a killed node owned within `capabilities.takeoverMs`.
 * - **Frames.** A shard is a destination and a source, with its own bounds. It exists from its first claim on, and keeps what it holds without an
 *   owner for `expiresMs`. Only its owner reads it: `consume` rejects with `ERR_SHARD_NOT_OWNED` for anybody else, and what was given to an owner that
 *   has lost it comes to the next one, before anything newer, whatever the earlier one settles.
 */

/** A part of a group, as claims, destinations and sources name it. */
export interface Shard {
  /** `checkGroupName` has passed it. */
  readonly group: string;
  /** From 0 on; below `shards`. */
  readonly shard: number;
  /** How many shards the group has: the same for all nodes, and for the life of the group. 1 to 1,024. */
  readonly shards: number;
}

/** Who claims a shard. Neither function may throw. */
export interface ShardOwner {
  /** It is the owner. */
  granted(epoch: number): void;
  /** It is not, or may not be. The claim stands: it may be granted again. */
  lost(): void;
}

/** A claim that stands. */
export interface ShardClaim {
  /**
   * Ends it. Resolves when another can be granted, or when the broker could not be told: then it is by the end of this node's life. Call it when
   * nothing of the shard is under way. `lost` is not called.
   */
  release(): Promise<void>;
}

/** Who owns what. */
export interface Sharding {
  /** Claims a shard until `release`; a node claims each once. Resolves when the shard exists. Rejects as `consume` does. */
  claim(shard: Shard, owner: ShardOwner): Promise<ShardClaim>;
}
