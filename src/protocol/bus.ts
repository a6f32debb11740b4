/**
 * The message bus, as its users see it: types only. `MessageBus.connect` makes one; behind it is a system of its own, with
 * the same router, mailboxes and dead letters that agents have.
 */

import type { Broker, BrokerState } from './broker.ts';
import type { Codec } from './codec.ts';
import type { DeadLetterStats, DeadLetters } from './dead-letters.ts';
import type { Priority } from './priority.ts';
import type { Headers } from './ref.ts';
import type { OutputOf, Schema } from './schema.ts';
import type { EndSignal, ShutdownOptions } from './shutdown.ts';
import type { MessageStore, StoreStats } from './store.ts';
import type { MessagesOptions, SubscribeOptions, Subscription } from './subscription.ts';
import type { LogRecord, RuntimeEvents } from './system.ts';

/** How a bus is connected. Every part is optional: `MessageBus.connect()` gives one in memory. */
export interface BusOptions {
  /** Its name: a letter, then letters, digits, `_` and `-`; `bus` unless said. */
  readonly name?: string | undefined;
  /** Messages that a subscription holds which says nothing else; 1,000 unless said. */
  readonly capacity?: number | undefined;
  /**
   * Slows publishers down before anything is full. Unless said nothing is braked, and who publishes to a full
   * subscription waits until it has room.
   */
  readonly backpressure?: BrakeOptions | undefined;
  /**
   * What joins it with buses of other processes, such as `redis(url)`: every message goes through it. In memory unless said. The bus opens
   * and closes it.
   */
  readonly broker?: Broker | undefined;
  /** Its name at the broker, unlike that of every other node: 64 letters, digits, `_` and `-` at most; one by chance unless said. */
  readonly node?: string | undefined;
  /**
   * By what payloads are written for the broker; JSON unless said. A node that does not have it keeps what it gets of it as dead letters
   * `serialization` of the broker. A request is answered by the codec that wrote it, and in JSON where none did. Needs a broker.
   */
  readonly codec?: Codec | undefined;
  /** By what payloads can be read beside JSON and `codec`; 8 at most. Give a new codec to all nodes here first, and then as `codec`. Needs a broker. */
  readonly codecs?: readonly Codec[] | undefined;
  readonly deadLetters?: BusDeadLetterOptions | undefined;
  /**
   * Where every message that is published is kept: it is safe there before anybody gets it. The bus does not close it.
   * Requests and replies are not kept.
   */
  readonly store?: MessageStore | undefined;
  /**
   * What payloads must be, by topic or pattern, with any Standard Schema: `{ 'agent.tasks': Task, 'audit.#': Audit }`.
   * Where several patterns fit a topic, the most specific one decides: segment by segment from the left a name goes before
   * `*`, and `*` before `#`. What arrives is what the schema makes of the payload.
   */
  readonly schemas?: Readonly<Record<string, Schema>> | undefined;
  /** Whether a topic that no schema is for may be published to: `lenient`, unless said, takes it as it is; `strict` refuses it. */
  readonly validate?: 'strict' | 'lenient' | undefined;
  /** Requests, and publishes with `confirm: 'handled'`, that may wait at once; 100,000 unless said. */
  readonly asksInFlightMax?: number | undefined;
  /** Where warnings and errors of the runtime go; to the console unless said; `false` for nowhere. */
  readonly log?: ((record: LogRecord) => void) | false | undefined;
  /** Signals of the process that close the bus: `true` for SIGTERM and SIGINT; none unless said. */
  readonly signals?: boolean | readonly EndSignal[] | undefined;
}

/** Above which fill a publisher is braked, and for how long. */
export interface BrakeOptions {
  /**
   * Above this share of its capacity, 0 to 1, a subscription with `backpressure` brakes who publishes to it; 0.8 unless
   * said. A publish that has to wait for room is not braked as well.
   */
  readonly threshold?: number | undefined;
  /** Milliseconds that each such publish takes longer; 10 unless said. The message is queued before: order does not change. */
  readonly delayMs?: number | undefined;
}

