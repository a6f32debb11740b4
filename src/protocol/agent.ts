/**
 * Agents: what a user defines. A definition is data: a protocol, handlers, and settings that were checked at the door, with
 * their defaults applied. It runs nothing.
 */

import { type AgentSettings, readSettings } from './agent-settings.ts';
import {
  type BackoffOptions,
  type ChildParameters,
  type ChildSpec,
  childSpec,
  type Spawnable,
} from './child-spec.ts';
import type {
  Answer,
  AskContext,
  Context,
  Failure,
  HookContext,
  InternalMessages,
  NoInternal,
  Replied,
  StartContext,
  Terminated,
} from './context.ts';
import type { EndReason } from './events.ts';
import { invalidOption } from './options.ts';
import type { Parts } from './part-stream.ts';
import { type PoolOptions, type PoolSpec, poolSpec } from './pool.ts';
import {
  type AnyProtocol,
  type Ask,
  type MessageDefinition,
  messageMap,
  type Stream,
  type Tell,
} from './protocol.ts';
import type { Feed, Overflow } from './subscription.ts';

/** What is to be done about a failure. */
export type Directive = 'restart' | 'resume' | 'stop' | 'escalate';

/** The handler of one message. */
export type HandlerOf<Message, P extends AnyProtocol, State, Internal> =
  Message extends Ask<infer Request, infer Reply>
    ? (ctx: AskContext<P, State, Reply, Internal>, request: Request) => Answer<Reply>
    : Message extends Tell<infer Payload>
      ? (ctx: Context<P, State, Internal>, payload: Payload) => unknown
      : Message extends Stream<infer Request, infer Part, infer Result>
        ? (ctx: Context<P, State, Internal>, request: Request) => Parts<Part, Result | Replied>
        : never;

/** The handlers of an agent: one for each message of its protocol and each internal one. */
export type Handlers<P extends AnyProtocol, State = undefined, Internal = NoInternal> = {
  readonly [Name in keyof (P['messages'] & Internal)]: HandlerOf<
    (P['messages'] & Internal)[Name],
    P,
    State,
    Internal
  >;
};

/** How many messages an actor holds, and what happens to one more. */
export interface MailboxOptions {
  /** Messages it holds; 1,000 unless said. */
  readonly capacity?: number | undefined;
  /** What happens when it is full; `backpressure` unless said: senders wait. */
  readonly overflow?: Overflow | undefined;
  /** Milliseconds of waiting that lift a message by one priority; 0 unless said: strict order. */
  readonly agingMs?: number | undefined;
  /** Slots beyond the capacity for `critical` alone; 16 unless said. */
  readonly criticalReserve?: number | undefined;
  /** Slots beyond the capacity for what the actor sends to itself; 16 unless said. */
  readonly selfReserve?: number | undefined;
  /** Sends that may wait for room; 10,000 unless said. */
  readonly waitersMax?: number | undefined;
  /** Messages it may put aside; 1,000 unless said. */
  readonly stashMax?: number | undefined;
}

/** What becomes of a message whose turn failed: `'fail'`, or another attempt after the restart. */
export type OnFailure =
  | 'fail'
  | {
      readonly retry: {
        /** Attempts in all; 2 unless said. */
        readonly attemptsMax?: number | undefined;
        readonly backoff?: BackoffOptions | undefined;
      };
    };

