/** Keyed agents, as their users see them: types only. For each key there is one actor in the whole cluster, while it is needed. */

import type { AnyProtocol } from './protocol.ts';
import type { Ref } from './ref.ts';
import type { StateStore } from './state-store.ts';

/** What the `state` of a keyed agent gets. */
export interface KeyedArgs {
  /** The key that this actor is for. */
  readonly key: string;
}

/** The options of `system.keyed`. */
export interface KeyedOptions {
  /**
   * What all nodes know the agents by, and their states in a store: a letter, then letters, digits, `_` and `-`, 64 characters at most; the name of the
   * agent's protocol unless said.
   */
  readonly name?: string | undefined;
  /** Parts that the keys are spread over, and that nodes own: 1 to 1,024; 64 unless said. The same on all nodes, and for as long as there are messages. */
  readonly shards?: number | undefined;
  /** Whether this node takes its share of the keys; true unless said. With `false`, which needs a broker, it only sends to them. */
  readonly hosts?: boolean | undefined;
  /** Milliseconds without a message after which an actor is stopped until the next one; 300,000 unless said; `Infinity` for never. */
  readonly idleMs?: number | undefined;
  /** Actors that live on this node at once; 10,000 unless said. One more waits until one has ended. */
  readonly keysMax?: number | undefined;
  /**
   * Milliseconds for which the turns of a shard may go on when it moves to another node; 30,000 unless said. Then they are aborted, and
   * their messages come again there.
   */
  readonly handOffMs?: number | undefined;
  /**
   * `snapshot`: the state of each key outlives its actor. It is kept in `states` after every turn that has changed it, before the turn's message is
   * acknowledged and its reply leaves; the next actor goes on from there, and only the first one of a key runs the agent's `state`. It has to be
   * what JSON gives back as it was. Unless said, the state ends with its actor.
   */
  readonly persist?: 'snapshot' | undefined;
  /**
   * Where states are kept, with `persist`: the same place for all nodes, and for each a store object of its own, which the system opens and
   * closes.
   */
  readonly states?: StateStore | undefined;
}

/** One agent for each key. */
export interface Keyed<P extends AnyProtocol> {
  /** What all nodes know them by. */
  readonly name: string;
  readonly shards: number;
  /**
   * The actor of a key: 1 to 256 bytes of UTF-8. It is started by the first message, on the node that owns the key's shard. The ref stays good
   * wherever that is. Throws `ERR_OPTION_INVALID`.
   */
  forKey(key: string): Ref<P>;
}