/** What a bus keeps of messages that could not be handled. */
export interface BusDeadLetterOptions {
  /** Dead letters kept; 10,000 unless said. What falls off the end is counted. */
  readonly max?: number | undefined;
  /** Replays of one message, whatever ids it had; 3 unless said. */
  readonly replaysMax?: number | undefined;
}

/** How a message is published on a bus. */
export interface BusPublishOptions {
  /** How urgent it is; `normal` unless said. */
  readonly priority?: Priority | undefined;
  /** Milliseconds after which it is not worth a turn any more: it becomes a dead letter `expired`. */
  readonly ttlMs?: number | undefined;
  /** Who publishes it: up to 200 visible characters that subscribers see. */
  readonly sender?: string | undefined;
  /** What joins messages that belong together: up to 200 visible characters that subscribers see. */
  readonly correlationId?: string | undefined;
  readonly headers?: Headers | undefined;
  /**
   * What the publish waits for: `accepted`, unless said, that every subscriber with `backpressure` has the message in its
   * queue; `handled`, that their turns have ended for good, retries included.
   */
  readonly confirm?: 'accepted' | 'handled' | undefined;
  /** Milliseconds to wait: for room, 30,000 unless said; with `confirm: 'handled'` for everything, 60,000 unless said. */
  readonly timeoutMs?: number | undefined;
  /** Ends the wait at once. What is queued stays published. */
  readonly signal?: AbortSignal | undefined;
}

/** What became of a publish. */
export interface PublishReceipt {
  /** Identifies the message, in this process and in others. All its copies have it. */
  readonly id: string;
  /** Subscriptions that took it; a group counts as one. 0 where nobody is subscribed. With a broker 1: the broker, which has it. */
  readonly delivered: number;
}

/** What became of a publish with `confirm: 'handled'`. `delivered` is `handled` and `failed` together. */
export interface HandledReceipt extends PublishReceipt {
  /** Subscriptions whose handler ended well. */
  readonly handled: number;
  /**
   * Those whose handler did not: it failed for good, or never ran because its copy expired, was dropped for others, or
   * was cancelled. All but the cancelled ones are dead letters, which say why.
   */
  readonly failed: number;
}

/** How something is requested. */
export interface RequestOptions<S extends Schema = Schema> {
  /** Milliseconds to wait for the reply, room included; 60,000 unless said. */
  readonly timeoutMs?: number | undefined;
  /** Takes the request back, and the work done for it; it rejects with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
  /** What the reply must be. The request resolves with what the schema makes of it. */
  readonly schema?: S | undefined;
  readonly priority?: Priority | undefined;
  /** As for `publish`. */
  readonly sender?: string | undefined;
  /** As for `publish`. */
  readonly correlationId?: string | undefined;
  readonly headers?: Headers | undefined;
}

/** A message as a handler of the bus gets it. */
export interface BusMessage<out Payload = unknown> {
  /** Identifies it, also among the dead letters and in a store. All copies of one publication have it. */
  readonly id: string;
  readonly topic: string;
  readonly payload: Payload;
  readonly priority: Priority;
  readonly sender: string | undefined;
  readonly correlationId: string | undefined;
  readonly headers: Headers;
  /** When it was published: wall-clock milliseconds since 1970. */
  readonly publishedAtMs: number;
  /** Which attempt at it this is, from 1. */
  readonly attempt: number;
  /** Whether somebody waits for a reply, or did. */
  readonly isRequest: boolean;
  /** Aborted when the handler takes too long, nobody waits for its reply any more, or its subscription ends. */
  readonly signal: AbortSignal;
  /**
   * Answers a request, once, during the handler or later. The first reply of all subscribers is the answer; one that comes
   * after it, or too late, is a dead letter `late-reply`, a second one of the same handler `duplicate-reply`. The reply to
   * a request that was replayed from the dead letters goes nowhere. Throws `ERR_REPLY_UNWANTED` for a message that is no request.
   */
  readonly reply: (value: unknown) => void;
  /**
   * Says that the message is at fault: when the handler ends, it is a dead letter `rejected` with that reason, and is not
   * tried again. For a request this subscriber will not answer; that can also be said after the handler. Throws
   * `ERR_REPLY_UNWANTED` when the handler has ended and nobody asked.
   */
  readonly reject: (reason: unknown) => void;
}

