/** A supervisor at run time: the four requests of OTP's supervisor, and its list of children. */

import type { ActorStatus } from '../../src/protocol/actor-status.ts';
import {
  type AnySupervisor,
  type ChildSpec,
  checkSignificant,
  isChild,
} from '../../src/protocol/child-spec.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { invalidOption, nameOption } from '../../src/protocol/options.ts';
import type { SupervisedChild, SupervisorControl } from '../../src/protocol/supervisor-control.ts';
import { growChild } from './branch.ts';
import type { Child } from './child.ts';
import { refOf } from './refs.ts';
import type { Supervisor } from './supervisor.ts';

/** Whether a supervisor runs, asked of whoever knows. */
export type StatusOf = () => ActorStatus;

/** The controls of one supervisor. */
export class Control implements SupervisorControl {
  readonly #supervisor: Supervisor;
  readonly #status: StatusOf;

  constructor(supervisor: Supervisor, status: StatusOf) {
    this.#supervisor = supervisor;
    this.#status = status;
  }

  get path(): string {
    return this.#supervisor.settings.path;
  }

  get status(): ActorStatus {
    return this.#status();
  }

  // The ref is made from the child as its type says, name by name; the engine works with types erased.
  async startChild(name: string, child: ChildSpec | AnySupervisor): Promise<never> {
    const supervisor = this.#supervisor;
    nameOption('startChild: name', name);
    if (!isChild(child))
      throw invalidOption('startChild: child', 'agent.child(...) or supervisor(...)', child);
    const { autoShutdown, childrenMax, path } = supervisor.settings;
    checkSignificant('startChild: child', child, autoShutdown);
    return supervisor.request(async () => {
      this.needRunning();
      if (supervisor.children.has(name))
        throw new TroupeError('ERR_NAME_TAKEN', { name, holder: `${path}/${name}` });
      if (supervisor.size >= childrenMax)
        throw new TroupeError('ERR_CHILDREN_FULL', { address: path, childrenMax });
      const place = growChild(supervisor, name, child);
      supervisor.children.set(name, place);
      try {
        await place.start();
      } catch (error) {
        if (supervisor.has(place)) supervisor.children.delete(name);
        throw error;
      }
      return refOf(supervisor.surroundings.kernel, place) as never;
    });
  }

  async terminateChild(name: string): Promise<'ok' | 'not-found'> {
    const supervisor = this.#supervisor;
    return supervisor.request(async () => {
      this.needRunning();
      const child = supervisor.children.get(name);
      if (child === undefined) return 'not-found';
      await child.stop('shutdown');
      return 'ok';
    });
  }

  async restartChild(name: string): Promise<'ok' | 'running' | 'restarting' | 'not-found'> {
    const supervisor = this.#supervisor;
    return supervisor.request(async () => {
      this.needRunning();
      const child = supervisor.children.get(name);
      if (child?.status !== 'stopped') return answerFor(child);
      await child.start();
      return 'ok';
    });
  }

  async deleteChild(name: string): Promise<'ok' | 'running' | 'restarting' | 'not-found'> {
    const supervisor = this.#supervisor;
    return supervisor.request(() => {
      this.needRunning();
      const child = supervisor.children.get(name);
      if (child?.status !== 'stopped') return Promise.resolve(answerFor(child));
      supervisor.children.delete(name);
      return Promise.resolve('ok' as const);
    });
  }

  children(): readonly SupervisedChild[] {
    return [...this.#supervisor.children.values()].map((child) => ({
      name: child.name,
      kind: child.kind,
      status: child.status,
      restart: child.restartType,
      significant: child.isSignificant,
    }));
  }

  private needRunning(): void {
    if (this.status !== 'running' || !this.#supervisor.isOpen)
      throw new TroupeError('ERR_ACTOR_STOPPED', { address: this.path });
  }
}

/** What is said of a child that has not ended. */
function answerFor(child: Child | undefined): 'running' | 'restarting' | 'not-found' {
  if (child === undefined) return 'not-found';
  return child.isReturning ? 'restarting' : 'running';
}
