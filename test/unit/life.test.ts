import { describe, expect, it, vi } from 'vitest';
import { nameOfLife } from '../../runtime/host/life.ts';
import { systemHost } from '../../runtime/host/system-clock.ts';
import { formatNodePlace, parseNodePlace } from '../../src/protocol/address.ts';
import { seededRandom } from '../support/seeded-random.ts';

const BITS_MIN = 128;

describe('the name of a life', () => {
  it('has at least 128 bits of chance, each character from a draw of its own', () => {
    const random = vi.fn(() => 0.5);
    const name = nameOfLife({ random });
    expect(name).toMatch(/^i+$/);
    expect(random).toHaveBeenCalledTimes(name.length);
    expect(name.length * Math.log2(36)).toBeGreaterThanOrEqual(BITS_MIN);
  });

  it('uses every digit, and nothing but digits of radix 36', () => {
    const random = seededRandom(7);
    const seen = new Set(Array.from({ length: 100 }, () => nameOfLife({ random }).split('')).flat());
    expect([...seen].sort().join('')).toBe('0123456789abcdefghijklmnopqrstuvwxyz');
  });

  it('is that of its seed in a test, and has place in an address', () => {
    const incarnation = nameOfLife({ random: seededRandom(1) });
    expect(nameOfLife({ random: seededRandom(1) })).toBe(incarnation);
    expect(nameOfLife({ random: seededRandom(2) })).not.toBe(incarnation);
    const place = { node: 'n', incarnation, local: '/user/x' };
    expect(parseNodePlace(formatNodePlace(place))).toEqual(place);
  });
});

describe('the chance of this process', () => {
  it('does not come from Math.random, whose next numbers follow from those that were seen', () => {
    const guessable = vi.spyOn(Math, 'random').mockReturnValue(0);
    try {
      const names = new Set(Array.from({ length: 1_000 }, () => nameOfLife(systemHost)));
      expect(names.size).toBe(1_000);
      expect(guessable).not.toHaveBeenCalled();
    } finally {
      guessable.mockRestore();
    }
  });

  it('is in [0, 1), never the same twice, and has all 53 bits', () => {
    const count = 10_000;
    const draws = Array.from({ length: count }, () => systemHost.random());
    expect(new Set(draws).size).toBe(count);
    let everSet = 0n;
    let everClear = 0n;
    const all = 2n ** 53n - 1n;
    for (const draw of draws) {
      const bits = BigInt(draw * 2 ** 53);
      everSet |= bits;
      everClear |= all ^ bits;
    }
    expect([everSet, everClear]).toEqual([all, all]);
    expect(draws.every((draw) => draw >= 0 && draw < 1)).toBe(true);
  });
});
