/** Publishes in parts that fit into messages, and never more than a bound without an answer. */

import type { OutFrame, PublishResult } from '../../src/protocol/broker.ts';
import {
  DELIVERY_BATCH_BYTES,
  DELIVERY_BATCH_MAX,
  FRAME_BYTES_MAX,
  LOOPBACK_UNCONFIRMED_BYTES_MAX,
} from '../../src/protocol/limits.ts';
import { RESULTS } from './messages.ts';
import type { Session } from './session.ts';

/** A connection, as far as publishing needs it. */
type Line = Pick<Session, 'isOpen' | 'ask'>;

/** What one node publishes. */
export class Publisher {
  private readonly timeoutMs: number;
  private readonly isMissed: (node: string) => boolean;
  private unconfirmedBytes = 0;

  /** `isMissed`: whether a node lives and is not known to the server yet. What is for it is not sent, since the server would take it for nobody's. */
  constructor(timeoutMs: number, isMissed: (node: string) => boolean) {
    this.timeoutMs = timeoutMs;
    this.isMissed = isMissed;
  }

  /** One result for each frame. */
  async publish(session: Line | undefined, frames: readonly OutFrame[]): Promise<readonly PublishResult[]> {
    const problems = frames.map((frame) => this.problemOf(frame));
    const fitting = frames.filter((_, place) => problems[place] === undefined);
    const parts: Promise<readonly PublishResult[]>[] = [];
    let isStopped = session?.isOpen !== true;
    for (const part of partsOf(fitting)) {
      const size = part.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
      // Nothing overtakes what was not sent.
      isStopped ||= this.unconfirmedBytes + size > LOOPBACK_UNCONFIRMED_BYTES_MAX;
      if (isStopped || session === undefined) parts.push(Promise.resolve(part.map(() => 'unavailable')));
      else parts.push(this.send(session, part, size, parts.length > 0));
    }
    const results = (await Promise.all(parts)).flat()[Symbol.iterator]();
    return problems.map((problem) => problem ?? results.next().value ?? 'unknown');
  }

  /** Why a frame is not sent. */
  private problemOf({ to, bytes }: OutFrame): PublishResult | undefined {
    if (bytes.byteLength > FRAME_BYTES_MAX) return 'too-large';
    return to.kind === 'node' && this.isMissed(to.node) ? 'unavailable' : undefined;
  }

  /** What is published is encoded before this returns: it does not change any more. */
  private async send(
    session: Line,
    frames: readonly OutFrame[],
    size: number,
    isContinued: boolean,
  ): Promise<readonly PublishResult[]> {
    this.unconfirmedBytes += size;
    const values = await session.ask({ type: 'publish', isContinued, frames }, this.timeoutMs);
    this.unconfirmedBytes -= size;
    return frames.map((_, place) => RESULTS[values?.[place] ?? -1] ?? 'unknown');
  }
}

function partsOf(frames: readonly OutFrame[]): readonly (readonly OutFrame[])[] {
  const parts: OutFrame[][] = [];
  let size = 0;
  for (const frame of frames) {
    const part = parts.at(-1);
    const bytes = frame.bytes.byteLength;
    if (part === undefined || part.length === DELIVERY_BATCH_MAX || size + bytes > DELIVERY_BATCH_BYTES) {
      parts.push([frame]);
      size = bytes;
    } else {
      part.push(frame);
      size += bytes;
    }
  }
  return parts;
}
