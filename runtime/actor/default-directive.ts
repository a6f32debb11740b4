/**
 * What is to be done about an error when its agent does not say: restart, but for errors that a restart cannot mend. They
 * are recognised by the fields that HTTP clients and model providers put on their errors, never by their words:
 *
 * - `name: 'AbortError'`: somebody cancelled the work. That is no failure: resume.
 * - `status` or `statusCode` 400, 401, 402, 403, 422: the request, or the key, or the account is refused: stop.
 * - `code` or `type` of a spent budget, a refused key, a refused request or refused content (the list below): stop.
 *
 * It looks at the error itself, never at its causes: another actor's refused key is no reason to stop this one.
 */

import type { Directive } from '../../src/protocol/agent.ts';

const FINAL_STATUSES: readonly unknown[] = [400, 401, 402, 403, 422];

const FINAL_CODES: readonly unknown[] = [
  'budget_exceeded',
  'insufficient_quota',
  'billing_error',
  'authentication_error',
  'invalid_api_key',
  'permission_error',
  'invalid_request_error',
  'context_length_exceeded',
  'content_filter',
  'content_policy_violation',
];

/** The directive for an error whose agent has no `decide`. */
export function defaultDirective(error: unknown): Directive {
  // Stryker disable next-line ConditionalExpression: null is for the compiler, having no fields; the rest is tested.
  if (typeof error !== 'object' || error === null) return 'restart';
  if (field(error, 'name') === 'AbortError') return 'resume';
  const isFinal =
    FINAL_STATUSES.includes(field(error, 'status') ?? field(error, 'statusCode')) ||
    FINAL_CODES.includes(field(error, 'code')) ||
    FINAL_CODES.includes(field(error, 'type'));
  return isFinal ? 'stop' : 'restart';
}

/** Milliseconds that an error asks to wait before the next attempt (`retryAfterMs`); 0 when it asks for nothing. */
export function retryAfterMs(error: unknown): number {
  // Stryker disable next-line ConditionalExpression: null is for the compiler, having no fields; the rest is tested.
  const hint = typeof error === 'object' && error !== null ? field(error, 'retryAfterMs') : undefined;
  // Stryker disable next-line EqualityOperator: 0 is 0 either way.
  return typeof hint === 'number' && hint > 0 ? hint : 0;
}

/** A field of an error. Reading it may run the error's own code, which may fail. */
function field(error: object, name: string): unknown {
  let value: unknown;
  try {
    value = Reflect.get(error, name);
  } catch {
    // Then it is as if there were no such field.
  }
  return value;
}
