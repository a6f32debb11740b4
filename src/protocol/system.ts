/**
 * The running system, as its users see it: types only. `createSystem` makes one; the engine is behind it.
 */

import type { ActorStatus } from './actor-status.ts';
import type { AnySupervisor, ChildPolicy, Spawnable } from './child-spec.ts';
import type { DeadLetterReason, LogLevel, RuntimeEvent } from './events.ts';
import type { Routing } from './pool.ts';
import type { Priority } from './priority.ts';
import type { AnyProtocol } from './protocol.ts';
import type { AnyRef, Ref } from './ref.ts';
import type {
  EndSignal,
  ShutdownOptions,
  ShutdownPhase,
  ShutdownTask,
  ShutdownTaskOptions,
} from './shutdown.ts';
import type {
  AnyTopic,
  MessageMeta,
  PublishParameters,
  SubscribeOptions,
  Subscription,
} from './subscription.ts';
import type { SupervisorControl } from './supervisor-control.ts';
import type { TopicFilter } from './topic.ts';

/** The options of `spawn` for an agent that needs no arguments. */
export interface SpawnOptions<Args = void> extends ChildPolicy {
  readonly args?: Args | undefined;
  /** Its name among its siblings; a generated one unless said. */
  readonly name?: string | undefined;
}

/** The options of `spawn` for an agent that needs arguments. */
export interface SpawnOptionsWithArgs<Args> extends ChildPolicy {
  readonly args: Args;
  /** Its name among its siblings; a generated one unless said. */
  readonly name?: string | undefined;
}

/** The parameters of `spawn` after the agent: to be left out where its `state` takes no arguments, or optional ones. */
export type SpawnParameters<Args> = undefined extends Args
  ? [options?: SpawnOptions<Args>]
  : [options: SpawnOptionsWithArgs<Args>];

/** A message that could not be handled, kept for reading. */
export interface DeadLetter {
  readonly id: string;
  readonly reason: DeadLetterReason;
  /** Address of the actor it was for. */
  readonly address: string;
  /** The name of the message. */
  readonly message: string;
  readonly payload: unknown;
  readonly priority: Priority;
  /** Address of the actor that sent it, if one did. */
  readonly sender: string | undefined;
  /** Attempts that were made at it; 0 if it never had a turn. */
  readonly attempts: number;
  /** Times it was replayed before it died again; three at most, whatever ids it had. */
  readonly replays: number;
  /** What went wrong, oldest first. */
  readonly causes: readonly unknown[];
  /** Wall-clock milliseconds since 1970. */
  readonly deadAtMs: number;
}

/** Which dead letters `list` gives; without a field, all. */
export interface DeadLetterFilter {
  readonly reason?: DeadLetterReason | undefined;
  readonly address?: string | undefined;
  readonly message?: string | undefined;
}

/** How many dead letters there are, and were. */
export interface DeadLetterStats {
  /** Kept at present. */
  readonly kept: number;
  /** Ever seen, the ones that fell off included. */
  readonly total: number;
  /** Fell off because more than `deadLettersMax` were kept. */
  readonly evicted: number;
  /** Removed by `discard`. */
  readonly discarded: number;
  /** Left by `replay`. One that dies again is a new one. */
  readonly replayed: number;
  readonly byReason: Readonly<Partial<Record<DeadLetterReason, number>>>;
}

/** What became of a `replayAll`. */
export interface ReplayReport {
  /** Accepted by their actors. */
  readonly replayed: number;
  /** Still kept, each with the error of its `replay`, oldest first. */
  readonly refused: readonly { readonly id: string; readonly error: unknown }[];
}

