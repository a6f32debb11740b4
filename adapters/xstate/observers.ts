/** Those who look on: subscribers of snapshots and listeners to emitted events. What they throw is reported and hurts nobody. */

import type { AnyEventObject, Subscription } from 'xstate';

type Listener = (event: AnyEventObject) => void;

/** Somebody who looks on; any of its methods may be absent. */
export interface Observer<Value> {
  readonly next?: ((value: Value) => void) | undefined;
  readonly error?: ((error: unknown) => void) | undefined;
  readonly complete?: (() => void) | undefined;
}

/** An observer, given as one or as a function. */
export function toObserver<Value>(given: Observer<Value> | ((value: Value) => void)): Observer<Value> {
  if (typeof given === 'function') return { next: given };
  return given;
}

/** Subscribers and listeners of one machine. */
export class Observers<Snapshot> {
  private readonly observers = new Set<Observer<Snapshot>>();
  private readonly listeners = new Map<string, Set<Listener>>();
  private readonly failed: (error: unknown) => void;

  /** `failed` is told what an observer or a listener has thrown. */
  constructor(failed: (error: unknown) => void) {
    this.failed = failed;
  }

  subscribe(observer: Observer<Snapshot>): Subscription {
    this.observers.add(observer);
    return { unsubscribe: () => this.observers.delete(observer) };
  }

  on(type: string, listener: Listener): Subscription {
    const listeners = this.listeners.get(type) ?? new Set();
    this.listeners.set(type, listeners);
    // One function that is given twice is called twice.
    const own: Listener = (event) => listener(event);
    listeners.add(own);
    return { unsubscribe: () => listeners.delete(own) };
  }

  next(snapshot: Snapshot): void {
    if (this.observers.size === 0) return;
    for (const observer of this.observers) this.guarded(() => observer.next?.(snapshot));
  }

  emit(event: AnyEventObject): void {
    const typed = this.listeners.get(event.type) ?? [];
    for (const listener of [...typed, ...(this.listeners.get('*') ?? [])])
      this.guarded(() => listener(event));
  }

  complete(): void {
    for (const observer of this.observers) this.guarded(() => observer.complete?.());
    this.clear();
  }

  error(error: unknown): void {
    for (const observer of this.observers) this.guarded(() => observer.error?.(error));
    this.clear();
  }

  private clear(): void {
    this.observers.clear();
    this.listeners.clear();
  }

  private guarded(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.failed(error);
    }
  }
}
