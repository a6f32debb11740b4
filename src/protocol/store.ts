/**
 * The store port: an append-only log of published messages, each with a status that changes. A store knows nothing of
 * subscribers or turns: who publishes, delivers and replays is the bus. What every store must keep is said here and proved
 * for each by one contract suite (`test/contract/store.contract.ts`).
 *
 * - Durable: a promise of `append`, `mark`, `remove` or `trim` resolves when its change is as safe as this store makes things
 *   (`isDurable`: synced to disk; else: in memory). Concurrent changes share one sync (group commit).
 * - Atomic: a change is there whole or not at all, after an error and after a crash at any moment.
 * - Ordered: changes take effect in the order of the calls; positions grow in that order and are never given twice.
 * - Bounded: payload, changes that wait, and messages kept; each says what happens at its bound.
 * - A value comes back as it was when `append` was called: later changes to the object are not seen, and what JSON cannot
 *   give back as it was is refused.
 */

import type { Priority } from './priority.ts';

/** What has become of a stored message, oldest stage first. Which one applies is decided by the bus. */
export const MESSAGE_STATUSES = ['pending', 'delivered', 'handled', 'failed', 'expired', 'dead'] as const;

/**
 * - `pending`: stored, and not yet accepted by whom it is for; what every message begins with;
 * - `delivered`: accepted, and its turns have not all ended;
 * - `handled`: every turn ended well;
 * - `failed`: a turn failed, and it may be tried again;
 * - `expired`: its time was up before it was handled;
 * - `dead`: given up; it is, or was, a dead letter.
 */
export type MessageStatus = (typeof MESSAGE_STATUSES)[number];

/** A message as it is given to a store. */
export interface NewMessage {
  /**
   * 1 to 200 visible ASCII characters, unlike that of every message the store holds: also those of earlier lives of the
   * process, so a counter that starts anew with the process is not enough.
   */
  readonly id: string;
  /** A topic within the grammar; never a pattern. */
  readonly topic: string;
  /** A JSON value, or `undefined` for none. Plain objects and lists only: a `Date` or a `Map` would come back as something else. */
  readonly payload: unknown;
  readonly priority: Priority;
  readonly headers: Readonly<Record<string, string>>;
  /** Who published it, if that is known. */
  readonly sender?: string | undefined;
  /** What joins a reply to its request, and steps of one conversation to each other. */
  readonly correlationId?: string | undefined;
  /** Milliseconds since 1970 on the publisher's clock. It may run backwards from one message to the next. */
  readonly publishedAtMs: number;
  /** Milliseconds since 1970 after which the message is not worth a turn any more; absent for never. */
  readonly expiresAtMs?: number | undefined;
}

/** A message as a store gives it back: a copy of its own, so that nothing done to it changes the store. */
export interface StoredMessage extends NewMessage {
  /** Its place in the log: a whole number from 1, greater than that of every message appended before. Gaps are possible. */
  readonly position: number;
  readonly status: MessageStatus;
  /** Attempts to handle it so far, as the last `mark` that named them said. */
  readonly attempts: number;
  /** What went wrong last, as the last `mark` that named it said. */
  readonly lastError: string | undefined;
}

/** What `mark` writes. What is absent keeps its value. */
export interface StatusChange {
  readonly status: MessageStatus;
  readonly attempts?: number | undefined;
  /** A short text; what is longer than 1,000 characters is cut there. */
  readonly lastError?: string | undefined;
}

/** Which messages `range` gives: those that fit everything named. */
export interface MessageRange {
  /** A topic, found by an index; or a pattern (`*`, `#`), for which every message of the time span is looked at. */
  readonly topic?: string | undefined;
  /** Published at this time or later. A durable store finds the time span by an index. */
  readonly fromMs?: number | undefined;
  /** Published before this time: spans that touch share no message. */
  readonly toMs?: number | undefined;
  /** Of this status when it is looked at. */
  readonly status?: MessageStatus | undefined;
  /** Of a greater position: to go on after the last message seen. */
  readonly after?: number | undefined;
  /** Messages at most; all unless said. */
  readonly limit?: number | undefined;
}

