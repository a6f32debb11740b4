/**
 * A supervisor: starts its children in order, restarts what fails, and gives up when they fail too often. It holds the
 * children of a branch of the tree, those that an actor spawned, and those at the top of the system. What it decides
 * with is pure (restart-window.ts, backoff.ts); this file acts. One-for-one: only the failed child is restarted.
 */

import type { ChildSpec, Intensity } from '../../src/protocol/child-spec.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { EndReason } from '../../src/protocol/events.ts';
import type { Actor } from '../actor/actor.ts';
import type { Behaviour } from '../actor/behaviour.ts';
import { Cell } from '../actor/cell.ts';
import type { Kernel } from '../actor/kernel.ts';
import { leaveGeneration, leaveStart, startActor, stopActor } from '../actor/lifecycle.ts';
import type { Children, FailedTurn, Slot } from '../actor/slot.ts';
import { backoffDelay } from './backoff.ts';
import { RestartWindow } from './restart-window.ts';

/** Before the number of a child that was given no name. */
const ANONYMOUS = '$';

/** What supervisors need of the system around them. */
export interface Surroundings {
  readonly kernel: Kernel;
  behaviourOf(agent: ChildSpec['agent']): Behaviour;
  /** An actor is about to start for the first time. */
  opened(cell: Cell): void;
  /** An actor has ended: its names are free from here on. */
  closed(cell: Cell): void;
}

/** How a supervisor behaves. */
export interface SupervisorSettings {
  readonly path: string;
  readonly intensity: Intensity;
  readonly restartsWithoutProgressMax: number;
  /**
   * What happens when a child fails too often: `escalate` stops all children and calls `gaveUp`; `stop-child` ends that
   * child alone, for actors that have nothing in common but the place where they were spawned.
   */
  readonly onLimit: 'escalate' | 'stop-child';
  /** Children end one after the other, last started first, or all at once. */
  readonly stopOrder: 'reverse' | 'together';
  readonly gaveUp: (error: TroupeError) => void;
}

/** A place under a supervisor: an actor's, or a branch's. */
export interface Child {
  readonly name: string;
  start(): void | Promise<void>;
  stop(reason: EndReason): Promise<void>;
}

/** The children of one node of the tree. */
export class Supervisor implements Children {
  readonly surroundings: Surroundings;
  readonly settings: SupervisorSettings;
  /** In start order, by name; those without a name of their own by number. */
  readonly children = new Map<string | number, Child>();
  private window: RestartWindow;
  private isStopping = false;

  constructor(surroundings: Surroundings, settings: SupervisorSettings) {
    this.surroundings = surroundings;
    this.settings = settings;
    this.window = new RestartWindow(settings.intensity);
  }

  get size(): number {
    return this.children.size;
  }

  /** The child of this name. */
  find(name: string): Child | undefined {
    return this.children.get(name.startsWith(ANONYMOUS) ? Number(name.slice(ANONYMOUS.length)) : name);
  }

  get isOpen(): boolean {
    return !this.isStopping;
  }

  /** Starts all children in order. When one fails, those before it are stopped again, in reverse, and it throws. */
  async startAll(): Promise<void> {
    this.window = new RestartWindow(this.settings.intensity);
    const started: Child[] = [];
    for (const child of this.children.values()) {
      try {
        await child.start();
        started.push(child);
      } catch (error) {
        for (const earlier of started.reverse()) await earlier.stop('shutdown');
        throw error;
      }
    }
  }

  /** Stops all children; nothing is started or restarted meanwhile. */
  async stopAll(): Promise<void> {
    this.isStopping = true;
    const children = [...this.children.values()].reverse();
    if (this.settings.stopOrder === 'together')
      await Promise.all(children.map((child) => child.stop('shutdown')));
    else for (const child of children) await child.stop('shutdown');
    this.isStopping = false;
  }

