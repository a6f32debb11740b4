/**
 * The frames of one source in this process: those that wait, a list for each lane, and those that were given out and are not settled,
 * a window for each lane. Frames are given synchronously, most urgent lane first.
 */

import { type Delivery, LANES, type Lane, type PerLane } from '../../src/protocol/broker.ts';
import type { Host } from '../../src/protocol/clock.ts';
import type { Mark, Watermark } from './watermark.ts';

/** A frame that was read. @internal */
export interface HeldFrame {
  readonly lane: Lane;
  readonly bytes: Uint8Array;
  readonly topic: string | undefined;
  /** Where it stands, and in which reader's account. */
  readonly mark: Mark;
  readonly account: Watermark;
  /** Given out by this process so often. */
  deliveries: number;
  isRedelivered: boolean;
  /** Its place among those of its lane. */
  order: number;
}

/** Who is given frames. @internal */
export interface Receiver {
  readonly windows: PerLane;
  readonly receive: (deliveries: readonly Delivery[]) => void;
}

/** What else has to be told. @internal */
export interface LanesListener {
  /** Something was settled, given or left: it can be committed, and there is room. */
  moved(settled: number): void;
  /** The receiver threw. */
  thrown(error: unknown): void;
}

/** Frames that a lane reads ahead, beyond its window. */
const AHEAD_MIN = 64;

/** @internal */
export class Lanes {
  /** What was given out, by what was given. */
  readonly given = new Map<Delivery, HeldFrame>();
  /** With the number of recalls before. */
  private readonly borrowed = new Map<HeldFrame, number>();
  private recalls = 0;
  private readonly host: Host;
  private readonly listener: LanesListener;
  private readonly waiting: HeldFrame[][] = LANES.map(() => []);
  private readonly used: number[] = LANES.map(() => 0);
  private receiver: Receiver | undefined;
  private isHeld = false;
  private isAwake = false;
  private orders = 0;
  private drained: (() => void) | undefined;

  constructor(host: Host, listener: LanesListener) {
    this.host = host;
    this.listener = listener;
  }

  attach(receiver: Receiver): void {
    this.receiver = receiver;
    this.wake();
  }

  /** Gives nothing more. What was given out stays so until it is settled or recalled. */
  detach(): void {
    this.receiver = undefined;
  }

  /** Gives nothing until `resume`. */
  hold(): void {
    this.isHeld = true;
  }

  resume(): void {
    this.isHeld = false;
    this.wake();
  }

  offer(frame: Omit<HeldFrame, 'order'>): void {
    const lane = this.waiting[frame.lane];
    lane?.push({ ...frame, order: this.orders++ });
    this.wake();
  }

  /** Whether more should be read for a lane. */
  hasRoom(lane: Lane): boolean {
    const window = this.receiver?.windows[lane] ?? 0;
    return (this.waiting[lane]?.length ?? 0) < Math.max(AHEAD_MIN, window);
  }

  waitingIn(lane: Lane): number {
    return this.waiting[lane]?.length ?? 0;
  }

  settle(deliveries: readonly Delivery[]): void {
    let settled = 0;
    for (const delivery of deliveries) {
      const frame = this.take(delivery);
      if (frame === undefined) continue;
      frame.account.settle(frame.mark);
      settled++;
    }
    this.changed(settled);
  }

