/** Where runtime events go: to whoever listens, and nowhere else. A listener that throws harms nobody. */

import type { RuntimeEvent } from '../../src/protocol/events.ts';

/** Receives runtime events, synchronously and in order. */
export type EventListener = (event: RuntimeEvent) => unknown;

/** The events of one system. */
export class EventHub {
  private readonly listeners = new Set<EventListener>();
  /** Whether anybody listens; makers of frequent events look here first. */
  isObserved = false;
  private log: EventListener | undefined = undefined;

  /** Listens from now on; the answer stops it. */
  listen(listener: EventListener): () => void {
    this.listeners.add(listener);
    this.isObserved = true;
    return () => {
      this.listeners.delete(listener);
      this.isObserved = this.listeners.size > 0;
    };
  }

  /** The log hears of what is always emitted; what is made only for observers is not made for it. */
  listenForLog(listener: EventListener): void {
    this.log = listener;
  }

  /** Tells every listener. Never throws. */
  emit(event: RuntimeEvent): void {
    if (this.log !== undefined) tellSafely(this.log, event);
    for (const listener of this.listeners) tellSafely(listener, event);
  }
}

function tellSafely(listener: EventListener, event: RuntimeEvent): void {
  // An observer's failure must not change what it observes, and there is nobody left to tell.
  const ignore = (): void => undefined;
  try {
    const result: unknown = listener(event);
    if (result instanceof Promise) result.catch(ignore);
  } catch {
    ignore();
  }
}
