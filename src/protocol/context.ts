/**
 * The context of a turn: what a handler may do. Whatever is sent through it carries the sender, the turn's deadline and
 * signal, the chain of asks, and the fence that silences a turn whose generation has ended (`ERR_GENERATION_STALE`).
 */

import type { Spawnable } from './child-spec.ts';
import type { EndReason } from './events.ts';
import type { PartStream } from './part-stream.ts';
import type { Priority } from './priority.ts';
import type { AnyProtocol, AskName, PartOf, ReplyOf, ResultOf, StreamName, TellName } from './protocol.ts';
import type {
  Admission,
  AnyRef,
  AskOptions,
  Headers,
  Ref,
  Rest,
  SendOptions,
  StreamOptions,
  TellOptions,
} from './ref.ts';
import type { AnyTopic, FeedOptions, FittingName, PublishParameters, Subscription } from './subscription.ts';
import type { SpawnParameters, System } from './system.ts';
import type { TopicFilter } from './topic.ts';

/** Marks what a handler may return in place of a reply. For the engine; no user needs it. */
export const REPLIED: unique symbol = Symbol.for('troupe.replied');

/** What `ctx.reply`, `ctx.replyTo` and `ctx.stash` give an ask handler to return: the reply is taken care of. */
export interface Replied {
  readonly [REPLIED]: true;
}

/** What an ask handler returns: the reply, or the token that says it is taken care of, at once or later. */
export type Answer<R> = R | Replied | Promise<R | Replied>;

/** The right to answer one ask, once, later: by another turn, another actor, or after a restart, until the deadline. */
export interface ReplyTo<in R> extends Replied {
  /** Answers. A second answer, or one after the deadline, is a dead letter. */
  reply(value: R): void;
  /** Lets the ask fail with `error`. */
  reject(error: unknown): void;
}

/** Messages an agent sends only to itself: timers and `ctx.continue`. */
export type InternalMessages = Readonly<Record<string, { readonly kind: 'tell' }>>;

/** No internal messages. */
export type NoInternal = Record<never, never>;

/** The message whose turn it is. */
export interface MessageInfo {
  readonly id: string;
  readonly name: string;
  /** Address of the actor that sent it; `undefined` from outside. */
  readonly sender: string | undefined;
  readonly priority: Priority;
  /** 1, or more if it is tried again. */
  readonly attempt: number;
  /** Wall-clock milliseconds since 1970 after which nobody waits for it. */
  readonly deadline: number | undefined;
  readonly headers: Headers;
  /**
   * Of a tick at a fixed rate: how many ticks of its timer fell due before its turn began and got no turn, since the
   * tick before; else 0. At that moment ticks and missed ones add up to what was due.
   */
  readonly missed: number;
}

/** How a timer repeats. */
export interface EveryOptions {
  /** Ticks fall on a grid from the start, those missed are counted; unless said, the period begins when a tick's turn ends. */
  readonly fixedRate?: boolean | undefined;
}

/**
 * The timers of an actor, by keys of its choosing (strings of 1 to 128 characters). A tick is an internal message, handled
 * before any user message; one of a key at most is queued or has its turn. They end with the generation; an actor that is
 * stopping starts none. At most 1,000: `ERR_TIMERS_FULL`. Starting one in the place of another cancels that one.
 */
export interface Timers<Internal> {
  /** Sends itself an internal message once, after `delayMs`. */
  once<N extends keyof Internal & string>(
    key: string,
    delayMs: number,
    name: N,
    ...rest: Rest<Internal, N, never>
  ): void;
  /** Sends itself an internal message again and again, first after `periodMs`. */
  every<N extends keyof Internal & string>(
    key: string,
    periodMs: number,
    name: N,
    ...rest: Rest<Internal, N, EveryOptions>
  ): void;
  /** After it returns, no tick of that key is handled, not even one that is queued already. */
  cancel(key: string): void;
}