/** The options of an agent. */
export interface AgentOptions<P extends AnyProtocol, Args, State, Internal> {
  /** Makes the state; called afresh at every start and restart. Show its return type where it holds empty lists, or takes `ctx`. */
  readonly state?:
    | ((args: Args, ctx: StartContext<P, NoInfer<Internal>>) => State | Promise<State>)
    | undefined;
  /** One handler for each message. */
  readonly on: NoInfer<Handlers<P, State, Internal>>;
  /** Messages only the agent sends itself, by `ctx.continue` and `ctx.timers`; handled in `on` like the others. */
  readonly internal?: Internal | undefined;
  readonly mailbox?: MailboxOptions | undefined;
  /** Milliseconds a turn may take; 300,000 unless said; `Infinity` allowed. */
  readonly turnTimeoutMs?: number | undefined;
  /** Milliseconds `state` may take; 30,000 unless said. */
  readonly startTimeoutMs?: number | undefined;
  /** What becomes of a message whose turn failed; `'fail'` unless said. */
  readonly onFailure?: OnFailure | undefined;
  /**
   * What is to be done about a failure, before the supervisor counts it. Unless said: `resume` after an abort, `stop` for a
   * refused key, request, content or budget (HTTP 400, 401, 402, 403, 422, or such a `code`), else `restart`.
   */
  readonly decide?: ((error: unknown) => Directive) | undefined;
  /** Topics fed into the mailbox from the start. */
  readonly subscribe?: readonly NoInfer<Feed<P, Internal>>[] | undefined;
  /** Where schemas are checked: at trust boundaries, or for every message; `boundary` unless said. */
  readonly validate?: 'boundary' | 'always' | undefined;
  /** Runs on the old generation, before its children end and a new one starts. */
  readonly onRestart?:
    | ((ctx: HookContext<P, NoInfer<State>, NoInfer<Internal>>, failure: Failure) => unknown)
    | undefined;
  /** Runs once, last; not on a restart, not on a kill. */
  readonly onStop?:
    | ((ctx: HookContext<P, NoInfer<State>, NoInfer<Internal>>, reason: EndReason) => unknown)
    | undefined;
  /** Hears of the end of a watched actor. */
  readonly onTerminated?:
    | ((ctx: HookContext<P, NoInfer<State>, NoInfer<Internal>>, terminated: Terminated) => unknown)
    | undefined;
  /** Runs once when no message was handled, in flight or queued for the time that `ctx.setIdleTimeout` said. */
  readonly onIdle?: ((ctx: HookContext<P, NoInfer<State>, NoInfer<Internal>>) => unknown) | undefined;
}

/** An agent: what `spawn` starts and `child` puts under a supervisor. Frozen. */
export interface AgentDefinition<P extends AnyProtocol, Args = void> extends Spawnable<P, Args> {
  /** The messages it sends itself; an object without prototype. */
  readonly internal: Readonly<Record<string, MessageDefinition>>;
  /** Everything else, checked, with defaults applied. */
  readonly options: AgentSettings;
  /** A child of a supervisor: the arguments of `state`, and how it is kept alive. */
  child(...options: ChildParameters<Args>): ChildSpec<P>;
  /** Several of them behind one ref: a child of a supervisor, or what `spawn` starts. */
  pool(options: PoolOptions<P, Args>): PoolSpec<P>;
}

/** Any agent, as the engine sees it. */
export type AnyAgentDefinition = AgentDefinition<AnyProtocol, never>;

/**
 * An agent for a protocol. Handlers need no annotations. Throws `ERR_OPTION_INVALID` for an option that is unknown or out of
 * range, a message without a handler, or a handler without a message.
 */
export function agent<
  P extends AnyProtocol,
  Args = void,
  State = undefined,
  Internal extends InternalMessages = NoInternal,
>(protocol: P, options: AgentOptions<P, Args, State, Internal>): AgentDefinition<P, Args>;
// The same once more, for the sake of the compiler's messages: for a call with overloads they begin with one short line
// and end with the mistake, where for a single signature they begin with two whole function types (400 characters).
export function agent<
  P extends AnyProtocol,
  Args = void,
  State = undefined,
  Internal extends InternalMessages = NoInternal,
>(protocol: P, options: AgentOptions<P, Args, State, Internal>): AgentDefinition<P, Args>;
export function agent<P extends AnyProtocol, Args>(
  protocol: P,
  options: { readonly internal?: unknown },
): AgentDefinition<P, Args> {
  if (typeof protocol !== 'object' || protocol === null || typeof protocol.messages !== 'object') {
    throw invalidOption('agent protocol', 'protocol(...)', protocol);
  }
  const internal = messageMap('internal', options?.internal ?? {});
  const settings = readSettings(protocol, internal, options);
  const definition: AgentDefinition<P, Args> = Object.freeze({
    kind: 'agent',
    protocol,
    internal,
    options: settings,
    child: (...given: ChildParameters<Args>): ChildSpec<P> => childSpec('child', definition, given[0]),
    pool: (given: PoolOptions<P, Args>): PoolSpec<P> => poolSpec(definition, given),
  });
  return definition;
}
