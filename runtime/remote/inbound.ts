/**
 * What comes from a broker: frames are read, copies and poison are sorted out, and the messages of the others are handed over in
 * order. A frame is settled once all of its messages are; a copy of one that is still being handled is settled with it. What becomes
 * of a message, and when it is done, is the business of whoever takes it.
 */

import {
  type Consumption,
  type DeadFrameInfo,
  type Delivery,
  LANES,
  type Lane,
} from '../../src/protocol/broker.ts';
import { errorText } from '../../src/protocol/error-text.ts';
import {
  decodeFrame,
  encodeFrame,
  encodeMessage,
  type Frame,
  type WireMessage,
} from '../../src/protocol/frame.ts';
import {
  BURY_AGAIN_MS,
  DEAD_FRAMES_REMEMBERED_MAX,
  DELIVERIES_MAX,
  LANE_MESSAGES_WAITING_MAX,
} from '../../src/protocol/limits.ts';
import type { Kernel } from '../actor/kernel.ts';
import { nameOf } from './arrivals.ts';

/** A message that has arrived, and where it comes from. */
export interface Arrival {
  readonly message: WireMessage;
  readonly node: string;
  readonly incarnation: string;
  /** The place of its frame among those of its sender. */
  readonly stream: number;
  readonly sequence: number;
  readonly lane: Lane;
  /** The topic it was published to; undefined for what was sent to this node. */
  readonly topic: string | undefined;
  /** How often it was delivered, counted by the broker. */
  readonly deliveries: number;
}

/** Why a message is given up. */
export interface GivenUp {
  readonly reason: string;
  readonly error: unknown;
}

/** Somebody else may have it. */
export const RELEASE = Symbol('release');

/** When a message is done with: at once, or later. A `GivenUp` is kept by the broker. */
export type Taken = Promise<GivenUp | typeof RELEASE | undefined> | undefined;

/** Takes messages. */
export type Take = (arrival: Arrival) => Taken;

/** Tells copies from news. */
export interface Sieve {
  /** False for a copy. The topic is that of `Delivery`. */
  isNew(frame: Frame, topic: string | undefined): boolean;
  /** All of its messages are done with. */
  done(frame: Frame): void;
  /** It goes back to the broker: where it comes again, it is news. */
  released?(frame: Frame): void;
}

/** What one source brings. */
export class Inbound {
  private readonly kernel: Kernel;
  private readonly sieve: Sieve;
  private readonly take: Take;
  private readonly deliveriesMax: number;
  private consumption: Consumption | undefined = undefined;
  private isStopped = false;
  private readonly lanes: readonly InLane[] = LANES.map(() => ({ held: [], waiting: 0 }));
  /** What came before `consume` had answered. */
  private readonly early: (() => void)[] = [];
  /** Deliveries of frames that are not done with, by the names of those, oldest first: more than one where it was delivered again. */
  private readonly open = new Map<string, Delivery[]>();
  /** Why the last frames were given up, oldest first: what is delivered again of them did not reach the dead letters. */
  private readonly dead = new Map<string, DeadFrameInfo>();

  constructor(kernel: Kernel, sieve: Sieve, take: Take, deliveriesMax = DELIVERIES_MAX) {
    this.kernel = kernel;
    this.sieve = sieve;
    this.take = take;
    this.deliveriesMax = deliveriesMax;
  }

  /** Reads no more. What is being handled may still be settled, for `drainMs`. */
  async stop(drainMs: number): Promise<void> {
    this.isStopped = true;
    await this.consumption?.stop({ drainMs });
  }

  /** The consumption whose deliveries these are. It is ended at once where `stop` was called meanwhile. */
  begin(consumption: Consumption): void {
    this.consumption = consumption;
    for (const settle of this.early.splice(0)) settle();
    if (this.isStopped) this.kernel.background(consumption.stop());
  }