  /** Back to where they stood. */
  release(deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) {
      const frame = this.take(delivery);
      if (frame !== undefined) this.putBack(frame);
    }
    this.changed(0);
    this.wake();
  }

  /** All that was given out is so no more, and comes again. */
  recall(): void {
    this.recalls++;
    this.release([...this.given.keys()]);
  }

  /** Takes a delivery out of its receiver's hands until it is settled or given back; undefined when it is not in them. */
  borrow(delivery: Delivery): HeldFrame | undefined {
    const frame = this.given.get(delivery);
    if (frame === undefined) return undefined;
    this.given.delete(delivery);
    this.borrowed.set(frame, this.recalls);
    return frame;
  }

  /** Into its receiver's hands again, or back to where it stood when all was recalled meanwhile. */
  giveBack(delivery: Delivery, frame: HeldFrame): void {
    const recalls = this.borrowed.get(frame);
    this.borrowed.delete(frame);
    if (recalls === undefined) return;
    this.given.set(delivery, frame);
    if (recalls !== this.recalls) this.release([delivery]);
  }

  settleBorrowed(frame: HeldFrame): void {
    if (!this.borrowed.delete(frame)) return;
    this.free(frame);
    frame.account.settle(frame.mark);
    this.changed(1);
  }

  /** Forgets the frames of an account; answers with those that were given out. */
  forget(account: Watermark): readonly HeldFrame[] {
    const gone: HeldFrame[] = [];
    for (const [delivery, frame] of this.given) {
      if (frame.account !== account) continue;
      this.take(delivery);
      gone.push(frame);
    }
    for (const frame of this.borrowed.keys()) {
      if (frame.account !== account) continue;
      this.borrowed.delete(frame);
      this.free(frame);
      gone.push(frame);
    }
    this.dropWaiting((frame) => frame.account === account);
    this.changed(0);
    return gone;
  }

  /** Forgets what waits of an account and was never given: that can be read again. */
  dropFresh(account: Watermark): void {
    this.dropWaiting((frame) => frame.account === account && !frame.mark.isGiven);
  }

  /** Whether frames of an account are being worked on. */
  holds(account: Watermark): boolean {
    const isOf = (frame: HeldFrame): boolean => frame.account === account;
    return [...this.given.values()].some(isOf) || [...this.borrowed.keys()].some(isOf);
  }

  /** Resolves when nothing is given out. */
  whenDrained(): Promise<void> {
    if (this.isDrained) return Promise.resolve();
    return new Promise((resolve) => {
      this.drained = resolve;
    });
  }

  private dropWaiting(isGone: (frame: HeldFrame) => boolean): void {
    for (const lane of LANES)
      this.waiting[lane] = (this.waiting[lane] ?? []).filter((frame) => !isGone(frame));
  }

  private get isDrained(): boolean {
    return this.given.size + this.borrowed.size === 0;
  }

  private take(delivery: Delivery): HeldFrame | undefined {
    const frame = this.given.get(delivery);
    if (frame === undefined) return undefined;
    this.given.delete(delivery);
    this.free(frame);
    return frame;
  }

  private free({ lane }: HeldFrame): void {
    this.used[lane] = (this.used[lane] ?? 1) - 1;
  }

  private putBack(frame: HeldFrame): void {
    frame.isRedelivered = true;
    const lane = this.waiting[frame.lane] ?? [];
    const place = lane.findIndex(({ order }) => order > frame.order);
    lane.splice(place < 0 ? lane.length : place, 0, frame);
  }

  private changed(settled: number): void {
    if (this.isDrained) this.drained?.();
    this.listener.moved(settled);
    this.wake();
  }

  /** Gives out what can be given, soon: what came together goes together. */
  private wake(): void {
    if (this.isAwake || this.receiver === undefined || this.isHeld) return;
    this.isAwake = true;
    this.host.soon(() => {
      this.isAwake = false;
      for (const lane of LANES) this.giveLane(lane);
    });
  }

  private giveLane(lane: Lane): void {
    const { receiver } = this;
    const waiting = this.waiting[lane];
    if (receiver === undefined || this.isHeld || waiting === undefined || waiting.length === 0) return;
    const free = receiver.windows[lane] - (this.used[lane] ?? 0);
    if (free <= 0) return;
    const frames = waiting.splice(0, free);
    this.used[lane] = (this.used[lane] ?? 0) + frames.length;
    this.hand(receiver, frames);
    this.listener.moved(0);
  }

  private hand(receiver: Receiver, frames: readonly HeldFrame[]): void {
    const deliveries = frames.map((frame): Delivery => {
      frame.deliveries++;
      frame.account.give(frame.mark);
      const { lane, topic, deliveries: count, isRedelivered } = frame;
      // A copy: whoever gets it next gets what was published, whatever this reader does to it.
      const delivery = { lane, bytes: frame.bytes.slice(), topic, deliveries: count, isRedelivered };
      this.given.set(delivery, frame);
      return delivery;
    });
    try {
      receiver.receive(deliveries);
    } catch (error) {
      this.listener.thrown(error);
    }
  }
}
