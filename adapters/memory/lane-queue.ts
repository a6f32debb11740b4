/**
 * The frames that wait in one lane of an inbox or a group. Each has a position, and the lowest goes first: what comes back takes
 * its old place. Only frames that nobody has got yet count against the bound, so that nothing that comes back is ever refused.
 */

import type { Lane } from '../../src/protocol/broker.ts';

/** A frame at one place. @internal */
export interface HeldFrame {
  position: number;
  deliveries: number;
  readonly lane: Lane;
  readonly bytes: Uint8Array;
  readonly topic: string | undefined;
  /** The node that published it. */
  readonly publisher: string;
}

/** Taken frames at the head of the list after which it is cut off; a shift for each would move all the others. */
const TAKEN_MAX = 1_024;

/** Frames of one lane. @internal */
export class LaneQueue {
  /** Never given out, ascending from `head`. */
  private fresh: HeldFrame[] = [];
  private head = 0;
  /** Given out and come back, ascending: at most the windows of those that held them. */
  private readonly returned: HeldFrame[] = [];
  private lastPosition = 0;

  /** Frames that nobody has got yet. */
  get freshCount(): number {
    return this.fresh.length - this.head;
  }

  get size(): number {
    return this.freshCount + this.returned.length;
  }

  push(frame: Omit<HeldFrame, 'position' | 'deliveries'>): void {
    this.fresh.push({ ...frame, position: ++this.lastPosition, deliveries: 0 });
  }

  /** Takes the frame with the lowest position among those that fit. */
  take(fits: (frame: HeldFrame) => boolean): HeldFrame | undefined {
    const returnedAt = this.returned.findIndex(fits);
    const freshAt = this.firstFresh(fits);
    const returned = this.returned[returnedAt];
    const fresh = this.fresh[freshAt];
    if (returned !== undefined && (fresh === undefined || returned.position < fresh.position)) {
      this.returned.splice(returnedAt, 1);
      return returned;
    }
    if (fresh !== undefined) this.removeFresh(freshAt);
    return fresh;
  }

  /** Puts a frame back to where it stood; behind up to `behind` others where that is asked. */
  putBack(frame: HeldFrame, behind = 0): void {
    if (behind > 0) {
      const last = this.fresh[Math.min(this.head + behind, this.fresh.length) - 1];
      // Between two whole numbers: it comes after that one and before the next.
      if (last !== undefined && this.freshCount > 0) frame.position = last.position + 0.5;
    }
    let place = this.returned.length;
    while (place > 0 && (this.returned[place - 1]?.position ?? 0) > frame.position) place--;
    this.returned.splice(place, 0, frame);
  }

  private firstFresh(fits: (frame: HeldFrame) => boolean): number {
    for (let at = this.head; at < this.fresh.length; at++) {
      const frame = this.fresh[at];
      if (frame !== undefined && fits(frame)) return at;
    }
    return -1;
  }

  private removeFresh(at: number): void {
    if (at !== this.head) {
      this.fresh.splice(at, 1);
      return;
    }
    this.head++;
    if (this.head < TAKEN_MAX && this.head < this.fresh.length) return;
    this.fresh = this.fresh.slice(this.head);
    this.head = 0;
  }
}
