/**
 * The place of one actor. It tells its supervisor what happens to the actor, and does to the actor what its supervisor
 * decides. The place of a child that is part of a definition stays when its actor has ended; a dynamic one goes with it.
 */

import type { ActorStatus } from '../../src/protocol/actor-status.ts';
import type { Directive } from '../../src/protocol/agent.ts';
import type { ChildSpec, Intensity, RestartType } from '../../src/protocol/child-spec.ts';
import type { Failure } from '../../src/protocol/context.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import type { EndReason } from '../../src/protocol/events.ts';
import { SHUTDOWN_MS, TIMER_MS_MAX } from '../../src/protocol/limits.ts';
import type { Cell } from '../actor/cell.ts';
import { retryAfterMs } from '../actor/default-directive.ts';
import { statusOf } from '../actor/inspection.ts';
import {
  drainActor,
  killTurn,
  leaveForSibling,
  leaveGeneration,
  leaveStart,
  startActor,
  stopActor,
} from '../actor/lifecycle.ts';
import type { FailedTurn, RetriedAttempt, Slot } from '../actor/slot.ts';
import { backoffDelay } from './backoff.ts';
import type { Child } from './child.ts';
import { Pause } from './pause.ts';
import { RestartWindow } from './restart-window.ts';
import { comesBack } from './strategy.ts';
import type { Supervisor } from './supervisor.ts';
import { ANONYMOUS } from './supervisor-settings.ts';

/** Why the present life ends; without a failure it was killed, and hears nothing. */
interface Leaving {
  readonly failure: Failure | undefined;
  /** The attempt at a message that failed, if it is tried again. */
  readonly retried: RetriedAttempt | undefined;
}

/** The place of one actor under its supervisor. */
export class ActorChild implements Child, Slot {
  readonly kind = 'agent';
  /** Its name among its siblings, or the number of one that was given none. */
  readonly key: string | number;
  readonly spec: ChildSpec;
  readonly args: unknown;
  cell: Cell | undefined = undefined;
  private readonly supervisor: Supervisor;
  private leaving: Leaving | undefined = undefined;
  /** The old life is over and the next has not begun. */
  // Stryker disable next-line BooleanLiteral: start() says so too.
  private hasLeft = false;
  private window: RestartWindow | undefined = undefined;
  private paused: Pause | undefined = undefined;

  constructor(supervisor: Supervisor, key: string | number, spec: ChildSpec, args: unknown) {
    this.supervisor = supervisor;
    this.key = key;
    this.spec = spec;
    this.args = args;
  }

  get name(): string {
    return typeof this.key === 'number' ? `${ANONYMOUS}${this.key}` : this.key;
  }

  get path(): string {
    return `${this.supervisor.settings.path}/${this.name}`;
  }

  get shutdownMs(): number {
    return this.spec.shutdownMs === 'brutal-kill' ? SHUTDOWN_MS : this.spec.shutdownMs;
  }

  get restartType(): RestartType {
    return this.spec.restart;
  }

  get isSignificant(): boolean {
    return this.spec.significant;
  }

  get status(): ActorStatus {
    return this.cell === undefined ? 'stopped' : statusOf(this.cell);
  }

  get restartsWithoutProgress(): number {
    // Stryker disable next-line OptionalChaining: for the compiler; what restarts has had an actor.
    return this.cell?.restartsWithoutProgress ?? 0;
  }

  get isReturning(): boolean {
    // Stryker disable next-line OptionalChaining: for the compiler; it is asked of what has failed.
    return this.cell?.status === 'restarting';
  }

  ownWindow(intensity: Intensity): RestartWindow {
    this.window ??= new RestartWindow(intensity);
    return this.window;
  }

  // --- what the supervisor does with it ---------------------------------------------------------------------------

  start(): void | Promise<void> {
    const cell = this.newCell();
    this.hasLeft = false;
    const failed = async (error: unknown): Promise<never> => {
      await stopActor(cell, 'failed', error);
      throw error;
    };
    try {
      return startActor(cell)?.catch(failed);
    } catch (error) {
      return failed(error);
    }
  }

  stop(reason: EndReason): Promise<void> {
    this.supervisor.group?.delete(this);
    this.paused?.end();
    const { cell } = this;
    if (cell === undefined) return Promise.resolve();
    const wasKilled = this.leaving !== undefined && this.leaving.failure === undefined;
    const isBrutal = this.spec.shutdownMs === 'brutal-kill' && reason !== 'failed';
    if (isBrutal && !cell.hasEnded) {
      killTurn(cell, killedError(cell));
      return stopActor(cell, 'killed');
    }
    if (reason !== 'failed') return stopActor(cell, reason);
    return stopActor(cell, wasKilled ? 'killed' : 'failed', cell.rare.lastError);
  }

  due(error: unknown): number {
    const { cell } = this;
    // Stryker disable next-line ConditionalExpression: for the compiler; whoever is told this has had an actor.
    if (cell === undefined) return 0;
    cell.restartsWithoutProgress++;
    const delayMs = Math.min(TIMER_MS_MAX, Math.max(this.drawDelayMs(cell), retryAfterMs(causeOf(error))));
    const { events } = cell.kernel;
    events.emit({ type: 'actor-restarting', address: cell.address, delayMs, error });
    return delayMs;
  }

