/**
 * A node's way to the hub, and the faults on it. A link stays when connections over it end, and so do its faults, until they are
 * healed. A connection carries tasks from one end to the other, in order and never at once: what is on the way when it ends is gone.
 */

import type { Host, TimerHandle } from '../../src/protocol/clock.ts';

/** What is carried: to the hub, or to the node. @internal */
export type Cargo = ToHub | ToNode;
type ToHub = 'publishes' | 'settlements' | 'calls';
type ToNode = 'confirms' | 'deliveries' | 'answers';

/** What can be lost alone. */
export type Loss = Exclude<Cargo, 'calls' | 'answers'>;

/** Where nothing arrives. */
export type Silence = 'to-hub' | 'to-node' | 'both';

/** What is wrong with a link, or with all of them. @internal */
export class Faults {
  isCut = false;
  silence: Silence | undefined;
  delay: { readonly minMs: number; readonly maxMs: number } | undefined;
  readonly losses = new Set<Loss>();
  /** Shares of frames: stored twice; lost on the way to their reader. */
  duplicateShare = 0;
  reorder: { readonly share: number; readonly depth: number } | undefined;

  /** Nothing is wrong. */
  get isNone(): boolean {
    const { isCut, silence, delay, losses, duplicateShare, reorder } = this;
    return !isCut && !silence && !delay && losses.size === 0 && duplicateShare === 0 && !reorder;
  }

  heal(): void {
    this.isCut = false;
    this.silence = undefined;
    this.delay = undefined;
    this.losses.clear();
    this.duplicateShare = 0;
    this.reorder = undefined;
  }
}

/** The way of one node. @internal */
export class Link {
  readonly own = new Faults();
  /** Something was lost on the open connection: only a new one brings it again. */
  hasLost = false;
  private readonly connections = new Set<Connection>();
  private readonly everybody: Faults;
  private readonly chance: () => number;

  constructor(everybody: Faults, chance: () => number) {
    this.everybody = everybody;
    this.chance = chance;
  }

  /** Nothing would be lost with it. */
  get isIdle(): boolean {
    return this.connections.size === 0 && this.own.isNone;
  }

  get isCut(): boolean {
    return this.own.isCut || this.everybody.isCut;
  }

  get isSilent(): boolean {
    return this.own.silence !== undefined || this.everybody.silence !== undefined;
  }

  drops(cargo: Cargo): boolean {
    return isSilenced(this.own.silence, cargo) || isSilenced(this.everybody.silence, cargo);
  }

  loses(cargo: Cargo): boolean {
    if (cargo === 'calls' || cargo === 'answers') return false;
    return this.own.losses.has(cargo) || this.everybody.losses.has(cargo);
  }

  open(connection: Connection): void {
    this.connections.add(connection);
    connection.whenEnded(() => this.connections.delete(connection));
    if (this.isSilent) connection.expectSilence();
  }

  endAll(end: ConnectionEnd): void {
    for (const connection of this.connections) connection.end(end);
  }

  expectSilence(): void {
    for (const connection of this.connections) connection.expectSilence();
  }

  /** After faults: what was lost comes again over a new connection. */
  renew(): void {
    if (this.hasLost) this.endAll({ isGone: false, problem: 'something was lost, and it is made anew' });
    this.hasLost = false;
    if (!this.isSilent) for (const connection of this.connections) connection.expectLife();
  }

  /** How long the next thing takes. */
  delayMs(): number {
    const delay = this.own.delay ?? this.everybody.delay;
    return delay === undefined ? 0 : delay.minMs + this.chance() * (delay.maxMs - delay.minMs);
  }

  isDuplicated(): boolean {
    const share = Math.max(this.own.duplicateShare, this.everybody.duplicateShare);
    return share > 0 && this.chance() < share;
  }

  /** How many frames the next one falls behind; 0 for none. */
  fallsBehind(): number {
    const reorder = this.own.reorder ?? this.everybody.reorder;
    if (reorder === undefined || this.chance() >= reorder.share) return 0;
    return 1 + Math.floor(this.chance() * reorder.depth);
  }
}