  readonly receive = (deliveries: readonly Delivery[]): void => {
    for (const delivery of deliveries) this.receiveOne(delivery);
  };

  private receiveOne(delivery: Delivery): void {
    let frame: Frame;
    try {
      frame = decodeFrame(delivery.bytes);
    } catch (error) {
      this.refuse(delivery, error);
      return;
    }
    const name = nameOf(frame);
    const again = this.open.get(name);
    if (again !== undefined) {
      again.push(delivery);
      return;
    }
    const why = delivery.isRedelivered ? this.dead.get(name) : undefined;
    if (why !== undefined) {
      this.open.set(name, [delivery]);
      this.giveUp(name, why);
    } else if (!this.sieve.isNew(frame, delivery.topic)) {
      this.settle((consumption) => consumption.acknowledge([delivery]));
    } else if (delivery.deliveries > this.deliveriesMax) {
      this.open.set(name, [delivery]);
      this.report(delivery, 'deliveries-exhausted', undefined);
      this.sieve.done(frame);
      this.giveUp(name, { reason: 'deliveries-exhausted' });
    } else {
      this.open.set(name, [delivery]);
      this.hold(delivery, frame);
    }
  }

  /** Frames of a lane go on one after the other, as long as not too many of its messages wait for room in a queue. */
  private hold(delivery: Delivery, frame: Frame): void {
    const lane = this.lane(delivery.lane);
    lane.held.push({ delivery, frame });
    if (lane.held.length === 1) this.goOn(lane);
  }

  private goOn(lane: InLane): void {
    while (lane.waiting < LANE_MESSAGES_WAITING_MAX) {
      const next = lane.held.shift();
      if (next === undefined) return;
      this.handOver(lane, next);
    }
  }

  private handOver(lane: InLane, { delivery, frame }: Held): void {
    const { topic, deliveries } = delivery;
    const { node, incarnation, stream, sequence, messages } = frame;
    const endings: Promise<Ending | undefined>[] = [];
    const source = { node, incarnation, stream, sequence, lane: delivery.lane, topic, deliveries };
    for (const message of messages) {
      const taken = this.taken({ message, ...source });
      if (taken !== undefined)
        endings.push(taken.then((end) => (end === undefined ? undefined : { message, end })));
    }
    if (endings.length === 0) {
      this.done(frame, []);
      return;
    }
    lane.waiting += endings.length;
    const ended = Promise.all(endings).then((all) => {
      lane.waiting -= endings.length;
      this.done(
        frame,
        all.filter((each) => each !== undefined),
      );
      this.goOn(lane);
    });
    this.kernel.background(ended);
  }

  /** What the taker throws is its answer. */
  private taken(arrival: Arrival): Taken {
    try {
      return this.take(arrival)?.catch((error: unknown) => ({ reason: 'handler-failed', error }));
    } catch (error) {
      return Promise.resolve({ reason: 'validation', error });
    }
  }

  private done(frame: Frame, endings: readonly Ending[]): void {
    const name = nameOf(frame);
    const deliveries = this.open.get(name) ?? [];
    const dead = endings.flatMap(({ message, end }) => (end === RELEASE ? [] : [{ message, ...end }]));
    const [cause] = dead;
    if (dead.length < endings.length) {
      // A frame is one thing to the broker: whoever gets it gets all of it.
      this.open.delete(name);
      this.sieve.released?.(frame);
      this.settle((consumption) => consumption.release(deliveries));
    } else if (cause === undefined) {
      this.open.delete(name);
      this.sieve.done(frame);
      this.settle((consumption) => consumption.acknowledge(deliveries));
    } else {
      const error = cause.error === undefined ? undefined : errorText(cause.error);
      const bytes = dead.length === frame.messages.length ? undefined : partOf(frame, dead);
      const unread = dead.find(({ reason }) => reason === 'serialization');
      const [delivery] = deliveries;
      if (unread !== undefined && delivery !== undefined)
        this.report(delivery, 'serialization', unread.error);
      this.sieve.done(frame);
      this.giveUp(name, { reason: cause.reason, error, bytes });
    }
  }