  leave(sibling: Failure | undefined): void | Promise<void> {
    const { cell } = this;
    // Stryker disable next-line ConditionalExpression: for the compiler; whoever is told this has had an actor.
    if (cell === undefined) return undefined;
    if (cell.isEnding) return cell.rare.stopping;
    if (this.hasLeft) return leaveStart(cell);
    const { leaving } = this;
    if (leaving === undefined && this.spec.restart === 'temporary') return this.stop('shutdown');
    this.hasLeft = true;
    if (leaving !== undefined) return leaveGeneration(cell, leaving.failure);
    // Stryker disable next-line ConditionalExpression: for the compiler; what does not leave for a sibling has failed.
    if (sibling === undefined) return undefined;
    if (this.spec.shutdownMs !== 'brutal-kill') return leaveForSibling(cell, sibling);
    killTurn(cell, sibling.cause);
    return cell.isEnding ? cell.rare.stopping : leaveGeneration(cell, undefined); // the turn's end may be its own
  }

  again(): void | Promise<void> {
    let { cell } = this;
    if (cell === undefined || cell.hasEnded) {
      cell = this.newCell();
      cell.status = 'restarting'; // one that cannot start yet is tried again, and is not over (OTP: `restarting`)
      cell.rare.isUnborn = true;
      this.hasLeft = true;
    } else if (this.hasLeft) {
      cell.rare.restarts++;
    } else {
      return undefined;
    }
    this.leaving = undefined;
    const starting = startActor(cell);
    if (starting === undefined) {
      this.hasLeft = false;
      return undefined;
    }
    return starting.then(() => {
      this.hasLeft = false;
    });
  }

  afterFailedStart(error: unknown): Directive {
    const { cell } = this;
    // Stryker disable next-line ConditionalExpression,StringLiteral: for the compiler; a start that failed has made an actor.
    if (cell === undefined) return 'restart';
    const cause = causeOf(error);
    cell.rare.lastError = error;
    const { address, generation } = cell;
    cell.kernel.events.emit({ type: 'actor-failed', address, generation, error, message: undefined });
    return cell.behaviour.decide(cause, address);
  }

  pause(delayMs: number): Promise<void> {
    this.paused ??= new Pause(this.supervisor.surroundings.kernel.host);
    return this.paused.wait(delayMs);
  }

  // --- what its actor says ----------------------------------------------------------------------------------------

  failed(cell: Cell, { directive, error, retried }: FailedTurn): void {
    const { supervisor } = this;
    if (directive === 'stop' || (directive === 'restart' && this.spec.restart === 'temporary')) {
      this.endOfItsOwn(cell, 'failed', error);
      return;
    }
    this.toLeave(cell, { kind: 'failed', cause: error }, retried);
    if (directive === 'escalate') supervisor.escalated(this, error);
    else supervisor.failed(this, error);
  }

  left(cell: Cell, reason: 'normal' | 'shutdown'): void {
    const { supervisor } = this;
    if (comesBack(this.spec.restart, false) && supervisor.bringsBack && !cell.rare.isDraining) {
      this.toLeave(cell, { kind: 'left', cause: undefined }, undefined);
      supervisor.failed(this, undefined);
    } else {
      this.endOfItsOwn(cell, reason, undefined);
    }
  }

  async kill(cell: Cell): Promise<void> {
    const { supervisor } = this;
    const error = killedError(cell);
    const message = cell.turn?.envelope.entry.name ?? 'kill';
    killTurn(cell, error);
    // Read afterwards: whoever hears the turn's abort may have stopped the actor.
    if (!cell.isGoing) {
      await cell.rare.stopping;
      return;
    }
    cell.rare.lastError = error;
    const { address, generation } = cell;
    cell.kernel.events.emit({ type: 'actor-failed', address, generation, error, message });
    if (comesBack(this.spec.restart, true) && supervisor.bringsBack && !cell.rare.isDraining) {
      this.toLeave(cell, undefined, undefined);
      supervisor.failed(this, error);
      await cell.rare.children?.stopAll();
    } else {
      this.endOfItsOwn(cell, 'killed', error);
    }
    await cell.rare.stopping;
  }

  drain(cell: Cell): Promise<void> {
    return drainActor(cell);
  }

  drained(cell: Cell): void {
    this.supervisor.surroundings.kernel.background(stopActor(cell, 'shutdown'));
  }

  ended(cell: Cell): void {
    const { supervisor } = this;
    const staysSpecified = supervisor.settings.keepsEnded && this.spec.restart !== 'temporary';
    if (!staysSpecified && supervisor.has(this)) supervisor.children.delete(this.key);
    supervisor.surroundings.closed(cell);
  }

  private newCell(): Cell {
    const { surroundings } = this.supervisor;
    const cell = surroundings.cellFor(this.spec.agent, this);
    this.cell = cell;
    this.leaving = undefined;
    surroundings.opened(cell);
    return cell;
  }

  private toLeave(cell: Cell, failure: Failure | undefined, retried: RetriedAttempt | undefined): void {
    cell.status = 'restarting';
    this.leaving = { failure, retried };
  }

  private endOfItsOwn(cell: Cell, reason: EndReason, error: unknown): void {
    const { supervisor } = this;
    supervisor.surroundings.kernel.background(
      stopActor(cell, reason, error).then(() => supervisor.left(this)),
    );
  }

  private drawDelayMs(cell: Cell): number {
    const { random } = this.supervisor.surroundings.kernel.host;
    const { backoff, attempt } = this.leaving?.retried ?? {
      backoff: this.spec.backoff,
      attempt: cell.restartsWithoutProgress,
    };
    return backoffDelay(backoff, attempt - 1, random);
  }
}

function killedError(cell: Cell): TroupeError {
  return new TroupeError('ERR_ACTOR_KILLED', { address: cell.address });
}

/** What a failed start failed with. */
function causeOf(error: unknown): unknown {
  return isTroupeError(error, 'ERR_START_FAILED') ? error.cause : error;
}
