/**
 * How many frames of one lane of one destination may be in flight, so that none is taken after one before it was refused.
 *
 * The queue of a node, or of a shard, can be asked for its room: frames go one by one, unless there is far more room than all publishers could use up
 * before the answers arrive. Who gets a topic is not known, so nobody can be asked: frames go in short runs until one is refused, then
 * one by one until many in a row were taken.
 */

import type { PublishResult } from '../../src/protocol/broker.ts';

/** Frames in flight at once where there is room: more of them are not faster. */
const IN_FLIGHT_MAX = 512;
/** Free places below which frames for a node go one by one. */
const ROOM_MIN = 1_024;
/** Of the room that there was, and of a queue whose room is not known, this part may be in flight: 15 others may do the same at the same time. */
const ROOM_SHARE = 1 / 16;
/** Frames that may still be in flight when the next answer is asked for. */
const ASK_AGAIN = 128;
/** Frames for which asking is not worth it. */
const FEW = 2;
/** Frames of a topic in flight at once, where queues are long: as many may pass one that is refused, or go above a bound. */
const TOPIC_IN_FLIGHT_MAX = 256;
/** Frames of a topic that are taken one by one after a refusal. One that waits for room is refused again long before. */
const TOPIC_STREAK = 256;
/** Topics that are remembered as full; the oldest is forgotten. */
const FULL_TOPICS_MAX = 10_000;

/** What a sequence asks, and tells. */
export interface Pace {
  readonly inFlightMax: number;
  sent(): void;
  answered(result: PublishResult): void;
  /** As much was sent as may be: finds out whether more may be in flight, and calls `go` if so. `left` are still to be sent. */
  look(left: number, inFlight: number, go: () => void): void;
}

/** One frame at a time. */
export const ONE_BY_ONE: Pace = {
  inFlightMax: 1,
  sent: () => undefined,
  answered: () => undefined,
  look: () => undefined,
};

/** The pace of one call to one lane of a node or of a shard, whose queue can be asked. */
export class NodePace implements Pace {
  private readonly roomOf: () => Promise<number>;
  /** Frames that may still be in flight together. */
  private granted = 0;
  private isAsking = false;

  /** `roomOf` gives 0 when it fails, and does not reject. */
  constructor(roomOf: () => Promise<number>) {
    this.roomOf = roomOf;
  }

  get inFlightMax(): number {
    return this.granted > 0 ? IN_FLIGHT_MAX : 1;
  }

  sent(): void {
    this.granted = Math.max(0, this.granted - 1);
  }

  answered(): void {
    // What counts is the room.
  }

  /** Asks beside the frames that are in flight: it costs no time when there is little room, and none when there is much. */
  look(left: number, inFlight: number, go: () => void): void {
    if (this.isAsking || this.granted > ASK_AGAIN || left < FEW) return;
    this.isAsking = true;
    void this.roomOf().then((room) => {
      this.isAsking = false;
      this.granted = room < ROOM_MIN ? 0 : Math.max(0, Math.floor(room * ROOM_SHARE) - inFlight);
      if (this.granted > 0) go();
    });
  }
}

/** The paces of topics, which remember where somebody's queue was full. */
export class TopicPaces {
  /** Frames to be taken one by one, by routing key. */
  private readonly tight = new Map<string, number>();
  private readonly inFlightMax: number;

  constructor(maxLength: number) {
    this.inFlightMax = Math.max(1, Math.min(TOPIC_IN_FLIGHT_MAX, Math.floor(maxLength * ROOM_SHARE)));
  }

  /** The pace of one call to one lane of a topic. */
  of(key: string): Pace {
    return {
      inFlightMax: this.tight.has(key) ? 1 : this.inFlightMax,
      sent: () => undefined,
      answered: (result) => this.answered(key, result),
      look: () => undefined,
    };
  }

  private answered(key: string, result: PublishResult): void {
    const left = this.tight.get(key);
    if (result === 'full') {
      this.tight.delete(key); // so that it becomes the youngest
      this.tight.set(key, TOPIC_STREAK);
      const [oldest] = this.tight.keys();
      if (this.tight.size > FULL_TOPICS_MAX && oldest !== undefined) this.tight.delete(oldest);
    } else if (left !== undefined && result === 'ok') {
      if (left > 1) this.tight.set(key, left - 1);
      else this.tight.delete(key);
    }
  }
}
