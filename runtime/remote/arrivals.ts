/**
 * Which frames are news. A broker delivers at least once, and after a cut or the death of a consumer old frames may come behind newer
 * ones. So a receiver keeps, for each stream, the highest number and those below it that have not come: a number among them
 * is late, any other one that is not above is a copy. It never waits for what is missing.
 *
 * Streams are ordered only where one consumer reads them. In a group the numbers are spread over its members, and a frame that one
 * gives back may come to it again, so there the last frames that were handled are known by name.
 */

import {
  FRAMES_MISSING_MAX,
  GROUP_FRAMES_KNOWN_MAX,
  STREAMS_RECEIVED_MAX,
} from '../../src/protocol/limits.ts';

/** What identifies a frame. */
export interface FrameName {
  readonly node: string;
  readonly incarnation: string;
  readonly stream: number;
  readonly sequence: number;
}

interface Stream {
  highest: number;
  readonly missing: Set<number>;
  /** Whatever has not come below this number is not waited for any more. */
  waitedFor: number;
  /** What `interruptions` was when its last frame came. */
  interruptions: number;
}

/** What an inbox has got. */
export class InboxArrivals {
  private readonly streamsMax: number;
  /** Least lately used first. */
  private readonly streams = new Map<string, Stream>();
  private readonly onMissing: (frame: FrameName, frames: number) => void;
  private interruptions = 0;

  /** `onMissing` is told how many numbers were skipped, each time some are. */
  constructor(onMissing: (frame: FrameName, frames: number) => void, streamsMax = STREAMS_RECEIVED_MAX) {
    this.onMissing = onMissing;
    this.streamsMax = streamsMax;
  }

  /** Topics that were not listened to for a while are from here on: what was published meanwhile is no loss. */
  interrupt(): void {
    this.interruptions++;
  }

  /** Whether this frame, of this topic if it was not sent to the node itself, is news; from here on it is not. */
  isNew(frame: FrameName, topic?: string): boolean {
    const { sequence } = frame;
    const key = streamOf(frame);
    const stream = this.streams.get(key);
    if (stream === undefined) {
      this.begin(key, sequence);
      return true;
    }
    this.streams.delete(key);
    this.streams.set(key, stream);
    if (sequence <= stream.highest) return stream.missing.delete(sequence);
    const skipped = sequence - stream.highest - 1;
    const wasHeard = topic === undefined || stream.interruptions === this.interruptions;
    if (skipped > 0 && wasHeard) this.onMissing(frame, skipped);
    stream.interruptions = this.interruptions;
    skip(stream.missing, stream.highest + 1, sequence);
    stream.highest = sequence;
    return true;
  }

  /** Whether newer frames of its stream have come before this one. */
  isBehind(frame: FrameName): boolean {
    const stream = this.streams.get(streamOf(frame));
    return stream !== undefined && frame.sequence < stream.highest;
  }

  /** The numbers before this frame that have not come, and are still waited for. */
  missingBefore(frame: FrameName): readonly number[] {
    const stream = this.streams.get(streamOf(frame));
    if (stream === undefined) return [];
    const { missing, waitedFor } = stream;
    return [...missing].filter((number) => number >= waitedFor && number < frame.sequence);
  }

  /** What has not come before this frame by now is not waited for again. */
  waited(frame: FrameName): void {
    const stream = this.streams.get(streamOf(frame));
    if (stream !== undefined) stream.waitedFor = Math.max(stream.waitedFor, frame.sequence);
  }

  /** A frame that came goes back to the broker: it has not come. */
  released(frame: FrameName): void {
    this.streams.get(streamOf(frame))?.missing.add(frame.sequence);
  }

  /** Whoever begins to listen finds a stream in its middle. What came before may still come, from an earlier life of this inbox. */
  private begin(key: string, sequence: number): void {
    const [oldest] = this.streams.keys();
    if (this.streams.size >= this.streamsMax && oldest !== undefined) this.streams.delete(oldest);
    const missing = new Set<number>();
    skip(missing, 1, sequence);
    const { interruptions } = this;
    this.streams.set(key, { highest: sequence, missing, waitedFor: 1, interruptions });
  }
}

/** What a member of a group has handled. */
export class GroupArrivals {
  private readonly max: number;
  /** Oldest first. */
  private readonly handled = new Set<string>();

  constructor(max = GROUP_FRAMES_KNOWN_MAX) {
    this.max = max;
  }

  wasHandled(frame: FrameName): boolean {
    return this.handled.has(nameOf(frame));
  }

  noteHandled(frame: FrameName): void {
    this.handled.add(nameOf(frame));
    const [oldest] = this.handled;
    if (this.handled.size > this.max && oldest !== undefined) this.handled.delete(oldest);
  }
}

/** A name that no other stream has. */
export function streamOf({ node, incarnation, stream }: Omit<FrameName, 'sequence'>): string {
  return `${node} ${incarnation} ${stream}`;
}

/** A name that no other frame has: names of nodes and incarnations have no space. */
export function nameOf({ node, incarnation, stream, sequence }: FrameName): string {
  return `${node} ${incarnation} ${stream} ${sequence}`;
}

/** The numbers from `from` to before `to` have not come; the last so many of them are remembered, the oldest forgotten. */
function skip(missing: Set<number>, from: number, to: number): void {
  for (let number = Math.max(from, to - FRAMES_MISSING_MAX); number < to; number++) missing.add(number);
  for (const oldest of missing) {
    if (missing.size <= FRAMES_MISSING_MAX) break;
    missing.delete(oldest);
  }
}
