/**
 * The server of memory brokers: what several nodes of one process share, and every fault that can be made to happen between them.
 * Faults are explicit, or drawn from a seed; each lasts until it is healed, and is the same for nodes that connect meanwhile.
 */

import type { Host } from '../../src/protocol/clock.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { Census } from '../../src/protocol/member-view.ts';
import { durationOption, integerOption, invalidOption, objectOption } from '../../src/protocol/options.ts';
import { seededChance } from './chance.ts';
import { Connection, Faults, Link, type Loss, type Silence } from './link.ts';
import type { DelayOptions, MemoryHub, MemoryHubOptions, ReorderOptions } from './memory-hub.ts';
import type { Hello, NodeRecord } from './node-record.ts';
import { type MemoryDeadFrame, Room, unavailable } from './room.ts';

/** A hub of its own, without nodes. Throws `ERR_OPTION_INVALID`. */
export function memoryHub(options?: MemoryHubOptions): MemoryHub {
  const { seed } = objectOption('memory hub', options, ['seed']);
  return new Hub(integerOption('seed', seed, 0, 1));
}

/** A broker, as far as the hub speaks to it by itself. @internal */
export interface Caller {
  readonly prefix: string;
  readonly hello: Hello;
  readonly host: Host;
  /** Who lives has changed. */
  hears(census: Census): void;
  /** Its node is no more. */
  killed(): void;
  /** All that is published is refused, or is no longer. */
  refused(isRefused: boolean): void;
}

/** The hub, as brokers see it. @internal */
export class Hub implements MemoryHub {
  refusesPublishes = false;
  refusesDeadLetters = false;
  /** Epochs of shards begin after it: above all of an earlier hub, where one takes the place of another. */
  epochBase = 0;
  private readonly everybody = new Faults();
  private readonly links = new Map<string, Link>();
  private readonly rooms = new Map<string, Room>();
  private readonly callers = new Set<Caller>();
  private readonly chance: () => number;
  private sides: readonly ReadonlySet<string>[] = [];

  constructor(seed: number) {
    this.chance = seededChance(seed);
  }

  cut(...nodes: readonly string[]): void {
    for (const faults of this.faultsOf(nodes)) faults.isCut = true;
    for (const link of this.links.values())
      if (link.isCut) link.endAll({ isGone: false, problem: 'it was cut' });
  }

  silence(direction: Silence, ...nodes: readonly string[]): void {
    if (!['to-hub', 'to-node', 'both'].includes(direction))
      throw invalidOption('direction', 'one of to-hub, to-node, both', direction);
    for (const faults of this.faultsOf(nodes)) faults.silence = direction;
    for (const link of this.links.values()) if (link.isSilent) link.expectSilence();
  }

  lose(loss: Loss, ...nodes: readonly string[]): void {
    if (!['publishes', 'confirms', 'deliveries', 'settlements'].includes(loss))
      throw invalidOption('loss', 'one of publishes, confirms, deliveries, settlements', loss);
    for (const faults of this.faultsOf(nodes)) faults.losses.add(loss);
  }

  delay(delay: DelayOptions, ...nodes: readonly string[]): void {
    const given = objectOption('delay', delay, ['minMs', 'maxMs']);
    const minMs = durationOption('delay.minMs', given['minMs'], 0, { zero: true });
    const maxMs = durationOption('delay.maxMs', given['maxMs'], minMs, { zero: true });
    if (maxMs < minMs) throw invalidOption('delay.maxMs', `at least minMs (${minMs})`, maxMs);
    for (const faults of this.faultsOf(nodes)) faults.delay = { minMs, maxMs };
  }

  duplicate(share: number, ...nodes: readonly string[]): void {
    const duplicateShare = shareOption('share', share);
    for (const faults of this.faultsOf(nodes)) faults.duplicateShare = duplicateShare;
  }

  reorder(options: ReorderOptions, ...nodes: readonly string[]): void {
    const given = objectOption('reorder', options, ['share', 'depth']);
    const share = shareOption('reorder.share', given['share']);
    const depth = integerOption('reorder.depth', given['depth'], 1, 8);
    for (const faults of this.faultsOf(nodes)) faults.reorder = { share, depth };
  }

  partition(...sides: readonly (readonly string[])[]): void {
    this.sides = sides.map((side) => new Set(side));
    this.wake();
  }

  kill(...nodes: readonly string[]): void {
    for (const caller of this.callers) {
      const { name } = caller.hello.node;
      if (!nodes.includes(name)) continue;
      this.roomOf(caller.prefix).markDead(name);
      this.links.get(name)?.endAll({ isGone: true, problem: 'it was killed' });
      caller.killed();
      this.callers.delete(caller);
    }
  }

