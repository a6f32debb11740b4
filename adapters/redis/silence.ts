/** How long names have kept the same value before the eyes of this process. It knows no clock: whoever looks says how much time counts. */

interface Seen {
  readonly value: string;
  silentMs: number;
}

export class Silence {
  private readonly seen = new Map<string, Seen>();

  /** What is there now; whoever has the same value as at the last look was silent for `ms` more. */
  look(pairs: readonly (readonly [name: string, value: string])[], ms: number): void {
    const names = new Set(pairs.map(([name]) => name));
    for (const name of this.seen.keys()) if (!names.has(name)) this.seen.delete(name);
    for (const [name, value] of pairs) {
      const known = this.seen.get(name);
      if (known?.value === value) known.silentMs += ms;
      else this.seen.set(name, { value, silentMs: 0 });
    }
  }

  /** Milliseconds until the next of those that matter will have been silent for `ms`; undefined where all have been, or there is none. */
  nextWithin(ms: number, matters: (name: string, value: string) => boolean): number | undefined {
    const left = [...this.seen].flatMap(([name, { value, silentMs }]) =>
      silentMs < ms && matters(name, value) ? [ms - silentMs] : [],
    );
    return left.length === 0 ? undefined : Math.min(...left);
  }

  /** Those that were silent for at least `ms`, with their values. */
  silentFor(ms: number): readonly (readonly [name: string, value: string])[] {
    return [...this.seen].flatMap(([name, { value, silentMs }]) =>
      silentMs >= ms ? [[name, value] as const] : [],
    );
  }
}
