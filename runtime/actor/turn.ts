/** A turn as the files below the context see it: what a call made inside a turn takes from it. */

import type { AskChain, Envelope, Sender } from '../../src/protocol/envelope.ts';
import type { TurnRecord } from '../observe/turn-record.ts';

/** Something a turn waits for, and takes back when it is aborted. */
export interface Withdrawable {
  withdraw(reason: unknown): void;
}

/** One run of a handler or hook. */
export interface Turn {
  readonly cell: Sender;
  readonly envelope: Envelope;
  /** Whether what is sent in it takes something of its message along: an end, a trace. */
  readonly passesOn: boolean;
  /** While somebody records. */
  readonly record: TurnRecord | undefined;
  /** Why it was aborted, once it was. */
  readonly aborted: { readonly reason: unknown } | undefined;
  /** The turns that wait when this one asks. */
  askChain(): AskChain;
  /** A call that ends with the turn's abortion. */
  addPending(call: Withdrawable): void;
  removePending(call: Withdrawable): void;
}
