/** Nodes of a system, as its users see them: types only. */

/** A node that lives. */
export interface NodeView {
  readonly name: string;
  /** Tells this life of the node from all others. */
  readonly incarnation: string;
  /** It is this process. */
  readonly isSelf: boolean;
  /** It is being shut down, and takes no new messages. */
  readonly isLeaving: boolean;
  /** The names of the agents that it can be told to start; see `System.spawnOn`. */
  readonly agents: readonly string[];
}
