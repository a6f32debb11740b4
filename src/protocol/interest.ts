/** What an inbox listens to: patterns, and how often each was asked for. */

/** The patterns of one inbox. @internal */
export class Interest {
  private readonly counts = new Map<string, number>();

  add(pattern: string): void {
    this.counts.set(pattern, (this.counts.get(pattern) ?? 0) + 1);
  }

  /** One `add` less; whether there was one. */
  remove(pattern: string): boolean {
    const count = this.counts.get(pattern);
    if (count === undefined) return false;
    if (count > 1) this.counts.set(pattern, count - 1);
    else this.counts.delete(pattern);
    return true;
  }

  has(pattern: string): boolean {
    return this.counts.has(pattern);
  }

  /** Each pattern once. */
  patterns(): Iterable<string> {
    return this.counts.keys();
  }
}
