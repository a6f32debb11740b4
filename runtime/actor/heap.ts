/**
 * A stable priority heap over the six ranks. For each rank there is one lane, a ring buffer ordered by sequence. As
 * there are only six, the lanes need no tree above them: a mask says which hold something, and the best head is its
 * lowest bit, or, with aging, the best of at most six. Appending to a lane's tail is the usual case and costs O(1); an
 * item that comes back with an older sequence (a retry, an unstashed message) is put where it belongs.
 *
 * Invariant: items of one rank leave in order of `seq`. Between ranks the smaller key leaves first, and equal keys in
 * order of `seq`. The key is the rank when `agingMs` is 0, else `sentAtMs + rank * agingMs`: linear aging needs no
 * second look at what is already queued. The heap knows nothing of capacity, waiting or messages.
 */

import type { Rank } from '../../src/protocol/priority.ts';

/** What the heap needs to know of an item. None of it may change while the item is inside. */
export interface Ordered {
  readonly rank: Rank;
  /** Order of the calls; unique inside one heap. */
  readonly seq: number;
  /** Milliseconds, never decreasing with `seq`; read only when aging is on. */
  readonly sentAtMs: number;
}

/** A ring buffer of items of one rank in order of `seq`. */
class Lane<T extends Ordered> {
  size = 0;
  // Stryker disable next-line ArrayDeclaration: an empty ring would double from one slot; four spare the first growths.
  private slots: (T | undefined)[] = [undefined, undefined, undefined, undefined];
  private first = 0;
  /** The largest sequence that was ever inside: whatever is above it belongs at the tail. */
  private lastSeq = 0;

  at(index: number): T | undefined {
    return this.slots[(this.first + index) & (this.slots.length - 1)];
  }

  /** Puts `item` at its place by `seq`. */
  insert(item: T): void {
    if (this.size === this.slots.length) this.grow();
    // Stryker disable next-line ConditionalExpression,EqualityOperator: insertEarlier finds the same place, but slowly.
    if (item.seq > this.lastSeq) {
      this.lastSeq = item.seq;
      this.put(this.size, item);
    } else {
      this.insertEarlier(item);
    }
    this.size++;
  }

  /** Removes the head. The lane is not empty. */
  shift(): T | undefined {
    const { slots, first } = this;
    const head = slots[first];
    slots[first] = undefined;
    this.first = (first + 1) & (slots.length - 1);
    this.size--;
    return head;
  }

  /** Removes an item from anywhere; false when it is not here. The shorter side moves up: at both ends that is O(1). */
  remove(item: T): boolean {
    const index = this.indexOf(item.seq);
    if (this.at(index) !== item) return false;
    // Stryker disable next-line ConditionalExpression,EqualityOperator: either side may move; this chooses the cheap one.
    if (index < this.size >>> 1) {
      // Stryker disable next-line EqualityOperator: one step more writes to the slot that shift clears.
      for (let i = index; i > 0; i--) this.put(i, this.at(i - 1));
      this.shift();
    } else {
      this.size--;
      // Stryker disable next-line EqualityOperator: one step more writes to the slot that is cleared next.
      for (let i = index; i < this.size; i++) this.put(i, this.at(i + 1));
      this.put(this.size, undefined);
    }
    return true;
  }

  /** Calls `visit` for each item, in no particular order. */
  forEach(visit: (item: T) => void): void {
    for (const item of this.slots) if (item !== undefined) visit(item);
  }

  private insertEarlier(item: T): void {
    const index = this.indexOf(item.seq);
    // Stryker disable next-line EqualityOperator: one step more writes to the slot that is written next.
    for (let i = this.size; i > index; i--) this.put(i, this.at(i - 1));
    this.put(index, item);
  }