/** What `trim` takes away: every message that fits at least one of the two. */
export interface TrimOptions {
  /** Those published before this time. */
  readonly beforeMs?: number | undefined;
  /** The oldest by position, until at most this many are left. */
  readonly messagesMax?: number | undefined;
}

/** Messages that a bound or a `trim` took away. */
export interface Trimmed {
  readonly messages: number;
  /** Those among them that were `pending`, `delivered` or `failed`: work that was never brought to an end. */
  readonly unfinished: number;
}

/** What a store holds, at one moment. */
export interface StoreStats {
  readonly messages: number;
  /** Bytes of all payloads, as JSON in UTF-8. */
  readonly payloadBytes: number;
  readonly byStatus: Readonly<Record<MessageStatus, number>>;
  /** Topics that have at least one message. */
  readonly topics: number;
  /** Positions of the first and the last message held; 0 without one. */
  readonly firstPosition: number;
  readonly lastPosition: number;
  /** All that was ever trimmed, by bounds and by calls; a durable store counts on after it is opened again. */
  readonly trimmed: Trimmed;
  /** Changes that have been called for and are not yet safe. */
  readonly waiting: number;
}

/**
 * A log of messages. Every method rejects with `ERR_STORE_CLOSED` once `close` was called, and with `ERR_STORE_FAILED`, the
 * cause with it, when the medium fails (a full disk): then nothing of the change is kept, and the store goes on as far as
 * the medium lets it. Misuse rejects with `ERR_OPTION_INVALID` or `ERR_TOPIC_INVALID`. Where changes wait for a sync, they
 * are bounded, and one more rejects with `ERR_STORE_BUSY`; who awaits each change before the next never meets it.
 */
export interface MessageStore extends AsyncDisposable {
  /** Whether what was acknowledged outlives the process and a loss of power. */
  readonly isDurable: boolean;

  /**
   * Appends a message as `pending` and resolves with its position when it is safe. Rejects with `ERR_PAYLOAD_UNSERIALIZABLE`
   * or `ERR_PAYLOAD_TOO_LARGE` for what it will not hold, and with `ERR_MESSAGE_STORED` for an id it holds already.
   */
  append(message: NewMessage): Promise<number>;

  /** Changes a message's status; the last call wins. Resolves with whether the message is held: it may have been trimmed. */
  mark(position: number, change: StatusChange): Promise<boolean>;

  /** The message of this id, or `undefined`. */
  get(id: string): Promise<StoredMessage | undefined>;

  /**
   * The messages that fit, in the order of their positions, each once. The end is fixed by the call: what is appended later
   * is not part of it. What is removed or marked meanwhile is seen as it is when its page is read, so a message may be
   * missing, and never comes twice. Holds one page in memory, and nothing open between two pages: leaving early costs nothing.
   */
  range(range?: MessageRange): AsyncIterable<StoredMessage>;

  /** Takes one message away. Resolves with whether it was held. */
  remove(position: number): Promise<boolean>;

  /** Takes away old messages, in several steps if they are many; each step is atomic. */
  trim(options: TrimOptions): Promise<Trimmed>;

  stats(): Promise<StoreStats>;

  /** Lets the changes called for become safe, then frees what was opened. May be called again; every call resolves then. */
  close(): Promise<void>;
}

/** Options of every store. What falls off at its bound is counted in `stats().trimmed` and told to `onTrimmed`. */
export interface StoreOptions {
  /**
   * Messages kept: beyond it the oldest fall off; 100,000 unless said, `Infinity` for no bound but the medium's. A bound by
   * age is `trim({ beforeMs })`, called by whoever has a clock.
   */
  readonly messagesMax?: number | undefined;
  /** Bytes of one payload as JSON in UTF-8: 1 MiB unless said. */
  readonly payloadBytesMax?: number | undefined;
  /** Told of each batch of messages that a bound took away, after it is gone. What it throws is not caught. */
  readonly onTrimmed?: ((trimmed: Trimmed) => void) | undefined;
}
