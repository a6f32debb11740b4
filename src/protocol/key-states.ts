/**
 * Where the states of keyed agents are kept between their actors: a port. Whoever writes says by which epoch it owns the key, and the store takes
 * nothing from an owner that another one has followed. That is what holds when a process stands still for so long that it misses the
 * loss of its shard: no broker can stop it.
 */

/** States by id, each with the epoch of its present owner. */
export interface KeyStates {
  /**
   * Takes an id for the owner of this epoch, in one step: `stale` where an owner of a greater epoch has taken it, else what was saved
   * last, if anything was. The same owner may take it again.
   */
  activate(id: string, epoch: number): Promise<{ readonly json: string | undefined } | 'stale'>;
  /** Keeps a state in the place of the one before, in one step: `stale` where this is not the epoch that has taken the id last. Resolves when it is safe. */
  save(id: string, epoch: number, json: string): Promise<'saved' | 'stale'>;
}
