/** Envelopes and settings for tests of the mailbox, which looks at nothing but rank, sequence, time and slot. */

import type { MailboxSettings } from '../../src/protocol/agent-settings.ts';
import { Envelope, type MessageEntry } from '../../src/protocol/envelope.ts';
import type { Rank } from '../../src/protocol/priority.ts';

const ENTRY: MessageEntry = { name: 'note', kind: 'tell', isInternal: false, handler: () => undefined };

/** A message whose payload tells it from the others. */
export function envelope(rank: Rank, payload?: unknown): Envelope {
  return new Envelope(ENTRY, payload, rank, undefined, undefined, undefined);
}

/** Settings of a mailbox of capacity 2 without reserves. */
export function mailboxSettings(settings: Partial<MailboxSettings> = {}): MailboxSettings {
  return {
    capacity: 2,
    overflow: 'backpressure',
    agingMs: 0,
    criticalReserve: 0,
    selfReserve: 0,
    waitersMax: 10,
    stashMax: 10,
    ...settings,
  };
}

/** All six, most urgent first. */
export const RANKS: readonly Rank[] = [0, 1, 2, 3, 4, 5];
