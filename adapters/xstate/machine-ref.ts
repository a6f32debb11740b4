/**
 * The machine as its own actions, its children and xstate's tools see it: an actor of xstate that has no mailbox. What is sent to
 * it goes by the agent's.
 */

import type { AnyEventObject, AnyMachineSnapshot, AnyStateMachine, Subscription } from 'xstate';
import { type InnerActor, RUNNING } from './inside.ts';
import type { MachineSystem } from './machine-system.ts';
import type { Observer, Observers } from './observers.ts';

/** What the ref stands for. */
export interface Machine {
  readonly definition: AnyStateMachine;
  readonly system: MachineSystem;
  readonly observers: Observers<AnyMachineSnapshot>;
  readonly snapshot: AnyMachineSnapshot;
  /** An event has come: now, or as soon as the present one is done with. */
  arrived(event: AnyEventObject): void;
}

/** The root actor of one machine, in one generation. */
export class MachineRef implements InnerActor {
  readonly id: string;
  readonly sessionId: string;
  readonly system: MachineSystem;
  readonly src: AnyStateMachine;
  readonly logic: AnyStateMachine;
  readonly options: Record<never, never> = {};
  readonly ref: this = this;
  readonly _processingStatus = RUNNING;
  declare readonly [Symbol.observable]: () => this;
  readonly #machine: Machine;

  constructor(sessionId: string, machine: Machine) {
    this.id = sessionId;
    this.sessionId = sessionId;
    this.system = machine.system;
    this.src = machine.definition;
    this.logic = machine.definition;
    this.#machine = machine;
    // xstate's actors can be asked to send without their object.
    this.send = this.send.bind(this);
    // Node has no such symbol; then xstate and others look for the text.
    Object.assign(this, { [Symbol.observable ?? '@@observable']: () => this });
  }

  send(event: AnyEventObject): void {
    this.system._relay(undefined, this, event);
  }

  _send(event: AnyEventObject): void {
    this.#machine.arrived(event);
  }

  /** It runs from the start of its agent to the end. */
  start(): this {
    return this;
  }

  stop(): never {
    throw new Error('This machine is an agent: end it by a final state, or by system.stop(ref).');
  }

  _stop(): never {
    return this.stop();
  }

  getSnapshot(): AnyMachineSnapshot {
    return this.#machine.snapshot;
  }

  getPersistedSnapshot(): ReturnType<AnyStateMachine['getPersistedSnapshot']> {
    return this.src.getPersistedSnapshot(this.#machine.snapshot);
  }

  subscribe(
    given: Observer<AnyMachineSnapshot> | ((snapshot: AnyMachineSnapshot) => void) | undefined,
    error?: (error: unknown) => void,
    complete?: () => void,
  ): Subscription {
    const observer = typeof given === 'object' ? given : { next: given, error, complete };
    return this.#machine.observers.subscribe(observer);
  }

  on(type: string, listener: (event: AnyEventObject) => void): Subscription {
    return this.#machine.observers.on(type, listener);
  }

  select<Selected>(
    selector: (snapshot: AnyMachineSnapshot) => Selected,
    isEqual: (one: Selected, other: Selected) => boolean = Object.is,
  ): {
    get(): Selected;
    subscribe(observer: Observer<Selected> | ((value: Selected) => void)): Subscription;
  } {
    return {
      get: () => selector(this.getSnapshot()),
      subscribe: (given) => {
        const next = typeof given === 'function' ? given : (value: Selected) => given.next?.(value);
        let before = selector(this.getSnapshot());
        return this.subscribe((snapshot) => {
          const now = selector(snapshot);
          if (isEqual(before, now)) return;
          before = now;
          next(now);
        });
      },
    };
  }

  toJSON(): { readonly xstate$$type: 1; readonly id: string } {
    return { xstate$$type: 1, id: this.id };
  }
}
