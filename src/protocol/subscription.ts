/**
 * Publishing and subscribing, as words: what a publisher may say of a message, and what a subscriber of its feed.
 */

import type { BackoffOptions } from './child-spec.ts';
import type { Priority } from './priority.ts';
import type { AnyProtocol, PayloadOf, Tell } from './protocol.ts';
import type { Headers } from './ref.ts';
import type { Topic, TopicDefinition, TopicFilter } from './topic.ts';

/** What a full mailbox does with one more message. Every drop is a dead letter `overflow-dropped`. */
export type Overflow = 'backpressure' | 'reject' | 'drop-newest' | 'drop-oldest' | 'drop-lowest';

/** The policies of a mailbox. @internal */
export const OVERFLOWS: readonly Overflow[] = [
  'backpressure',
  'reject',
  'drop-newest',
  'drop-oldest',
  'drop-lowest',
];

/** What a full subscription does; `latest` keeps one message for each topic: the newest. */
export type SubscriptionOverflow = Overflow | 'latest';

/** What a topic fed into an agent's mailbox does when that is full: the mailbox's own policy decides what is dropped. */
export type FeedOverflow = 'backpressure' | 'reject' | 'latest';

/** The policies of a feed. @internal */
export const FEED_OVERFLOWS: readonly FeedOverflow[] = ['backpressure', 'reject', 'latest'];

/** The policies of a subscription. @internal */
export const SUBSCRIPTION_OVERFLOWS: readonly SubscriptionOverflow[] = [...OVERFLOWS, 'latest'];

/** How a message is published. */
export interface PublishOptions {
  /** How urgent it is; `normal` unless said. */
  readonly priority?: Priority | undefined;
  /** Milliseconds after which it is not worth a turn any more. */
  readonly ttlMs?: number | undefined;
  readonly headers?: Headers | undefined;
  /** Milliseconds to wait for subscribers with `backpressure`; 30,000 unless said. */
  readonly timeoutMs?: number | undefined;
  /** Ends the wait at once. */
  readonly signal?: AbortSignal | undefined;
}

/** The arguments of `publish` after the topic: parameters and payload of a typed one, the payload of a plain one. */
export type PublishParameters<T> =
  T extends Topic<infer Params, infer Payload>
    ? [
        params: keyof Params extends never ? Record<string, never> : Params,
        payload: Payload,
        options?: PublishOptions,
      ]
    : [payload: unknown, options?: PublishOptions];

/** Anything that can be published to: a typed topic, or a plain one by its name. */
export type AnyTopic = TopicDefinition | string;

/** How a subscriber takes its messages. */
export interface SubscribeOptions {
  /** What happens when it is full; `backpressure` unless said: its publishers wait. */
  readonly overflow?: SubscriptionOverflow | undefined;
  /** Messages it holds; 1,000 unless said. */
  readonly capacity?: number | undefined;
  /**
   * Milliseconds for which a message waits instead of one a priority above it: `background` is five priorities below `critical`, so it goes before
   * what becomes `critical` five times as long after it. 0 unless said: the most urgent one is always next, and less urgent ones may wait for ever.
   */
  readonly agingMs?: number | undefined;
  /**
   * Messages handled at once, 1 to 10,000; 1 unless said. More than one start in the order of one queue, the most urgent
   * first, and end in any order.
   */
  readonly concurrency?: number | undefined;
  /**
   * Makes it compete: of the subscribers to one topic or pattern with the same group each message goes to one, whichever is
   * free first. They share one queue: `capacity`, `overflow` and `agingMs` are those of the group's first member, and a later
   * one says the same or nothing. A name is a letter, then letters, digits, `_` and `-`.
   */
  readonly group?: string | undefined;
  /**
   * Tries a message again whose handler failed, after a delay, up to `attemptsMax` times in all (2 unless said); then it is
   * a dead letter `attempts-exhausted`. Unless said it has one attempt, and is a dead letter `handler-failed`. What no
   * further attempt can mend (a refused key, request, content or budget) and what was aborted is not tried again.
   */
  readonly retry?:
    | { readonly attemptsMax?: number | undefined; readonly backoff?: BackoffOptions | undefined }
    | undefined;
  /** Milliseconds the handler may take for one message; 300,000 unless said; `Infinity` allowed. */
  readonly turnTimeoutMs?: number | undefined;
}

