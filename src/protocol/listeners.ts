/** Who is told of changes: of a broker's state, of its members. */

/** The listeners of one thing. Whoever listens twice hears twice, and stops each alone. @internal */
export class Listeners<Change> {
  private readonly listeners = new Set<(change: Change) => void>();

  /** Tells `listener` of each change from now on, until the answer is called. */
  add(listener: (change: Change) => void): () => void {
    // A function of its own for each call: the same one may be there already.
    const own = (change: Change): void => listener(change);
    this.listeners.add(own);
    return () => {
      this.listeners.delete(own);
    };
  }

  /** Tells those who listen by now. Who throws has nobody to whom it could fail; the others hear it nevertheless. */
  tell(change: Change): void {
    const present = [...this.listeners]; // who comes meanwhile hears the next change
    for (const listener of present) {
      if (!this.listeners.has(listener)) continue; // one before it has stopped it
      try {
        listener(change);
      } catch {
        // As above.
      }
    }
  }

  /** Nobody is told any more. */
  clear(): void {
    this.listeners.clear();
  }
}
