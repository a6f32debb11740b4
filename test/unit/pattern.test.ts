import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TopicTrie } from '../../runtime/routing/topic-trie.ts';
import { patternMatcher } from '../../src/protocol/pattern.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';

const SEGMENT = fc.constantFrom('a', 'b');
const TOPIC = fc.array(SEGMENT, { minLength: 1, maxLength: 4 });
const PATTERN = fc
  .tuple(fc.array(fc.oneof(SEGMENT, fc.constant('*')), { maxLength: 4 }), fc.boolean())
  .map(([segments, hasRest]) => (hasRest || segments.length === 0 ? [...segments, '#'] : segments));

describe('a pattern on its own', () => {
  it('matches what the router matches', { timeout: RUNS_TIMEOUT_MS }, () => {
    fc.assert(
      fc.property(PATTERN, TOPIC, (wanted, given) => {
        const pattern = wanted.join('.');
        const topic = given.join('.');
        const trie = new TopicTrie<string>();
        trie.add(pattern, pattern);
        const reached: string[] = [];
        trie.forEachMatch(topic, (each) => reached.push(each));
        expect(patternMatcher(pattern)(topic)).toBe(reached.length > 0);
      }),
      { numRuns: RUNS },
    );
  });
});