/** Handles messages of a subscription. What it returns is awaited; what it throws is a failure of this message alone. */
export type BusHandler<Payload = unknown> = (message: BusMessage<Payload>) => unknown;

/** A message that waits for a handler. */
export interface PendingMessage {
  readonly id: string;
  readonly topic: string;
  readonly payload: unknown;
  readonly priority: Priority;
  readonly sender: string | undefined;
  readonly correlationId: string | undefined;
  readonly headers: Headers;
  readonly publishedAtMs: number;
  /** Subscriptions at which it waits, for a handler or for room; a group counts as one. */
  readonly waitingAt: number;
}

/** What one subscription, or one group, has before it. */
export interface QueueSize {
  /** What it listens to; several for a group that does. */
  readonly patterns: readonly string[];
  /** Messages that wait for a handler. */
  readonly queued: number;
  readonly byPriority: Readonly<Record<Priority, number>>;
  readonly capacity: number;
  /** `queued` as a share of `capacity`; above 1 where urgent messages use their reserve. */
  readonly fill: number;
  /** Publishers that wait for room. */
  readonly waiting: number;
}

/** What a bus has done so far, and what it has to do. */
export interface BusStats {
  /** Messages that were given to their subscribers, whoever there was. */
  readonly published: number;
  readonly requested: number;
  readonly backpressure: BackpressureStats;
  readonly queues: readonly QueueSize[];
  readonly deadLetters: DeadLetterStats;
  /** Of the store; `undefined` without one. */
  readonly store: StoreStats | undefined;
  /** Changes of status that the store did not take; each is in the log. */
  readonly statusesLost: number;
  /** How the broker is; `undefined` without one. */
  readonly broker: BrokerState | undefined;
}

/** How often and how long publishers were slowed down. */
export interface BackpressureStats {
  /** Publishes that were braked, and the milliseconds that made in all. */
  readonly braked: number;
  readonly brakedMs: number;
  /** Publishes that waited for room, and the milliseconds they waited until they had it or gave up. */
  readonly waited: number;
  readonly waitedMs: number;
  /** Publishes that gave up: no room in time, too many that waited already, or taken back. */
  readonly refused: number;
}