/** A running subscription. */
export interface Subscription {
  /** What it listens to. */
  readonly pattern: string;
  /**
   * Ends it. From the call on no handler of it starts; what is queued is cancelled. For a member of a group it goes to the
   * others, and when the last one leaves it is a dead letter `stopped`. Resolves when the handlers that run have ended.
   * Within 30 s they are to end by themselves, then their `signal` is aborted; one that leaves others in its group behind
   * may take its `turnTimeoutMs`, but one without such a limit is waited for no longer than 31 s. Ending it twice is harmless.
   *
   * A handler ends its own subscription by `meta.unsubscribe()`, which waits for nothing. One that awaits this promise
   * instead waits for itself until those times have passed; after a second the log says so.
   */
  unsubscribe(): Promise<void>;
}

/** What is known of a message beside what it says. Read it while it is handled. */
export interface ReceivedMessage {
  /** The topic it was published to. */
  readonly topic: string;
  readonly priority: Priority;
  readonly headers: Headers;
  /** Address of the actor that published it, if one did. */
  readonly sender: string | undefined;
  /** Identifies it: the `messageId` of its dead letters. */
  readonly id: string;
  /** Which attempt at it this is, from 1. */
  readonly attempt: number;
  /** Aborted when handling it takes longer than it may, or does not end within 30 s after subscription or system is to end. */
  readonly signal: AbortSignal;
}

/** What a subscriber is told beside the message. */
export interface MessageMeta extends ReceivedMessage {
  /** Ends this subscription: no handler of it starts any more. There is nothing to await: this one is still running. */
  readonly unsubscribe: () => void;
  /** Ends this handler: the message becomes a dead letter `rejected` with that reason, and is not tried again. Throws. */
  readonly reject: (reason: unknown) => never;
}

/** How messages are pulled. */
export interface MessagesOptions {
  /** Messages held for the consumer at most, the one in its hand included; 16 unless said. */
  readonly window?: number | undefined;
  /** What happens when the window is full; `backpressure` unless said: publishers wait. */
  readonly overflow?: SubscriptionOverflow | undefined;
  /** Ends the iteration when it is aborted, as `break` would: it is done, it does not fail. */
  readonly signal?: AbortSignal | undefined;
}

/** A message that was pulled. It is settled, as handled, when the next one is asked for or the iteration ends. */
export interface PulledMessage<Message> extends ReceivedMessage {
  readonly message: Message;
  /** Makes it a dead letter `rejected` with that reason instead, when it is settled. */
  readonly reject: (reason: unknown) => void;
}

/** A topic fed into an agent's mailbox as one of its messages: what the topic delivers must fit that message. */
export type Feed<P extends AnyProtocol, Internal> = FeedNamed<P['messages']> | FeedNamed<Internal>;

type FeedNamed<Messages> = {
  [Name in keyof Messages]: Messages[Name] extends Tell<never>
    ? FeedOf<Name, PayloadOf<Messages[Name]>>
    : never;
}[keyof Messages];

/** How an agent's mailbox takes what a topic delivers. */
export interface FeedOptions {
  /** What happens when it is full; `backpressure` unless said: its publishers wait. */
  readonly overflow?: FeedOverflow | undefined;
  /** Messages of this topic it holds; as many as the mailbox unless said. */
  readonly capacity?: number | undefined;
}

/** A feed into the message `Name`. */
export interface FeedOf<Name, Payload> extends FeedOptions {
  readonly topic: TopicFilter<Payload>;
  /** The message it arrives as. */
  readonly as: Name;
}

/** The names of the messages that take what a topic delivers. */
export type FittingName<Messages, Delivery> = keyof {
  [Name in keyof Messages as Messages[Name] extends Tell<infer Payload>
    ? [Delivery] extends [Payload]
      ? Name
      : never
    : never]: 1;
};
