/**
 * What a node has to give to its broker: for each lane the destinations that something waits for. Each lane has a bound of its own, and
 * a number of publishes that may be under way (p-queue), so that nothing less urgent holds up what is critical.
 */

import PQueue from 'p-queue';
import {
  type Broker,
  type Destination,
  LANES,
  type Lane,
  type NodeIdentity,
} from '../../src/protocol/broker.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import {
  OUTBOX_WAITING_MAX,
  PACK_MESSAGES_MAX,
  PUBLISH_FRAMES_MAX,
  PUBLISHES_PER_LANE,
  WAITERS_MAX,
} from '../../src/protocol/limits.ts';
import type { Kernel } from '../actor/kernel.ts';
import { Channel } from './channel.ts';
import { Parcel, type ParcelPatience } from './parcel.ts';
import { SentStreams } from './streams.ts';

interface OutLane {
  readonly publishes: PQueue;
  readonly channels: Map<string, Channel>;
  waiting: number;
  /** Those that wait for room in it, oldest first. */
  readonly standing: Set<Standing>;
  /** One of its parcels has ended. */
  readonly settled: () => void;
}

/** A parcel for which a lane has no room yet. */
interface Standing {
  readonly destination: string;
  /** It has got its room. */
  readonly enter: () => void;
  readonly refuse: (reason: unknown) => void;
}

/** A message and where it goes. */
interface Outgoing {
  readonly to: Destination;
  readonly destination: string;
  readonly lane: Lane;
  readonly bytes: Uint8Array;
}

/** The outbox of one node. */
export class Outbox {
  private readonly kernel: Kernel;
  private readonly broker: Broker;
  private node: NodeIdentity;
  private streams = new SentStreams();
  private readonly lanes: readonly OutLane[] = LANES.map(() => this.emptyLane());
  private readonly idle = new Set<() => void>();
  private closed: { readonly reason: unknown } | undefined = undefined;

  constructor(kernel: Kernel, broker: Broker, node: NodeIdentity) {
    this.kernel = kernel;
    this.broker = broker;
    this.node = node;
  }

  /** Messages of this lane that the broker has not taken yet. */
  waitingIn(lane: Lane): number {
    return this.lane(lane).waiting;
  }

  /** Whether one more message of this lane would find no room. */
  isFull(lane: Lane): boolean {
    return this.lane(lane).waiting >= OUTBOX_WAITING_MAX;
  }

  /** Whether one more message of this lane would find no room, and as many wait for some as may. */
  isCrowded(lane: Lane): boolean {
    return this.isFull(lane) && this.lane(lane).standing.size >= WAITERS_MAX;
  }

  /** The node goes on in another life: nothing is sent in the name of the earlier one any more. */
  renew(node: NodeIdentity): void {
    this.node = node;
    this.streams = new SentStreams();
    for (const { channels } of this.lanes) for (const channel of channels.values()) channel.renew();
  }

  /** Gives up what waits for a destination, in all lanes. Whoever reads there later is not owed what is numbered already. */
  giveUp(to: Destination, reason: unknown): void {
    const destination = nameOf(to);
    for (const lane of LANES) this.streams.forget(`${lane} ${destination}`);
    for (const { channels, standing } of this.lanes) {
      for (const each of standing) if (each.destination === destination) each.refuse(reason);
      channels.get(destination)?.withdraw(reason);
      channels.delete(destination);
    }
  }

  /**
   * Sends a message that `encodeMessage` has made. `taken` resolves with `receipt` when the broker has it; it rejects with `ERR_OUTBOX_FULL` at once
   * (where `patience.waitsForRoom`, only when too many wait for room; never where `patience.isSignal`),
   * `ERR_SEND_TIMEOUT` (it may have been sent), `ERR_ACTOR_UNKNOWN` where there is no such node, `ERR_FRAME_TOO_LARGE`, `ERR_BROKER_DENIED`,
   * `ERR_MESSAGE_DROPPED` when it expired on the way, `signal.reason`, or what `withdraw` was told.
   */
  send<Receipt>(
    to: Destination,
    lane: Lane,
    bytes: Uint8Array,
    patience: ParcelPatience,
    receipt: Receipt,
  ): Parcel<Receipt> {
    const out = this.lane(lane);
    const destination = nameOf(to);
    const { waiting } = out;
    const isFull = patience.isSignal !== true && this.isFull(lane);
    // What waits for room may be of whom a signal tells: nothing gets past it.
    const isBehind = patience.isSignal === true && out.standing.size > 0;
    if (isBehind || (isFull && patience.waitsForRoom === true && !this.isCrowded(lane)))
      return this.stand(out, { to, destination, lane, bytes }, patience, receipt);
    out.waiting++;
    const parcel = new Parcel(this.kernel, destination, bytes, patience, receipt, out.settled);
    if (this.closed !== undefined) parcel.refuse(this.closed.reason);
    else if (isFull) parcel.refuse(new TroupeError('ERR_OUTBOX_FULL', { destination, waiting }));
    else if (patience.signal?.aborted === true) parcel.refuse(patience.signal.reason);
    else this.channel(out, destination, to, lane).add(parcel);
    return parcel;
  }