  refusePublishes(): void {
    this.tellRefused(true);
  }

  refuseDeadLetters(): void {
    this.refusesDeadLetters = true;
  }

  heal(...nodes: readonly string[]): void {
    for (const faults of nodes.length === 0 ? this.allFaults() : this.faultsOf(nodes)) faults.heal();
    if (nodes.length === 0) {
      this.sides = [];
      this.refusesDeadLetters = false;
      if (this.refusesPublishes) this.tellRefused(false);
    }
    const healed = nodes.length === 0 ? [...this.links.values()] : nodes.map((name) => this.linkOf(name));
    for (const link of healed) link.renew();
    this.wake();
  }

  deadFrames(prefix = 'troupe'): readonly MemoryDeadFrame[] {
    const frames = this.rooms.get(prefix)?.deadFrames ?? [];
    return frames.map((frame) => ({ ...frame, bytes: new Uint8Array(frame.bytes) }));
  }

  clearDeadFrames(prefix = 'troupe'): void {
    this.rooms.get(prefix)?.deadFrames.splice(0);
  }

  names(prefix = 'troupe'): readonly string[] {
    return this.rooms.get(prefix)?.names ?? [];
  }

  /** A broker says who it is, before it connects. */
  register(caller: Caller): void {
    const stranger = [...this.callers].find(({ host }) => host.clock !== caller.host.clock);
    if (stranger !== undefined)
      throw invalidOption(
        'host.clock',
        `the clock of ${stranger.hello.node.name}, on the same hub`,
        caller.host.clock,
      );
    this.callers.add(caller);
  }

  /** It will not connect again. What is remembered of it goes, unless somebody else needs it. */
  unregister(caller: Caller): void {
    this.callers.delete(caller);
    const { prefix, hello } = caller;
    if (this.links.get(hello.node.name)?.isIdle === true) this.links.delete(hello.node.name);
    if (this.rooms.get(prefix)?.isEmpty === true) this.rooms.delete(prefix);
  }

  /** Begins a connection. `joined` rejects when it ends first, and with `ERR_NAME_TAKEN`. */
  connect(caller: Caller): {
    readonly connection: Connection;
    readonly joined: Promise<NodeRecord>;
  } {
    const { prefix, hello, host } = caller;
    const link = this.linkOf(hello.node.name);
    const connection = new Connection(link, host, hello.downAfterMs);
    const joined = new Promise<NodeRecord>((resolve, reject) => {
      connection.whenEnded(({ problem }) => reject(unavailable(problem)));
      connection.carry('calls', () => {
        if (link.isCut) return connection.end({ isGone: false, problem: 'the connection was refused' });
        const record = this.roomOf(prefix).join(hello, connection, (census) => caller.hears(census));
        connection.carry('answers', () =>
          typeof record === 'string' ? reject(taken(hello, record)) : resolve(record),
        );
      });
    });
    return { connection, joined };
  }

  roomOf(prefix: string): Room {
    let room = this.rooms.get(prefix);
    if (room === undefined) {
      room = new Room((publisher, reader) => this.isApart(publisher, reader), this.epochBase);
      this.rooms.set(prefix, room);
    }
    return room;
  }

  private isApart(publisher: string, reader: string): boolean {
    if (this.sides.length === 0) return false;
    const sideOf = (node: string): number => this.sides.findIndex((side) => side.has(node));
    const [from, to] = [sideOf(publisher), sideOf(reader)];
    return from >= 0 && to >= 0 && from !== to;
  }

  private wake(): void {
    for (const room of this.rooms.values()) room.wake();
  }

  private tellRefused(isRefused: boolean): void {
    this.refusesPublishes = isRefused;
    for (const caller of this.callers) caller.refused(isRefused);
  }

  private faultsOf(nodes: readonly string[]): readonly Faults[] {
    if (nodes.length === 0) return [this.everybody];
    return nodes.map((name) => this.linkOf(name).own);
  }

  private allFaults(): readonly Faults[] {
    return [this.everybody, ...[...this.links.values()].map(({ own }) => own)];
  }

  private linkOf(node: string): Link {
    let link = this.links.get(node);
    if (link === undefined) {
      link = new Link(this.everybody, this.chance);
      this.links.set(node, link);
    }
    return link;
  }
}

function taken({ node }: Hello, incarnation: string): TroupeError<'ERR_NAME_TAKEN'> {
  return new TroupeError('ERR_NAME_TAKEN', {
    name: node.name,
    holder: `a living node (incarnation ${incarnation})`,
  });
}

function shareOption(option: string, value: unknown): number {
  if (typeof value !== 'number' || !(value >= 0 && value <= 1))
    throw invalidOption(option, 'a number from 0 to 1', value);
  return value;
}
