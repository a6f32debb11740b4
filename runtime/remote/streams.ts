/**
 * The numbers of what a node sends. A stream is what goes to one destination in one lane, and its frames are numbered from 1
 * without gaps, so that a receiver can tell a copy from news. A destination that was forgotten gets a stream of a new number: no
 * number ever means two frames.
 */

import { STREAMS_SENT_MAX } from '../../src/protocol/limits.ts';

/** Where a frame stands. */
export interface Place {
  readonly stream: number;
  readonly sequence: number;
}

/** Streams of one node. */
export class SentStreams {
  private readonly max: number;
  /** Least lately used first. */
  private readonly known = new Map<string, { readonly stream: number; sequence: number }>();
  private streams = 0;

  constructor(max = STREAMS_SENT_MAX) {
    this.max = max;
  }

  /** The next frame of this destination and lane begins a stream. */
  forget(key: string): void {
    this.known.delete(key);
  }

  /** The place of the next frame of this destination and lane. */
  next(key: string): Place {
    let counter = this.known.get(key);
    if (counter === undefined) {
      counter = { stream: ++this.streams, sequence: 0 };
      const [oldest] = this.known.keys();
      if (this.known.size >= this.max && oldest !== undefined) this.known.delete(oldest);
    } else {
      this.known.delete(key);
    }
    this.known.set(key, counter);
    counter.sequence++;
    return { stream: counter.stream, sequence: counter.sequence };
  }
}