/** The messages that could not be handled. Iterating gives those to come, until the system shuts down. */
export interface DeadLetters extends AsyncIterable<DeadLetter> {
  /** Those kept, oldest first. */
  list(filter?: DeadLetterFilter): readonly DeadLetter[];
  /** Removes one; false if it is not kept. */
  discard(id: string): boolean;
  /**
   * Sends a message again to where it was going: to the actor that lives there now. It waits for room as `send` does,
   * and leaves the list when it is accepted; until then it is kept. Payload, priority, headers and sender are the old
   * ones; it has a new id and no deadline, and its attempts are counted on. Nobody waits for the reply to an ask any
   * more: it is handled, and its reply goes nowhere.
   *
   * Rejects with `ERR_DEAD_LETTER_UNKNOWN`; `ERR_REPLAYS_EXHAUSTED` after three replays of the same message;
   * `ERR_REPLAY_REFUSED` for what cannot be sent again (a reply, what failed its schema, the runtime's own messages);
   * and as `send` does.
   */
  replay(id: string): Promise<void>;
  /** Replays all that match, oldest first, those whose actors have room without waiting for the others. */
  replayAll(filter?: DeadLetterFilter): Promise<ReplayReport>;
  stats(): DeadLetterStats;
}

/** The workers of a pool at one instant. */
export interface PoolInspection {
  readonly routing: Routing;
  /** How many workers it should have; fewer live where some have ended, more while some are leaving. */
  readonly size: number;
  /** Jobs whose turns run. */
  readonly inFlight: number;
  readonly workers: readonly {
    readonly address: string;
    readonly isBusy: boolean;
    /** It takes no job any more. */
    readonly isLeaving: boolean;
  }[];
}

/** One actor at one instant; given also while a turn runs. */
export interface Inspection {
  readonly address: string;
  readonly protocol: string;
  readonly status: ActorStatus;
  readonly generation: number;
  readonly mailbox: {
    readonly capacity: number;
    readonly queued: number;
    /** Queued messages of each priority. */
    readonly depths: Readonly<Record<Priority, number>>;
    readonly stashed: number;
    /** Sends that wait for room. */
    readonly waiting: number;
  };
  /** The message whose turn runs, and for how long. */
  readonly turn:
    | { readonly id: string; readonly message: string; readonly attempt: number; readonly runningMs: number }
    | undefined;
  readonly restarts: number;
  /** Restarts since the last completed turn. */
  readonly restartsWithoutProgress: number;
  readonly lastError: unknown;
  /** Turns that were disowned and still run. */
  readonly zombies: number;
  /** Its workers, if it is a pool; the ledger counts theirs too then. */
  readonly pool: PoolInspection | undefined;
  /** The ledger: what became of the messages it accepted. */
  readonly counts: {
    readonly accepted: number;
    readonly handled: number;
    readonly failed: number;
    readonly cancelled: number;
    readonly deadLettered: number;
  };
}

/** A node of the supervision tree. */
export interface TreeNode {
  readonly name: string;
  readonly address: string;
  readonly kind: 'supervisor' | 'agent';
  readonly status: ActorStatus;
  readonly generation: number;
  readonly children: readonly TreeNode[];
}

/** What the runtime tells about itself. A listener that throws disturbs nobody and is not told of. */
export interface RuntimeEvents {
  /** Calls `listener` for every event until the returned function is called. */
  subscribe(listener: (event: RuntimeEvent) => void): () => void;
}

/** One line of a log. */
export interface LogRecord {
  readonly level: LogLevel;
  /** Address of the actor that wrote it. */
  readonly address: string;
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>> | undefined;
}

/** The options of a system. */
export interface SystemOptions<Root extends AnySupervisor = AnySupervisor> {
  /** Its name: a letter, then letters, digits, `_` and `-`. */
  readonly name: string;
  /** The supervisor that is started with it; its children are `system.refs`. */
  readonly root?: Root | undefined;
  /** Dead letters kept; 10,000 unless said. */
  readonly deadLettersMax?: number | undefined;
  /** Asks in flight at once; 100,000 unless said. */
  readonly asksInFlightMax?: number | undefined;
  /** Where `ctx.log` goes; to the console unless said; `false` for nowhere. */
  readonly log?: ((record: LogRecord) => void) | false | undefined;
  /**
   * Signals of the process that shut the system down: `true` for SIGTERM and SIGINT; none unless said. The first one
   * shuts down (with `drainMs` 5,000 unless `shutdown` says otherwise) and then lets the process end, with exit code
   * 143 or 130; a second one ends the process at once.
   */
  readonly signals?: boolean | readonly EndSignal[] | undefined;
  /** What holds for every shutdown that does not say otherwise, those by a signal included. */
  readonly shutdown?: ShutdownOptions | undefined;
}

