/** What a dead letter says: read off its message at the moment of its death. */

import type { DeadLetter, FailedAttempt } from '../../src/protocol/dead-letters.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import type { DeadLetterReason } from '../../src/protocol/events.ts';
import { HISTORY_MAX } from '../../src/protocol/limits.ts';
import { publishedIn } from '../../src/protocol/topic-message.ts';
import { letterId } from './letter-filter.ts';

/** Reasons that a failed attempt gives; with every other the message still waited for its next one. */
const ATTEMPT_FAILED: ReadonlySet<DeadLetterReason> = new Set([
  'handler-failed',
  'attempts-exhausted',
  'rejected',
]);

/** How a message died. */
export interface Death {
  readonly envelope: Envelope;
  readonly address: string;
  readonly reason: DeadLetterReason;
  readonly error: unknown;
  /** Of the actor whose attempt failed; 0 where none did. */
  readonly generation: number;
  /** Wall-clock milliseconds since 1970. */
  readonly atMs: number;
}

/** The letter of a death, at its place in the order of deaths. */
export function letterOf(death: Death, place: number): DeadLetter {
  const { envelope, address, reason, error, atMs } = death;
  const { extras } = envelope;
  const hasFailed = ATTEMPT_FAILED.has(reason);
  const hadTurn = hasFailed || reason === 'stash-cleared';
  return Object.freeze({
    id: letterId(place),
    messageId: envelope.id,
    reason,
    address,
    message: envelope.entry.name,
    topic: extras?.topic,
    payload: publishedIn(envelope.payload),
    priority: envelope.priority,
    sender: envelope.sender?.address,
    attempts: hadTurn ? envelope.attempt : envelope.attempt - 1,
    replays: extras?.replays ?? 0,
    error,
    history: hasFailed ? historyWith(death) : (extras?.history ?? Object.freeze([])),
    deadAtMs: atMs,
  });
}

/** The history of a message whose present attempt has failed. */
export function historyWith(failure: Omit<Death, 'address' | 'reason'>): readonly FailedAttempt[] {
  const { envelope, error, atMs, generation } = failure;
  const last = Object.freeze({ attempt: envelope.attempt, error, atMs, generation });
  // Stryker disable next-line OptionalChaining: for the compiler; attempts are counted there, and a letter's id is.
  return Object.freeze([...(envelope.extras?.history ?? []), last].slice(-HISTORY_MAX));
}
