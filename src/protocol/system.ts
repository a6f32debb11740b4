/**
 * The running system, as its users see it: types only. `createSystem` makes one; the engine is behind it.
 */

import type { ActorStatus } from './actor-status.ts';
import type { Broker } from './broker.ts';
import type { AnySupervisor, ChildPolicy, Spawnable } from './child-spec.ts';
import type { Codec } from './codec.ts';
import type { DeadLetters } from './dead-letters.ts';
import type { LogLevel, RuntimeEvent } from './events.ts';
import type { Keyed, KeyedArgs, KeyedOptions } from './keyed.ts';
import type { NodeView } from './nodes.ts';
import type { PlaceableAgent, SpawnOnParameters } from './placement.ts';
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
  MessagesOptions,
  PublishParameters,
  PulledMessage,
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

/** The workers of a pool at one instant. */
export interface PoolInspection {
  readonly routing: Routing;
  /** How many workers it should have; fewer live where some have ended, more while some are leaving. */
  readonly size: number;
  /** Jobs whose turns run. */
  readonly inFlight: number;
  /** What its rate limit has left now, fractions included; `undefined` without one. */
  readonly tokens: number | undefined;
  readonly workers: readonly {
    readonly address: string;
    readonly isBusy: boolean;
    /** It takes no job any more. */
    readonly isLeaving: boolean;
    /** The other node on which it has its jobs done; `undefined` for one of this node. */
    readonly node: string | undefined;
  }[];
}

/** A timer of an actor at one instant. */
export interface TimerInspection {
  readonly key: string;
  /** The internal message that its ticks are. */
  readonly message: string;
  readonly kind: 'once' | 'every';
  /** Milliseconds until its next tick is due; 0 while one is queued or has its turn. */
  readonly dueInMs: number;
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
    /** What the runtime itself has for it, before any message: ticks, continuations, word of ends. */
    readonly control: number;
  };
  /** The message whose turn runs, and for how long. */
  readonly turn:
    | {
        readonly id: string;
        readonly message: string;
        readonly attempt: number;
        readonly runningMs: number;
        /** Of a stream: parts that have gone out, and whether it waits for its reader. */
        readonly stream?: { readonly parts: number; readonly isHeld: boolean } | undefined;
      }
    | undefined;
  readonly restarts: number;
  /** Restarts since the last completed turn. */
  readonly restartsWithoutProgress: number;
  readonly lastError: unknown;
  /** Turns that were disowned and still run. */
  readonly zombies: number;
  /** Its timers, in the order in which they were started. */
  readonly timers: readonly TimerInspection[];
  /**
   * The time after which `onIdle` runs, if it was set, and how much of it is left: all of it while a message has its
   * turn, 0 when it is over and `onIdle` waits for a turn.
   */
  readonly idleTimeout: { readonly ms: number; readonly dueInMs: number } | undefined;
  /** Actors that will hear of its end: by `watch`, by `link`, or both. */
  readonly watchers: number;
  /** Actors whose end it will hear of, by `watch`. */
  readonly watching: number;
  /** Actors whose abnormal end fails it, by `link`. */
  readonly links: number;
  /** What the agent shows of its state: the state value of a machine of `troupe/xstate`; undefined for handlers. */
  readonly state: unknown;
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
  readonly kind: 'supervisor' | 'agent' | 'pool';
  readonly status: ActorStatus;
  readonly generation: number;
  /** A supervisor's children, an agent's that it spawned, a pool's workers. */
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
  /** Replays of one message, over all its deaths together; 3 unless said, 0 for none. */
  readonly replaysMax?: number | undefined;
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
  /**
   * Joins all systems with a broker at the same place: they send to one another's actors. Embedded in this process alone unless said.
   * Made by `redis(url)` and its like; a broker object serves one system.
   */
  readonly broker?: Broker | undefined;
  /** The name of this process among them: unique, and the same after a restart; one that no other has unless said. */
  readonly node?: string | undefined;
  /**
   * By what payloads for other nodes are written, and read as well; JSON unless said. Every node that gets them has to know it, by `codec` or `codecs`.
   * Replies are written as what they answer.
   */
  readonly codec?: Codec | undefined;
  /** By what else payloads are read, 8 at the most: so all nodes can learn a codec before the first one writes by it. */
  readonly codecs?: readonly Codec[] | undefined;
  /** What other nodes may start here by `spawnOn`: agents and pools, by names that are the same on all nodes. None unless said. */
  readonly agents?: readonly PlaceableAgent[] | undefined;
  /** What holds for every shutdown that does not say otherwise, those by a signal included. */
  readonly shutdown?: ShutdownOptions | undefined;
}

