/**
 * Which subscriptions a topic reaches. Patterns without wildcards are found in a map, the others in a trie, so a topic's
 * cost does not depend on how many others there are. `*` is one segment; `#`, at the end, is the rest: zero or more.
 */

class TrieNode<T> {
  readonly next = new Map<string, TrieNode<T>>();
  /** Subscriptions whose pattern ends here. */
  readonly ending = new Set<T>();
  /** Subscriptions whose pattern ends here with `#`. */
  readonly rest = new Set<T>();

  get isEmpty(): boolean {
    return this.next.size === 0 && this.ending.size === 0 && this.rest.size === 0;
  }
}

const STAR = '*';
const HASH = '#';

/** Subscriptions by pattern. Patterns and topics were checked before they came here. */
export class TopicTrie<T> {
  private readonly exact = new Map<string, Set<T>>();
  private readonly root = new TrieNode<T>();
  private wildcards = 0;

  /** Subscriptions held. */
  get size(): number {
    let size = this.wildcards;
    for (const set of this.exact.values()) size += set.size;
    return size;
  }

  add(pattern: string, subscription: T): void {
    if (!isWild(pattern)) {
      const set = this.exact.get(pattern);
      if (set === undefined) this.exact.set(pattern, new Set([subscription]));
      else set.add(subscription);
      return;
    }
    let node = this.root;
    for (const segment of pattern.split('.')) {
      if (segment === HASH) {
        node.rest.add(subscription);
        this.wildcards++;
        return;
      }
      let next = node.next.get(segment);
      if (next === undefined) {
        next = new TrieNode<T>();
        node.next.set(segment, next);
      }
      node = next;
    }
    node.ending.add(subscription);
    this.wildcards++;
  }

  remove(pattern: string, subscription: T): void {
    if (!isWild(pattern)) {
      const set = this.exact.get(pattern);
      set?.delete(subscription);
      if (set?.size === 0) this.exact.delete(pattern);
      return;
    }
    if (this.removeFrom(this.root, pattern.split('.'), 0, subscription)) this.wildcards--;
  }

  /** Calls `visit` for each subscription that `topic` reaches. One that is added meanwhile may be visited, or not. */
  forEachMatch(topic: string, visit: (subscription: T) => void): void {
    const set = this.exact.get(topic);
    if (set !== undefined) for (const subscription of set) visit(subscription);
    if (this.wildcards > 0) this.match(this.root, topic.split('.'), 0, visit);
  }

  private match(
    node: TrieNode<T>,
    segments: readonly string[],
    index: number,
    visit: (subscription: T) => void,
  ): void {
    for (const subscription of node.rest) visit(subscription);
    const segment = segments[index];
    if (segment === undefined) {
      for (const subscription of node.ending) visit(subscription);
      return;
    }
    const same = node.next.get(segment);
    if (same !== undefined) this.match(same, segments, index + 1, visit);
    const any = node.next.get(STAR);
    if (any !== undefined) this.match(any, segments, index + 1, visit);
  }

  /** Removes from below `node`, and nodes that have become empty. */
  private removeFrom(
    node: TrieNode<T>,
    segments: readonly string[],
    index: number,
    subscription: T,
  ): boolean {
    const segment = segments[index];
    if (segment === undefined) return node.ending.delete(subscription);
    if (segment === HASH) return node.rest.delete(subscription);
    const next = node.next.get(segment);
    if (next === undefined) return false;
    const isRemoved = this.removeFrom(next, segments, index + 1, subscription);
    if (next.isEmpty) node.next.delete(segment);
    return isRemoved;
  }
}

function isWild(pattern: string): boolean {
  return pattern.includes(STAR) || pattern.includes(HASH);
}