/** A running system of actors. */
export interface System<out Refs = unknown> extends AsyncDisposable {
  readonly name: string;
  /** The actors of the root supervisor, by the names of its tree. */
  readonly refs: Refs;
  /** Starts an actor at the top of the tree. Resolves when its `state` has; rejects with `ERR_START_FAILED` or `ERR_NAME_TAKEN`. */
  spawn<P extends AnyProtocol, Args>(
    agent: Spawnable<P, Args>,
    ...options: SpawnParameters<Args>
  ): Promise<Ref<P>>;
  /** A ref by name or address. It may lead nowhere: telling it says `actor-unknown`. */
  ref<P extends AnyProtocol>(protocol: P, nameOrAddress: string): Ref<P>;
  /** Gives an actor a name in the whole system. Throws `ERR_NAME_TAKEN`. The name is free again when the actor has ended. */
  register(name: string, ref: AnyRef): void;
  /** The live actor of that name, or `undefined`. Never one that has ended. */
  lookup<P extends AnyProtocol>(protocol: P, name: string): Ref<P> | undefined;
  /** Publishes to every subscriber. Resolves when each one with `backpressure` has accepted. */
  publish<T extends AnyTopic>(topic: T, ...rest: PublishParameters<T>): Promise<void>;
  /** Calls `handler` for each message, one at a time. Resolves when effective: everything published afterwards is seen. */
  subscribe<Message = unknown>(
    topic: TopicFilter<Message> | string,
    handler: (message: Message, meta: MessageMeta) => unknown,
    options?: SubscribeOptions,
  ): Promise<Subscription>;
  /** Tells an actor to finish its turn and end. Resolves when it has, with everything below it. */
  stop(ref: AnyRef, reason?: 'normal' | 'shutdown'): Promise<void>;
  /** Lets an actor finish its queue, refuses what comes meanwhile as `stopped`, then stops it. Resolves when it has ended. */
  drain(ref: AnyRef): Promise<void>;
  /**
   * Ends an actor's life at once: its turn is aborted and disowned, and neither `onRestart` nor `onStop` runs. Its supervisor
   * decides whether it comes back. Resolves when that life is over, with everything below it.
   */
  kill(ref: AnyRef): Promise<void>;
  /** A supervisor of the root's tree, by path or by name, to start and end children at run time. Throws `ERR_ACTOR_UNKNOWN`. */
  supervisor(pathOrName: string): SupervisorControl;
  /**
   * Changes the number of a pool's workers, 1 to 10,000. New ones are started; those that are too many take no job any
   * more, finish the one they have, and end. Resolves when that has happened. Rejects with `ERR_START_FAILED` when a new
   * one did not start, `ERR_ACTOR_UNKNOWN`, or `ERR_OPTION_INVALID` for an actor that is no pool.
   */
  resize(ref: AnyRef, size: number): Promise<void>;
  /** Lets an actor handle nothing but signals. As many `resume` as `suspend` set it going again. */
  suspend(ref: AnyRef): void;
  resume(ref: AnyRef): void;
  /**
   * Goes through the phases: stops intake, lets mailboxes drain for `drainMs` (0 unless said), then stops the tree.
   * Nothing is restarted meanwhile. It never rejects and ends within `deadlineMs`. Any number of calls is one run, by
   * the options of the first. A turn that awaits it waits for its own end: do not.
   */
  shutdown(options?: ShutdownOptions): Promise<void>;
  /**
   * Adds a task to a phase of the shutdown; the answer takes it out again. Throws `ERR_NAME_TAKEN` for a second task of
   * that name in that phase, `ERR_OPTION_INVALID` for a circle of `after`, `ERR_ACTOR_STOPPED` once a shutdown has begun.
   */
  onShutdown(
    phase: ShutdownPhase,
    name: string,
    task: ShutdownTask,
    options?: ShutdownTaskOptions,
  ): () => void;
  readonly deadLetters: DeadLetters;
  /** An actor at this instant; `undefined` when no such actor lives. */
  inspect(ref: AnyRef): Inspection | undefined;
  tree(): TreeNode;
  readonly events: RuntimeEvents;
}
