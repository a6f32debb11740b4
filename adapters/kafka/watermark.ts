/**
 * How far one reader has come in one log: which frames it took, gave out and settled. Frames settle in any order; what can be
 * committed is the offset before which all are settled.
 */

/** A frame that was taken from a log. @internal */
export interface Mark {
  readonly offset: number;
  isGiven: boolean;
  isSettled: boolean;
}

/** Marks that are settled before the list is copied without them. */
const SETTLED_KEPT_MAX = 1_024;

/** @internal */
export class Watermark {
  /** The offset of the next frame to take. */
  next: number;
  private marks: Mark[] = [];
  /** Places in `marks`: of the first that is not settled, and of the first that was never given. */
  private firstOpen = 0;
  private firstWaiting = 0;

  constructor(next: number) {
    this.next = next;
  }

  /** All before it is settled. */
  get safe(): number {
    return this.marks[this.firstOpen]?.offset ?? this.next;
  }

  /** All before it was given out at least once. */
  get given(): number {
    return this.marks[this.firstWaiting]?.offset ?? this.next;
  }

  /** The settled ones behind `safe`. */
  get settledAhead(): readonly number[] {
    const ahead: number[] = [];
    for (let place = this.firstOpen; place < this.marks.length; place++) {
      const mark = this.marks[place];
      if (mark?.isSettled === true) ahead.push(mark.offset);
    }
    return ahead;
  }

  /** Takes the frame at an offset, which is `next` or behind it. */
  take(offset: number): Mark {
    const mark: Mark = { offset, isGiven: false, isSettled: false };
    this.marks.push(mark);
    this.next = offset + 1;
    return mark;
  }

  /** Goes on at an offset; what lies between is nobody's. Never goes back. */
  skipTo(next: number): void {
    if (next > this.next) this.next = next;
  }

  /** Begins again at an offset, wherever it is, without what was taken: the log is another one. */
  restart(next: number): void {
    this.marks = [];
    this.firstOpen = 0;
    this.firstWaiting = 0;
    this.next = next;
  }

  /** Forgets what it took and never gave: that is taken again, by whoever comes. */
  untake(): void {
    const first = this.marks[this.firstWaiting];
    if (first === undefined) return;
    this.marks.length = this.firstWaiting;
    this.next = first.offset;
  }

  give(mark: Mark): void {
    mark.isGiven = true;
    while (this.marks[this.firstWaiting]?.isGiven === true) this.firstWaiting++;
  }

  settle(mark: Mark): void {
    mark.isSettled = true;
    this.give(mark);
    while (this.marks[this.firstOpen]?.isSettled === true) this.firstOpen++;
    if (this.firstOpen < SETTLED_KEPT_MAX) return;
    this.marks = this.marks.slice(this.firstOpen);
    this.firstWaiting -= this.firstOpen;
    this.firstOpen = 0;
  }
}
