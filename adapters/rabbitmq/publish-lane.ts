/**
 * The channel on which the frames of one lane are published, and the server's answers to each: a lane has a channel of its own, so that
 * what waits to be written in one delays no other. A frame that was handed to the driver is never handed over again, whatever the
 * driver says of its buffers.
 *
 * A permission that is missing closes the channel, and takes the answers of all that is in flight with it: whose it was is not said.
 * After that the lane is careful for as many frames as there were, one at a time, so that the next refusal has one culprit.
 */

import type { ConfirmChannel, Options } from 'amqplib';
import type { PublishResult } from '../../src/protocol/broker.ts';
import type { Session } from './connection.ts';
import { codeOf } from './refusal.ts';

const ACCESS_REFUSED = 403;

/** A frame on its way. */
export interface Outgoing {
  readonly exchange: string;
  readonly key: string;
  readonly bytes: Buffer;
  readonly options: Options.Publish;
}

/** Called once with what became of a frame. */
export type Answer = (result: PublishResult) => void;

/** Whether a frame may be handed over: `wait` is answered by a call of what was given to `onOpen`. */
export type Gate = 'open' | 'wait' | 'closed';

/** The channel of a lane. */
export class PublishLane {
  /** Begins the ids of all frames of this lane: no other life, and no other lane, has it. */
  private readonly idPrefix: string;
  private channel: ConfirmChannel | undefined;
  private sent = 0;
  private inFlight = 0;
  private readonly returned = new Set<string>();
  private readonly waiting = new Set<() => void>();
  private isBuffering = false;
  private carefulFrames = 0;

  constructor(idPrefix: string) {
    this.idPrefix = idPrefix;
  }

  /** Opens the channel, and opens it again whenever it ends before its session. */
  async open(session: Session): Promise<void> {
    const channel = await session.model.createConfirmChannel();
    // Undefined until it ends; then what its end means for the frames in flight.
    let lostAs: PublishResult | undefined;
    let refusedFrames = 0;
    session.watch(channel, (cause) => {
      if (lostAs !== undefined) return;
      // Comes before the driver tells each frame that its channel is gone.
      const isRefusal = codeOf(cause) === ACCESS_REFUSED;
      lostAs = isRefusal && this.inFlight === 1 ? 'denied' : 'unknown';
      if (isRefusal && this.inFlight > 1) refusedFrames = this.inFlight;
      if (this.channel === channel) this.channel = undefined;
    });
    channel.once('close', () => {
      this.carefulFrames = refusedFrames;
      this.isBuffering = false;
      this.wake();
      if (session.over.aborted) return;
      this.open(session).catch((cause: unknown) => session.fail(cause));
    });
    channel.on('drain', () => {
      this.isBuffering = false;
      this.wake();
    });
    channel.on('return', ({ properties }) => this.returned.add(String(properties.messageId)));
    this.lostAs = () => lostAs ?? 'unknown';
    this.channel = channel;
    this.isBuffering = false;
    this.returned.clear();
    this.wake();
  }

  get gate(): Gate {
    if (this.channel === undefined) return 'closed';
    return this.isBuffering || (this.carefulFrames > 0 && this.inFlight > 0) ? 'wait' : 'open';
  }

  /** Calls `open` once, when the gate may have changed. */
  onOpen(open: () => void): void {
    this.waiting.add(open);
  }

  /** Hands a frame over. The gate is open. */
  send({ exchange, key, bytes, options }: Outgoing, answer: Answer): void {
    const { channel, lostAs } = this;
    if (channel === undefined) {
      answer('unavailable');
      return;
    }
    const messageId = `${this.idPrefix}${(++this.sent).toString(36)}`;
    const answered = (error: unknown): void => {
      this.inFlight--;
      if (this.carefulFrames > 0) {
        this.carefulFrames--;
        this.wake();
      }
      answer(this.resultOf(error, messageId, lostAs));
    };
    this.inFlight++;
    try {
      if (!channel.publish(exchange, key, bytes, { ...options, messageId, persistent: true }, answered))
        this.isBuffering = true;
    } catch {
      // Its channel or connection has just ended: nothing was written.
      this.inFlight--;
      this.channel = undefined;
      answer('unavailable');
    }
  }

  /** What frames in flight are when their channel ends. */
  private lostAs: () => PublishResult = () => 'unknown';

  private resultOf(error: unknown, messageId: string, lostAs: () => PublishResult): PublishResult {
    // The driver gives null or undefined for an acknowledgement.
    if (error === null || error === undefined) return this.returned.delete(messageId) ? 'unroutable' : 'ok';
    return error instanceof Error && error.message === 'message nacked' ? 'full' : lostAs();
  }

  private wake(): void {
    const waiting = [...this.waiting];
    this.waiting.clear();
    for (const open of waiting) open();
  }
}
