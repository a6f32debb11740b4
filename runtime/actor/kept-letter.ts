/** A dead letter with what it takes to send its message again. It holds on to no actor and to nobody who waited. */

import type { DeadLetter } from '../../src/protocol/dead-letters.ts';
import { Envelope, Extras, type MessageEntry, type Trace } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { describeValue } from '../../src/protocol/options.ts';
import type { Rank } from '../../src/protocol/priority.ts';

/** The kind of agent that is to get a message again. */
export interface Receiver {
  askEntry(name: string): MessageEntry;
  streamEntry(name: string): MessageEntry;
  internalEntry(name: string): MessageEntry;
  tellEntry(name: string): MessageEntry;
  admissible(entry: MessageEntry, payload: unknown): unknown;
}

/** One dead letter of the list. */
export class KeptLetter {
  readonly letter: DeadLetter;
  /** Its place in the order of deaths. */
  readonly place: number;
  private readonly kind: MessageEntry['kind'];
  /** As its actor was told it; the letter has what users know of it. */
  private readonly payload: unknown;
  private readonly isInternal: boolean;
  private readonly rank: Rank;
  private readonly headers: Readonly<Record<string, string>> | undefined;
  private readonly trace: Trace | undefined;
  /** Why it can never be sent again. */
  private readonly obstacle: string | undefined;
  private isReplaying = false;

  constructor(letter: DeadLetter, place: number, envelope: Envelope) {
    this.letter = letter;
    this.place = place;
    this.kind = envelope.entry.kind;
    this.payload = envelope.payload;
    this.isInternal = envelope.entry.isInternal;
    this.rank = envelope.rank;
    // Stryker disable next-line OptionalChaining: for the compiler; the letter has read its id, which stands in them.
    this.headers = envelope.extras?.headers;
    // Stryker disable next-line OptionalChaining: as above; that there may be no trace is tested.
    this.trace = envelope.extras?.trace?.kept();
    this.obstacle = obstacleOf(letter, envelope);
  }

  /** Throws `ERR_REPLAY_REFUSED` or `ERR_REPLAYS_EXHAUSTED`, or sets it apart until `endReplay`. */
  beginReplay(replaysMax: number): void {
    const { id, message, replays } = this.letter;
    const problem = this.isReplaying ? 'it is being replayed, and waits for room' : this.obstacle;
    if (problem !== undefined) throw new TroupeError('ERR_REPLAY_REFUSED', { id, message, problem });
    if (replays >= replaysMax) throw new TroupeError('ERR_REPLAYS_EXHAUSTED', { id, message, replaysMax });
    this.isReplaying = true;
  }

  /** It was accepted, or refused. */
  endReplay(): void {
    this.isReplaying = false;
  }

  /**
   * The message once more, for an agent that lives where it was going: without a deadline and without anybody who waits
   * for a reply. Throws `ERR_MESSAGE_UNKNOWN` or `ERR_MESSAGE_INVALID` if that agent does not take it.
   */
  envelopeFor(receiver: Receiver): Envelope {
    const { message, topic, attempts, replays, history, sender } = this.letter;
    const entry = this.entryOf(receiver, message);
    const extras = new Extras();
    extras.attempt = attempts + 1;
    extras.history = history;
    extras.replays = replays + 1;
    extras.headers = this.headers;
    extras.trace = this.trace;
    extras.topic = topic;
    // Stryker disable next-line ConditionalExpression: for the compiler; who has no address is nobody to whoever reads it.
    const from = sender === undefined ? undefined : { address: sender };
    return new Envelope(entry, receiver.admissible(entry, this.payload), this.rank, from, undefined, extras);
  }

  private entryOf(receiver: Receiver, message: string): MessageEntry {
    switch (this.kind) {
      case 'ask':
        return receiver.askEntry(message);
      case 'stream':
        return receiver.streamEntry(message);
      case 'tell':
        return this.isInternal ? receiver.internalEntry(message) : receiver.tellEntry(message);
    }
  }
}

/** The error of an id that no dead letter of the list has. */
export function unknownLetter(id: unknown): TroupeError<'ERR_DEAD_LETTER_UNKNOWN'> {
  return new TroupeError('ERR_DEAD_LETTER_UNKNOWN', { id: typeof id === 'string' ? id : describeValue(id) });
}

function obstacleOf({ reason }: DeadLetter, envelope: Envelope): string | undefined {
  if (reason === 'late-reply' || reason === 'duplicate-reply')
    return 'it is a reply, and nobody waits for it';
  if (reason === 'validation') return 'it does not fit the schema of its receiver';
  // What had a turn and never came through the door of the mailbox: a tick, a continuation, a notice.
  if ((reason === 'handler-failed' || reason === 'rejected') && envelope.seq === 0)
    return 'the runtime itself had made it';
  return undefined;
}
