/**
 * Replays what a store holds: an actor of its own handles the messages one at a time, so that a failure, a turn that takes
 * too long and a rejection mean what they mean for any message. The store's log is read as the handler gets on.
 */

import { Envelope, Extras, type Outcome } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { invalidOption, objectOption, signalOption } from '../../src/protocol/options.ts';
import { rankOf } from '../../src/protocol/priority.ts';
import type { MessageRange, MessageStore, StoredMessage } from '../../src/protocol/store.ts';
import { TopicMessage } from '../../src/protocol/topic-message.ts';
import type { Cell } from '../actor/cell.ts';
import type { Schemas } from './schemas.ts';

/** Which messages are replayed, and until when. */
export interface ReplaySettings {
  readonly range: MessageRange;
  readonly signal: AbortSignal | undefined;
}

/** `replay(pattern, handler, options)`. Throws `ERR_OPTION_INVALID`. */
export function replayOptions(pattern: string, options: unknown): ReplaySettings {
  const { fromMs, toMs, signal } = objectOption('replay options', options, ['fromMs', 'toMs', 'signal']);
  const range = { topic: pattern, fromMs: timeOption('fromMs', fromMs), toMs: timeOption('toMs', toMs) };
  return { range, signal: signalOption('signal', signal) };
}

/** The messages of one replay, and the actor that handles them. */
export class Replay {
  private readonly cell: Cell;
  private readonly schemas: Schemas;
  private readonly signal: AbortSignal | undefined;

  constructor(cell: Cell, schemas: Schemas, signal: AbortSignal | undefined) {
    this.cell = cell;
    this.schemas = schemas;
    this.signal = signal;
  }

  /** Answers how many of them the handler got. Rejects with `signal.reason`, and with what the store says. */
  async run(store: MessageStore, range: MessageRange): Promise<number> {
    let count = 0;
    for await (const stored of store.range(range)) {
      this.signal?.throwIfAborted();
      if (await this.handle(stored)) count++;
      this.signal?.throwIfAborted();
    }
    return count;
  }

  /** Resolves when the message has its end; false if it never had a turn. */
  private async handle(stored: StoredMessage): Promise<boolean> {
    const { cell } = this;
    const extras = extrasOf(stored);
    let payload: unknown;
    try {
      payload = this.schemas.checked(stored.topic, stored.payload);
    } catch (error) {
      const refused = envelopeOf(cell, stored, stored.payload, extras);
      cell.kernel.deadLetters.add(refused, cell.address, 'validation', error);
      return false;
    }
    const envelope = envelopeOf(cell, stored, payload, extras);
    const cancel = (): void => cell.cancel(envelope, this.signal?.reason);
    const ended = new Promise<Outcome>((resolve) => {
      extras.witness = { ended: (_envelope, outcome) => resolve(outcome) };
    });
    // Its mailbox is empty: it was given nothing since the last one ended.
    if (cell.offer(envelope, undefined) !== 'accepted')
      throw new TroupeError('ERR_ACTOR_STOPPED', { address: cell.address });
    this.signal?.addEventListener('abort', cancel, { once: true });
    const outcome = await ended;
    this.signal?.removeEventListener('abort', cancel);
    return outcome !== 'stopped' && outcome !== 'killed';
  }
}

/** Without its deadline: whoever replays wants what was, however old it is. */
function extrasOf({ id, topic, headers }: StoredMessage): Extras {
  const extras = new Extras();
  extras.id = id;
  extras.topic = topic;
  extras.headers = headers;
  return extras;
}

function envelopeOf(cell: Cell, stored: StoredMessage, payload: unknown, extras: Extras): Envelope {
  const { topic, priority, sender, correlationId, publishedAtMs, position } = stored;
  const label = { correlationId, publishedAtMs, number: position, isRequest: false };
  const content = new TopicMessage(topic, payload, label);
  const from = sender === undefined ? undefined : { address: sender };
  const entry = cell.behaviour.tellEntry('deliver');
  return new Envelope(entry, content, rankOf(priority), from, undefined, extras);
}

function timeOption(option: string, value: unknown): number | undefined {
  if (value === undefined || (typeof value === 'number' && Number.isFinite(value) && value >= 0))
    return value;
  throw invalidOption(option, 'milliseconds since 1970', value);
}
