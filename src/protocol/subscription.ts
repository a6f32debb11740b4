/**
 * Publishing and subscribing, as words: what a publisher may say of a message, and what a subscriber of its feed.
 */

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
}

/** A running subscription. */
export interface Subscription {
  /** What it listens to. */
  readonly pattern: string;
  /**
   * Ends it. From the call on nothing more is handled: what is queued is cancelled. Resolves when a handler that runs has
   * ended, so a handler that ends its own subscription must not await it. Ending it twice is harmless.
   */
  unsubscribe(): Promise<void>;
}

/** What a subscriber is told beside the message. */
export interface MessageMeta {
  /** The topic it was published to. */
  readonly topic: string;
  readonly priority: Priority;
  readonly headers: Headers;
  /** Address of the actor that published it, if one did. */
  readonly sender: string | undefined;
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