  /** A message waits for room in its lane, in the order of the calls. */
  private stand<Receipt>(
    out: OutLane,
    { to, destination, lane, bytes }: Outgoing,
    patience: ParcelPatience,
    receipt: Receipt,
  ): Parcel<Receipt> {
    let isIn = false;
    const standing: Standing = {
      destination,
      enter: () => {
        isIn = true;
        out.waiting++;
        this.channel(out, destination, to, lane).add(parcel);
      },
      refuse: (reason) => parcel.refuse(reason),
    };
    const settled = (): void => {
      if (isIn) out.settled();
      else out.standing.delete(standing);
    };
    const parcel = new Parcel(this.kernel, destination, bytes, patience, receipt, settled);
    if (this.closed !== undefined) parcel.refuse(this.closed.reason);
    else if (patience.signal?.aborted === true) parcel.refuse(patience.signal.reason);
    else out.standing.add(standing);
    return parcel;
  }

  /** The broker can be used again. */
  hurry(): void {
    for (const { channels } of this.lanes) for (const channel of channels.values()) channel.hurry();
  }

  /** Resolves when nothing waits any more. */
  drained(): Promise<void> {
    if (this.isEmpty) return Promise.resolve();
    return new Promise((resolve) => {
      this.idle.add(resolve);
    });
  }

  /** Gives up what waits, and takes nothing more. */
  withdraw(reason: unknown): void {
    this.closed = { reason };
    for (const { channels, standing } of this.lanes) {
      for (const { refuse } of standing) refuse(reason);
      for (const channel of channels.values()) channel.withdraw(reason);
      channels.clear();
    }
  }

  private emptyLane(): OutLane {
    const lane: OutLane = {
      publishes: new PQueue({ concurrency: PUBLISHES_PER_LANE }),
      channels: new Map(),
      waiting: 0,
      standing: new Set(),
      settled: () => {
        lane.waiting--;
        // One that was refused for lack of room frees none, and a signal may have been one too many.
        const [next] = lane.waiting < OUTBOX_WAITING_MAX ? lane.standing : [];
        if (next !== undefined) {
          lane.standing.delete(next);
          next.enter();
        }
        this.look();
      },
    };
    return lane;
  }

  private get isEmpty(): boolean {
    return this.lanes.every(({ waiting }) => waiting === 0);
  }

  private look(): void {
    if (this.idle.size === 0 || !this.isEmpty) return;
    for (const resolve of this.idle) resolve();
    this.idle.clear();
  }

  private channel(out: OutLane, destination: string, to: Destination, lane: Lane): Channel {
    const known = out.channels.get(destination);
    if (known !== undefined) return known;
    const channel = new Channel(destination, to, lane, {
      kernel: this.kernel,
      node: () => this.node,
      publish: (frames) => out.publishes.add(() => this.broker.publish(frames)),
      nextPlace: (key) => this.streams.next(`${lane} ${key}`),
      frameBytesMax: this.broker.capabilities.frameBytesMax,
      publishFramesMax: publishFramesMax(this.broker, to),
      packMessagesMax: to.kind === 'shard' ? 1 : PACK_MESSAGES_MAX,
      broker: this.broker,
      emptied: (empty) => {
        if (out.channels.get(destination) === empty) out.channels.delete(destination);
      },
    });
    out.channels.set(destination, channel);
    return channel;
  }

  private lane(lane: Lane): OutLane {
    const out = this.lanes[lane];
    if (out === undefined) throw new Error(`there is no lane ${lane}`);
    return out;
  }
}

/** Where what stands behind a refused frame may be taken, order holds only frame by frame. */
function publishFramesMax({ capabilities }: Broker, to: Destination): number {
  return to.kind === 'topic' && capabilities.passesFullTopics === true ? 1 : PUBLISH_FRAMES_MAX;
}

/** A name of a destination that no other has: names of nodes and topics have no colon. */
function nameOf(to: Destination): string {
  switch (to.kind) {
    case 'node':
      return `node:${to.node}`;
    case 'topic':
      return `topic:${to.topic}`;
    case 'shard':
      return `shard:${to.group}:${to.shard}`;
  }
}
