/**
 * A supervisor: starts its children in order, restarts what fails, and gives up when they fail too often. It holds the
 * children of a branch of the tree, those that an actor spawned, and those at the top of the system. What it decides
 * with is pure (strategy.ts, restart-window.ts, backoff.ts); restart.ts carries a restart out.
 *
 * Invariant: while children are started or restarted as a group nothing else begins: failures and requests wait, and are
 * looked at afterwards, as in Erlang/OTP, where a supervisor does one thing at a time.
 */

import { TroupeError } from '../../src/protocol/errors.ts';
import type { SupervisorEndReason } from '../../src/protocol/events.ts';
import type { Children } from '../actor/slot.ts';
import type { Child } from './child.ts';
import { type FailedChild, restartAlone, restartGroup } from './restart.ts';
import { RestartWindow } from './restart-window.ts';
import { endsSupervisor } from './strategy.ts';
import { ANONYMOUS, type SupervisorSettings, type Surroundings } from './supervisor-settings.ts';

/** The children of one node of the tree. */
export class Supervisor implements Children {
  readonly surroundings: Surroundings;
  readonly settings: SupervisorSettings;
  /** In start order, by name; those without a name of their own by number. */
  readonly children = new Map<string | number, Child>();
  /** Those of its definition: with them it starts. */
  readonly defined: Child[] = [];
  /** Changes whenever all children are stopped: restarts of an earlier life end. */
  life = 0;
  /** Those that the present group restart has left to start. */
  group: Set<Child> | undefined = undefined;
  private window: RestartWindow;
  /** Failures that wait until it has time for them. */
  private pending: FailedChild[] = [];
  // Stryker disable next-line ArrayDeclaration: what is no child is passed over.
  private endedSignificant: Child[] = [];
  private isHolding = false;
  private busy: Promise<void> | undefined = undefined;
  private isEnding = false;
  private stopping: Promise<void> | undefined = undefined;

  constructor(surroundings: Surroundings, settings: SupervisorSettings) {
    this.surroundings = surroundings;
    this.settings = settings;
    this.window = new RestartWindow(settings.intensity);
  }

  get size(): number {
    return this.children.size;
  }

  /** Whether it starts and restarts children. */
  get isOpen(): boolean {
    return !this.isEnding && this.stopping === undefined;
  }

  /** Whether a child that has failed may come back: not while the system shuts down. */
  get bringsBack(): boolean {
    return this.isOpen && !this.surroundings.kernel.isEnding;
  }

  /** The child of this name. */
  find(name: string): Child | undefined {
    return this.children.get(name.startsWith(ANONYMOUS) ? Number(name.slice(ANONYMOUS.length)) : name);
  }

  has(child: Child): boolean {
    return this.children.get(child.key) === child;
  }

  /**
   * Starts the children of its definition in order, then calls `started`, then looks at what failed meanwhile. When a start
   * fails, those before it are stopped again, in reverse, and it throws.
   */
  async startAll(started: () => void = () => undefined): Promise<void> {
    await this.exclusive(async () => {
      this.window = new RestartWindow(this.settings.intensity);
      this.children.clear();
      for (const child of this.defined) this.children.set(child.key, child);
      const begun: Child[] = [];
      try {
        for (const child of this.defined) {
          this.needOpen();
          await child.start();
          begun.push(child);
        }
        this.needOpen();
        started();
      } catch (error) {
        this.forgetPending();
        for (const earlier of begun.reverse()) await earlier.stop('shutdown');
        this.forgetPending();
        throw error;
      }
    });
  }

  private needOpen(): void {
    if (!this.isOpen) throw new TroupeError('ERR_ACTOR_STOPPED', { address: this.settings.path });
  }

  /** Stops all children; nothing is started or restarted meanwhile. */
  stopAll(): Promise<void> {
    this.stopping ??= this.stopEach().finally(() => {
      this.stopping = undefined;
    });
    return this.stopping;
  }

  private async stopEach(): Promise<void> {
    // Stryker disable next-line UpdateOperator: any other number will do.
    this.life++;
    this.group = undefined;
    this.forgetPending();
    const children = [...this.children.values()].reverse();
    if (this.settings.stopOrder === 'together')
      await Promise.all(children.map((child) => child.stop('shutdown')));
    else for (const child of children) await child.stop('shutdown');
    this.forgetPending();
  }

  /** A child has failed, and is of a kind that comes back. */
  failed(child: Child, error: unknown): void {
    this.take({ child, error, isEscalated: false });
  }

  /** A child has failed in a way that its supervisor is to bear. */
  escalated(child: Child, error: unknown): void {
    this.take({ child, error, isEscalated: true });
  }

  /** A child has ended of its own will and does not come back. */
  left(child: Child): void {
    if (!child.isSignificant || !this.isOpen) return;
    this.endedSignificant.push(child);
    this.next();
  }

  private take(failure: FailedChild): void {
    const { child, error } = failure;
    if (!this.bringsBack) {
      this.surroundings.kernel.background(child.stop('failed'));
      return;
    }
    if (this.isHolding || this.group !== undefined) {
      this.pending.push(failure);
      return;
    }
    if (!this.bears(failure)) return;
    const { kernel } = this.surroundings;
    if (this.settings.strategy === 'one-for-one') kernel.background(restartAlone(this, child, error));
    else kernel.background(restartGroup(this, child, error).finally(() => this.next()));
  }

