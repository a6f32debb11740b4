/**
 * Dead letters, as their readers see them: what was not delivered or not handled, with the reason. Types only, and the
 * filter that list, replay and discard share.
 */

import type { DeadLetterReason } from './events.ts';
import type { Priority } from './priority.ts';

/** One attempt at a message that failed. */
export interface FailedAttempt {
  /** 1 for the first; replays count on. */
  readonly attempt: number;
  /** What it threw, as it was thrown: with its stack and its cause, if it has them. */
  readonly error: unknown;
  /** Wall-clock milliseconds since 1970. */
  readonly atMs: number;
  /** Generation of the actor: how often it had been restarted. */
  readonly generation: number;
}

/** A message that could not be handled, kept to be read and replayed. */
export interface DeadLetter {
  /** Its own, unique in the system: what `replay` and `discard` take. One message may leave several letters. */
  readonly id: string;
  /** The message's. The copies that subscribers get of one publication share it; a replay has a new one. */
  readonly messageId: string;
  readonly reason: DeadLetterReason;
  /** Address of the actor it was for. */
  readonly address: string;
  /** The name of the message. */
  readonly message: string;
  /** The topic it was published to; `undefined` for one that was sent to its actor. */
  readonly topic: string | undefined;
  readonly payload: unknown;
  readonly priority: Priority;
  /** Address of the actor that sent it, if one did. */
  readonly sender: string | undefined;
  /** Attempts that were made at it; 0 if it never had a turn. */
  readonly attempts: number;
  /** Times it was replayed before it died again; `replaysMax` at most, whatever ids it had. */
  readonly replays: number;
  /** What it died of: an attempt's error, its rejection, its schema's refusal. `undefined` where nothing was thrown. */
  readonly error: unknown;
  /** The attempts that failed, oldest first, those before its replays too; the last eight. */
  readonly history: readonly FailedAttempt[];
  /** Wall-clock milliseconds since 1970. */
  readonly deadAtMs: number;
}

/** Which dead letters are meant: those that fit everything named; without a field, all. */
export interface DeadLetterFilter {
  readonly reason?: DeadLetterReason | undefined;
  /** Address of the actor it was for. */
  readonly address?: string | undefined;
  /** The name of the message. */
  readonly message?: string | undefined;
  /** A topic, or a pattern (`mail.*`, `mail.#`, `#`). Only what was published has one. */
  readonly topic?: string | undefined;
  /** Address of the actor that sent it. */
  readonly sender?: string | undefined;
  /** Died at this time or later, in wall-clock milliseconds since 1970. */
  readonly sinceMs?: number | undefined;
  /** Died before this time: spans that touch share no letter. */
  readonly untilMs?: number | undefined;
  /** The first so many; all unless said. */
  readonly limit?: number | undefined;
  /** Died after the letter of this id, whether that one is still kept or not: the last of a page gives the next page. */
  readonly after?: string | undefined;
}

/** How many dead letters there are, and were. */
export interface DeadLetterStats {
  /** Kept at present. */
  readonly kept: number;
  /** Ever seen, the ones that fell off included. */
  readonly total: number;
  /** Fell off because more than `deadLettersMax` were kept. */
  readonly evicted: number;
  /** Removed by `discard` and `discardAll`. */
  readonly discarded: number;
  /** Left by `replay` and `replayAll`. One that dies again is a new one. */
  readonly replayed: number;
  /** Ever seen, by reason. */
  readonly byReason: Readonly<Partial<Record<DeadLetterReason, number>>>;
  /** Kept at present, by topic: the 20 topics with most of them, most first. */
  readonly byTopic: readonly { readonly topic: string; readonly kept: number }[];
  /** Kept at present, of all topics that `byTopic` leaves out. */
  readonly otherTopics: number;
}

/** What became of a `replayAll`. */
export interface ReplayReport {
  /** Accepted by their actors. */
  readonly replayed: number;
  /** Still kept, each with the error of its `replay`, oldest first. */
  readonly refused: readonly { readonly id: string; readonly error: unknown }[];
}

/**
 * The messages that could not be handled; the last `deadLettersMax` of them. What falls off the end is counted, and told as
 * the event `dead-letter-evicted`. Iterating gives those to come, until the system shuts down.
 */
export interface DeadLetters extends AsyncIterable<DeadLetter> {
  /** The kept one of that id, if there is one. */
  get(id: string): DeadLetter | undefined;
  /** Those kept, oldest first: a page of them with `limit` and `after`. Throws `ERR_OPTION_INVALID`. */
  list(filter?: DeadLetterFilter): readonly DeadLetter[];
  /** Removes one; false if it is not kept. */
  discard(id: string): boolean;
  /** Removes all that match; answers how many. Throws `ERR_OPTION_INVALID`. */
  discardAll(filter?: DeadLetterFilter): number;
  /**
   * Sends a message again to where it was going: to the actor that lives there now. It waits for room as `send` does,
   * and leaves the list when it is accepted; until then it is kept. Payload, priority, topic, headers and sender are the
   * old ones; it has a new id and no deadline, and its attempts are counted on. Nobody waits for the reply to an ask any
   * more: it is handled, and its reply goes nowhere.
   *
   * Rejects with `ERR_DEAD_LETTER_UNKNOWN`; `ERR_REPLAYS_EXHAUSTED` after `replaysMax` replays of the same message;
   * `ERR_REPLAY_REFUSED` for what cannot be sent again (a reply, what failed its schema, the runtime's own messages);
   * and as `send` does.
   */
  replay(id: string): Promise<void>;
  /**
   * Replays all that match, oldest first, those whose actors have room without waiting for the others. Rejects with
   * `ERR_OPTION_INVALID`.
   */
  replayAll(filter?: DeadLetterFilter): Promise<ReplayReport>;
  stats(): DeadLetterStats;
}
