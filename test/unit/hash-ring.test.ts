import { describe, expect, it } from 'vitest';
import { HashRing } from '../../runtime/pool/hash-ring.ts';
import { hashOf } from '../../src/protocol/hash.ts';

describe('a hash ring', () => {
  it('has no node for any key while it is empty', () => {
    const ring = new HashRing();
    expect(ring.nodeOf('a')).toBeUndefined();
    ring.add(1);
    expect(ring.nodeOf('a')).toBe(1);
    ring.remove(1);
    expect(ring.nodeOf('a')).toBeUndefined();
  });

  it('P97 maps by membership alone, whatever the order in which nodes came', () => {
    const one = new HashRing();
    const other = new HashRing();
    for (const node of [1, 2, 3, 4]) one.add(node);
    for (const node of [4, 9, 2, 1, 3, 3]) other.add(node);
    other.remove(9);
    for (let n = 0; n < 1_000; n++) expect(other.nodeOf(`key ${n}`)).toBe(one.nodeOf(`key ${n}`));
  });

  it('finds the first point at or after a key, and wraps round the end', () => {
    const ring = new HashRing();
    for (const node of [1, 2, 3]) ring.add(node);
    const points = [1, 2, 3]
      .flatMap((node) =>
        Array.from({ length: 128 }, (_, nth) => ({ node, at: hashOf(`worker ${node} point ${nth}`) })),
      )
      .sort((a, b) => a.at - b.at);
    for (let n = 0; n < 2_000; n++) {
      const key = `k${n}`;
      const next = points.find(({ at }) => at >= hashOf(key)) ?? points[0];
      expect(ring.nodeOf(key)).toBe(next?.node);
    }
  });

  it('keeps its hash for ever: other processes count on it', () => {
    expect(['', 'a', 'b', 'troupe', 'ü'].map(hashOf)).toEqual([
      2_872_998_923, 2_448_022_055, 135_196_497, 1_579_869_547, 3_393_014_048,
    ]);
  });
});
