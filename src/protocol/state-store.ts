/**
 * The state store port: the last snapshot of each keyed agent, and the fence that keeps an owner of the past from writing over it. It is not
 * the store of messages (`store.ts`), and knows nothing of shards or turns: who owns a key is the broker's business, which gives each
 * owner an epoch. A broker cannot stop an owner that stood still and goes on; this store can, since every call says by which claim it is
 * made. Who gets `ERR_EPOCH_STALE` is the owner no more: it stops, and writes nothing again by that claim.
 *
 * - **One writer.** A key is held by the claim that was activated last. A claim is activated if its epoch is higher than any that the key
 *   has seen, or if it is the one that holds the key already: the same epoch of the same owner. Of two owners with one epoch the
 *   second is refused. Only the claim that holds the key saves or removes; whoever else tries changes nothing.
 * - **Atomic.** Comparing and writing are one step, among all processes that use the store. A snapshot is there whole or not at all, after
 *   an error and after a crash at any moment. Changes of one key take effect in the order of the calls of one store.
 * - **Durable** as far as `isDurable` says: a promise resolves when its change is as safe as the store makes things.
 * - **Nothing comes late.** A call that was rejected because its answer was missing may have taken place or not, and may be made again: it
 *   never takes effect after a later one of the same claim.
 * - **Nothing of the outside.** Keys are any text, and never part of a path or of another key's name; snapshots are bytes, given back as they
 *   were when `save` was called.
 * - **Bounded**: keys, snapshots, and calls that wait. Fences are kept for ever, also of what was removed: about 200 bytes and the key each.
 */

import type { Host } from './clock.ts';

/** Whose state it is. */
export interface StateKey {
  /** The kind of agent: a letter, then letters, digits, `_` and `-`, 128 characters at most. */
  readonly kind: string;
  /** Any well-formed text of 1 to 1,024 bytes in UTF-8. */
  readonly key: string;
}

/** By what right a call is made. */
export interface StateClaim {
  /** The number of the ownership: a whole number from 1, higher for each owner after the other. */
  readonly epoch: number;
  /** The one life of a node that owns, unlike every other: 1 to 200 visible ASCII characters. It uses one open store at a time. */
  readonly owner: string;
}

/**
 * A store of snapshots. Every method but `close` rejects with `ERR_STORE_CLOSED` unless it is open, with `ERR_OPTION_INVALID` for misuse,
 * with `ERR_STORE_BUSY` when as many calls wait as may, and with `ERR_STORE_FAILED` when the medium fails: then nothing was changed.
 * A store at a server rejects with `ERR_BROKER_UNAVAILABLE`, in bounded time, while there is none, and with `ERR_BROKER_DENIED` where it
 * is not let in.
 */
export interface StateStore extends AsyncDisposable {
  /** Whether what was acknowledged outlives the process. */
  readonly isDurable: boolean;

  /** Opens what the store needs, once. Rejects with `ERR_STORE_UNUSABLE`, `ERR_DRIVER_MISSING`, and as every method. */
  open(host: Host): Promise<void>;

  /**
   * Makes this claim the one that holds the key, and resolves with the last snapshot, or `undefined` without one. Rejects with
   * `ERR_EPOCH_STALE`; and with `ERR_SNAPSHOT_CORRUPT` when what was saved cannot be read whole: the claim holds the key all the same,
   * and the damaged bytes stay until it saves or removes.
   */
  activate(key: StateKey, claim: StateClaim): Promise<Uint8Array | undefined>;

  /** Replaces the snapshot. Rejects with `ERR_EPOCH_STALE` unless this claim holds the key, and with `ERR_SNAPSHOT_TOO_LARGE`. */
  save(key: StateKey, claim: StateClaim, snapshot: Uint8Array): Promise<void>;

  /** Takes the snapshot away and leaves the claim in place. Rejects with `ERR_EPOCH_STALE` unless this claim holds the key. */
  remove(key: StateKey, claim: StateClaim): Promise<void>;

  /** Lets the calls that wait come to their end, then frees what was opened. May be called again; every call resolves then. */
  close(): Promise<void>;
}

/** Options of every state store. */
export interface StateStoreOptions {
  /** Bytes of one snapshot: 1 MiB unless said. More is refused with `ERR_SNAPSHOT_TOO_LARGE`. */
  readonly snapshotBytesMax?: number | undefined;
}
