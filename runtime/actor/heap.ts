/**
 * A stable priority heap over the six ranks. For each rank that is present there is one lane, a ring buffer ordered by
 * sequence; the heap orders the lanes by their heads. Appending to the lane's tail is the usual case and costs O(1);
 * an item that comes back with an older sequence (a retry, an unstashed message) is put where it belongs.
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

const LANE_SLOTS_MIN = 4;

/** A ring buffer of items of one rank in order of `seq`. */
class Lane<T extends Ordered> {
  readonly rank: Rank;
  size = 0;
  private slots: (T | undefined)[] = new Array<T | undefined>(LANE_SLOTS_MIN).fill(undefined);
  private first = 0;

  constructor(rank: Rank) {
    this.rank = rank;
  }

  at(index: number): T | undefined {
    return this.slots[(this.first + index) & (this.slots.length - 1)];
  }

  /** Puts `item` at its place by `seq` and tells that place; 0 is the head. */
  insert(item: T): number {
    if (this.size === this.slots.length) this.grow();
    const last = this.size === 0 ? undefined : this.at(this.size - 1);
    const index = last === undefined || last.seq < item.seq ? this.size : this.indexOf(item.seq);
    for (let i = this.size; i > index; i--) this.put(i, this.at(i - 1));
    this.put(index, item);
    this.size++;
    return index;
  }

  /** Removes the head. The lane is not empty. */
  shift(): T | undefined {
    const head = this.slots[this.first];
    this.slots[this.first] = undefined;
    this.first = (this.first + 1) & (this.slots.length - 1);
    this.size--;
    return head;
  }

  /** Removes the item with this sequence; answers its place, or -1 when it is not here. */
  remove(seq: number): number {
    const index = this.indexOf(seq);
    if (index === this.size || this.at(index)?.seq !== seq) return -1;
    for (let i = index; i < this.size - 1; i++) this.put(i, this.at(i + 1));
    this.put(this.size - 1, undefined);
    this.size--;
    return index;
  }

  /** Place of the first item whose sequence is not below `seq` (binary search). */
  private indexOf(seq: number): number {
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.at(middle)?.seq ?? seq) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private put(index: number, item: T | undefined): void {
    this.slots[(this.first + index) & (this.slots.length - 1)] = item;
  }

  private grow(): void {
    const slots = new Array<T | undefined>(this.slots.length * 2).fill(undefined);
    for (let i = 0; i < this.size; i++) slots[i] = this.at(i);
    this.slots = slots;
    this.first = 0;
  }
}

/** The queue of a mailbox's user lane, and of the sends that wait for room in it. */
export class PriorityHeap<T extends Ordered> {
  size = 0;
  private readonly agingMs: number;
  /** Lane of each rank, made when the rank is first seen. */
  private readonly lanes: (Lane<T> | undefined)[] = [
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ];
  /** The lanes that hold something, as a binary heap ordered by their heads. */
  private readonly present: Lane<T>[] = [];

  constructor(agingMs: number) {
    this.agingMs = agingMs;
  }

  /** Adds an item at its place among those of its rank. */
  push(item: T): void {
    let lane = this.lanes[item.rank];
    if (lane === undefined) {
      lane = new Lane<T>(item.rank);
      this.lanes[item.rank] = lane;
    }
    const index = lane.insert(item);
    this.size++;
    if (lane.size === 1) this.siftUp(this.present.push(lane) - 1);
    else if (index === 0) this.siftUp(this.present.indexOf(lane));
  }

  /** The item that leaves next. */
  peek(): T | undefined {
    return this.present[0]?.at(0);
  }

  /** The item of this rank that leaves before the others of its rank. */
  peekRank(rank: Rank): T | undefined {
    return this.lanes[rank]?.at(0);
  }

  /** Removes the item that leaves next. */
  pop(): T | undefined {
    const lane = this.present[0];
    if (lane === undefined) return undefined;
    const item = lane.shift();
    this.size--;
    if (lane.size === 0) this.drop(0);
    else if (this.agingMs > 0) this.siftDown(0);
    return item;
  }

  /** Removes an item from anywhere; false when it is not inside. */
  remove(item: T): boolean {
    const lane = this.lanes[item.rank];
    const index = lane?.remove(item.seq) ?? -1;
    if (lane === undefined || index < 0) return false;
    this.size--;
    const place = this.present.indexOf(lane);
    if (lane.size === 0) this.drop(place);
    else if (index === 0) this.siftDown(place);
    return true;
  }

  /** The item with the smallest sequence among ranks of at least `rankMin`. */
  oldest(rankMin: Rank): T | undefined {
    let oldest: T | undefined;
    for (const lane of this.present) {
      const head = lane.at(0);
      if (head === undefined || lane.rank < rankMin) continue;
      if (oldest === undefined || head.seq < oldest.seq) oldest = head;
    }
    return oldest;
  }

  /** The item that would leave last among ranks of at least `rankMin`. */
  worst(rankMin: Rank): T | undefined {
    let worst: T | undefined;
    for (const lane of this.present) {
      const tail = lane.at(lane.size - 1);
      if (tail === undefined || lane.rank < rankMin) continue;
      if (worst === undefined || this.isBefore(worst, tail)) worst = tail;
    }
    return worst;
  }

  /** Whether `a` leaves before `b`. */
  isBefore(a: T, b: T): boolean {
    const aKey = this.agingMs > 0 ? a.sentAtMs + a.rank * this.agingMs : a.rank;
    const bKey = this.agingMs > 0 ? b.sentAtMs + b.rank * this.agingMs : b.rank;
    return aKey === bKey ? a.seq < b.seq : aKey < bKey;
  }

  /** Removes everything, in the order in which it would have left. */
  drain(): T[] {
    const items: T[] = [];
    for (let item = this.pop(); item !== undefined; item = this.pop()) items.push(item);
    return items;
  }

  /** Calls `visit` for each item, in no particular order. `visit` must not change the heap. */
  forEach(visit: (item: T) => void): void {
    for (const lane of this.present) {
      for (let i = 0; i < lane.size; i++) {
        const item = lane.at(i);
        if (item !== undefined) visit(item);
      }
    }
  }

  /** Items of each rank, most urgent first. */
  sizes(): readonly number[] {
    return this.lanes.map((lane) => lane?.size ?? 0);
  }

  /** Takes an empty lane out of the heap. */
  private drop(place: number): void {
    const last = this.present.pop();
    if (last === undefined || place === this.present.length) return;
    this.present[place] = last;
    this.siftDown(place);
    this.siftUp(place);
  }

  private siftUp(start: number): void {
    let place = start;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!this.swapIfBefore(place, parent)) return;
      place = parent;
    }
  }

  private siftDown(start: number): void {
    let place = start;
    for (;;) {
      const left = place * 2 + 1;
      const right = left + 1;
      const child = this.headIsBefore(right, left) ? right : left;
      if (!this.swapIfBefore(child, place)) return;
      place = child;
    }
  }

  private swapIfBefore(lower: number, upper: number): boolean {
    const lowerLane = this.present[lower];
    const upperLane = this.present[upper];
    if (lowerLane === undefined || upperLane === undefined || !this.headIsBefore(lower, upper)) return false;
    this.present[lower] = upperLane;
    this.present[upper] = lowerLane;
    return true;
  }

  private headIsBefore(place: number, other: number): boolean {
    const a = this.present[place]?.at(0);
    const b = this.present[other]?.at(0);
    return a !== undefined && b !== undefined && this.isBefore(a, b);
  }
}
