/**
 * Goal: the heap is a stable sort by key at all times, and its aging keeps the bounds that docs/guarantees.md states.
 * Method: random pushes, pops, removals and returns, beside an array that is sorted anew at each look.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Ordered, PriorityHeap } from '../../runtime/actor/heap.ts';
import type { Rank } from '../../src/protocol/priority.ts';
import { RANKS } from '../support/envelopes.ts';
import { RUNS, RUNS_TIMEOUT_MS } from '../support/runs.ts';

const rank = fc.constantFrom(...RANKS);
const agingMs = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 20 }));

/** What may be done to a heap; `pick` chooses one of what is there. */
type Act =
  | { readonly type: 'push'; readonly rank: Rank; readonly passedMs: number }
  | { readonly type: 'pop' }
  | { readonly type: 'remove' | 'return'; readonly pick: number };

const push = (ranks: fc.Arbitrary<Rank>): fc.Arbitrary<Act> =>
  fc.record({ type: fc.constant('push'), rank: ranks, passedMs: fc.nat({ max: 15 }) });
const pick = fc.nat({ max: 1_000 });

const actsOn = (ranks: fc.Arbitrary<Rank>): fc.Arbitrary<Act[]> =>
  fc.array(
    fc.oneof(
      { weight: 4, arbitrary: push(ranks) },
      { weight: 2, arbitrary: fc.constant({ type: 'pop' } as const) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('remove'), pick }) },
      { weight: 2, arbitrary: fc.record({ type: fc.constant('return'), pick }) },
    ),
    { maxLength: 120, size: 'max' },
  );

/** A heap and what should be in it. Items that left may come back with their old sequence. */
class Twin {
  readonly heap: PriorityHeap<Ordered>;
  readonly outside: Ordered[] = [];
  private inside: Ordered[] = [];
  private readonly key: (item: Ordered) => number;
  private seq = 0;
  private nowMs = 0;

  constructor(aging: number) {
    this.heap = new PriorityHeap(aging);
    this.key = (item) => (aging === 0 ? item.rank : item.sentAtMs + item.rank * aging);
  }

  /** In the order in which they should leave: by key, and Array.sort is stable. */
  get sorted(): Ordered[] {
    return [...this.inside].sort(bySeq).sort((a, b) => this.key(a) - this.key(b));
  }

  act(act: Act): void {
    switch (act.type) {
      case 'push':
        this.nowMs += act.passedMs;
        this.add({ rank: act.rank, seq: ++this.seq, sentAtMs: this.nowMs });
        break;
      case 'pop': {
        const [first] = this.sorted;
        expectSame([this.heap.pop()], [first]);
        this.takeOut(first);
        break;
      }
      case 'remove': {
        const item = this.inside[act.pick % Math.max(1, this.inside.length)];
        if (item !== undefined) expect(this.heap.remove(item)).toBe(true);
        this.takeOut(item);
        break;
      }
      case 'return': {
        const [item] = this.outside.splice(act.pick % Math.max(1, this.outside.length), 1);
        if (item === undefined) break;
        expect(this.heap.remove(item)).toBe(false);
        this.add(item);
      }
    }
    this.compare();
  }

  private add(item: Ordered): void {
    this.inside.push(item);
    this.heap.push(item);
  }

  private takeOut(item: Ordered | undefined): void {
    this.inside = this.inside.filter((each) => each !== item);
    if (item !== undefined) this.outside.push(item);
  }

  private compare(): void {
    const { heap, sorted } = this;
    const byCall = [...sorted].sort(bySeq);
    const got: unknown[] = [heap.size, heap.peek()];
    const wanted: unknown[] = [sorted.length, sorted[0]];
    for (const each of RANKS) {
      got.push(heap.sizeOf(each), heap.peekRank(each), heap.worst(each), heap.oldest(each));
      wanted.push(
        sorted.filter((item) => item.rank === each).length,
        sorted.find((item) => item.rank === each),
        sorted.findLast((item) => item.rank >= each),
        byCall.find((item) => item.rank >= each),
      );
    }
    expectSame(got, wanted);
  }
}

/** The same values and the very same objects. One assertion, since thousands of them take seconds. */
function expectSame(got: readonly unknown[], wanted: readonly unknown[]): void {
  const place = got.findIndex((each, i) => each !== wanted[i]);
  if (place >= 0 || got.length !== wanted.length) {
    throw new Error(`at ${place}: got ${JSON.stringify(got)}, wanted ${JSON.stringify(wanted)}`);
  }
}

const bySeq = (a: Ordered, b: Ordered): number => a.seq - b.seq;

interface Sent {
  readonly rank: Rank;
  readonly passedMs: number;
  /** How many are handled before this one is sent. */
  readonly pops: number;
}

const sent = fc.array(
  fc.record({ rank, passedMs: fc.nat({ max: 15 }), pops: fc.constantFrom(0, 0, 0, 1, 2) }),
  { maxLength: 60, size: 'max' },
);

/** In the order in which they were handled. */
function handle(calls: readonly Sent[], aging: number): Ordered[] {
  const heap = new PriorityHeap<Ordered>(aging);
  const handled: Ordered[] = [];
  let nowMs = 0;
  for (const [i, call] of calls.entries()) {
    for (let n = 0; n < call.pops; n++) {
      const item = heap.pop();
      if (item !== undefined) handled.push(item);
    }
    nowMs += call.passedMs;
    heap.push({ rank: call.rank, seq: i + 1, sentAtMs: nowMs });
  }
  return [...handled, ...heap.drain()];
}

/** Each pair of which the second was called first and the first handled first. */
function overtakings(handled: readonly Ordered[]): (readonly [Ordered, Ordered])[] {
  return handled.flatMap((x, i) =>
    handled
      .slice(i + 1)
      .filter((y) => y.seq < x.seq)
      .map((y) => [x, y] as const),
  );
}

describe('priority heap', () => {
  it(
    'P49: is a stable sort by key after any pushes, pops, removals and returns',
    () => {
      fc.assert(
        fc.property(agingMs, actsOn(rank), (aging, acts) => {
          const twin = new Twin(aging);
          for (const act of acts) twin.act(act);
          const { sorted } = twin;
          const visited: Ordered[] = [];
          twin.heap.forEach((item) => {
            visited.push(item);
          });
          expectSame([...twin.sorted].sort(bySeq), visited.sort(bySeq));
          expectSame(twin.heap.drain(), sorted);
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P49: keeps one rank in order while its ring wraps, grows, loses and regains items anywhere',
    () => {
      fc.assert(
        fc.property(actsOn(fc.constant(3)), (acts) => {
          const twin = new Twin(0);
          for (const act of acts) twin.act(act);
          const { sorted } = twin;
          expectSame(twin.heap.drain(), sorted);
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P50: lets nobody of the same rank overtake',
    () => {
      fc.assert(
        fc.property(agingMs, sent, (aging, calls) => {
          const pairs = overtakings(handle(calls, aging));
          expect(pairs.filter(([x, y]) => x.rank === y.rank)).toEqual([]);
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );

  it(
    'P51: lets a better rank overtake only by less than agingMs for each rank between',
    () => {
      fc.assert(
        fc.property(agingMs, sent, (aging, calls) => {
          const pairs = overtakings(handle(calls, aging));
          const wrong = pairs.filter(
            ([x, y]) =>
              x.rank >= y.rank || (aging > 0 && x.sentAtMs - y.sentAtMs >= (y.rank - x.rank) * aging),
          );
          expect(wrong).toEqual([]);
        }),
        { numRuns: RUNS },
      );
    },
    RUNS_TIMEOUT_MS,
  );
});
