/** What a caller of `range` and `trim` wants, checked at the door; and what a store was told about its bounds. */

import { STORED_MESSAGES_MAX, STORED_PAYLOAD_BYTES_MAX } from '../../src/protocol/limits.ts';
import {
  choiceOption,
  functionOption,
  integerOption,
  invalidOption,
  limitOption,
  objectOption,
} from '../../src/protocol/options.ts';
import { patternMatcher } from '../../src/protocol/pattern.ts';
import {
  MESSAGE_STATUSES,
  type MessageRange,
  type MessageStatus,
  type StoreOptions,
  type Trimmed,
  type TrimOptions,
} from '../../src/protocol/store.ts';
import { checkPattern } from '../../src/protocol/topic.ts';
import { timeOption } from './stored-text.ts';

/** A checked range. */
export interface Criteria {
  /** The one topic, if it is one. */
  readonly topic: string | undefined;
  /** The pattern's test, if it is a pattern. */
  readonly fits: ((topic: string) => boolean) | undefined;
  readonly fromMs: number;
  readonly toMs: number;
  readonly status: MessageStatus | undefined;
  readonly after: number;
  readonly limit: number;
}

/** Checks a range. */
export function checkRange(range: MessageRange | undefined): Criteria {
  const given = objectOption('range', range, ['topic', 'fromMs', 'toMs', 'status', 'after', 'limit']);
  const pattern = given['topic'] === undefined ? undefined : checkPattern(given['topic']);
  const isWild = pattern !== undefined && /[*#]/.test(pattern);
  const { status } = given;
  return {
    topic: isWild ? undefined : pattern,
    fits: isWild ? patternMatcher(pattern) : undefined,
    fromMs: timeOption('range.fromMs', given['fromMs']) ?? Number.NEGATIVE_INFINITY,
    toMs: timeOption('range.toMs', given['toMs']) ?? Number.POSITIVE_INFINITY,
    status:
      status === undefined ? undefined : choiceOption('range.status', status, MESSAGE_STATUSES, 'pending'),
    after: integerOption('range.after', given['after'], 0, 0),
    limit: limitOption('range.limit', given['limit'], 0, Number.POSITIVE_INFINITY),
  };
}

/** Checks what to trim: something must be named. */
export function checkTrim(options: TrimOptions): { readonly beforeMs: number; readonly messagesMax: number } {
  const given = objectOption('trim', options, ['beforeMs', 'messagesMax']);
  if (given['beforeMs'] === undefined && given['messagesMax'] === undefined)
    throw invalidOption('trim', 'beforeMs, messagesMax, or both', options);
  return {
    beforeMs: timeOption('trim.beforeMs', given['beforeMs']) ?? Number.NEGATIVE_INFINITY,
    messagesMax: limitOption('trim.messagesMax', given['messagesMax'], 0, Number.POSITIVE_INFINITY),
  };
}

/** The bounds of every store, with the defaults applied. */
export interface StoreBounds {
  readonly messagesMax: number;
  readonly payloadBytesMax: number;
  readonly onTrimmed: ((trimmed: Trimmed) => void) | undefined;
}

/** The names of the options that `checkBounds` knows. */
export const BOUND_NAMES: readonly (keyof StoreOptions)[] = ['messagesMax', 'payloadBytesMax', 'onTrimmed'];

/** Checks the bounds among a store's options. */
export function checkBounds(given: Readonly<Record<string, unknown>>): StoreBounds {
  return {
    messagesMax: limitOption('messagesMax', given['messagesMax'], 1, STORED_MESSAGES_MAX),
    payloadBytesMax: integerOption('payloadBytesMax', given['payloadBytesMax'], 1, STORED_PAYLOAD_BYTES_MAX),
    // A function was checked; what it takes is the compiler's business.
    onTrimmed: functionOption('onTrimmed', given['onTrimmed']) as StoreBounds['onTrimmed'],
  };
}
