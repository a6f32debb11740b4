import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { check, isSchema, isTypeOnly, type Schema, type } from '../../src/protocol/schema.ts';

function schemaOf(validate: (value: unknown) => unknown): Schema {
  return { '~standard': { version: 1, vendor: 'test', validate } } as Schema;
}

describe('check', () => {
  it('gives the value that the schema makes, zod and valibot alike', () => {
    const withDefault = z.object({ retries: z.number().default(3) });
    expect(check(withDefault, {})).toEqual({ ok: true, value: { retries: 3 } });
    expect(check(v.object({ retries: v.optional(v.number(), 3) }), {})).toEqual({
      ok: true,
      value: { retries: 3 },
    });
  });

  it('gives issues as path and message', () => {
    const nested = z.object({ mails: z.array(z.object({ id: z.string('must be text') })) });
    expect(check(nested, { mails: [{ id: 'a' }, { id: 1 }] })).toEqual({
      ok: false,
      issues: ['mails.1.id: must be text'],
    });
    const pathOfObjects = v.object({ id: v.string('must be text') });
    expect(check(pathOfObjects, { id: 1 })).toEqual({ ok: false, issues: ['id: must be text'] });
    expect(check(z.string('must be text'), 1)).toEqual({ ok: false, issues: ['must be text'] });
  });

  it('keeps eight issues, shortens long ones and counts the rest', () => {
    const issues = Array.from({ length: 11 }, () => ({ message: 'x'.repeat(5_000) }));
    const checked = check(
      schemaOf(() => ({ issues })),
      1,
    );
    expect(checked.ok ? [] : checked.issues.map((issue) => issue.length)).toEqual([
      ...Array(8).fill(200),
      10,
    ]);
    expect(checked.ok ? '' : checked.issues.at(-1)).toBe('and 3 more');
  });

  it('refuses an async schema without waiting, even one that rejects', () => {
    const refused = { ok: false, issues: ['async schemas are refused'] };
    expect(
      check(
        v.pipeAsync(
          v.string(),
          v.checkAsync(async () => true),
        ) as unknown as Schema,
        'x',
      ),
    ).toEqual(refused);
    expect(
      check(
        z.string().refine(async () => true),
        'x',
      ),
    ).toEqual(refused);
    expect(
      check(
        schemaOf(() => Promise.reject(new Error('later'))),
        1,
      ),
    ).toEqual(refused);
  });

  it('turns what a schema throws into an issue', () => {
    const thrower = schemaOf(() => {
      throw new TypeError('broken');
    });
    expect(check(thrower, 1)).toEqual({ ok: false, issues: ['the schema threw: broken'] });
  });
});

describe('type', () => {
  it('lets every value through and is recognised', () => {
    const schema = type<{ id: string }>();
    expect(check(schema, 5)).toEqual({ ok: true, value: 5 });
    expect(isTypeOnly(schema)).toBe(true);
    expect(isTypeOnly(z.string())).toBe(false);
    expect(isSchema(schema)).toBe(true);
  });
});

describe('isSchema', () => {
  it('accepts objects and functions that speak Standard Schema 1, and nothing else', () => {
    const callable = Object.assign(
      () => 1,
      schemaOf(() => ({ value: 1 })),
    );
    expect([z.string(), v.string(), callable].map(isSchema)).toEqual([true, true, true]);
    const others = [
      undefined,
      null,
      1,
      'x',
      {},
      { '~standard': null },
      { '~standard': { version: 2, validate() {} } },
    ];
    expect(others.map(isSchema)).toEqual(others.map(() => false));
  });
});
