/**
 * Refs: what a user holds of an actor. A ref has the verbs; it never shows the actor behind it.
 */

import type { PartStream } from './part-stream.ts';
import type { Priority } from './priority.ts';
import type {
  AnyProtocol,
  AskName,
  PartOf,
  PayloadOf,
  ReplyOf,
  ResultOf,
  StreamName,
  TellName,
} from './protocol.ts';

/** What `tell` says about a message, at once. Only `accepted` messages have an outcome; the others were never taken. */
export type Admission = 'accepted' | 'full' | 'stopped' | 'actor-unknown' | 'duplicate';

/** Headers that ride with a message: short strings for tracing and routing, never the payload's business. */
export type Headers = Readonly<Record<string, string>>;

/** How a message is told. */
export interface TellOptions {
  /** How urgent it is; `normal` unless said. */
  readonly priority?: Priority | undefined;
  /** Milliseconds after which it is not worth a turn any more: it becomes a dead letter `expired`. */
  readonly ttlMs?: number | undefined;
  readonly headers?: Headers | undefined;
}

/** How a message is sent: as told, and how long its sender waits for room. */
export interface SendOptions extends TellOptions {
  /** Milliseconds to wait for room; 30,000 unless said. */
  readonly timeoutMs?: number | undefined;
  /** Ends the wait at once; the send rejects with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Waits until the actor's mailbox has accepted the message, also where the actor lives on another node; unless said, such a send
   * waits until the broker has it. In this process both are the same.
   */
  readonly receipt?: boolean | undefined;
}

/** How something is asked. */
export interface AskOptions {
  /** How urgent it is; `normal` unless said. */
  readonly priority?: Priority | undefined;
  /** Milliseconds to wait for the reply, room in the mailbox included; 60,000 unless said. */
  readonly timeoutMs?: number | undefined;
  readonly headers?: Headers | undefined;
  /** Cancels the ask and the work it paid for; the ask rejects with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
}

/** How a stream is asked for. */
export interface StreamOptions {
  /** How urgent it is; `normal` unless said. */
  readonly priority?: Priority | undefined;
  /** Milliseconds for all of it, from the first `next()` on: room in the mailbox, and whatever either side takes; 300,000 unless said. */
  readonly timeoutMs?: number | undefined;
  readonly headers?: Headers | undefined;
  /** Breaks off, and cancels the work; `next()` rejects with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
  /** Parts in flight at the most, 1 to 1,024: yielded, and not yet taken by `next()`; 16 unless said. */
  readonly window?: number | undefined;
}

/** Whether a payload type means "no payload": `void`, and nothing else. (`any` and `unknown` are payloads.) */
type IsVoid<T> = 0 extends 1 & T ? false : [T] extends [void] ? ([void] extends [T] ? true : false) : false;

type IsOne<Name, Names = Name> = [Name] extends [never]
  ? false
  : Name extends Names
    ? [Names] extends [Name]
      ? true
      : false
    : never;

/**
 * The arguments after a message's name: payload and options, the payload absent where the message carries none. For an unknown
 * name the compiler looks at all names together; the payload is optional then, so that its message is about the name.
 */
export type Rest<Messages, Name extends keyof Messages, Options> =
  IsOne<Name> extends true
    ? IsVoid<PayloadOf<Messages[Name]>> extends true
      ? [payload?: undefined, options?: Options]
      : [payload: PayloadOf<Messages[Name]>, options?: Options]
    : [payload?: PayloadOf<Messages[Name]>, options?: Options];

/** An actor that understands `P`. Nominal by its protocol: a ref of a larger protocol fits a smaller one, never the reverse. */
export interface Ref<P extends AnyProtocol = AnyProtocol> {
  /** The protocol it was made for; its type is what tells refs apart. */
  readonly protocol: P;
  /** Where the actor lives: `/user/judge#7`, on another node `//b@k2j9x1/user/judge#7`. Unique for one incarnation's path. */
  readonly address: string;
  /** Offers a message and answers at once. Never waits, never throws for a full or stopped actor. */
  tell<N extends TellName<P>>(name: N, ...rest: Rest<P['messages'], N, TellOptions>): Admission;
  /** Offers a message and waits for room: the backpressure. Resolves when the mailbox accepted it. */
  send<N extends TellName<P>>(name: N, ...rest: Rest<P['messages'], N, SendOptions>): Promise<void>;
  /** Asks and waits for the one reply. Rejects at once when the actor stops or its turn fails. */
  ask<N extends AskName<P>>(
    name: N,
    ...rest: Rest<P['messages'], N, AskOptions>
  ): Promise<ReplyOf<P['messages'][N]>>;
  /** Asks for parts: `for await (const part of ref.stream(name, payload))`. The call is made with the first `next()`. */
  stream<N extends StreamName<P>>(
    name: N,
    ...rest: Rest<P['messages'], N, StreamOptions>
  ): PartStream<PartOf<P['messages'][N]>, ResultOf<P['messages'][N]>>;
  /** The address as every node understands it; `system.ref(protocol, address)` makes a ref of it again, on whatever node. */
  toJSON(): string;
}

/** Any ref, for calls that need only to know which actor is meant. */
export interface AnyRef {
  readonly protocol: AnyProtocol;
  readonly address: string;
}