  /** Looks at what has waited. */
  private next(): void {
    if (this.isHolding || this.group !== undefined) return;
    for (const child of this.endedSignificant.splice(0)) {
      if (!this.isOpen || child.status !== 'stopped') continue; // a group restart has brought it back
      const isLast = ![...this.children.values()].some(
        (other) => other.isSignificant && other.status !== 'stopped' && other.status !== 'stopping',
      );
      if (endsSupervisor(this.settings.autoShutdown, isLast)) this.end('shutdown', undefined, undefined);
    }
    while (this.isOpen && this.group === undefined) {
      const failure = this.pending.shift();
      if (failure === undefined) return;
      if (failure.child.isReturning) this.take(failure);
    }
  }

  /** Takes the failures of these children as part of what happens to them anyway, but not one that it is to bear. */
  fold(children: ReadonlySet<Child>): void {
    const folded = this.pending.filter(({ child }) => children.has(child));
    this.pending = this.pending.filter(({ child }) => !children.has(child));
    const escalated = folded.find(({ child, isEscalated }) => isEscalated && child.isReturning);
    if (escalated !== undefined) this.bears(escalated);
  }

  /** The first failure among these children that nobody has looked at yet. */
  takePending(children: ReadonlySet<Child>): FailedChild | undefined {
    const place = this.pending.findIndex(({ child }) => children.has(child) && child.isReturning);
    return place < 0 ? undefined : this.pending.splice(place, 1)[0];
  }

  private forgetPending(): void {
    this.pending = [];
    // Stryker disable next-line ArrayDeclaration: what is no child is passed over.
    this.endedSignificant = [];
  }

  /** Runs `work` when nothing else of its kind runs; what fails meanwhile waits. */
  async exclusive<T>(work: () => Promise<T>): Promise<T> {
    while (this.busy !== undefined) await this.busy;
    this.isHolding = true;
    const result = work();
    this.busy = result.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await result;
    } finally {
      this.busy = undefined;
      this.isHolding = false;
      this.next();
    }
  }

  /** Runs a request from outside: after what is under way, and alone where children are restarted as a group. */
  async request<T>(work: () => Promise<T>): Promise<T> {
    if (this.settings.strategy !== 'one-for-one') return this.exclusive(work);
    while (this.busy !== undefined) await this.busy;
    return work();
  }

  /** What follows from a start that failed: another, or the end of that child; undefined: all end. Ends have begun. */
  startFailed(child: Child, error: unknown): 'again' | 'child-ends' | undefined {
    if (!this.bringsBack) {
      this.surroundings.kernel.background(child.stop('failed'));
      return undefined;
    }
    const directive = child.afterFailedStart(error);
    if (directive === 'stop') {
      this.surroundings.kernel.background(child.stop('failed').then(() => this.left(child)));
      return 'child-ends';
    }
    return this.bears({ child, error, isEscalated: directive === 'escalate' }) ? 'again' : undefined;
  }

  /** Counts a restart. False: it is one too many, or the failure is not to be borne, and what follows from that has begun. */
  bears({ child, error, isEscalated }: FailedChild): boolean {
    if (isEscalated) {
      this.giveUp(child, 'its decide said escalate', error);
      return false;
    }
    const { restartsWithoutProgressMax, intensity, onLimit } = this.settings;
    if (child.restartsWithoutProgress >= restartsWithoutProgressMax) {
      this.giveUp(child, `${restartsWithoutProgressMax} restarts without a completed turn`, error);
      return false;
    }
    const window = onLimit === 'stop-child' ? child.ownWindow(intensity) : this.window;
    if (window.allows(this.surroundings.kernel.now())) return true;
    this.giveUp(child, `more than ${intensity.max} restarts in ${intensity.withinMs} ms`, error);
    return false;
  }

  /** A failure that this supervisor does not bear: the child ends, and perhaps everybody, and the next one above hears. */
  private giveUp(child: Child, words: string, cause: unknown): void {
    const { path, onLimit } = this.settings;
    const limit = `${child.name}: ${words}`;
    const { events, telemetry } = this.surroundings.kernel;
    telemetry.escalations++;
    events.emit({ type: 'supervisor-gave-up', address: path, limit, error: cause });
    if (onLimit === 'stop-child') {
      this.surroundings.kernel.background(child.stop('failed'));
      return;
    }
    const error = new TroupeError('ERR_RESTART_INTENSITY', { address: path, limit }, { cause });
    this.end('escalated', error, child);
  }

  /** Ends of its own will: the child that is to blame, then all others, then the one above hears. */
  private end(reason: SupervisorEndReason, error: TroupeError | undefined, first: Child | undefined): void {
    this.isEnding = true; // what else fails until all have ended is part of this
    const ending = async (): Promise<void> => {
      await first?.stop('failed');
      await this.stopAll();
      this.isEnding = false;
      const { path, ended } = this.settings;
      this.surroundings.kernel.events.emit({ type: 'supervisor-stopped', address: path, reason, error });
      ended(reason, error);
    };
    this.surroundings.kernel.background(ending());
  }
}
