// Goal: P106, the trie matches exactly what a naive segment-wise matcher does, and forgets all that is removed.
// Method: random patterns over a small alphabet are added and removed; after each step random topics are looked up.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TopicTrie } from '../../runtime/routing/topic-trie.ts';
import { checkPattern, checkTopic } from '../../src/protocol/topic.ts';

/** The oracle: one segment after the other, as the grammar says it. */
function matches(pattern: readonly string[], topic: readonly string[]): boolean {
  const [wanted, ...wantedNext] = pattern;
  if (wanted === undefined) return topic.length === 0;
  if (wanted === '#') return true;
  const [given, ...givenNext] = topic;
  if (given === undefined) return false;
  return (wanted === '*' || wanted === given) && matches(wantedNext, givenNext);
}

const word = fc.constantFrom('a', 'b', 'c', 'constructor');
const topicText = fc.array(word, { minLength: 1, maxLength: 8 }).map((segments) => segments.join('.'));
const patternText = fc
  .tuple(fc.array(fc.oneof(word, fc.constant('*')), { maxLength: 8 }), fc.boolean())
  .map(([segments, isOpen]) => (isOpen ? [...segments.slice(0, 7), '#'] : segments))
  .filter((segments) => segments.length > 0)
  .map((segments) => segments.join('.'));

type Step = { readonly add: string } | { readonly removeAt: number };
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ add: patternText }) },
  { weight: 1, arbitrary: fc.record({ removeAt: fc.nat(30) }) },
);

describe('the topic trie', () => {
  it('P106: matches what a naive matcher matches, after any additions and removals', () => {
    let matched = 0;
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 30, size: 'max' }),
        fc.array(topicText, { minLength: 1, maxLength: 12 }),
        (steps, topics) => {
          const trie = new TopicTrie<number>();
          const held = new Map<number, string>();
          for (const [id, each] of steps.entries()) {
            if ('add' in each) {
              held.set(id, checkPattern(each.add));
              trie.add(each.add, id);
            } else {
              const [victim, pattern] = [...held][each.removeAt % Math.max(1, held.size)] ?? [];
              if (victim === undefined || pattern === undefined) continue;
              held.delete(victim);
              trie.remove(pattern, victim);
            }
            expect(trie.size).toBe(held.size);
          }
          for (const topic of topics) {
            const found: number[] = [];
            trie.forEachMatch(checkTopic(topic), (id) => found.push(id));
            const expected = [...held].filter(([, pattern]) => matches(pattern.split('.'), topic.split('.')));
            expect(found.sort((a, b) => a - b)).toEqual(expected.map(([id]) => id));
            matched += found.length;
          }
          for (const [id, pattern] of held) trie.remove(pattern, id);
          expect(trie).toEqual(new TopicTrie());
        },
      ),
      { numRuns: 1_000 },
    );
    // A generator whose patterns never match would prove nothing.
    expect(matched).toBeGreaterThan(1_000);
  });
});
