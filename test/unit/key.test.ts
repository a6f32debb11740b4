import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkKey, isKey, keyOfName, nameOfKey, shardOf } from '../../src/protocol/key.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';

describe('a key', () => {
  it('is any well-formed text of 1 to 256 bytes', () => {
    for (const key of [
      'a',
      'customer-42',
      'a/b#7',
      'ü',
      '🦊',
      ' ',
      '\u0000',
      'x'.repeat(256),
      'é'.repeat(128),
    ])
      expect(checkKey('key', key)).toBe(key);
    for (const key of ['', 'x'.repeat(257), 'é'.repeat(129), '\ud83e', 'a\udc00', 7, null, undefined, ['a']])
      expect(() => checkKey('key', key)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
  });

  it('is readable in the name of its actor as far as names allow', () => {
    expect(nameOfKey('customer-42')).toBe('customer-42');
    expect(nameOfKey('a_b c')).toBe('a_5fb_20c');
    expect(nameOfKey('$1')).toBe('_241');
  });

  it(
    'has a name that no other key has, which is a name, and which leads back to it',
    () => {
      fc.assert(
        fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 64 }), (key) => {
          expect(isKey(key)).toBe(true);
          const name = nameOfKey(key);
          expect(name).toMatch(/^[A-Za-z0-9_-]+$/);
          expect(keyOfName(name)).toBe(key);
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it('has no other name than the one that is made of it', () => {
    for (const name of ['', '_', '_4', '_zz', '_41', '_ff', '_c3', 'a/b', 'a$', '_e2_82'])
      expect(keyOfName(name)).toBeUndefined();
  });

  it('belongs to the same shard on every node and in every version', () => {
    expect(['a', 'customer-42', 'ü'].map((key) => shardOf(key, 64))).toEqual([39, 61, 32]);
    const counts = Array.from({ length: 64 }, () => 0);
    for (let n = 0; n < 64_000; n++)
      counts[shardOf(`customer-${n}`, 64)] = (counts[shardOf(`customer-${n}`, 64)] ?? 0) + 1;
    expect(Math.min(...counts)).toBeGreaterThan(850);
    expect(Math.max(...counts)).toBeLessThan(1_150);
  });
});