  /** Whether a child that failed may be restarted; if not, what follows from that has begun. */
  mayRestart(
    child: Child,
    restartsWithoutProgress: number,
    window: RestartWindow | undefined,
    error: unknown,
  ): boolean {
    const { restartsWithoutProgressMax, intensity } = this.settings;
    if (restartsWithoutProgress >= restartsWithoutProgressMax) {
      this.giveUp(child, `${restartsWithoutProgressMax} restarts without a completed turn`, error);
      return false;
    }
    if (!(window ?? this.window).allows(this.surroundings.kernel.now())) {
      this.giveUp(child, `more than ${intensity.max} restarts in ${intensity.withinMs} ms`, error);
      return false;
    }
    return true;
  }

  /** A failure that this supervisor does not bear: the child ends, and perhaps everybody, and the next one above hears. */
  giveUp(child: Child, limit: string, cause: unknown): void {
    const { path, onLimit, gaveUp } = this.settings;
    const { events } = this.surroundings.kernel;
    events.emit({
      type: 'supervisor-gave-up',
      address: path,
      limit: `${child.name}: ${limit}`,
      error: cause,
    });
    const error = new TroupeError(
      'ERR_RESTART_INTENSITY',
      { address: path, limit: `${child.name}: ${limit}` },
      { cause },
    );
    const childEnded = child.stop('failed');
    if (onLimit === 'stop-child') {
      this.surroundings.kernel.background(childEnded);
      return;
    }
    if (this.isStopping) return;
    this.isStopping = true; // what else fails until all have ended is part of this
    this.surroundings.kernel.background(childEnded.then(() => this.stopAll()).then(() => gaveUp(error)));
  }
}

/** The place of one actor. A static one stays when its actor has ended; a dynamic one goes with it. */
export class ActorChild implements Child, Slot {
  /** Its name among its siblings, or the number of one that was given none. */
  readonly key: string | number;
  readonly spec: ChildSpec;
  readonly args: unknown;
  cell: Cell | undefined = undefined;
  private readonly supervisor: Supervisor;
  private readonly isStatic: boolean;
  private ownWindow: RestartWindow | undefined = undefined;
  private endPause: (() => void) | undefined = undefined;

  constructor(
    supervisor: Supervisor,
    key: string | number,
    spec: ChildSpec,
    args: unknown,
    isStatic: boolean,
  ) {
    this.supervisor = supervisor;
    this.key = key;
    this.spec = spec;
    this.args = args;
    this.isStatic = isStatic;
  }

  get name(): string {
    return typeof this.key === 'number' ? `${ANONYMOUS}${this.key}` : this.key;
  }

  get path(): string {
    return `${this.supervisor.settings.path}/${this.name}`;
  }

  get shutdownMs(): number {
    return this.spec.shutdownMs;
  }

  /** Starts a new incarnation. Throws or rejects with `ERR_START_FAILED`; it has ended then. */
  start(): void | Promise<void> {
    const { surroundings } = this.supervisor;
    const cell = new Cell(surroundings.behaviourOf(this.spec.agent), this);
    this.cell = cell;
    surroundings.opened(cell);
    let starting: void | Promise<void>;
    try {
      starting = startActor(cell);
    } catch (error) {
      const ending = stopActor(cell, 'failed', error);
      if (!cell.hasEnded) {
        return ending.then(() => {
          throw error;
        });
      }
      surroundings.kernel.background(ending);
      throw error;
    }
    if (starting === undefined) return undefined;
    return starting.catch(async (error: unknown) => {
      await stopActor(cell, 'failed', error);
      throw error;
    });
  }

  stop(reason: EndReason): Promise<void> {
    this.endPause?.();
    if (this.cell === undefined) return Promise.resolve();
    return stopActor(this.cell, reason, reason === 'failed' ? this.cell.rareIfAny?.lastError : undefined);
  }

  failed(actor: Actor, failure: FailedTurn): void {
    const { directive, error, retriedAttempt } = failure;
    const { supervisor } = this;
    const { cell } = this;
    if (cell === undefined || cell !== actor) return;
    if (directive === 'escalate') {
      cell.status = 'restarting';
      supervisor.giveUp(this, 'its decide said escalate', error);
    } else if (directive === 'stop' || this.spec.restart === 'temporary' || !supervisor.isOpen) {
      this.background(this.stop('failed'));
    } else {
      this.restart(cell, error, { kind: 'failed', cause: error }, retriedAttempt);
    }
  }