  private lane(lane: Lane): InLane {
    const known = this.lanes[lane];
    if (known === undefined) throw new Error(`there is no lane ${lane}`);
    return known;
  }

  /** Bytes that are no frame have no name: where they are delivered again, they are refused again. */
  private refuse(delivery: Delivery, error: unknown): void {
    this.report(delivery, 'frame-invalid', error);
    const info = { reason: 'frame-invalid', error: errorText(error) };
    this.settle((consumption) => this.bury(consumption, () => delivery, info));
  }

  private report(
    { topic, bytes }: Delivery,
    reason: 'frame-invalid' | 'deliveries-exhausted' | 'serialization',
    error: unknown,
  ): void {
    this.kernel.events.emit({ type: 'frame-refused', reason, topic, sizeBytes: bytes.length, error });
  }

  /**
   * Makes an open frame a dead letter of the broker. Only a delivery of the present connection can become one: what is done with an older
   * one has no effect, so it is the newest, and what is delivered again later is given up again.
   */
  private giveUp(name: string, info: DeadFrameInfo): void {
    const deliveries = this.open.get(name) ?? [];
    this.remember(name, info);
    this.settle((consumption) =>
      this.bury(
        consumption,
        () => deliveries.at(-1),
        info,
        () => {
          this.open.delete(name);
          consumption.acknowledge(deliveries.slice(0, -1));
        },
      ),
    );
  }

  private remember(name: string, info: DeadFrameInfo): void {
    this.dead.delete(name);
    this.dead.set(name, info);
    const [oldest] = this.dead.keys();
    if (this.dead.size > DEAD_FRAMES_REMEMBERED_MAX && oldest !== undefined) this.dead.delete(oldest);
  }

  /** Until the broker has it among its dead letters, or the source is not read any more: then it will be delivered again. */
  private bury(
    consumption: Consumption,
    newest: () => Delivery | undefined,
    info: DeadFrameInfo,
    buried: () => void = () => undefined,
  ): void {
    const delivery = newest();
    if (delivery === undefined) return;
    const kept = (): void => {
      if (newest() === delivery) buried();
      else this.bury(consumption, newest, info, buried);
    };
    consumption.deadLetter(delivery, info).then(kept, (error: unknown) => {
      const { kernel } = this;
      if (this.isStopped) return;
      const fields = { error };
      const text = `a dead letter could not be kept by the broker, and is tried again in ${BURY_AGAIN_MS} ms`;
      kernel.events.emit({ type: 'logged', level: 'warn', address: '/', text, fields });
      kernel.timeouts.startFunction(BURY_AGAIN_MS, kernel.now(), () => {
        if (!this.isStopped) this.bury(consumption, newest, info, buried);
      });
    });
  }

  private settle(how: (consumption: Consumption) => void): void {
    const { consumption } = this;
    if (consumption === undefined) this.early.push(() => this.settle(how));
    else how(consumption);
  }
}

/** A frame that is to be handed over. */
interface Held {
  readonly delivery: Delivery;
  readonly frame: Frame;
}

interface InLane {
  /** Oldest first; as many as the window of the lane at the most. */
  readonly held: Held[];
  /** Messages that were handed over and are not done with. */
  waiting: number;
}

/** A message that was not simply done with. */
interface Ending {
  readonly message: WireMessage;
  readonly end: GivenUp | typeof RELEASE;
}

/** The messages of a frame that were given up, as a frame. */
function partOf({ node, incarnation, stream, sequence }: Frame, dead: readonly DeadMessage[]): Uint8Array {
  return encodeFrame(
    { node, incarnation, stream, sequence },
    dead.map(({ message }) => encodeMessage(message)),
  );
}

interface DeadMessage extends GivenUp {
  readonly message: WireMessage;
}