function isSilenced(silence: Silence | undefined, cargo: Cargo): boolean {
  return silence === 'both' || (silence !== undefined && silence === directionOf(cargo));
}

function directionOf(cargo: Cargo): 'to-hub' | 'to-node' {
  return cargo === 'publishes' || cargo === 'settlements' || cargo === 'calls' ? 'to-hub' : 'to-node';
}

/** Why a connection ended. `gone` when its node was killed or has left. @internal */
export type ConnectionEnd = { readonly isGone: boolean; readonly problem: string };

interface OnTheWay {
  readonly dueAtMs: number;
  readonly task: () => void;
}

/** One life of a connection. @internal */
export class Connection {
  readonly host: Host;
  readonly link: Link;
  isOpen = true;
  private readonly downAfterMs: number;
  private readonly onEnd = new Set<(end: ConnectionEnd) => void>();
  private readonly ways = { 'to-hub': new Way(this), 'to-node': new Way(this) };
  private watchdog: TimerHandle | undefined;

  constructor(link: Link, host: Host, downAfterMs: number) {
    this.link = link;
    this.host = host;
    this.downAfterMs = downAfterMs;
    link.open(this);
  }

  /** Calls `told` when this ends, unless the answer is called before. */
  whenEnded(told: (end: ConnectionEnd) => void): () => void {
    this.onEnd.add(told);
    return () => {
      this.onEnd.delete(told);
    };
  }

  /** Runs `task` at the other end; `false` when it was lost before it left. */
  carry(cargo: Cargo, task: () => void): boolean {
    if (!this.isOpen) return false;
    const isDropped = this.link.drops(cargo);
    const isLost = this.link.loses(cargo);
    if (isDropped || isLost) this.link.hasLost = true;
    else this.ways[directionOf(cargo)].add(this.link.delayMs(), task);
    return !isLost;
  }

  /** Nothing is heard any more: both ends take it for dead after a time. */
  expectSilence(): void {
    const { downAfterMs } = this;
    this.watchdog ??= this.host.clock.setTimer(downAfterMs, () =>
      this.end({ isGone: false, problem: `there was no sign of life for ${downAfterMs} ms` }),
    );
  }

  /** Something is heard again. */
  expectLife(): void {
    if (this.watchdog !== undefined) this.host.clock.clearTimer(this.watchdog);
    this.watchdog = undefined;
  }

  end(end: ConnectionEnd): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.expectLife();
    for (const way of Object.values(this.ways)) way.clear();
    for (const told of this.onEnd) told(end);
  }
}

/** One direction: first in, first out, whatever the delays. */
class Way {
  private readonly connection: Connection;
  private tasks: OnTheWay[] = [];
  private timer: TimerHandle | undefined;
  private isArriving = false;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  add(delayMs: number, task: () => void): void {
    const now = this.connection.host.clock.now();
    const dueAtMs = Math.max(now + delayMs, this.tasks.at(-1)?.dueAtMs ?? 0);
    this.tasks.push({ dueAtMs, task });
    this.arrange();
  }

  clear(): void {
    this.tasks = [];
    if (this.timer !== undefined) this.connection.host.clock.clearTimer(this.timer);
    this.timer = undefined;
  }

  private arrange(): void {
    const { host } = this.connection;
    const [first] = this.tasks;
    if (first === undefined || this.isArriving || this.timer !== undefined) return;
    const waitMs = first.dueAtMs - host.clock.now();
    if (waitMs <= 0) {
      this.isArriving = true;
      host.later(() => this.arrive());
      return;
    }
    this.timer = host.clock.setTimer(waitMs, () => {
      this.timer = undefined;
      this.arrive();
    });
  }

  private arrive(): void {
    this.isArriving = false;
    const now = this.connection.host.clock.now();
    let end = this.tasks.findIndex(({ dueAtMs }) => dueAtMs > now);
    if (end < 0) end = this.tasks.length;
    const due = this.tasks.splice(0, end);
    for (const { task } of due) if (this.connection.isOpen) task();
    this.arrange();
  }
}