  left(actor: Actor, reason: 'normal' | 'shutdown'): void {
    const { cell } = this;
    if (cell === undefined || cell !== actor) return;
    if (this.spec.restart === 'permanent' && this.supervisor.isOpen) {
      this.restart(cell, undefined, { kind: 'left', cause: undefined }, undefined);
    } else {
      this.background(stopActor(cell, reason));
    }
  }

  ended(cell: Cell): void {
    if (!this.isStatic) this.supervisor.children.delete(this.key);
    this.supervisor.surroundings.closed(cell);
  }

  private restart(
    cell: Cell,
    error: unknown,
    failure: { readonly kind: 'failed' | 'left'; readonly cause: unknown },
    retriedAttempt: number | undefined,
  ): void {
    cell.status = 'restarting';
    if (!this.isAllowed(cell, error)) return;
    this.background(this.recover(cell, failure, retriedAttempt));
  }

  private isAllowed(cell: Cell, error: unknown): boolean {
    const { onLimit, intensity } = this.supervisor.settings;
    if (onLimit === 'stop-child') this.ownWindow ??= new RestartWindow(intensity);
    return this.supervisor.mayRestart(this, cell.restartsWithoutProgress, this.ownWindow, error);
  }

  /** Leaves the failed generation and starts the next one, each failing start counted like a failure. */
  private async recover(
    cell: Cell,
    failure: { readonly kind: 'failed' | 'left'; readonly cause: unknown },
    retriedAttempt: number | undefined,
  ): Promise<void> {
    cell.restartsWithoutProgress++;
    let delayMs = this.delayMs(cell, retriedAttempt);
    const { events } = this.supervisor.surroundings.kernel;
    events.emit({ type: 'actor-restarting', address: cell.address, delayMs, error: failure.cause });
    await leaveGeneration(cell, failure);
    for (;;) {
      if (delayMs > 0 && cell.isOpen) await this.pause(delayMs);
      if (!cell.isOpen) return;
      cell.rare.restarts++;
      try {
        await startActor(cell);
        return;
      } catch (error) {
        if (!cell.isOpen) return;
        cell.rare.lastError = error;
        events.emit({
          type: 'actor-failed',
          address: cell.address,
          generation: cell.generation,
          error,
          message: undefined,
        });
        if (!this.isAllowed(cell, error)) return;
        cell.restartsWithoutProgress++;
        delayMs = this.delayMs(cell, undefined);
        events.emit({ type: 'actor-restarting', address: cell.address, delayMs, error });
        await leaveStart(cell);
        // Without a delay starts that fail at once would never let the event loop go.
        if (delayMs === 0) await this.macrotask();
      }
    }
  }

  private delayMs(cell: Cell, retriedAttempt: number | undefined): number {
    const { random } = this.supervisor.surroundings.kernel.host;
    const { onFailure } = cell.behaviour.agent.options;
    if (retriedAttempt !== undefined && onFailure !== 'fail') {
      return backoffDelay(onFailure.retry.backoff, retriedAttempt - 1, random);
    }
    return backoffDelay(this.spec.backoff, cell.restartsWithoutProgress - 1, random);
  }

  private macrotask(): Promise<void> {
    const { host } = this.supervisor.surroundings.kernel;
    return new Promise((resolve) => {
      host.later(resolve);
    });
  }

  /** Waits before a restart; `stop` ends the wait at once. */
  private pause(delayMs: number): Promise<void> {
    const { clock } = this.supervisor.surroundings.kernel.host;
    return new Promise((resolve) => {
      const timer = clock.setTimer(delayMs, () => {
        this.endPause = undefined;
        resolve();
      });
      this.endPause = () => {
        this.endPause = undefined;
        clock.clearTimer(timer);
        resolve();
      };
    });
  }

  private background(work: Promise<unknown>): void {
    this.supervisor.surroundings.kernel.background(work);
  }
}
