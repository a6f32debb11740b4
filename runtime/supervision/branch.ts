/**
 * A supervisor as a child of another one. It ends when it gives up, abnormally, or when its significant children have
 * ended, normally; the one above restarts it by its restart type, or gives up as well. Its actors end with it: the next
 * ones have the same names, and the refs of the tree lead to them.
 */

import type { AnyChild, AnySupervisor, Intensity, RestartType } from '../../src/protocol/child-spec.ts';
import type { TroupeError } from '../../src/protocol/errors.ts';
import type { SupervisorEndReason } from '../../src/protocol/events.ts';
import { ActorChild } from './actor-child.ts';
import { backoffDelay } from './backoff.ts';
import type { Child } from './child.ts';
import { Pause } from './pause.ts';
import { RestartWindow } from './restart-window.ts';
import { comesBack } from './strategy.ts';
import { Supervisor } from './supervisor.ts';
import type { SupervisorSettings, Surroundings } from './supervisor-settings.ts';

/** A child of a definition that is there. */
type GivenChild = Exclude<AnyChild, undefined | false>;

/** A branch of the tree. */
export class Branch implements Child {
  readonly kind = 'supervisor';
  readonly key: string;
  readonly definition: AnySupervisor;
  readonly supervisor: Supervisor;
  /** Nothing is counted below: what its children achieve is progress of theirs. */
  readonly restartsWithoutProgress = 0;
  status: 'starting' | 'running' | 'restarting' | 'stopping' | 'stopped' = 'stopped';
  private readonly parent: Supervisor;
  private readonly paused: Pause;
  /** Restarts in a row, each within the window of the one above since the last; the delay grows with them. */
  private restarts = 0;
  private restartedAt = Number.NEGATIVE_INFINITY;

  constructor(parent: Supervisor, key: string, definition: AnySupervisor) {
    this.parent = parent;
    this.key = key;
    this.definition = definition;
    this.paused = new Pause(parent.surroundings.kernel.host);
    this.supervisor = growSupervisor(
      parent.surroundings,
      definition,
      `${parent.settings.path}/${key}`,
      (reason, error) => this.ended(reason, error),
    );
  }

  get name(): string {
    return this.key;
  }

  get restartType(): RestartType {
    return this.definition.restart;
  }

  get isSignificant(): boolean {
    return this.definition.significant;
  }

  get isReturning(): boolean {
    return this.status === 'restarting';
  }

  // Stryker disable next-line BlockStatement: it is for the interface, and nobody calls it.
  ownWindow(intensity: Intensity): RestartWindow {
    return new RestartWindow(intensity); // only what is spawned fails alone, and a branch never is
  }

  async start(): Promise<void> {
    this.status = 'starting';
    this.restarts = 0;
    try {
      await this.supervisor.startAll(() => this.started());
    } catch (error) {
      this.over();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.parent.group?.delete(this);
    if (this.status === 'stopped') return;
    this.status = 'stopping';
    this.paused.end();
    await this.supervisor.stopAll();
    this.over();
  }

  due(): number {
    const { clock, random } = this.parent.surroundings.kernel.host;
    const now = clock.now();
    if (now - this.restartedAt > this.parent.settings.intensity.withinMs) this.restarts = 0;
    this.restartedAt = now;
    return backoffDelay(this.definition.backoff, this.restarts++, random);
  }

  async leave(): Promise<void> {
    if (this.status === 'stopped') return;
    if (this.restartType === 'temporary') {
      await this.stop();
      return;
    }
    this.status = 'restarting';
    await this.supervisor.stopAll();
  }

  async again(): Promise<void> {
    if (this.status === 'stopped') {
      this.status = 'restarting'; // one that cannot start yet is tried again, and is not over (OTP: `restarting`)
      this.restarts = 0;
    }
    if (this.status === 'restarting') await this.supervisor.startAll(() => this.started());
  }

  // Stryker disable next-line BlockStatement: all but 'stop' and 'escalate' are the same.
  afterFailedStart(): 'restart' {
    // Stryker disable next-line StringLiteral: as above.
    return 'restart';
  }

  pause(delayMs: number): Promise<void> {
    return this.paused.wait(delayMs);
  }

  private started(): void {
    this.status = 'running';
  }

  /** The supervisor of this branch has ended of its own will, and its children before it. */
  private ended(reason: SupervisorEndReason, error: TroupeError | undefined): void {
    if (this.status !== 'running') return; // the one above is at it already
    if (this.parent.bringsBack && comesBack(this.restartType, reason === 'escalated')) {
      this.status = 'restarting';
      this.parent.failed(this, error);
      return;
    }
    this.over();
    this.parent.left(this);
  }

  private over(): void {
    this.status = 'stopped';
    const { keepsEnded } = this.parent.settings;
    if ((!keepsEnded || this.restartType === 'temporary') && this.parent.has(this))
      this.parent.children.delete(this.key);
  }
}

/** Makes a supervisor of a definition, with a place for each of its children. Nothing is started. */
export function growSupervisor(
  surroundings: Surroundings,
  definition: AnySupervisor,
  path: string,
  ended: SupervisorSettings['ended'],
): Supervisor {
  const { strategy, intensity, restartsWithoutProgressMax, autoShutdown, childrenMax, isDynamic } =
    definition;
  const supervisor = new Supervisor(surroundings, {
    path,
    strategy,
    intensity,
    restartsWithoutProgressMax,
    autoShutdown,
    childrenMax,
    keepsEnded: !isDynamic,
    // Stryker disable next-line StringLiteral: all but 'stop-child' are the same.
    onLimit: 'escalate',
    // Stryker disable next-line StringLiteral: all but 'together' are the same; that one is tested.
    stopOrder: isDynamic ? 'together' : 'reverse',
    ended,
  });
  // The definition has left out what was given as undefined or false.
  const children = definition.children as Readonly<Record<string, GivenChild>>;
  for (const [name, child] of Object.entries(children))
    supervisor.defined.push(growChild(supervisor, name, child));
  return supervisor;
}

/** Makes the place of a child. Nothing is started. */
export function growChild(supervisor: Supervisor, name: string, child: GivenChild): ActorChild | Branch {
  return child.kind === 'child'
    ? new ActorChild(supervisor, name, child, child.args)
    : new Branch(supervisor, name, child);
}
