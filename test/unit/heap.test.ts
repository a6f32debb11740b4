import { describe, expect, it } from 'vitest';
import { type Ordered, PriorityHeap } from '../../runtime/actor/heap.ts';
import type { Rank } from '../../src/protocol/priority.ts';
import { RANKS } from '../support/envelopes.ts';

const item = (rank: Rank, seq: number, sentAtMs = 0): Ordered => ({ rank, seq, sentAtMs });

function heapOf(items: readonly Ordered[], agingMs = 0): PriorityHeap<Ordered> {
  const heap = new PriorityHeap<Ordered>(agingMs);
  for (const each of items) heap.push(each);
  return heap;
}

const seqs = (items: readonly Ordered[]): number[] => items.map(({ seq }) => seq);

/** A generator of numbers below `n`, the same ones in every run. */
function numbers(): (n: number) => number {
  let state = 1;
  return (n) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % n;
  };
}

describe('priority heap', () => {
  it('answers undefined, false, 0 and nothing when it is empty, new or emptied', () => {
    for (const [heap, agingMs] of [0, 5].flatMap((ms) => [
      [heapOf([], ms), ms] as const,
      [heapOf([item(0, 1), item(3, 2)], ms), ms] as const,
    ])) {
      heap.drain();
      expect([heap.peek(), heap.pop(), heap.oldest(0), heap.worst(0)], `aging ${agingMs}`).toEqual(
        new Array(4).fill(undefined),
      );
      expect(RANKS.map((rank) => heap.peekRank(rank))).toEqual(new Array(6).fill(undefined));
      expect(RANKS.map((rank) => heap.sizeOf(rank))).toEqual(new Array(6).fill(0));
      expect(heap.remove(item(3, 2))).toBe(false);
      expect(heap.drain()).toEqual([]);
      expect(heap.size).toBe(0);
      heap.forEach(() => {
        expect.unreachable('nothing is inside');
      });
    }
  });

  it('gives the most urgent first and equals in the order of their calls', () => {
    const heap = heapOf([item(3, 1), item(5, 2), item(0, 3), item(3, 4), item(0, 5), item(1, 6)]);
    expect(heap.size).toBe(6);
    expect(heap.peek()?.seq).toBe(3);
    expect(RANKS.map((rank) => heap.sizeOf(rank))).toEqual([2, 1, 0, 2, 0, 1]);
    expect(RANKS.map((rank) => heap.peekRank(rank)?.seq)).toEqual([3, 6, undefined, 1, undefined, 2]);
    expect(heap.pop()?.seq).toBe(3);
    expect(heap.size).toBe(5);
    expect(seqs(heap.drain())).toEqual([5, 6, 1, 4, 2]);
  });

  it('does not look at the time unless messages age', () => {
    expect(seqs(heapOf([item(1, 1, 0), item(0, 2, 1_000)]).drain())).toEqual([2, 1]);
    expect(seqs(heapOf([item(1, 1, 0), item(0, 2, 1_000)], 5).drain())).toEqual([1, 2]);
  });

  it('adds agingMs for each rank to the time of the call when messages age', () => {
    // Keys 20, 21, 20, 19: the equal ones in the order of their calls.
    const items = [item(2, 1, 0), item(2, 2, 1), item(1, 3, 10), item(0, 4, 19)];
    expect(seqs(heapOf(items, 10).drain())).toEqual([4, 1, 3, 2]);
    expect(seqs(heapOf([...items].reverse(), 10).drain())).toEqual([4, 1, 3, 2]);
  });

  it('lets no item leave before itself, and of two always one', () => {
    for (const agingMs of [0, 10]) {
      const heap = heapOf([], agingMs);
      const [a, b, c] = [item(2, 1, 0), item(1, 2, 10), item(2, 3, 10)];
      expect(heap.isBefore(a, a)).toBe(false);
      expect([heap.isBefore(a, b), heap.isBefore(b, a)]).toEqual(
        agingMs === 0 ? [false, true] : [true, false],
      );
      expect([heap.isBefore(a, c), heap.isBefore(c, a)]).toEqual([true, false]);
    }
  });

  it('puts an item that comes back where it was among its rank', () => {
    const heap = heapOf([1, 2, 3, 4, 5].map((seq) => item(3, seq)));
    const [first, second] = [heap.pop(), heap.pop()];
    heap.push(item(3, 6));
    if (second !== undefined) heap.push(second);
    expect(heap.peek()).toBe(second);
    if (first !== undefined) heap.push(first);
    expect(seqs(heap.drain())).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('lets an aged item that comes back go first again', () => {
    const items = RANKS.map((rank) => item(rank, rank + 1, rank));
    const heap = heapOf([...items, item(0, 7, 6), item(5, 8, 6)], 100);
    const taken = [heap.pop(), heap.pop(), heap.pop()];
    expect(taken.map((each) => each?.seq)).toEqual([1, 7, 2]);
    for (const each of taken) if (each !== undefined) heap.push(each);
    expect(seqs(heap.drain())).toEqual([1, 7, 2, 3, 4, 5, 6, 8]);
  });

  it('removes the very item and no other, from the head, the middle and the tail', () => {
    const items = [1, 2, 3, 4, 5, 6, 7].map((seq) => item(3, seq));
    for (const gone of items) {
      const heap = heapOf(items);
      expect(heap.remove(item(3, gone.seq)), 'another item with that sequence').toBe(false);
      expect(heap.size).toBe(7);
      expect(heap.remove(gone)).toBe(true);
      expect(heap.remove(gone), 'twice').toBe(false);
      expect([heap.size, heap.sizeOf(3)]).toEqual([6, 6]);
      expect(seqs(heap.drain())).toEqual(seqs(items.filter((each) => each !== gone)));
    }
  });

  it('removes nothing that is older or newer than all inside, in a lane that is exactly full', () => {
    const items = [2, 3, 4, 5].map((seq) => item(3, seq));
    const heap = heapOf(items);
    for (const stranger of [item(3, 1), item(3, 6), item(2, 3), item(4, 3)]) {
      expect(heap.remove(stranger)).toBe(false);
    }
    expect(seqs(heap.drain())).toEqual([2, 3, 4, 5]);
  });

  it('forgets what it removed: an emptied rank shows nothing', () => {
    const only = item(2, 1);
    const heap = heapOf([only]);
    expect(heap.remove(only)).toBe(true);
    expect([heap.peek(), heap.peekRank(2), heap.oldest(0), heap.worst(0)]).toEqual(
      new Array(4).fill(undefined),
    );
    heap.push(only);
    expect(heap.peekRank(2)).toBe(only);
  });

  it('keeps the order between ranks when the head of one is removed', () => {
    const items = [item(0, 1, 0), item(1, 2, 1), item(2, 3, 2), item(0, 4, 30), item(1, 5, 31)];
    for (const gone of items) {
      const heap = heapOf(items, 10);
      heap.remove(gone);
      expect(seqs(heap.drain())).toEqual([1, 2, 3, 4, 5].filter((seq) => seq !== gone.seq));
    }
  });

  it('finds the oldest call and the worst key among the ranks it is asked for', () => {
    const heap = heapOf([item(0, 1), item(2, 2), item(1, 3), item(2, 4), item(0, 5), item(1, 6)]);
    expect(RANKS.map((rank) => heap.oldest(rank)?.seq)).toEqual([1, 2, 2, undefined, undefined, undefined]);
    expect(RANKS.map((rank) => heap.worst(rank)?.seq)).toEqual([4, 4, 4, undefined, undefined, undefined]);
    expect(heapOf([item(5, 9), item(3, 2)]).oldest(0)?.seq).toBe(2);
    expect(heapOf([item(0, 9), item(3, 2)]).worst(0)?.seq).toBe(2);
  });

  it('visits each item once', () => {
    const items = Array.from({ length: 50 }, (_, i) => item((i % 6) as Rank, i + 1));
    const heap = heapOf(items);
    for (let i = 0; i < 20; i++) heap.pop();
    const visited: number[] = [];
    heap.forEach(({ seq }) => {
      visited.push(seq);
    });
    expect(visited.sort((a, b) => a - b)).toEqual(seqs(heap.drain()).sort((a, b) => a - b));
    expect(visited).toHaveLength(30);
  });

  it('does not grow, and keeps nothing that has left, while few are inside at a time', () => {
    const heap = heapOf([]);
    const sizeAfter = (count: number): number => {
      for (let seq = 1; seq <= count; seq++) {
        const [first, second] = [item(3, 2 * seq), item(3, 2 * seq + 1)];
        for (const each of [first, second]) heap.push(each);
        if (seq % 2 === 0) heap.remove(second);
        else heap.remove(first);
        heap.pop();
      }
      // Everything it holds on to, whatever its fields are called; sequences have few digits.
      return JSON.stringify(heap).length;
    };
    const empty = sizeAfter(10);
    expect(sizeAfter(1_000)).toBeLessThan(empty + 10);
    heap.push(item(3, 9_001));
    expect(JSON.stringify(heap).match(/"rank"/g)).toHaveLength(1);
  });

  it('grows while it is wrapped around, and keeps the order', () => {
    const heap = heapOf([]);
    const left: number[] = [];
    let seq = 0;
    // Two in, one out: the ring's first slot is somewhere else at each growth.
    for (let i = 0; i < 1_000; i++) {
      heap.push(item(3, ++seq));
      heap.push(item(3, ++seq));
      left.push(heap.pop()?.seq ?? 0);
    }
    expect([...left, ...seqs(heap.drain())]).toEqual(Array.from({ length: 2_000 }, (_, i) => i + 1));
  });

  it('P49: gives 100,000 items in the order of a stable sort by their keys', () => {
    for (const agingMs of [0, 7]) {
      const random = numbers();
      let now = 0;
      const items = Array.from({ length: 100_000 }, (_, i) => {
        now += random(3);
        return item(random(6) as Rank, i + 1, now);
      });
      const key = (each: Ordered): number =>
        agingMs === 0 ? each.rank : each.sentAtMs + each.rank * agingMs;
      const sorted = [...items].sort((a, b) => key(a) - key(b));
      const heap = heapOf(items, agingMs);
      // Every seventh leaves by another door, some of those come back.
      const removed = items.filter((_, i) => i % 7 === 0 && i < 7_000);
      for (const each of removed) expect(heap.remove(each)).toBe(true);
      const isGone = new Set(removed.filter((_, i) => i % 50 !== 0));
      for (const each of removed) if (!isGone.has(each)) heap.push(each);
      const left = heap.drain();
      const expected = sorted.filter((each) => !isGone.has(each));
      expect(left.length).toBe(expected.length);
      expect(left.findIndex((each, i) => each !== expected[i])).toBe(-1);
    }
  });
});
