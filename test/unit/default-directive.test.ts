import { describe, expect, it } from 'vitest';
import { defaultDirective, retryAfterMs } from '../../runtime/actor/default-directive.ts';

const FINAL_CODES = [
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

/** An error whose field is code of its own, which fails. */
function hostile(name: string, others: object = {}): object {
  return Object.defineProperty({ ...others }, name, {
    get: () => {
      throw new Error('in a getter');
    },
  });
}

describe('the default directive', () => {
  it.each([400, 401, 402, 403, 422])('stops at status %i, under either name', (status) => {
    expect(defaultDirective({ status })).toBe('stop');
    expect(defaultDirective({ statusCode: status })).toBe('stop');
    expect(defaultDirective({ status: String(status) })).toBe('restart');
  });

  it.each(FINAL_CODES)('stops at %s, as a code and as a type, and never in words', (code) => {
    expect(defaultDirective({ code })).toBe('stop');
    expect(defaultDirective({ type: code })).toBe('stop');
    expect(defaultDirective(new Error(code))).toBe('restart');
    expect(defaultDirective({ name: code })).toBe('restart');
  });

  it('restarts at every other status and code, and at what is no object', () => {
    for (const status of [200, 404, 408, 409, 429, 500, 503, '', null])
      expect(defaultDirective({ status })).toBe('restart');
    for (const code of ['', 'ECONNRESET', 'rate_limit_error'])
      expect(defaultDirective({ code })).toBe('restart');
    const AbortError = (): void => undefined;
    for (const thrown of [undefined, null, 401, 'AbortError', 'budget_exceeded', AbortError, {}])
      expect(defaultDirective(thrown)).toBe('restart');
  });

  it('believes `status` where both are there', () => {
    expect(defaultDirective({ status: 500, statusCode: 401 })).toBe('restart');
    expect(defaultDirective({ status: 401, statusCode: 500 })).toBe('stop');
  });

  it('resumes after an abort, whatever else the error says', () => {
    expect(defaultDirective({ name: 'AbortError', status: 401 })).toBe('resume');
    expect(defaultDirective({ code: 'AbortError' })).toBe('restart');
  });

  it('looks at the error and not at its cause', () => {
    expect(defaultDirective(new Error('asked in vain', { cause: { status: 401 } }))).toBe('restart');
  });

  it('passes over a field that cannot be read', () => {
    for (const name of ['name', 'status', 'statusCode', 'code', 'type'])
      expect(defaultDirective(hostile(name))).toBe('restart');
    expect(defaultDirective(hostile('status', { code: 'billing_error' }))).toBe('stop');
    expect(retryAfterMs(hostile('retryAfterMs'))).toBe(0);
  });
});

describe('retryAfterMs', () => {
  it('is the wait that an error asks for, and 0 where it asks for none', () => {
    expect(retryAfterMs({ retryAfterMs: 0.5 })).toBe(0.5);
    expect(retryAfterMs(Object.assign(new Error('later'), { retryAfterMs: 700 }))).toBe(700);
    for (const wait of [0, -1, Number.NaN, '700', undefined, null])
      expect(retryAfterMs({ retryAfterMs: wait })).toBe(0);
    for (const thrown of [undefined, null, 700, 'later', Object.assign(() => 1, { retryAfterMs: 700 })])
      expect(retryAfterMs(thrown)).toBe(0);
  });
});
