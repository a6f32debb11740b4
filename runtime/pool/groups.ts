/**
 * Groups of subscribers, by what they listen to and by their names. A group begins with its first member, who says how full
 * its queue may get and what is next in it, and ends with its last.
 */

import type { AnyAgentDefinition } from '../../src/protocol/agent.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import {
  deliveryAgent,
  type FunctionSubscription,
  type IntakeOptions,
  intakeOptions,
} from '../routing/function-subscriber.ts';
import type { ActorChild } from '../supervision/actor-child.ts';
import { type GroupCell, groupAgent } from './group.ts';
import type { WorkerCell } from './worker.ts';

/** A topic that somebody subscribes to, as the router knows it. */
export interface Heard {
  readonly pattern: string;
  readonly definition: unknown;
}

/** A group's actor, running and fed. */
export interface OpenGroup {
  readonly cell: GroupCell;
  readonly child: ActorChild;
  /** Takes it out of the router, and cancels what is queued. */
  readonly leave: () => void;
}

/** Starts the actor of a group, and feeds it. */
export type OpenUp<H extends Heard> = (
  heard: H,
  intake: IntakeOptions,
  agent: AnyAgentDefinition,
  group: string | undefined,
) => OpenGroup;

interface Group extends OpenGroup {
  readonly definition: unknown;
  readonly intake: IntakeOptions;
  members: number;
}

/** A member that has joined. */
export interface Membership {
  readonly workers: readonly WorkerCell[];
  /** Ends it; resolves when what its workers do has ended. To be called once. */
  readonly leave: () => Promise<void>;
}

/** The groups of one system. */
export class Groups<H extends Heard> {
  private readonly openUp: OpenUp<H>;
  private readonly groups = new Map<string, Group>();

  constructor(openUp: OpenUp<H>) {
    this.openUp = openUp;
  }

  /** Groups that have members. */
  get size(): number {
    return this.groups.size;
  }

  /** A subscriber joins its group, or has one to itself. Rejects with `ERR_OPTION_INVALID`, `ERR_START_FAILED`. */
  async join(heard: H, subscription: FunctionSubscription): Promise<Membership> {
    const { group: name, receiver, concurrency, turns } = subscription;
    const key = name === undefined ? undefined : `${name} ${heard.pattern}`;
    const group = this.present(key, heard, subscription) ?? this.begin(key, heard, subscription);
    group.members++;
    const leave = (workers: readonly WorkerCell[]): Promise<void> => this.leave(key, group, workers);
    try {
      const workers = await group.cell.hireFor(deliveryAgent(undefined, turns), receiver, concurrency);
      return { workers, leave: () => leave(workers) };
    } catch (error) {
      await leave([]);
      throw error;
    }
  }

  private present(key: string | undefined, heard: H, subscription: FunctionSubscription): Group | undefined {
    const group = key === undefined ? undefined : this.groups.get(key);
    if (group === undefined || !group.cell.isOpen) return undefined;
    const others = `as for the other members of group '${subscription.group}' of '${heard.pattern}'`;
    if (heard.definition !== group.definition)
      throw invalidOption('topic', `the same topic, ${others}`, heard.definition);
    for (const option of ['capacity', 'overflow', 'agingMs'] as const) {
      const said = subscription[option];
      const present = group.intake[option];
      if (said !== undefined && said !== present)
        throw invalidOption(option, `${present}, or nothing, ${others}`, said);
    }
    return group;
  }

  private begin(key: string | undefined, heard: H, subscription: FunctionSubscription): Group {
    const intake = intakeOptions(subscription);
    const open = this.openUp(heard, intake, groupAgent(intake), subscription.group);
    const group: Group = { ...open, definition: heard.definition, intake, members: 0 };
    if (key !== undefined) this.groups.set(key, group);
    return group;
  }

  private leave(key: string | undefined, group: Group, workers: readonly WorkerCell[]): Promise<void> {
    group.members--;
    if (group.members > 0) return group.cell.dismiss(workers);
    if (key === undefined) group.leave();
    else if (this.groups.get(key) === group) this.groups.delete(key);
    return group.child.stop('normal');
  }
}
