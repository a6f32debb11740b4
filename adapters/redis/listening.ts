/** The patterns that a node listens to, counted. It tells nobody: whoever changes it learns whether the server has to hear of it. */

interface Wanted {
  count: number;
  /** Settles when the server knows of it. */
  effective: Promise<void>;
}

export class Listening {
  private readonly wanted = new Map<string, Wanted>();

  get patterns(): readonly string[] {
    return [...this.wanted.keys()];
  }

  /** One more; `tell` is called for the first. Resolves when the server knows; when that fails, all that waited for it are taken back. */
  add(pattern: string, tell: () => Promise<void>): Promise<void> {
    const known = this.wanted.get(pattern);
    if (known !== undefined) {
      known.count++;
      return known.effective;
    }
    const wanted: Wanted = { count: 1, effective: Promise.resolve() };
    this.wanted.set(pattern, wanted);
    wanted.effective = tell().catch((error: unknown) => {
      if (this.wanted.get(pattern) === wanted) this.wanted.delete(pattern);
      throw error;
    });
    return wanted.effective;
  }

  /** One less; whether it was the last. */
  remove(pattern: string): boolean {
    const wanted = this.wanted.get(pattern);
    if (wanted === undefined) return false;
    wanted.count--;
    if (wanted.count > 0) return false;
    this.wanted.delete(pattern);
    return true;
  }
}
