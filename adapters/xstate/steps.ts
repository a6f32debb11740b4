/**
 * The steps of one machine: from a snapshot and an event to the next snapshot, then what that asks for, in xstate's order. An error
 * leaves the snapshot as it was before the event, with what the step asked for undone. It knows nothing of turns and mailboxes.
 */

import type { AnyEventObject, AnyMachineSnapshot, AnyStateMachine } from 'xstate';
import type { InnerActor, InnerSystem, Scope } from './inside.ts';

/** What steps are made for. */
export interface Stepping {
  readonly definition: AnyStateMachine;
  readonly rootId: string;
  readonly ref: InnerActor;
  readonly system: InnerSystem;
  /** Whether it has ended, perhaps while it steps. */
  readonly isOver: boolean;
  log(...values: unknown[]): void;
  /** The machine emits an event. */
  emit(event: AnyEventObject): void;
  /** There is a new snapshot, and all it asks for is done. */
  reached(snapshot: AnyMachineSnapshot): void;
}

/** A machine's present, and how it goes on. */
export class Steps {
  /** Undefined while the initial snapshot is made. */
  snapshot: AnyMachineSnapshot | undefined = undefined;
  /** Whether a step is being made: what comes now has to wait. */
  isStepping = false;
  private readonly around: Stepping;
  private readonly scope: Scope;
  private readonly deferred: (() => void)[] = [];
  private isStarted = false;

  constructor(around: Stepping) {
    this.around = around;
    this.scope = this.makeScope();
  }

  /** The initial snapshot and what it asks for. Throws what an action or a guard of it throws. */
  begin(input: unknown): void {
    const { definition, system, ref } = this.around;
    this.isStepping = true;
    try {
      system._sendInspectionEvent({ type: '@xstate.actor', actorRef: ref });
      const snapshot: AnyMachineSnapshot = definition.getInitialSnapshot(this.scope, input);
      this.snapshot = snapshot;
      this.isStarted = true;
      const event = { type: 'xstate.init', input };
      system._sendInspectionEvent({ type: '@xstate.event', sourceRef: undefined, actorRef: ref, event });
      if (snapshot.status === 'active') definition.start(snapshot);
      this.reach(snapshot, event);
    } finally {
      this.over();
    }
  }

  /** The next snapshot and what it asks for. Throws what an action or a guard throws, and the error of a child that nobody handles. */
  step(event: AnyEventObject): void {
    const { snapshot } = this;
    // As an actor of xstate that is done, it hears nothing any more.
    if (snapshot?.status !== 'active') return;
    this.isStepping = true;
    try {
      this.reach(this.around.definition.transition(snapshot, event, this.scope), event);
    } finally {
      this.over();
    }
  }

  private over(): void {
    this.deferred.length = 0;
    this.isStepping = false;
  }

  private reach(snapshot: AnyMachineSnapshot, event: AnyEventObject): void {
    const { around } = this;
    if (snapshot.status !== 'error') {
      const before = this.snapshot;
      this.snapshot = snapshot;
      try {
        while (!around.isOver && this.deferred.length > 0) this.deferred.shift()?.();
      } catch (error) {
        this.snapshot = before;
        throw error;
      }
    }
    if (around.isOver) return;
    around.system._sendInspectionEvent({ type: '@xstate.snapshot', actorRef: around.ref, event, snapshot });
    if (snapshot.status === 'error') throw snapshot.error;
    around.reached(snapshot);
  }

  private makeScope(): Scope {
    const { around } = this;
    const execute: Scope['actionExecutor'] = (action) => {
      const { type, params, info } = action;
      around.system._sendInspectionEvent({
        type: '@xstate.action',
        actorRef: around.ref,
        action: { type, params },
      });
      action.exec?.(info, params);
    };
    return {
      self: around.ref,
      id: around.rootId,
      sessionId: around.rootId,
      system: around.system,
      logger: (...values: unknown[]) => around.log(...values),
      defer: (act) => {
        this.deferred.push(act);
      },
      emit: (event) => around.emit(event),
      stopChild: (child) => stopChild(around.ref, child),
      // What the initial state does waits until the machine is there, as it does in xstate.
      actionExecutor: (action) => {
        if (this.isStarted) execute(action);
        else this.deferred.push(() => execute(action));
      },
    };
  }
}

function stopChild(parent: InnerActor, child: Parameters<Scope['stopChild']>[0]): void {
  if (child._parent !== parent)
    throw new Error(`Cannot stop child actor ${child.id} of ${parent.id} because it is not a child`);
  // Whoever has a parent was made by xstate.
  (child as InnerActor)._stop();
}
