/**
 * The words of death watch between nodes, as they travel, and their readers. They come from a process that may be of another make, so a
 * reader takes only what has the shape and the bounds below. Of a cause only its text travels.
 */

import { type NodePlace, parseNodePlace } from '../../src/protocol/address.ts';
import { LANES, type Lane } from '../../src/protocol/broker.ts';
import type { Terminated } from '../../src/protocol/context.ts';
import { errorText } from '../../src/protocol/error-text.ts';

/** The lane of `watch` and `unwatch`, and of `terminated` where the dead had sent nothing. */
export const WORD_LANE: Lane = 0;

const CAUSE_CHARACTERS_MAX = 1_000;
const REASONS: readonly unknown[] = ['normal', 'shutdown', 'failed', 'killed', 'noproc'];

/** How an actor of another node is told to end. */
export type StopReason = 'normal' | 'shutdown';

/** Who is to be watched; with a reason, who is to be stopped. */
export function watchWord(
  address: string,
  reason: StopReason | undefined,
): Readonly<Record<string, unknown>> {
  return reason === undefined ? { address } : { address, reason };
}

/** The reason that a `stop` gives; undefined where it gives none. */
export function stopReasonIn(word: unknown): StopReason | undefined {
  const { reason } = recordIn(word);
  return reason === 'normal' || reason === 'shutdown' ? reason : undefined;
}

/** The place that a `watch` or a `stop` names; undefined where it names none. */
export function placeIn(word: unknown): NodePlace | undefined {
  const { address } = recordIn(word);
  return typeof address === 'string' ? parseNodePlace(address) : undefined;
}

/** What a `terminated` says. */
export interface EndWord {
  readonly reason: Terminated['reason'];
  readonly cause: Error | undefined;
  readonly existenceConfirmed: boolean;
  /** Who has ended, where somebody has. */
  readonly address: string | undefined;
  /** The lanes in which the word is said, as bits: it counts when it has come in all of them. */
  readonly lanes: number;
}

/** Word of an end. */
export function endWord(
  { reason, cause, existenceConfirmed }: Omit<Terminated, 'ref'>,
  address: string | undefined,
  lanes: number,
): Readonly<Record<string, unknown>> {
  const text = cause === undefined ? {} : { cause: errorText(cause) };
  return {
    reason,
    existed: existenceConfirmed,
    lanes,
    ...(address === undefined ? {} : { address }),
    ...text,
  };
}

/** What a `terminated` says; undefined where it makes no sense. */
export function endIn(word: unknown): EndWord | undefined {
  const { reason, existed, lanes, address, cause } = recordIn(word);
  if (!isReason(reason) || typeof existed !== 'boolean' || !isLanes(lanes)) return undefined;
  if (address !== undefined && (typeof address !== 'string' || parseNodePlace(address) === undefined))
    return undefined;
  if (cause !== undefined && (typeof cause !== 'string' || cause.length > CAUSE_CHARACTERS_MAX))
    return undefined;
  const error = cause === undefined ? undefined : new Error(cause);
  return { reason, cause: error, existenceConfirmed: existed, address, lanes };
}

function isReason(reason: unknown): reason is Terminated['reason'] {
  return REASONS.includes(reason);
}

function isLanes(lanes: unknown): lanes is number {
  return typeof lanes === 'number' && Number.isInteger(lanes) && lanes > 0 && lanes < 1 << LANES.length;
}

/** What JSON made, if it is an object; nothing of anything else. Nothing is copied: it may be as large as a frame. */
function recordIn(value: unknown): Readonly<Record<string, unknown>> {
  const isObject = typeof value === 'object' && value !== null && !ArrayBuffer.isView(value);
  return isObject ? (value as Readonly<Record<string, unknown>>) : {}; // any object has texts for keys
}