  /** Place of the first item whose sequence is not below `seq` (binary search). */
  private indexOf(seq: number): number {
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      // Stryker disable next-line OptionalChaining: there is an item at each place below size, which no type says.
      if ((this.at(middle)?.seq ?? seq) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private put(index: number, item: T | undefined): void {
    this.slots[(this.first + index) & (this.slots.length - 1)] = item;
  }

  /** Doubles a full ring. */
  private grow(): void {
    const { slots, first } = this;
    const room = new Array<T | undefined>(slots.length).fill(undefined);
    this.slots = [...slots.slice(first), ...slots.slice(0, first), ...room];
    this.first = 0;
  }
}

/** The queue of a mailbox's user lane, and of the sends that wait for room in it. */
export class PriorityHeap<T extends Ordered> {
  size = 0;
  private readonly agingMs: number;
  /** By rank; a lane is made when its rank is first seen. */
  // Stryker disable next-line ArrayDeclaration: an array that grows works too, but reserves memory for twenty lanes.
  private readonly lanes: (Lane<T> | undefined)[] = [
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ];
  /** One bit for each rank whose lane holds something. */
  private present = 0;

  constructor(agingMs: number) {
    this.agingMs = agingMs;
  }

  /** Adds an item at its place among those of its rank. */
  push(item: T): void {
    const { rank } = item;
    const lane = this.lanes[rank] ?? this.makeLane(rank);
    lane.insert(item);
    this.present |= 1 << rank;
    this.size++;
  }

  /** The item that leaves next. */
  peek(): T | undefined {
    return this.best()?.at(0);
  }

  /** The item of this rank that leaves before the others of its rank. */
  peekRank(rank: Rank): T | undefined {
    return this.lanes[rank]?.at(0);
  }

  /** Removes the item that leaves next. */
  pop(): T | undefined {
    const item = this.best()?.shift();
    if (item !== undefined) this.left(item.rank);
    return item;
  }

  /** Removes an item from anywhere; false when it is not inside. */
  remove(item: T): boolean {
    const lane = this.lanes[item.rank];
    if (lane === undefined || !lane.remove(item)) return false;
    this.left(item.rank);
    return true;
  }

  /** The item with the smallest sequence among ranks of at least `rankMin`. */
  oldest(rankMin: Rank): T | undefined {
    let oldest: T | undefined;
    for (const lane of this.lanes.slice(rankMin)) {
      const head = lane?.at(0);
      // Stryker disable next-line EqualityOperator: no two items have the same sequence.
      if (head !== undefined && (oldest === undefined || head.seq < oldest.seq)) oldest = head;
    }
    return oldest;
  }

  /** The item that would leave last among ranks of at least `rankMin`. */
  worst(rankMin: Rank): T | undefined {
    let worst: T | undefined;
    for (const lane of this.lanes.slice(rankMin)) {
      const tail = lane?.at(lane.size - 1);
      if (tail !== undefined && (worst === undefined || this.isBefore(worst, tail))) worst = tail;
    }
    return worst;
  }

  /** Whether `a` leaves before `b`. */
  isBefore(a: T, b: T): boolean {
    const aKey = this.agingMs > 0 ? a.sentAtMs + a.rank * this.agingMs : a.rank;
    const bKey = this.agingMs > 0 ? b.sentAtMs + b.rank * this.agingMs : b.rank;
    return aKey < bKey || (aKey === bKey && a.seq < b.seq);
  }

  /** Removes everything, in the order in which it would have left. */
  drain(): T[] {
    const items: T[] = [];
    for (let item = this.pop(); item !== undefined; item = this.pop()) items.push(item);
    return items;
  }

  /** Calls `visit` for each item, in no particular order. `visit` must not change the heap. */
  forEach(visit: (item: T) => void): void {
    for (const lane of this.lanes) lane?.forEach(visit);
  }

  /** How many items of this rank are inside. */
  sizeOf(rank: Rank): number {
    return this.lanes[rank]?.size ?? 0;
  }

  /** One item of this rank has left its lane. */
  private left(rank: Rank): void {
    this.size--;
    if (this.sizeOf(rank) === 0) this.present &= ~(1 << rank);
  }

  /** The lane whose head leaves next. */
  private best(): Lane<T> | undefined {
    // Stryker disable next-line ConditionalExpression: lanes[-1] is undefined too, but is looked up by name, slowly.
    if (this.present === 0) return undefined;
    // Stryker disable next-line ConditionalExpression,EqualityOperator: bestAged finds the same lane, but slowly.
    if (this.agingMs > 0) return this.bestAged();
    return this.lanes[31 - Math.clz32(this.present & -this.present)]; // the lowest bit that is set
  }

  private bestAged(): Lane<T> | undefined {
    let best: Lane<T> | undefined;
    let bestHead: T | undefined;
    for (const lane of this.lanes) {
      const head = lane?.at(0);
      if (head === undefined || (bestHead !== undefined && !this.isBefore(head, bestHead))) continue;
      best = lane;
      bestHead = head;
    }
    return best;
  }

  private makeLane(rank: Rank): Lane<T> {
    const lane = new Lane<T>();
    this.lanes[rank] = lane;
    return lane;
  }
}
