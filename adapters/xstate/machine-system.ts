/**
 * The actor system that a machine's children live in, as xstate asks for it. Whatever one of them sends goes through `_relay`, and
 * whatever is put off through `scheduler`: so all of it happens in turns of the agent, on the agent's clock.
 */

import type { AnyActorRef, AnyEventObject, InspectionEvent } from 'xstate';
import { type InnerActor, type InnerSystem, type RootlessEvent, STOPPED } from './inside.ts';
import { type Observer, toObserver } from './observers.ts';
import { Work } from './work.ts';

/** What a system needs of the machine whose children it holds. */
export interface Surroundings {
  /** The session id of the machine; its children's begin with it. */
  readonly rootId: string;
  /** Whether a turn of the agent runs. */
  readonly isInTurn: boolean;
  post(work: Work): void;
  postLater(key: string, delayMs: number, work: Work): void;
  cancel(key: string): void;
  log(...values: unknown[]): void;
  /** Somebody who only looks on has thrown. */
  lookerFailed(error: unknown): void;
}

interface Scheduled {
  /** What the agent's timer is known by. */
  readonly key: string;
  readonly source: AnyActorRef;
  readonly target: AnyActorRef;
  readonly event: AnyEventObject;
  readonly delay: number;
  readonly id: string;
  readonly startedAt: number;
}

/** One machine's system, for one generation. */
export class MachineSystem implements InnerSystem {
  readonly scheduler: InnerSystem['scheduler'];
  readonly _clock: InnerSystem['_clock'];
  readonly _logger: InnerSystem['_logger'];
  /** A machine here begins with nothing that is put off. */
  readonly start = (): void => undefined;
  private readonly around: Surroundings;
  private readonly named = new Map<string, InnerActor>();
  /** Actors that were started and have not ended, oldest first. */
  private readonly started = new Set<InnerActor>();
  /** What is put off and can be taken back, by source and id. Of two with one id, as in xstate, only the later one can. */
  private readonly scheduled = new Map<string, Scheduled>();
  /** Keys of the agent's timers that have not fired. */
  private readonly keys = new Set<string>();
  private readonly inspectors = new Set<Observer<InspectionEvent>>();
  private booked = 0;

  constructor(around: Surroundings) {
    this.around = around;
    this._logger = (...values: unknown[]) => around.log(...values);
    this.scheduler = {
      schedule: (source, target, event, delay, id) => this.schedule(source, target, event, delay, id),
      cancel: (source, id) => this.cancel(this.placeOf(source, id)),
      cancelAll: (actor) => this.cancelAll(actor),
    };
    this._clock = {
      setTimeout: (call: () => void, delayMs: number) => this.setTimeout(call, delayMs),
      clearTimeout: (key: string) => around.cancel(key),
    };
  }

  _bookId(): string {
    this.booked++;
    return `${this.around.rootId}:${this.booked}`;
  }

  _register(sessionId: string, actor: InnerActor): string {
    this.started.add(actor);
    return sessionId;
  }

  _unregister(actor: InnerActor): void {
    // A child that is about to be stopped is let go early, so that its system id is free: it runs for a moment more.
    if (actor._processingStatus === STOPPED) this.started.delete(actor);
    for (const [systemId, named] of this.named) if (named === actor) this.named.delete(systemId);
  }

  _set(systemId: string, actor: InnerActor): void {
    const other = this.named.get(systemId);
    if (other !== undefined && other !== actor)
      throw new Error(`Actor with system ID '${systemId}' already exists.`);
    this.named.set(systemId, actor);
  }

  get(systemId: string | number | symbol): AnyActorRef | undefined {
    return this.named.get(String(systemId));
  }

  getAll(): Record<string, AnyActorRef> {
    return Object.fromEntries(this.named);
  }

  inspect(given: Observer<InspectionEvent> | ((event: InspectionEvent) => void)): {
    unsubscribe: () => void;
  } {
    const observer = toObserver(given);
    this.inspectors.add(observer);
    return { unsubscribe: () => this.inspectors.delete(observer) };
  }

  getSnapshot(): ReturnType<InnerSystem['getSnapshot']> {
    const entries = [...this.scheduled].map(([place, { key: _key, ...event }]) => [place, event]);
    return { _scheduledEvents: Object.fromEntries(entries) };
  }

  _sendInspectionEvent(event: RootlessEvent): void {
    if (this.inspectors.size === 0) return;
    // The event and the root are what an inspection event consists of.
    const whole = { ...event, rootId: this.around.rootId } as InspectionEvent;
    for (const inspector of this.inspectors) {
      try {
        inspector.next?.(whole);
      } catch (error) {
        this.around.lookerFailed(error);
      }
    }
  }

  _relay(source: InnerActor | undefined, target: InnerActor, event: AnyEventObject): void {
    const { around } = this;
    if (!around.isInTurn) {
      around.post(new Work(event, () => this._relay(source, target, event)));
      return;
    }
    if (this.inspectors.size > 0)
      this._sendInspectionEvent({ type: '@xstate.event', sourceRef: source, actorRef: target, event });
    target._send(event);
  }

  /** Ends all that runs, the machine's own children first: they see to theirs. */
  stopAll(failed: (error: unknown) => void): void {
    for (const actor of this.started) {
      try {
        actor._stop();
      } catch (error) {
        failed(error);
      }
    }
    this.started.clear();
    this.named.clear();
    this.scheduled.clear();
    this.inspectors.clear();
  }

  private schedule(
    source: AnyActorRef,
    target: AnyActorRef,
    event: AnyEventObject,
    delay: number,
    id: string | undefined,
  ): void {
    const place = this.placeOf(source, id ?? this._bookId());
    const key = this.keys.has(place) ? `${place} ${this._bookId()}` : place;
    const work = new Work(event, () => {
      this.keys.delete(key);
      this.scheduled.delete(place);
      // Whoever is in this system was made by xstate or is the machine itself.
      this._relay(source as InnerActor, target as InnerActor, event);
    });
    // As a timer of Node takes it: less than nothing is nothing.
    this.around.postLater(key, Math.max(0, delay), work);
    this.keys.add(key);
    this.scheduled.set(place, { key, source, target, event, delay, id: id ?? place, startedAt: 0 });
  }

  private cancel(place: string): void {
    const key = this.scheduled.get(place)?.key;
    if (key === undefined) return;
    this.scheduled.delete(place);
    this.keys.delete(key);
    this.around.cancel(key);
  }

  private cancelAll(actor: AnyActorRef): void {
    for (const [place, { source }] of this.scheduled) if (source === actor) this.cancel(place);
  }

  private setTimeout(call: () => void, delayMs: number): string {
    const key = `clock ${this._bookId()}`;
    this.around.postLater(key, Math.max(0, delayMs), new Work({ type: 'xstate.timeout' }, call));
    return key;
  }

  /** As inspection shows it among the agent's timers: the machine's own by their ids alone. */
  private placeOf({ sessionId }: AnyActorRef, id: string): string {
    return sessionId === this.around.rootId ? id : `${sessionId}.${id}`;
  }
}