/** Where the actor of a ref lives. */
export interface RefOptions {
  /** The name of a node; this one unless said. */
  readonly node?: string | undefined;
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
  /**
   * Starts an actor at the top of the tree of another node, which has to name the agent among its `agents`. Resolves when its `state` has, with a
   * ref to that very actor. Arguments travel as JSON, and are checked there. On this node it is `spawn`. An actor whose start was given up,
   * by `signal` or `timeoutMs`, is stopped. Rejects as `spawn` does there, and with `ERR_NODE_DOWN`, at once also when the node is lost meanwhile,
   * `ERR_AGENT_UNKNOWN`, `ERR_PROTOCOL_MISMATCH`, `ERR_MESSAGE_INVALID` for arguments, `ERR_PAYLOAD_UNSERIALIZABLE`, `ERR_PAYLOAD_TOO_LARGE`,
   * `ERR_ASKS_IN_FLIGHT_FULL`, `ERR_ASK_TIMEOUT`, `ERR_OPTION_INVALID`.
   */
  spawnOn<P extends AnyProtocol, Args>(
    node: string,
    agent: Spawnable<P, Args>,
    ...options: SpawnOnParameters<Args>
  ): Promise<Ref<P>>;
  /**
   * A ref by name or address. It may lead nowhere: telling it says `actor-unknown`. A name that nobody of this node holds leads to the node
   * that does, found out whenever the ref is used: names that were registered come before children of roots, and among several nodes the first in
   * the order of their names counts. With `node`, or an address that names one, the actor
   * may live on another node; the same calls mean the same there. Throws `ERR_OPTION_INVALID`, also where a node is named and the
   * system has no broker.
   */
  ref<P extends AnyProtocol>(protocol: P, nameOrAddress: string, options?: RefOptions): Ref<P>;
  /**
   * One actor of this agent for each key, wherever it lives: `keyed(customer).forKey('42')`. Its `state` gets `{ key }`. On each node that calls
   * it, this node takes its share of the keys. Throws `ERR_OPTION_INVALID`, also for a broker that gives no shards to nodes, `ERR_NAME_TAKEN` for a second group
   * of that name, and `ERR_ACTOR_STOPPED` once a shutdown has begun.
   */
  keyed<P extends AnyProtocol>(
    agent: Spawnable<P, KeyedArgs> | Spawnable<P, void>,
    options?: KeyedOptions,
  ): Keyed<P>;
  /** The nodes of this system that live, this one among them; empty without a broker. */
  readonly nodes: readonly NodeView[];
  /**
   * Gives an actor of this node a name, which other nodes know soon after. Throws `ERR_NAME_TAKEN` where another actor of this node has it. The name
   * is free again when the actor has ended. Where another node has it as well, both log a warning.
   */
  register(name: string, ref: AnyRef): void;
  /** The live actor of that name, here or else on another node as far as is known, or `undefined`. Never one of this node that has ended. */
  lookup<P extends AnyProtocol>(protocol: P, name: string): Ref<P> | undefined;
  /** Publishes to every subscriber. Resolves when each one with `backpressure` has accepted. */
  publish<T extends AnyTopic>(topic: T, ...rest: PublishParameters<T>): Promise<void>;
  /**
   * Calls `handler` for each message, one at a time unless `concurrency` says more. Resolves when effective: everything
   * published afterwards is seen. Rejects with `ERR_OPTION_INVALID`, also for a member of a group whose topic, `capacity` or
   * `overflow` is not the group's.
   */
  subscribe<Message = unknown>(
    topic: TopicFilter<Message> | string,
    handler: (message: Message, meta: MessageMeta) => unknown,
    options?: SubscribeOptions,
  ): Promise<Subscription>;
  /**
   * The messages of a topic, to be pulled: `for await (const { message } of system.messages(Verdict))`. Each iteration is a
   * subscription of its own, from the call that makes its iterator to its end. At most `window` messages are held for it,
   * the one in the consumer's hand included; those that wait come most urgent first. A message is settled as handled when
   * the next one is asked for, and when the loop is left, by whatever way; what is queued then is cancelled, as by
   * `unsubscribe`. `throw` of the iterator settles it as failed. The iteration is done when the system shuts down.
   * Throws `ERR_OPTION_INVALID`, and `ERR_ACTOR_STOPPED` where it begins after a shutdown has; `next` rejects with
   * `ERR_PULLS_FULL` when 1,000 calls of it wait.
   */
  messages<Message = unknown>(
    topic: TopicFilter<Message> | string,
    options?: MessagesOptions,
  ): AsyncIterable<PulledMessage<Message>>;
  /**
   * Tells an actor to finish its turn and end, here or on another node. Resolves when it has, with everything below it, or was not there. Rejects with
   * `ERR_NODE_DOWN` where its node is not there or is lost meanwhile, and with `ERR_WATCHES_FULL` when 100,000 ends elsewhere are waited for.
   */
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
   * Changes the number of a pool's workers, 1 to 10,000. New ones are started (over nodes, that is not waited for); those that are too many take no job any
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
  /**
   * An actor at this instant; one that has ended as it ended, by a ref of that very one (`spawn` gives such). `undefined`
   * where the ref leads nowhere.
   */
  inspect(ref: AnyRef): Inspection | undefined;
  tree(): TreeNode;
  readonly events: RuntimeEvents;
}
