/** Starting actors on other nodes, as users write it: types only. */

import type { Spawnable } from './child-spec.ts';
import type { Schema } from './schema.ts';

/**
 * An agent, or a pool of one, that other nodes may start on this one. An agent alone is known by the name of its protocol, and takes no arguments
 * from other nodes.
 */
export type PlaceableAgent =
  | Spawnable
  | {
      readonly agent: Spawnable;
      /** By which all nodes know it: the same on each. The name of its protocol unless said. */
      readonly name?: string | undefined;
      /**
       * What its arguments have to be when another node gives them: they are checked where they arrive. `type<T>({ trust: true })` takes them as they
       * are, which is only right where every process at the broker is trusted. Without a schema other nodes cannot give any.
       */
      readonly args?: Schema | undefined;
    };

/** How an actor is started on another node, and how long that is waited for. */
interface SpawnOnCall {
  /** Its name among its siblings there; a generated one unless said. */
  readonly name?: string | undefined;
  /** Milliseconds; 60,000 unless said. */
  readonly timeoutMs?: number | undefined;
  /** Ends the wait: what was started meanwhile is stopped. */
  readonly signal?: AbortSignal | undefined;
}

/** The options of `spawnOn` for an agent that needs no arguments. */
export interface SpawnOnOptions<Args = void> extends SpawnOnCall {
  readonly args?: Args | undefined;
}

/** The options of `spawnOn` for an agent that needs arguments. */
export interface SpawnOnOptionsWithArgs<Args> extends SpawnOnCall {
  /** They travel as JSON. */
  readonly args: Args;
}

/** The parameters of `spawnOn` after the agent: to be left out where its `state` takes no arguments, or optional ones. */
export type SpawnOnParameters<Args> = undefined extends Args
  ? [options?: SpawnOnOptions<Args>]
  : [options: SpawnOnOptionsWithArgs<Args>];
