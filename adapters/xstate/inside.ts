/**
 * What xstate 5 keeps to itself and a machine with an actor scope of ours needs: how children are sent to and stopped, and what
 * they ask of their system. Only types: the adapter runs no code of xstate but the machine's own, so a machine of another
 * copy of xstate, or a later version beside this one, changes nothing here.
 */

import type {
  ActorScope,
  ActorSystem,
  AnyActorRef,
  AnyEventObject,
  AnyMachineSnapshot,
  InspectionEvent,
} from 'xstate';

/** Of `ProcessingStatus`: the actor has been started and has not ended. */
export const RUNNING = 1;
/** Of `ProcessingStatus`: the actor has ended. */
export const STOPPED = 2;

/** An actor of xstate as its own system sees it. */
export interface InnerActor extends AnyActorRef {
  readonly _processingStatus: number;
  /** Puts an event into its mailbox. */
  _send(event: AnyEventObject): void;
  /** Ends it when it has handled what its mailbox holds. */
  _stop(): void;
}

type WithoutRoot<Event> = Event extends InspectionEvent ? Omit<Event, 'rootId'> : never;

/** An inspection event before the system has named its root. */
export type RootlessEvent = WithoutRoot<InspectionEvent>;

/** What actors of xstate ask of their system. */
export interface InnerSystem extends ActorSystem<{ actors: Record<string, AnyActorRef> }> {
  /** A session id that no other actor has. */
  _bookId(): string;
  /** An actor is being started. */
  _register(sessionId: string, actor: InnerActor): string;
  /** An actor has ended, or its system id is to be free. */
  _unregister(actor: InnerActor): void;
  /** Gives an actor a system id. Throws where another one has it. */
  _set(systemId: string, actor: InnerActor): void;
  _sendInspectionEvent(event: RootlessEvent): void;
  /** Sends an event from one actor to another. */
  _relay(source: InnerActor | undefined, target: InnerActor, event: AnyEventObject): void;
}

/** The scope in which a machine runs. `actionExecutor` is written by the machine itself. */
export type Scope = ActorScope<AnyMachineSnapshot, AnyEventObject, InnerSystem, AnyEventObject>;