/** Which stored messages are replayed. */
export interface BusReplayOptions {
  /** Published at this time or later, in wall-clock milliseconds since 1970. */
  readonly fromMs?: number | undefined;
  /** Published before this time. */
  readonly toMs?: number | undefined;
  /** Ends the replay: what has not begun is not handled. It rejects with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
}

/** A bus: publish and subscribe, request and reply, with priorities, bounds and dead letters. */
export interface MessageBus extends AsyncDisposable {
  readonly name: string;
  /**
   * Publishes to every subscription that fits, and resolves when those with `backpressure` have taken it. It never rejects
   * because a handler failed, and resolves with zeros where nobody is subscribed.
   *
   * Rejects with `ERR_OPTION_INVALID`, `ERR_TOPIC_INVALID`; `ERR_MESSAGE_INVALID` for a payload that its schema refuses, with
   * path and value as its cause, and `ERR_SCHEMA_MISSING` where a strict bus has no schema for the topic; `ERR_SEND_TIMEOUT` and
   * `ERR_MAILBOX_WAITERS_FULL` for lack of room; `ERR_CONFIRM_TIMEOUT`, `ERR_ASKS_IN_FLIGHT_FULL` with `confirm: 'handled'`; with what
   * the store says, and then nobody gets the message; `ERR_BUS_CLOSED`.
   */
  publish(
    topic: string,
    payload: unknown,
    options: BusPublishOptions & { readonly confirm: 'handled' },
  ): Promise<HandledReceipt>;
  publish(topic: string, payload: unknown, options?: BusPublishOptions): Promise<PublishReceipt>;
  /**
   * Calls `handler` for each message that fits: a topic, or a pattern with `*` for one segment and `#` for the rest. Resolves
   * when effective: what is published afterwards is seen. Rejects with `ERR_OPTION_INVALID`, `ERR_TOPIC_INVALID`, `ERR_BUS_CLOSED`.
   */
  subscribe<Payload = unknown>(
    pattern: string,
    handler: BusHandler<Payload>,
    options?: SubscribeOptions,
  ): Promise<Subscription>;
  /** Ends a subscription, as its own `unsubscribe` does. */
  unsubscribe(subscription: Subscription): Promise<void>;
  /**
   * Publishes a question and resolves with the first reply. The other subscribers are cancelled: what they have queued is
   * taken back, and the `signal` of a running handler is aborted. So is everything when time is up or `signal` is aborted.
   * Asks that go round in a circle of topics are not seen: their timeouts end them.
   *
   * Rejects at once with `ERR_SUBSCRIBER_MISSING` where nobody is subscribed, and with `ERR_REQUEST_FAILED` when every subscriber has failed,
   * the last failure as its cause; with `ERR_REQUEST_TIMEOUT`; `ERR_REPLY_INVALID` for a first reply that `schema` refuses, with path and
   * value as its cause; and as `publish` does.
   */
  request<S extends Schema>(
    topic: string,
    payload: unknown,
    options: RequestOptions<S> & { readonly schema: S },
  ): Promise<OutputOf<S>>;
  request(topic: string, payload: unknown, options?: RequestOptions): Promise<unknown>;
  /**
   * Messages pulled one after the other: no more are held than the window has room for, and publishers wait for the rest.
   * A message is settled, as handled, when the next one is asked for or the loop ends. Throws `ERR_OPTION_INVALID`,
   * `ERR_TOPIC_INVALID`, `ERR_BUS_CLOSED`.
   */
  messages<Payload = unknown>(pattern: string, options?: MessagesOptions): AsyncIterable<BusMessage<Payload>>;
  /** Messages of a topic or pattern that wait in this process, most urgent first, each once; the first 100 unless `limit` says else. */
  pending(pattern: string, options?: { readonly limit?: number | undefined }): readonly PendingMessage[];
  /** What each subscription has before it, oldest first. */
  queueSizes(): readonly QueueSize[];
  stats(): Promise<BusStats>;
  /**
   * Gives stored messages of a topic or pattern to `handler`, oldest first, one at a time, each at most once; what is published meanwhile is not
   * among them. Resolves with how many `handler` got. One that fails, or does not fit its schema any more, is a dead
   * letter, and the replay goes on. Rejects with `ERR_OPTION_INVALID` on a bus without a store, with what the store says, and
   * with `ERR_BUS_CLOSED` when the bus is closed meanwhile.
   */
  replay<Payload = unknown>(
    pattern: string,
    handler: BusHandler<Payload>,
    options?: BusReplayOptions,
  ): Promise<number>;
  readonly deadLetters: DeadLetters;
  readonly events: RuntimeEvents;
  /**
   * Ends the bus: nothing more is published, handlers get what is queued for up to `drainMs` (5,000 unless said), what is
   * left are dead letters, and running handlers are aborted. One that does not end within a second then is given up: its message counts as
   * failed to whoever awaits its handling, in a group of a broker it goes to another member, and `turn-disowned` tells of it. Resolves when
   * all has ended; never rejects. `await using` does the same. A handler that awaits it waits for its own end, until its time is up: call it
   * there without waiting.
   */
  close(options?: ShutdownOptions): Promise<void>;
}
