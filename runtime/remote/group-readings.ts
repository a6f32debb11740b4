/**
 * The groups in which this node takes part at its broker. A group is read once, however many members it has here. When the last one leaves, nothing
 * more is read, what is here is worked off, and the rest goes to members on other nodes.
 */

import type { Broker, PerLane } from '../../src/protocol/broker.ts';
import type { Frame } from '../../src/protocol/frame.ts';
import { GROUP_WINDOWS } from '../../src/protocol/limits.ts';
import type { Kernel } from '../actor/kernel.ts';
import { GroupArrivals } from './arrivals.ts';
import { type Arrival, Inbound, type Sieve, type Taken } from './inbound.ts';

/** Milliseconds for the running handlers of a group when its last member here leaves. */
const GROUP_DRAIN_MS = 30_000;
const MEMBER_WINDOWS: PerLane = GROUP_WINDOWS;

/** A group, by its name and what it listens to. */
export interface GroupName {
  readonly group: string;
  readonly pattern: string;
}

/** Takes what came to a group. */
export type TakeShare = (arrival: Arrival, group: GroupName) => Taken;

interface Reading {
  readonly inbound: Inbound;
  readonly ready: Promise<void>;
  members: number;
}

/** The groups of one node. */
export class GroupReadings {
  private readonly kernel: Kernel;
  private readonly broker: Broker;
  private readonly take: TakeShare;
  private readonly readings = new Map<string, Reading>();

  constructor(kernel: Kernel, broker: Broker, take: TakeShare) {
    this.kernel = kernel;
    this.broker = broker;
    this.take = take;
  }

  /** What is read now. */
  get sources(): readonly Inbound[] {
    return [...this.readings.values()].map(({ inbound }) => inbound);
  }

  /**
   * Lets a group's share in. Resolves when effective, with what ends that: the last member here reads no more, works off what it has, and
   * then leaves by `leave`.
   */
  async join(name: GroupName): Promise<(leave: () => Promise<void>) => Promise<void>> {
    const key = `${name.group} ${name.pattern}`;
    let joined = this.readings.get(key);
    if (joined === undefined) {
      joined = this.enter(name);
      this.readings.set(key, joined);
    }
    const present = joined;
    present.members++;
    try {
      await present.ready;
    } catch (error) {
      present.members--;
      if (this.readings.get(key) === present) this.readings.delete(key);
      throw error;
    }
    return async (leave) => {
      present.members--;
      if (present.members === 0) {
        if (this.readings.get(key) === present) this.readings.delete(key);
        await present.inbound.stop(GROUP_DRAIN_MS);
      }
      await leave();
    };
  }

  private enter(name: GroupName): Reading {
    const arrivals = new GroupArrivals();
    const sieve: Sieve = {
      isNew: (frame: Frame) => !arrivals.wasHandled(frame),
      done: (frame: Frame) => arrivals.noteHandled(frame),
    };
    const inbound = new Inbound(this.kernel, sieve, (arrival) => this.take(arrival, name));
    const source = { kind: 'group', ...name } as const;
    const begin = async (): Promise<void> => {
      inbound.begin(await this.broker.consume(source, { windows: MEMBER_WINDOWS, receive: inbound.receive }));
    };
    return { inbound, ready: begin(), members: 0 };
  }
}
