/**
 * The context of a turn: what a handler may do. Whatever is sent through it carries the sender, the turn's deadline and
 * signal, the chain of asks, and the fence that silences a turn whose generation has ended (`ERR_GENERATION_STALE`).
 */

import type { Spawnable } from './child-spec.ts';
import type { EndReason } from './events.ts';
import type { Priority } from './priority.ts';
import type { AnyProtocol, AskName, ReplyOf, TellName } from './protocol.ts';
import type { Admission, AnyRef, AskOptions, Headers, Ref, Rest, SendOptions, TellOptions } from './ref.ts';
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
  /** How it ended; `noproc` if it was gone already. */
  readonly reason: EndReason | 'noproc';
  readonly cause: unknown;
  /** Whether the actor is known to have lived. */
  readonly existenceConfirmed: boolean;
}

/** Why a generation ended. */
export interface Failure {
  /** Its turn failed, or it ended itself although it is `permanent`. */
  readonly kind: 'failed' | 'left';
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
  /** Stops an actor. Resolves when it has ended. */
  stop(ref: AnyRef): Promise<void>;
  /** Ends this actor after the present turn. */
  stopSelf(reason?: 'normal' | 'shutdown'): void;
  /** Asks for word of an actor's end: `onTerminated`. Watching twice is watching once. */
  watch(ref: AnyRef): void;
  /** After it returns, no word of that actor's end is delivered. */
  unwatch(ref: AnyRef): void;
  /** Handles an internal message next, before any other. */
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
