/** Which dead letters a list, a replay or a discard means: the filter, checked at the door, as one test of a letter. */

import type { DeadLetter } from '../../src/protocol/dead-letters.ts';
import type { DeadLetterReason } from '../../src/protocol/events.ts';
import { choiceOption, integerOption, invalidOption, objectOption } from '../../src/protocol/options.ts';
import { patternMatcher } from '../../src/protocol/pattern.ts';
import { checkPattern } from '../../src/protocol/topic.ts';

/** Every reason; the compiler sees that none is missing. */
// Stryker disable BooleanLiteral: only the keys are read.
const REASONS: Readonly<Record<DeadLetterReason, true>> = {
  'handler-failed': true,
  'attempts-exhausted': true,
  expired: true,
  stopped: true,
  'actor-unknown': true,
  'stale-incarnation': true,
  'overflow-dropped': true,
  validation: true,
  rejected: true,
  'stash-cleared': true,
  killed: true,
  'late-reply': true,
  'duplicate-reply': true,
  serialization: true,
  quarantined: true,
};
// Stryker restore BooleanLiteral

const FIELDS = [
  'reason',
  'address',
  'message',
  'topic',
  'sender',
  'sinceMs',
  'untilMs',
  'limit',
  'after',
] as const;

/** An id is its letter's place in the order of deaths, so a page can begin after a letter that is gone. */
const ID = /^d[1-9][0-9]{0,14}$/;

/** A filter, read. */
export interface LetterFilter {
  /** Letters up to this place are passed over. */
  readonly afterPlace: number;
  readonly limit: number;
  fits(letter: DeadLetter): boolean;
}

/** The id of the letter at a place in the order of deaths. */
export function letterId(place: number): string {
  return `d${place}`;
}

/** The place that an id names; 0, where no letter is, for what is no id. */
export function placeOf(id: unknown): number {
  return typeof id === 'string' && ID.test(id) ? Number(id.slice(1)) : 0;
}

/** Reads a filter. Throws `ERR_OPTION_INVALID`, and `ERR_TOPIC_INVALID` for a topic outside the grammar. */
export function letterFilter(filter: unknown): LetterFilter {
  const given = objectOption('filter', filter, FIELDS);
  const reason = reasonOption(given['reason']);
  const address = textOption('filter.address', given['address']);
  const message = textOption('filter.message', given['message']);
  const sender = textOption('filter.sender', given['sender']);
  const onTopic = given['topic'] === undefined ? undefined : patternMatcher(checkPattern(given['topic']));
  const sinceMs = timeOption('filter.sinceMs', given['sinceMs'], -Infinity);
  const untilMs = timeOption('filter.untilMs', given['untilMs'], Infinity);
  return {
    afterPlace: afterOption(given['after']),
    limit: integerOption('filter.limit', given['limit'], 1, Number.MAX_SAFE_INTEGER),
    fits: (letter) =>
      (reason === undefined || letter.reason === reason) &&
      (address === undefined || letter.address === address) &&
      (message === undefined || letter.message === message) &&
      (sender === undefined || letter.sender === sender) &&
      letter.deadAtMs >= sinceMs &&
      letter.deadAtMs < untilMs &&
      (onTopic === undefined || (letter.topic !== undefined && onTopic(letter.topic))),
  };
}

function reasonOption(value: unknown): DeadLetterReason | undefined {
  if (value === undefined) return undefined;
  const known = Object.keys(REASONS) as DeadLetterReason[]; // the keys of the record above
  // Stryker disable next-line StringLiteral: the default is not used, and the option's name is tested.
  return choiceOption('filter.reason', value, known, 'stopped');
}

function textOption(option: string, value: unknown): string | undefined {
  if (value === undefined || typeof value === 'string') return value;
  throw invalidOption(option, 'a string', value);
}

function timeOption(option: string, value: unknown, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (typeof value === 'number' && !Number.isNaN(value)) return value;
  throw invalidOption(option, 'milliseconds since 1970', value);
}

function afterOption(value: unknown): number {
  if (value === undefined) return 0;
  const place = placeOf(value);
  if (place === 0) throw invalidOption('filter.after', 'the id of a dead letter', value);
  return place;
}
