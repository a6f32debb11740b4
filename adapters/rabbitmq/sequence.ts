/**
 * The frames of one call that go to one lane of one destination. Only the server knows whether a queue has room, and it answers each
 * frame for itself: while it is full and somebody reads, refused and taken ones alternate. So the pace decides how many frames may be
 * in flight, and after a result that is not `ok` nothing more is sent.
 */

import type { PublishResult } from '../../src/protocol/broker.ts';
import type { Pace } from './pace.ts';
import type { Outgoing, PublishLane } from './publish-lane.ts';

/** What is used of the channel of a lane. */
export type SequenceLane = Pick<PublishLane, 'gate' | 'onOpen' | 'send'>;

/** One such run. */
export class Sequence {
  private readonly lane: SequenceLane;
  private readonly frames: Outgoing[];
  private readonly pace: Pace;
  private readonly settle: (place: number, result: PublishResult) => void;
  private next = 0;
  private inFlight = 0;
  private isWaiting = false;
  /** The first result that was not `ok`. */
  private stoppedBy: PublishResult | undefined;

  /** `settle` is told once of each frame, by its place. */
  constructor(
    lane: SequenceLane,
    frames: Outgoing[],
    pace: Pace,
    settle: (place: number, result: PublishResult) => void,
  ) {
    this.lane = lane;
    this.frames = frames;
    this.pace = pace;
    this.settle = settle;
  }

  /** Begins. What it has not written when this returns is copied: the caller may use its bytes again. */
  begin(): void {
    this.go();
    for (let place = this.next; place < this.frames.length; place++) {
      const frame = this.frames[place];
      if (frame !== undefined) this.frames[place] = { ...frame, bytes: Buffer.from(frame.bytes) };
    }
  }

  /** Its time is over: sends nothing more, and settles what was not sent. Of what was sent it may tell still. */
  stop(): void {
    // As what is in flight: the connection is there, and does not answer.
    this.settleRest(this.stoppedBy === undefined ? 'unknown' : this.restResult);
    this.stoppedBy ??= 'unknown';
  }

  private go(): void {
    while (this.stoppedBy === undefined && this.next < this.frames.length) {
      if (this.inFlight >= this.pace.inFlightMax) break;
      const { gate } = this.lane;
      if (gate === 'wait') {
        this.wait();
        return;
      }
      if (gate === 'closed') this.stoppedBy = 'unavailable';
      else this.send();
    }
    if (this.stoppedBy === undefined)
      this.pace.look(this.frames.length - this.next, this.inFlight, () => this.go());
    // Last, so that what was sent before is settled before.
    else if (this.inFlight === 0) this.settleRest(this.restResult);
  }

  private send(): void {
    const place = this.next++;
    const frame = this.frames[place];
    if (frame === undefined) return;
    this.pace.sent();
    this.inFlight++;
    this.lane.send(frame, (result) => {
      this.inFlight--;
      if (result !== 'ok') this.stoppedBy ??= result;
      this.pace.answered(result);
      this.settle(place, result);
      this.go();
    });
  }

  private wait(): void {
    if (this.isWaiting) return;
    this.isWaiting = true;
    this.lane.onOpen(() => {
      this.isWaiting = false;
      this.go();
    });
  }

  /** What becomes of frames that were not sent since one before them was not taken. */
  private get restResult(): PublishResult {
    return this.stoppedBy === undefined || this.stoppedBy === 'unknown' ? 'unavailable' : this.stoppedBy;
  }

  private settleRest(result: PublishResult): void {
    while (this.next < this.frames.length) this.settle(this.next++, result);
  }
}