/** A log that knows the actor. Contents of messages are logged only if the handler does it. */
export interface Log {
  debug(text: string, fields?: Readonly<Record<string, unknown>>): void;
  info(text: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(text: string, fields?: Readonly<Record<string, unknown>>): void;
  error(text: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** Word of the end of a watched actor. Once for each watch, never for a restart. */
export interface Terminated {
  readonly ref: AnyRef;
  /** How it ended; `noproc` if it was gone already, `nodedown` if all that is known is that its node is not there any more. */
  readonly reason: EndReason | 'noproc' | 'nodedown';
  readonly cause: unknown;
  /** Whether the actor is known to have lived; of one on another node, whether that node has said so. */
  readonly existenceConfirmed: boolean;
}

/** Why a generation ended. */
export interface Failure {
  /**
   * `failed`: its turn failed. `left`: it ended itself although it is `permanent`. `sibling`: another child failed, and the
   * strategy of their supervisor restarts both; the cause is the other one's.
   */
  readonly kind: 'failed' | 'left' | 'sibling';
  readonly cause: unknown;
}

/** What an agent may do before it has a state. */
export interface StartContext<P extends AnyProtocol = AnyProtocol, Internal = NoInternal> {
  readonly self: Ref<P>;
  /** Aborts when the turn times out, is cancelled, or the actor stops or restarts. */
  readonly signal: AbortSignal;
  /** Restarts so far. */
  readonly generation: number;
  readonly log: Log;
  readonly system: System;
  /** Offers a message and answers at once. */
  tell<Q extends AnyProtocol, N extends TellName<Q>>(
    ref: Ref<Q>,
    name: N,
    ...rest: Rest<Q['messages'], N, TellOptions>
  ): Admission;
  /** Offers a message and waits for room. To oneself it never waits: it throws `ERR_MAILBOX_FULL` beyond the reserve. */
  send<Q extends AnyProtocol, N extends TellName<Q>>(
    ref: Ref<Q>,
    name: N,
    ...rest: Rest<Q['messages'], N, SendOptions>
  ): Promise<void>;
  /** Asks within the turn's deadline and signal. Rejects with `ERR_ASK_CYCLE` where the answer would wait for itself. */
  ask<Q extends AnyProtocol, N extends AskName<Q>>(
    ref: Ref<Q>,
    name: N,
    ...rest: Rest<Q['messages'], N, AskOptions>
  ): Promise<ReplyOf<Q['messages'][N]>>;
  /** Asks for parts within the turn's deadline and signal. The first `next()` rejects with `ERR_ASK_CYCLE` as `ask` does. */
  stream<Q extends AnyProtocol, N extends StreamName<Q>>(
    ref: Ref<Q>,
    name: N,
    ...rest: Rest<Q['messages'], N, StreamOptions>
  ): PartStream<PartOf<Q['messages'][N]>, ResultOf<Q['messages'][N]>>;
  /** Publishes to every subscriber. Resolves when each one with `backpressure` has accepted. */
  publish<T extends AnyTopic>(topic: T, ...rest: PublishParameters<T>): Promise<void>;
  /** Feeds a topic into the own mailbox until this generation ends. Resolves when effective. */
  subscribe<Delivery>(
    topic: TopicFilter<Delivery>,
    options: FeedOptions & { readonly as: FittingName<P['messages'] & Internal, Delivery> },
  ): Promise<Subscription>;
  /** Starts a child; it ends with this generation. Resolves when its `state` has. */
  spawn<Q extends AnyProtocol, Args>(
    agent: Spawnable<Q, Args>,
    ...options: SpawnParameters<Args>
  ): Promise<Ref<Q>>;
  /** Stops an actor, here or on another node. Resolves when it has ended; rejects as `system.stop` does. */
  stop(ref: AnyRef): Promise<void>;
  /** Ends this actor after the present turn. */
  stopSelf(reason?: 'normal' | 'shutdown'): void;
  /**
   * Asks for word of an actor's end: `onTerminated`. Watching twice is watching once. The actor may be one of another node; then it
   * throws `ERR_WATCHES_FULL` where this node watches too many there, and a ref by name means whoever holds the name when
   * the word of it arrives.
   */
  watch(ref: AnyRef): void;
  /** After it returns, no word of that actor's end is delivered. A link stays. */
  unwatch(ref: AnyRef): void;
  /**
   * Watches an actor, and fails this one with `ERR_LINK_DIED`, after `onTerminated`, if it ends in any way but `normal` and
   * `shutdown`; `noproc` and `nodedown` are such ways. Kept through restarts, as watches are. Throws as `watch` does.
   */
  link(ref: AnyRef): void;
  /** Takes back `link`: after it returns, that actor's end fails nobody. What `watch` asked for stays. */
  unlink(ref: AnyRef): void;
  /** Timers that send internal messages. */
  readonly timers: Timers<Internal>;
  /**
   * Runs `onIdle` once when for `ms` no user message (or continuation of one) was handled, in flight or queued; the next
   * one makes it due again. Counts from the end of the present turn and ends with the generation; `undefined` ends it.
   */
  setIdleTimeout(ms: number | undefined): void;
  /** Handles an internal message next, before any other; not where the actor ends, or fails, before that. */
  continue<N extends keyof Internal & string>(name: N, ...rest: Rest<Internal, N, never>): void;
}

/** What the hooks of an agent get. */
export interface HookContext<P extends AnyProtocol, State = undefined, Internal = NoInternal>
  extends StartContext<P, Internal> {
  /** The actor's own; fresh at each start. */
  state: State;
}

/** What a handler gets: the actor's state, the message, and everything it may do. */
export interface Context<P extends AnyProtocol, State = undefined, Internal = NoInternal>
  extends HookContext<P, State, Internal> {
  readonly message: MessageInfo;
  /** Puts the present message aside until `unstash`; it counts against the capacity. Throws `ERR_STASH_FULL`. */
  stash(): Replied;
  /** Puts all stashed messages back in their places. */
  unstash(): void;
}

/** What the handler of an ask gets: a context that can reply. */
export interface AskContext<P extends AnyProtocol, State, Reply, Internal = NoInternal>
  extends Context<P, State, Internal> {
  /** Replies now; the turn may go on. Return what it gives. */
  reply(value: Reply): Replied;
  /** The right to reply later. Return it; whoever holds it answers once. */
  readonly replyTo: ReplyTo<Reply>;
}
