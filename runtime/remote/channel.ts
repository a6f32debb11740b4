/**
 * What goes to one destination in one lane. Messages that are there together are packed into frames; frames are given to the
 * broker in order, and those it did not take are given again from the first of them, so order holds whatever happens. It knows
 * no other destination: one that is full delays nobody else.
 *
 * Invariant: at most one publish is under way, and a frame keeps its number until the broker has taken it or it is given up.
 */

import type { Destination, Lane, OutFrame, PublishResult } from '../../src/protocol/broker.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { encodeFrame } from '../../src/protocol/frame.ts';
import { OUTBOX_RETRY_MAX_MS, OUTBOX_RETRY_MIN_MS, PACK_BYTES_MAX } from '../../src/protocol/limits.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { Timeout } from '../host/timeouts.ts';
import type { Load } from './parcel.ts';
import type { Place } from './streams.ts';

/** Bytes of a frame beside its messages, and beside each of them, at the most. */
const FRAME_HEAD_BYTES = 160;
const FRAME_ITEM_BYTES = 5;

/** What a channel needs of the outbox. */
export interface ChannelPorts {
  readonly kernel: Kernel;
  /** This node, in its present life. */
  readonly node: () => { readonly name: string; readonly incarnation: string };
  /** Publishes when it is this lane's turn. */
  readonly publish: (frames: readonly OutFrame[]) => Promise<readonly PublishResult[]>;
  readonly nextPlace: (key: string) => Place;
  readonly frameBytesMax: number;
  /** Frames in one publish: one where a later one could get past one that was refused. */
  readonly publishFramesMax: number;
  /** Messages of one frame: one where each is acknowledged when it has been handled, which the others may take long to be. */
  readonly packMessagesMax: number;
  /** For errors. */
  readonly broker: { readonly kind: string; readonly url: string };
  /** It has nothing to do any more. */
  readonly emptied: (channel: Channel) => void;
}

/** A frame that the broker has not taken, as far as is known. */
interface Unconfirmed {
  readonly parcels: readonly Load[];
  readonly frame: OutFrame;
  /** It was sent, and nobody said what became of it. */
  mayHaveArrived: boolean;
}

/** One destination in one lane. */
export class Channel {
  readonly key: string;
  private readonly to: Destination;
  private readonly lane: Lane;
  private readonly ports: ChannelPorts;
  private waiting: Load[] = [];
  private unconfirmed: Unconfirmed[] = [];
  private isPublishing = false;
  private isScheduled = false;
  private isWithdrawn = false;
  /** What is under way was made in an earlier life of the node. */
  private isOutlived = false;
  private retries = 0;
  private pause: Timeout | undefined = undefined;

  constructor(key: string, to: Destination, lane: Lane, ports: ChannelPorts) {
    this.key = key;
    this.to = to;
    this.lane = lane;
    this.ports = ports;
  }

  /** Takes a message; it leaves with those that are added in the same piece of synchronous code. */
  add(parcel: Load): void {
    this.waiting.push(parcel);
    if (this.isPublishing || this.isScheduled || this.pause !== undefined) return;
    this.isScheduled = true;
    this.ports.kernel.host.soon(() => {
      this.isScheduled = false;
      this.pump();
    });
  }

  /** The broker can be used again: what waits is given to it at once. */
  hurry(): void {
    if (this.pause === undefined) return;
    this.endPause();
    this.pump();
  }

  /**
   * The node goes on in another life: what the broker has not taken is sent in its name. What may have arrived stays what it is: by its number,
   * and by no other, whoever has it knows a copy.
   */
  renew(): void {
    if (this.isPublishing) this.isOutlived = true;
    else this.unpack(this.unconfirmed);
  }

  private unpack(frames: readonly Unconfirmed[]): void {
    const untaken = frames.filter(({ mayHaveArrived }) => !mayHaveArrived);
    this.waiting = [...untaken.flatMap(({ parcels }) => parcels), ...this.waiting];
    this.unconfirmed = frames.filter(({ mayHaveArrived }) => mayHaveArrived);
  }

  /** Gives everything up, for good. */
  withdraw(reason: unknown): void {
    this.isWithdrawn = true;
    this.endPause();
    for (const { parcels } of this.unconfirmed) for (const parcel of parcels) parcel.refuse(reason);
    for (const parcel of this.waiting) parcel.refuse(reason);
    this.unconfirmed = [];
    this.waiting = [];
  }

  private pump(): void {
    if (this.isPublishing || this.pause !== undefined) return;
    const wallMs = this.ports.kernel.host.clock.wallNow();
    this.unconfirmed = this.unconfirmed.filter(({ parcels }) => this.someWanted(parcels, wallMs));
    this.packAll(wallMs);
    if (this.unconfirmed.length === 0) {
      this.ports.emptied(this);
      return;
    }
    this.isPublishing = true;
    const sent = this.unconfirmed;
    this.ports.kernel.background(this.publish(sent));
  }

  private async publish(sent: readonly Unconfirmed[]): Promise<void> {
    let results: readonly PublishResult[];
    try {
      results = await this.ports.publish(sent.map(({ frame }) => frame));
    } finally {
      this.isPublishing = false;
    }
    if (this.isWithdrawn) return;
    const left = sent.filter((each, n) => {
      const result = results[n] ?? 'unknown';
      each.mayHaveArrived ||= result === 'unknown';
      return !this.settle(each.parcels, result);
    });
    // Nothing was added behind them meanwhile: frames are made only when nothing is under way.
    if (this.isOutlived) this.unpack(left);
    else this.unconfirmed = left;
    this.isOutlived = false;
    if (left.length === 0) {
      this.retries = 0;
      this.pump();
    } else {
      this.retries = left.length < sent.length ? 1 : this.retries + 1;
      this.wait();
    }
  }

