/**
 * Goal: an ask of another node is rejected with the error that it would have had here, and nothing that arrives does harm.
 * Method: errors of every code there and back through JSON; then whatever JSON can say, near misses of refusals among it.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { errorOf, refusalOf } from '../../runtime/remote/refusal.ts';
import { type ErrorCode, type ErrorDetails, TroupeError } from '../../src/protocol/errors.ts';
import { RUNS } from '../support/runs.ts';

const ASKED = { address: '/user/judge', message: 'classify' };

function travelled(error: unknown): TroupeError {
  return errorOf(JSON.parse(JSON.stringify(refusalOf(error, ASKED))), ASKED);
}

function made<C extends ErrorCode>(code: C, details: ErrorDetails[C]): TroupeError {
  return new TroupeError(code, details);
}

/** One error of each code that a node may answer with. */
const ANSWERS = [
  made('ERR_ACTOR_FAILED', { address: '/a#1', message: 'm' }),
  made('ERR_ACTOR_STOPPED', { address: '/a#1' }),
  made('ERR_ACTOR_UNKNOWN', { address: 'a' }),
  made('ERR_COST_EXCESSIVE', { address: '/a#1', message: 'm', cost: 5, tokens: 2 }),
  made('ERR_MAILBOX_FULL', { address: '/a#1', capacity: 7 }),
  made('ERR_MAILBOX_WAITERS_FULL', { address: '/a#1', waitersMax: 7 }),
  made('ERR_MESSAGE_DROPPED', { address: '/a#1', message: 'm', reason: 'expired' }),
  made('ERR_MESSAGE_INVALID', { subject: 'the payload', issues: ['n: too small', 'm: missing'] }),
  made('ERR_MESSAGE_REJECTED', { address: '/a#1', message: 'm' }),
  made('ERR_MESSAGE_UNKNOWN', { protocol: 'p', message: 'm', known: ['n'] }),
  made('ERR_PAYLOAD_TOO_LARGE', { sizeBytes: 9, sizeBytesMax: 8 }),
  made('ERR_PAYLOAD_UNSERIALIZABLE', { path: 'a.b', given: 'a Map' }),
  made('ERR_POOL_DESERTED', { address: '/a#1', size: 3 }),
  made('ERR_ROUTING_MISMATCH', { protocol: 'p', message: 'm', routing: 'broadcast' }),
];

describe('a refusal', () => {
  it.each(ANSWERS)('gives the asker the error that it would have had here: $code', (error) => {
    const { code, details, message } = travelled(error);
    expect({ code, details, message }).toEqual({
      code: error.code,
      details: error.details,
      message: error.message,
    });
  });

  it('says the text of a cause, and neither its stack nor its other contents', () => {
    const cause = Object.assign(new Error('the model is down'), { secret: 'hunter2' });
    const error = new TroupeError('ERR_ACTOR_FAILED', ASKED, { cause });
    const text = JSON.stringify(refusalOf(error, ASKED));
    expect(text).not.toContain('hunter2');
    expect(text).not.toContain('.ts:');
    expect(String(travelled(error).cause)).toContain('the model is down');
  });

  it('is the failure of the actor where the error is none that a node answers with', () => {
    const other = new TroupeError('ERR_TOPIC_INVALID', { topic: 't', problem: 'p' });
    for (const error of [new Error('no'), 'no', undefined, null, other]) {
      const { code, details } = travelled(error);
      expect({ code, details }).toEqual({ code: 'ERR_ACTOR_FAILED', details: ASKED });
    }
  });

  it('is within its bounds, however long its texts and lists are', () => {
    const issues = Array.from({ length: 10_000 }, () => 'x'.repeat(10_000));
    const error = travelled(new TroupeError('ERR_MESSAGE_INVALID', { subject: 'y'.repeat(10_000), issues }));
    expect(error.code).toBe('ERR_MESSAGE_INVALID');
    expect(JSON.stringify(error.details).length).toBeLessThan(70_000);
  });

  it('is an error of the table with details of its shape, whatever arrives', () => {
    const codes = fc.oneof(
      fc.constantFrom(...ANSWERS.map(({ code }) => code), '__proto__', 'toString'),
      fc.string(),
    );
    const keys = fc.constantFrom('address', 'message', 'issues', 'known', 'capacity', 'subject', 'protocol');
    const values = fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.array(fc.string()),
      fc.constant('x'.repeat(1_001)),
    );
    const near = fc.record({ code: codes, details: fc.dictionary(keys, values), cause: values });
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), near), (arrived) => {
        const error = errorOf(arrived, ASKED);
        const twin = ANSWERS.find(({ code }) => code === error.code);
        const kinds = (details: object) =>
          Object.fromEntries(
            Object.entries(details).map(([key, value]) => [
              key,
              Array.isArray(value) ? 'texts' : typeof value,
            ]),
          );
        expect(kinds(error.details)).toEqual(kinds(twin?.details ?? {}));
        expect(JSON.stringify(error.details).length).toBeLessThan(400_000);
        for (const value of Object.values(error.details))
          if (typeof value === 'string') expect(value.length).toBeLessThanOrEqual(1_000);
      }),
      { numRuns: RUNS },
    );
  });
});
