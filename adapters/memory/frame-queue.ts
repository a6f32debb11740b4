/**
 * An inbox or a group at the hub: a queue for each lane, and the members that read it. A frame is given to one member at a time and
 * stays with it until it is settled, or until the member is gone; then it takes its old place again.
 */

import { LANES, type Lane, type PerLane } from '../../src/protocol/broker.ts';
import { type HeldFrame, LaneQueue } from './lane-queue.ts';
import type { Connection } from './link.ts';

function perLane<T>(make: (lane: Lane) => T): Record<Lane, T> {
  return { 0: make(0), 1: make(1), 2: make(2), 3: make(3), 4: make(4), 5: make(5) };
}

/** Somebody who reads, as long as its connection lasts. @internal */
export class Member {
  readonly connection: Connection;
  readonly node: string;
  /** What it was given and has not settled. */
  readonly unsettled = new Set<HeldFrame>();
  /** No more for this one. */
  isStopping = false;
  private readonly free: Record<Lane, number>;
  private readonly receive: (frames: readonly HeldFrame[]) => void;

  constructor(
    connection: Connection,
    node: string,
    windows: PerLane,
    receive: (frames: readonly HeldFrame[]) => void,
  ) {
    this.connection = connection;
    this.node = node;
    this.free = perLane((lane) => windows[lane]);
    this.receive = receive;
  }

  hasRoom(lane: Lane): boolean {
    return !this.isStopping && this.free[lane] > 0;
  }

  take(frame: HeldFrame): void {
    frame.deliveries++;
    this.unsettled.add(frame);
    this.free[frame.lane]--;
  }

  /** Forgets a frame; `false` when it is not its own any more. */
  drop(frame: HeldFrame): boolean {
    if (!this.unsettled.delete(frame)) return false;
    this.free[frame.lane]++;
    return true;
  }

  give(frames: readonly HeldFrame[]): void {
    // What is lost here stays unsettled, and comes again when the connection has ended.
    this.connection.carry('deliveries', () => this.receive(frames));
  }
}

/** Frames of six lanes, and who reads them. @internal */
export class FrameQueue {
  private readonly lanes = perLane(() => new LaneQueue());
  private readonly maxLength: number;
  private readonly isApart: (publisher: string, reader: string) => boolean;
  /** The next one to be given something stands first. */
  private members: Member[] = [];
  private isAwake = false;

  /** `isApart` says between which nodes nothing passes at present. */
  constructor(maxLength: number, isApart: (publisher: string, reader: string) => boolean) {
    this.maxLength = maxLength;
    this.isApart = isApart;
  }

  get isRead(): boolean {
    return this.members.length > 0;
  }

  /** Keeps a frame; `false` when its lane is full. */
  offer(frame: Omit<HeldFrame, 'position' | 'deliveries'>): boolean {
    const lane = this.lanes[frame.lane];
    if (lane.freshCount >= this.maxLength) return false;
    lane.push(frame);
    this.wake();
    return true;
  }

  attach(member: Member): void {
    this.members.push(member);
    this.wake();
  }

  /** Takes back all that a member holds. */
  detach(member: Member): void {
    this.members = this.members.filter((other) => other !== member);
    this.putBack(member, [...member.unsettled]);
  }

  acknowledge(member: Member, frames: readonly HeldFrame[]): void {
    for (const frame of frames) member.drop(frame);
    this.wake();
  }

  putBack(member: Member, frames: readonly HeldFrame[]): void {
    for (const frame of frames) if (member.drop(frame)) this.lanes[frame.lane].putBack(frame);
    this.wake();
  }

  backlog(): PerLane {
    const { 0: a, 1: b, 2: c, 3: d, 4: e, 5: f } = this.lanes;
    return [a.size, b.size, c.size, d.size, e.size, f.size];
  }

  /** Gives out what can be given, soon: what is published by one call then goes in one batch. */
  wake(): void {
    const [member] = this.members;
    if (member === undefined || this.isAwake) return;
    this.isAwake = true;
    member.connection.host.soon(() => {
      this.isAwake = false;
      this.giveOut();
    });
  }

  private giveOut(): void {
    const given = new Map<Member, HeldFrame[]>();
    for (const lane of LANES) this.giveLane(lane, given);
    for (const [member, frames] of given) member.give(frames);
  }

  /** In turn, so that each member has its share. */
  private giveLane(lane: Lane, given: Map<Member, HeldFrame[]>): void {
    let passed = 0;
    while (passed < this.members.length) {
      const member = this.members.shift();
      if (member === undefined) return;
      this.members.push(member);
      const frame = member.hasRoom(lane) ? this.nextFor(member, lane) : undefined;
      if (frame === undefined) {
        passed++;
        continue;
      }
      passed = 0;
      member.take(frame);
      const behind = frame.deliveries === 1 ? member.connection.link.fallsBehind() : 0;
      if (behind > 0) {
        // Lost on its way, and it comes again after some that are newer.
        member.drop(frame);
        this.lanes[lane].putBack(frame, behind);
        continue;
      }
      const frames = given.get(member);
      if (frames === undefined) given.set(member, [frame]);
      else frames.push(frame);
    }
  }

  private nextFor(member: Member, lane: Lane): HeldFrame | undefined {
    return this.lanes[lane].take(({ publisher }) => !this.isApart(publisher, member.node));
  }
}
