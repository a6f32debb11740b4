import { describe, expect, it } from 'vitest';
import { TopicTrie } from '../../runtime/routing/topic-trie.ts';

function trieOf(...patterns: readonly string[]): TopicTrie<string> {
  const trie = new TopicTrie<string>();
  for (const pattern of patterns) trie.add(pattern, pattern);
  return trie;
}

function reached(trie: TopicTrie<string>, topic: string): readonly string[] {
  const found: string[] = [];
  trie.forEachMatch(topic, (subscription) => found.push(subscription));
  return found.sort();
}

describe('the topic trie', () => {
  it('finds a topic itself and no other that begins like it', () => {
    const trie = trieOf('a.b', 'a.b.c', 'a', 'ab');
    expect(reached(trie, 'a.b')).toEqual(['a.b']);
    expect(reached(trie, 'a')).toEqual(['a']);
    expect(reached(trie, 'a.b.c.d')).toEqual([]);
  });

  it('takes * for exactly one segment', () => {
    const trie = trieOf('*', 'a.*', '*.b', 'a.*.c', '*.*');
    expect(reached(trie, 'a')).toEqual(['*']);
    expect(reached(trie, 'a.b')).toEqual(['*.*', '*.b', 'a.*']);
    expect(reached(trie, 'a.b.c')).toEqual(['a.*.c']);
    expect(reached(trie, 'a.b.c.d')).toEqual([]);
  });

  it('takes # for the rest, also for none', () => {
    const trie = trieOf('#', 'a.#', 'a.b.#', '*.b.#');
    expect(reached(trie, 'a')).toEqual(['#', 'a.#']);
    expect(reached(trie, 'a.b')).toEqual(['#', '*.b.#', 'a.#', 'a.b.#']);
    expect(reached(trie, 'x.b.c.d')).toEqual(['#', '*.b.#']);
    expect(reached(trie, 'x')).toEqual(['#']);
  });

  it('holds several subscriptions of one pattern, each once', () => {
    const trie = new TopicTrie<string>();
    for (const pattern of ['a.b', 'a.*', 'a.#']) {
      trie.add(pattern, `${pattern} 1`);
      trie.add(pattern, `${pattern} 2`);
    }
    expect(trie.size).toBe(6);
    expect(reached(trie, 'a.b')).toEqual(['a.# 1', 'a.# 2', 'a.* 1', 'a.* 2', 'a.b 1', 'a.b 2']);
    trie.remove('a.b', 'a.b 1');
    trie.remove('a.*', 'a.* 2');
    expect(reached(trie, 'a.b')).toEqual(['a.# 1', 'a.# 2', 'a.* 1', 'a.b 2']);
  });

  it('forgets everything of a pattern whose last subscription goes, and nothing of another', () => {
    const patterns = ['a.b', 'a.*', 'a.*.c', 'a.#', '#'];
    const trie = trieOf(...patterns);
    for (const pattern of ['a.*.c', 'a.b', '#', 'a.#']) trie.remove(pattern, pattern);
    expect(trie).toEqual(trieOf('a.*'));
    trie.remove('a.*', 'a.*');
    expect(trie).toEqual(new TopicTrie());
  });

  it('does not count or lose anything when what it does not hold is removed', () => {
    const trie = trieOf('a.b', 'a.*', 'a.#');
    for (const pattern of ['a.b', 'a.*', 'a.#', 'x.y', 'x.*', 'a.b.*', 'x.#']) trie.remove(pattern, 'nobody');
    expect(trie).toEqual(trieOf('a.b', 'a.*', 'a.#'));
    expect(trie.size).toBe(3);
  });

  it('looks at no other topic, however many there are', () => {
    const trie = trieOf('wanted.x', 'wanted.*', 'wanted.#');
    for (let n = 0; n < 1_000; n++) {
      trie.add(`other.t${n}`, `t${n}`);
      trie.add(`other${n}.*`, `s${n}`);
    }
    expect(trie.size).toBe(2_003);
    expect(reached(trie, 'wanted.x')).toEqual(['wanted.#', 'wanted.*', 'wanted.x']);
  });
});
