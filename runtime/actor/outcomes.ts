/**
 * What becomes of a message that was accepted: exactly one of handled, failed, cancelled or a dead letter, counted in
 * its mailbox; and of the ask that waits for it, which hears of the end in the same step.
 */

import { Envelope, type MessageEntry, type Sender } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { DeadLetterReason } from '../../src/protocol/events.ts';
import type { MessageKind } from '../../src/protocol/protocol.ts';
import type { Behaviour } from './behaviour.ts';
import type { Mailbox } from './mailbox.ts';

/** The actor whose messages end. */
export interface Accountable extends Sender {
  readonly behaviour: Behaviour;
  readonly mailbox: Mailbox | undefined;
  readonly generation: number;
}

/** Whether a message went through the mailbox's door; control items and hooks did not and are not counted. */
export function isCounted(envelope: Envelope): boolean {
  return envelope.seq > 0;
}

/** It ends as a dead letter. */
export function bury(
  actor: Accountable,
  envelope: Envelope,
  reason: DeadLetterReason,
  error?: unknown,
): void {
  if (actor.mailbox !== undefined && isCounted(envelope)) actor.mailbox.deadLettered++;
  actor.behaviour.kernel.deadLetters.add(envelope, actor.address, reason, error, actor.generation);
  actor.behaviour.tally.deaths.count(reason);
  envelope.extras?.witness?.ended(envelope, reason, error);
  envelope.customer?.reject(buriedError(actor, envelope, reason, error));
}

/** Its turn failed, and it is not tried again: an operator finds it among the dead letters. */
export function settleFailed(actor: Accountable, envelope: Envelope, error: unknown): void {
  if (actor.mailbox !== undefined && isCounted(envelope)) actor.mailbox.failed++;
  actor.behaviour.kernel.deadLetters.add(envelope, actor.address, 'handler-failed', error, actor.generation);
  actor.behaviour.tally.deaths.count('handler-failed');
  envelope.extras?.witness?.ended(envelope, 'handler-failed', error);
  envelope.customer?.reject(failedError(actor, envelope, error));
}

/** It was taken back, or its actor ends before its turn does. */
export function settleCancelled(actor: Accountable, envelope: Envelope): void {
  if (actor.mailbox !== undefined && isCounted(envelope)) actor.mailbox.cancelled++;
  envelope.extras?.witness?.ended(envelope, 'cancelled');
  // Where the actor lives on it was the customer who cancelled, and that one has settled already.
  envelope.customer?.reject(new TroupeError('ERR_ACTOR_STOPPED', { address: actor.address }));
}

/** Replies. A reply that nobody waits for any more is a dead letter. */
export function answer(actor: Accountable, envelope: Envelope, value: unknown): void {
  const { customer } = envelope;
  if (customer === undefined || customer.resolve(value)) return;
  const entry = entryWithoutHandler(`${envelope.entry.name} (reply)`, 'tell');
  const reply = new Envelope(entry, value, envelope.rank, actor, undefined, undefined);
  if (envelope.extras?.trace !== undefined) reply.ensureExtras().trace = envelope.extras.trace;
  const asker = envelope.sender?.address ?? 'outside';
  const reason = customer.isAnswered ? 'duplicate-reply' : 'late-reply';
  actor.behaviour.kernel.deadLetters.add(reply, asker, reason);
}

/** Replies, after a look at the value. Throws `ERR_REPLY_INVALID` or `ERR_REPLY_MISSING`. */
export function checkedAnswer(actor: Accountable, envelope: Envelope, value: unknown): void {
  const problem = actor.behaviour.replyProblem(envelope.entry, value, actor);
  if (problem !== undefined) throw problem;
  answer(actor, envelope, value);
}

/** The error of an ask whose turn failed. */
export function failedError(actor: Sender, envelope: Envelope, cause: unknown): TroupeError {
  const details = { address: actor.address, message: envelope.entry.name };
  return new TroupeError('ERR_ACTOR_FAILED', details, { cause });
}

/** An entry for a message that no actor of ours will handle. */
export function entryWithoutHandler(name: string, kind: MessageKind): MessageEntry {
  return { name, kind, isInternal: false, handler: () => undefined };
}

function buriedError(
  actor: Sender,
  envelope: Envelope,
  reason: DeadLetterReason,
  cause: unknown,
): TroupeError {
  const { address } = actor;
  const message = envelope.entry.name;
  if (reason === 'stopped' || reason === 'killed' || reason === 'stash-cleared')
    return new TroupeError('ERR_ACTOR_STOPPED', { address });
  if (reason === 'attempts-exhausted') return failedError(actor, envelope, cause);
  if (reason === 'rejected') return new TroupeError('ERR_MESSAGE_REJECTED', { address, message }, { cause });
  return new TroupeError('ERR_MESSAGE_DROPPED', { address, message, reason });
}
