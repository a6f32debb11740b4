/** The running sums of a store: plain numbers that change with each message, so that statistics need no counting. */

import type { MessageStatus, StoreStats } from '../../src/protocol/store.ts';

/** Sums that stay true through appends, marks and removals. They are kept as JSON. */
export interface Totals {
  /** The last position given, to whichever message. */
  lastGiven: number;
  messages: number;
  payloadBytes: number;
  readonly byStatus: Record<MessageStatus, number>;
  readonly trimmed: TrimSum;
}

/** Messages that were trimmed, as they are counted up. */
export interface TrimSum {
  messages: number;
  /** Those that were `pending`, `delivered` or `failed`. */
  unfinished: number;
}

/** The sums of an empty store. */
export function noTotals(): Totals {
  return {
    lastGiven: 0,
    messages: 0,
    payloadBytes: 0,
    byStatus: { pending: 0, delivered: 0, handled: 0, failed: 0, expired: 0, dead: 0 },
    trimmed: { messages: 0, unfinished: 0 },
  };
}

/** Counts a new message, which is pending. */
export function countAppended(totals: Totals, payloadBytes: number): void {
  totals.messages++;
  totals.payloadBytes += payloadBytes;
  totals.byStatus.pending++;
}

/** Counts a change of status. */
export function countMarked(totals: Totals, from: MessageStatus, to: MessageStatus): void {
  totals.byStatus[from]--;
  totals.byStatus[to]++;
}

/** Counts a message that is gone. */
export function countRemoved(totals: Totals, payloadBytes: number, status: MessageStatus): void {
  totals.messages--;
  totals.payloadBytes -= payloadBytes;
  totals.byStatus[status]--;
}

/** Counts a message that was trimmed, beside its removal. */
export function countTrimmed(trimmed: TrimSum, status: MessageStatus): void {
  trimmed.messages++;
  if (status === 'pending' || status === 'delivered' || status === 'failed') trimmed.unfinished++;
}

/** The sums as statistics, with what only the store knows. */
export function statsOf(
  totals: Totals,
  held: Pick<StoreStats, 'topics' | 'firstPosition' | 'lastPosition' | 'waiting'>,
): StoreStats {
  const { messages, payloadBytes, byStatus, trimmed } = totals;
  return { messages, payloadBytes, byStatus: { ...byStatus }, trimmed: { ...trimmed }, ...held };
}
