/** A supervisor as a child of another one. When it gives up, the one above restarts it whole, or gives up as well. */

import type { AnyChild, AnySupervisor } from '../../src/protocol/child-spec.ts';
import type { TroupeError } from '../../src/protocol/errors.ts';
import { BACKOFF_JITTER, BACKOFF_MAX_MS, BACKOFF_MIN_MS } from '../../src/protocol/limits.ts';
import { backoffDelay } from './backoff.ts';
import {
  ActorChild,
  type Child,
  Supervisor,
  type SupervisorSettings,
  type Surroundings,
} from './supervisor.ts';

const BACKOFF = { minMs: BACKOFF_MIN_MS, maxMs: BACKOFF_MAX_MS, jitter: BACKOFF_JITTER };

/** A branch of the tree. */
export class Branch implements Child {
  readonly name: string;
  readonly supervisor: Supervisor;
  status: 'starting' | 'running' | 'restarting' | 'stopping' | 'stopped' = 'starting';
  /** Restarts in a row; the delay before the next one grows with it. */
  private restarts = 0;
  private readonly parent: Supervisor;
  private endPause: (() => void) | undefined = undefined;

  constructor(parent: Supervisor, name: string, definition: AnySupervisor) {
    this.parent = parent;
    this.name = name;
    this.supervisor = growSupervisor(
      parent.surroundings,
      definition,
      `${parent.settings.path}/${name}`,
      (error) => this.failed(error),
    );
  }

  async start(): Promise<void> {
    this.status = 'starting';
    await this.supervisor.startAll();
    this.status = 'running';
  }

  async stop(): Promise<void> {
    if (this.status === 'stopped') return;
    this.status = 'stopping';
    this.endPause?.();
    await this.supervisor.stopAll();
    this.status = 'stopped';
  }

  /** The supervisor of this branch gave up; its children have ended. */
  private failed(error: TroupeError): void {
    if (this.status === 'stopping' || this.status === 'stopped' || !this.parent.isOpen) return;
    this.status = 'restarting';
    if (this.parent.mayRestart(this, 0, undefined, error))
      this.parent.surroundings.kernel.background(this.restart());
  }

  private async restart(): Promise<void> {
    const { host } = this.parent.surroundings.kernel;
    await this.pause(backoffDelay(BACKOFF, this.restarts++, host.random));
    if (this.status !== 'restarting') return;
    try {
      await this.supervisor.startAll();
      if (this.status === 'restarting') this.status = 'running';
    } catch (error) {
      if (this.status !== 'restarting') return;
      if (this.parent.mayRestart(this, 0, undefined, error)) await this.restart();
    }
  }

  private pause(delayMs: number): Promise<void> {
    const { clock } = this.parent.surroundings.kernel.host;
    return new Promise((resolve) => {
      const timer = clock.setTimer(delayMs, resolve);
      this.endPause = () => {
        clock.clearTimer(timer);
        resolve();
      };
    });
  }
}

/** Makes a supervisor of a definition, with a place for each of its children. Nothing is started. */
export function growSupervisor(
  surroundings: Surroundings,
  definition: AnySupervisor,
  path: string,
  gaveUp: (error: TroupeError) => void,
): Supervisor {
  const settings: SupervisorSettings = {
    path,
    intensity: definition.intensity,
    restartsWithoutProgressMax: definition.restartsWithoutProgressMax,
    onLimit: 'escalate',
    stopOrder: 'reverse',
    gaveUp,
  };
  const supervisor = new Supervisor(surroundings, settings);
  for (const [name, child] of Object.entries(definition.children as Readonly<Record<string, AnyChild>>)) {
    if (child === undefined || child === false) continue;
    supervisor.children.set(
      name,
      child.kind === 'child'
        ? new ActorChild(supervisor, name, child, child.args, true)
        : new Branch(supervisor, name, child),
    );
  }
  return supervisor;
}
