/**
 * What is said of jobs between a pool and its workers on other nodes, as it travels, and the readers of it. It comes from a process that may be of
 * another make, so a reader takes only what has the shape and the bounds below.
 */

import type { Envelope, Outcome } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { JobEnd } from '../actor/outpost.ts';
import { errorOf, type Refused, refusalOf } from './refusal.ts';

const REASON_CHARACTERS_MAX = 64;
const LABEL = /^([1-9]\d{0,8}):(.+)$/s;

/** Which attempt at which message a job is: its own id is another one each time. */
export function jobLabel({ attempt, id }: Pick<Envelope, 'attempt' | 'id'>): string {
  return `${attempt}:${id}`;
}

/** The attempt and the message that a job names; undefined where it names none. */
export function labelIn(
  text: string | undefined,
): { readonly attempt: number; readonly id: string } | undefined {
  const [, attempt, id] = LABEL.exec(text ?? '') ?? [];
  return attempt === undefined || id === undefined ? undefined : { attempt: Number(attempt), id };
}

/** Word of how a job ended. `absent`: its worker is not there, and has not begun. */
export function doneWord(outcome: Outcome | 'absent', error: unknown, refused: Refused): unknown {
  return error === undefined ? { outcome } : { outcome, error: refusalOf(error, refused) };
}

const SAID: readonly unknown[] = ['handled', 'cancelled', 'rejected', 'absent'] satisfies JobEnd['outcome'][];

/** How a job ended. Whatever else is said, it has failed. */
export function endOfJobIn(word: unknown, refused: Refused): JobEnd {
  const isObject = typeof word === 'object' && word !== null;
  const outcome: unknown = isObject && 'outcome' in word ? word.outcome : undefined;
  const error = isObject && 'error' in word ? errorOf(word.error, refused) : undefined;
  // Looked up among them.
  if (SAID.includes(outcome)) return { outcome: outcome as JobEnd['outcome'], error };
  const reason = typeof outcome === 'string' ? outcome.slice(0, REASON_CHARACTERS_MAX) : 'unknown';
  return {
    outcome: 'failed',
    error: error ?? new TroupeError('ERR_MESSAGE_DROPPED', { ...refused, reason }),
  };
}
