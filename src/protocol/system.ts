/**
 * The running system, as its users see it: types only. `createSystem` makes one; the engine is behind it.
 */

import type { AnySupervisor, ChildOptions, ChildOptionsWithArgs, Spawnable } from './child-spec.ts';
import type { DeadLetterReason, LogLevel, RuntimeEvent } from './events.ts';
import type { Priority } from './priority.ts';
import type { AnyProtocol } from './protocol.ts';
import type { AnyRef, Ref } from './ref.ts';
import type {
  AnyTopic,
  MessageMeta,
  PublishParameters,
  SubscribeOptions,
  Subscription,
} from './subscription.ts';
import type { TopicFilter } from './topic.ts';

/** The options of `spawn` for an agent that needs no arguments. */
export interface SpawnOptions<Args = void> extends ChildOptions<Args> {
  /** Its name among its siblings; a generated one unless said. */
  readonly name?: string | undefined;
}

/** The options of `spawn` for an agent that needs arguments. */
export interface SpawnOptionsWithArgs<Args> extends ChildOptionsWithArgs<Args> {
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
  readonly byReason: Readonly<Partial<Record<DeadLetterReason, number>>>;
}

/** The messages that could not be handled. Iterating gives those to come, until the system shuts down. */
export interface DeadLetters extends AsyncIterable<DeadLetter> {
  /** Those kept, oldest first. */
  list(filter?: DeadLetterFilter): readonly DeadLetter[];
  /** Removes one; false if it is not kept. */
  discard(id: string): boolean;
  stats(): DeadLetterStats;
}

/** What an actor is doing. */
export type ActorStatus = 'starting' | 'running' | 'restarting' | 'suspended' | 'stopping' | 'stopped';

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
  /** Lets an actor handle nothing but signals. As many `resume` as `suspend` set it going again. */
  suspend(ref: AnyRef): void;
  resume(ref: AnyRef): void;
  /** Stops intake, lets mailboxes drain for `drainMs` (0 unless said), then stops the tree. Any number of calls is one run. */
  shutdown(options?: { readonly drainMs?: number | undefined }): Promise<void>;
  readonly deadLetters: DeadLetters;
  /** An actor at this instant; `undefined` when no such actor lives. */
  inspect(ref: AnyRef): Inspection | undefined;
  tree(): TreeNode;
  readonly events: RuntimeEvents;
}
