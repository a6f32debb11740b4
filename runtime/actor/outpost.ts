/** An actor on another node that works for one of this node, as the latter sees it: types only. */

import type { Spawnable } from '../../src/protocol/child-spec.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import type { TurnContext } from './context.ts';
import type { EndElsewhere } from './watch.ts';

/**
 * How a job that was sent away ended. `absent`: whoever was to do it was not there, and nobody has begun. `lost`: its node is lost, and nobody knows.
 * `failed`: in any other way, which its error says.
 */
export interface JobEnd {
  readonly outcome: 'handled' | 'cancelled' | 'rejected' | 'failed' | 'absent' | 'lost';
  readonly error: unknown;
}

/** Who hears of a job. */
export interface JobEnds {
  /** Of an ask: the reply, before or after the end of its turn. */
  replied(value: unknown): void;
  /** Of an ask: why there is none. */
  refused(error: unknown): void;
  /** Its turn is over, or there was none. Told once. */
  ended(end: JobEnd): void;
}

/** A job that was sent away. */
export interface Errand {
  /** It is not wanted any more; its end is told as any other. */
  cancel(): void;
}

/** One actor elsewhere. */
export interface Outpost {
  readonly address: string;
  /** Hears of its end, once. False: its node is gone already. Throws `ERR_WATCHES_FULL`, and tells it to end then. */
  watch(heard: (end: EndElsewhere) => void): boolean;
  /** Sends it a message, in the turn that waits for its end. Throws what cannot travel. */
  send(job: Envelope, turn: TurnContext, ends: JobEnds): Errand;
  /** Tells it to end, unless it has. */
  stop(): void;
}

/** How an outpost is to be. */
export interface OutpostOptions {
  readonly args: unknown;
  /** `restart`, `shutdownMs` and `backoff`, where they are said. */
  readonly policy: Readonly<Record<string, unknown>>;
  /** Ends the wait for its start. */
  readonly signal: AbortSignal;
}

/** The other nodes, as places for outposts. */
export interface Outposts {
  /** The name of this node. */
  readonly here: string;
  /** The nodes that live and can start an agent, in the order of their names, this one included. */
  nodesFor(agent: Spawnable): readonly string[];
  /** Hears whenever they may have changed; answers how not to any more. */
  onChange(listener: () => void): () => void;
  /** Starts an actor that ends with the life of this node. Rejects as `spawnOn` does. */
  open(node: string, agent: Spawnable, options: OutpostOptions): Promise<Outpost>;
  /** An id that no other message has. */
  nextId(): string;
}
