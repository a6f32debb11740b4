/**
 * The actors of one group of keyed agents on this node: for each key one at a time, started by its first message, stopped when it has been idle.
 * It does not know where messages come from.
 *
 * Invariant: of two actors of one key the later one runs nothing before the earlier one has ended.
 */

import type { AnyAgentDefinition } from '../../src/protocol/agent.ts';
import { type ChildSpec, childSpec } from '../../src/protocol/child-spec.ts';
import { KEYED_LOOKS_MAX, TIMER_MS_MAX } from '../../src/protocol/limits.ts';
import type { Behaviour } from '../actor/behaviour.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { Timeout } from '../host/timeouts.ts';
import type { Supervisor } from '../supervision/supervisor.ts';
import { Activation, type ActivationOwner, type Tenancy } from './activation.ts';
import { keyedAgent } from './keyed-agent.ts';
import type { KeyedSettings } from './options.ts';
import type { OpenedStates } from './states.ts';

/** What a group needs of its system. */
export interface GroupPorts {
  readonly kernel: Kernel;
  readonly supervisor: Supervisor;
  /** Where states are kept; undefined where they end with their actors. */
  readonly states: OpenedStates | undefined;
  readonly behaviourOf: (agent: AnyAgentDefinition) => Behaviour;
}

/** The actors of one group that live on this node. */
export class KeyedGroup implements ActivationOwner {
  readonly settings: KeyedSettings;
  readonly kernel: Kernel;
  readonly supervisor: Supervisor;
  readonly spec: ChildSpec;
  readonly states: OpenedStates | undefined;
  /** The agent as it is run. */
  readonly agent: AnyAgentDefinition;
  /** Told when one more actor may start. */
  roomMade: () => void = () => undefined;
  private readonly behaviourOf: GroupPorts['behaviourOf'];
  /** The latest of each key, that whose last message is the longest ago first. */
  private readonly latest = new Map<string, Activation>();
  /** Those of `latest` that are on their way out. */
  private leaving = 0;
  private sweep: Timeout | undefined = undefined;

  constructor(settings: KeyedSettings, agent: AnyAgentDefinition, ports: GroupPorts) {
    this.settings = settings;
    this.kernel = ports.kernel;
    this.supervisor = ports.supervisor;
    this.behaviourOf = ports.behaviourOf;
    this.states = ports.states;
    this.agent = keyedAgent(agent, settings);
    this.spec = childSpec('keyed', this.agent, { restart: 'transient', shutdownMs: settings.handOffMs });
  }

  get kind(): string {
    return this.settings.name;
  }

  get behaviour(): Behaviour {
    return this.behaviourOf(this.agent);
  }

  /** The actor of a key, which is started where there is none; undefined where there is no room for one more. */
  actorFor(key: string, tenancy: Tenancy): Activation | undefined {
    const latest = this.latest.get(key);
    if (latest?.isOpenIn(tenancy) === true) {
      this.touch(latest);
      return latest;
    }
    if (latest === undefined && !this.hasRoom()) return undefined;
    if (latest?.isLeaving === true) this.leaving--;
    const next = new Activation(this, key, tenancy, latest?.over);
    this.touch(next);
    next.start();
    return next;
  }

  /** The actor of a key that lives here now. */
  find(key: string): Activation | undefined {
    return this.latest.get(key);
  }

  /** All actors of a time of ownership. */
  actorsIn(tenancy: Tenancy): readonly Activation[] {
    return [...this.latest.values()].filter((each) => each.tenancy === tenancy);
  }

  ended(activation: Activation): void {
    if (this.latest.get(activation.key) !== activation) return;
    this.latest.delete(activation.key);
    if (activation.isLeaving) this.leaving--;
    this.roomMade();
  }

  /** No timer is left. */
  end(): void {
    if (this.sweep !== undefined) this.kernel.timeouts.cancel(this.sweep);
    this.sweep = undefined;
  }

  private hasRoom(): boolean {
    const { keysMax } = this.settings;
    const { size } = this.latest;
    if (size < keysMax) return true;
    if (this.leaving >= keysMax) return false;
    return size - this.leaving < keysMax || this.makeRoom();
  }

  /** Ends an actor that has nothing to do, one of those that were used the longest ago. */
  private makeRoom(): boolean {
    let looks = 0;
    for (const each of this.latest.values()) {
      if (++looks > KEYED_LOOKS_MAX) return false;
      if (each.isLeaving || !each.isQuiet) continue;
      this.passivate(each);
      return true;
    }
    return false;
  }

  private passivate(activation: Activation): void {
    activation.isLeaving = true;
    this.leaving++;
    this.kernel.background(activation.stop());
  }

  private touch(activation: Activation): void {
    activation.touchedAt = this.kernel.now();
    this.latest.delete(activation.key);
    this.latest.set(activation.key, activation);
    this.watch();
  }

  /** Looks for idle actors when the one that was used the longest ago may be one. */
  private watch(): void {
    const { idleMs } = this.settings;
    const [oldest] = this.latest.values();
    if (this.sweep !== undefined || idleMs === Infinity || oldest === undefined) return;
    const now = this.kernel.now();
    const waitMs = Math.min(TIMER_MS_MAX, Math.max(1, Math.ceil(oldest.touchedAt + idleMs - now)));
    this.sweep = this.kernel.timeouts.startFunction(waitMs, now, () => {
      this.sweep = undefined;
      this.endIdle();
    });
  }

  private endIdle(): void {
    const idleSince = this.kernel.now() - this.settings.idleMs;
    for (const each of this.latest.values()) {
      if (each.touchedAt > idleSince) break;
      if (!each.isLeaving && each.isQuiet) this.passivate(each);
      else this.touch(each); // it is looked at again after as long
    }
    this.watch();
  }
}
