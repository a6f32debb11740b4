/** A process whose signals the test raises, and which only notes that it was told to end. */

import type { HostProcess } from '../../src/protocol/clock.ts';
import type { EndSignal } from '../../src/protocol/shutdown.ts';

export class FakeProcess implements HostProcess {
  /** Calls of `end` and of `exit`. */
  readonly ends: { readonly code: number; readonly withinMs: number }[] = [];
  readonly exits: number[] = [];
  private readonly listeners: { readonly signal: EndSignal; readonly listener: () => void }[] = [];

  /** Signals that somebody listens for. */
  get listening(): readonly EndSignal[] {
    return this.listeners.map(({ signal }) => signal);
  }

  onSignal(signal: EndSignal, listener: () => void): () => void {
    const entry = { signal, listener };
    this.listeners.push(entry);
    return () => {
      const place = this.listeners.indexOf(entry);
      if (place >= 0) this.listeners.splice(place, 1);
    };
  }

  end(code: number, withinMs: number): void {
    this.ends.push({ code, withinMs });
  }

  exit(code: number): void {
    this.exits.push(code);
  }

  raise(signal: EndSignal): void {
    for (const { listener } of this.listeners.filter((each) => each.signal === signal)) listener();
  }
}