  /** Makes frames of what waits, as many as go into one publish. */
  private packAll(wallMs: number): void {
    let taken = 0;
    while (this.unconfirmed.length < this.ports.publishFramesMax && taken < this.waiting.length)
      taken = this.pack(taken, wallMs);
    // At once for all frames: with thousands waiting, a move of the others for each would cost more than the frames.
    this.waiting = this.waiting.slice(taken);
  }

  /** A frame of what waits from `begin` on, if somebody wants any of it. Answers where the next one begins. */
  private pack(begin: number, wallMs: number): number {
    const { nextPlace, frameBytesMax, packMessagesMax } = this.ports;
    const node = this.ports.node();
    const parcels: Load[] = [];
    let sizeBytes = 0;
    let end = begin;
    for (; end < this.waiting.length && parcels.length < packMessagesMax; end++) {
      const parcel = this.waiting[end];
      if (parcel === undefined || !this.isWanted(parcel, wallMs)) continue;
      if (parcels.length > 0 && sizeBytes + parcel.bytes.length > PACK_BYTES_MAX) break;
      parcels.push(parcel);
      sizeBytes += parcel.bytes.length;
    }
    if (parcels.length === 0) return end;
    if (boundOf(parcels) > frameBytesMax) {
      refuseAll(parcels, this.tooLarge(parcels));
      return end;
    }
    const bytes = encodeFrame(
      { node: node.name, incarnation: node.incarnation, ...nextPlace(this.key) },
      parcels.map((parcel) => parcel.bytes),
    );
    const frame = { to: this.to, lane: this.lane, bytes, expiresAtMs: expiryOf(parcels) };
    this.unconfirmed.push({ parcels, frame, mayHaveArrived: false });
    return end;
  }

  private someWanted(parcels: readonly Load[], wallMs: number): boolean {
    let isSome = false;
    // Each is looked at: all that have expired are told so.
    for (const parcel of parcels) isSome = this.isWanted(parcel, wallMs) || isSome;
    return isSome;
  }

  /** Whether somebody waits for it; what has expired on the way is told so. */
  private isWanted(parcel: Load, wallMs: number): boolean {
    const { expiresAtMs = Infinity } = parcel;
    if (expiresAtMs < wallMs) parcel.refuse(expired(this.key));
    return !parcel.isSettled;
  }

  /** Tells those who wait how it ended; false when it has not. */
  private settle(parcels: readonly Load[], result: PublishResult): boolean {
    switch (result) {
      case 'ok':
        for (const parcel of parcels) parcel.accept();
        return true;
      case 'full':
      case 'unavailable':
      case 'unknown':
        return false;
      case 'unroutable':
        // A shard is there from its first claim on, which may be on its way.
        if (this.to.kind === 'shard') return false;
        return refuseAll(parcels, new TroupeError('ERR_ACTOR_UNKNOWN', { address: this.key }));
      case 'too-large':
        return refuseAll(parcels, this.tooLarge(parcels));
      case 'denied': {
        const problem = `publishing to ${this.key} is not permitted`;
        const { kind: broker, url } = this.ports.broker;
        return refuseAll(parcels, new TroupeError('ERR_BROKER_DENIED', { broker, url, problem }));
      }
    }
  }

  private tooLarge(parcels: readonly Load[]): TroupeError {
    const sizeBytes = boundOf(parcels);
    return new TroupeError('ERR_FRAME_TOO_LARGE', { sizeBytes, sizeBytesMax: this.ports.frameBytesMax });
  }

  private wait(): void {
    const { kernel } = this.ports;
    const longestMs = Math.min(OUTBOX_RETRY_MAX_MS, OUTBOX_RETRY_MIN_MS * 2 ** Math.min(this.retries, 20));
    // Jitter, so that many who found the same lane full do not come back at once; whole numbers share a timer.
    const delayMs = Math.max(1, Math.round(longestMs * (0.5 + kernel.host.random() / 2)));
    this.pause = kernel.timeouts.startFunction(delayMs, kernel.now(), () => {
      this.pause = undefined;
      this.pump();
    });
  }

  private endPause(): void {
    if (this.pause !== undefined) this.ports.kernel.timeouts.cancel(this.pause);
    this.pause = undefined;
  }
}

function refuseAll(parcels: readonly Load[], error: TroupeError): true {
  for (const parcel of parcels) parcel.refuse(error);
  return true;
}

/** Bytes that a frame of these has at the most. */
function boundOf(parcels: readonly Load[]): number {
  return parcels.reduce((sum, { bytes }) => sum + bytes.length + FRAME_ITEM_BYTES, FRAME_HEAD_BYTES);
}

function expired(address: string): TroupeError {
  return new TroupeError('ERR_MESSAGE_DROPPED', { address, message: 'deliver', reason: 'expired' });
}

/** The time after which none of them is worth anything; undefined when one of them always is. */
function expiryOf(parcels: readonly Load[]): number | undefined {
  let latest = 0;
  for (const { expiresAtMs } of parcels) {
    if (expiresAtMs === undefined) return undefined;
    latest = Math.max(latest, expiresAtMs);
  }
  return latest;
}
