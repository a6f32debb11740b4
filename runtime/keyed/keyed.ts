/** The groups of keyed agents of one system: makes them, finds them, and ends them. */

import type { AnyAgentDefinition } from '../../src/protocol/agent.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { checkKey, keyOfName } from '../../src/protocol/key.ts';
import type { Keyed } from '../../src/protocol/keyed.ts';
import { KEYED_GROUPS_MAX, SHUTDOWN_TASK_MS } from '../../src/protocol/limits.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import type { AnyProtocol } from '../../src/protocol/protocol.ts';
import type { ShutdownPhase } from '../../src/protocol/shutdown.ts';
import type { TreeNode } from '../../src/protocol/system.ts';
import type { ActorRef } from '../actor/local-ref.ts';
import { nameOfLife } from '../host/life.ts';
import type { ShardPorts } from '../remote/node.ts';
import type { Supervisor } from '../supervision/supervisor.ts';
import { treeOf } from '../supervision/tree.ts';
import type { Tenancy } from './activation.ts';
import { type GroupPorts, KeyedGroup } from './group.ts';
import { OwnKeyRef, SharedKeyRef } from './keyed-refs.ts';
import { keyedSettings } from './options.ts';
import { Seats, shardingOf } from './seats.ts';
import { StateStores } from './states.ts';

/** The first name of every path of a keyed actor. */
const KEYED_TOP = 'keyed';

/** What groups need of their system. */
export interface KeyedPorts extends Omit<GroupPorts, 'supervisor' | 'states'> {
  readonly supervisorFor: (path: string) => Supervisor;
  readonly onShutdown: (phase: ShutdownPhase, task: () => Promise<void>, timeoutMs: number) => void;
  /** Of a system with a broker. */
  readonly shards: ShardPorts | undefined;
}

interface Known {
  readonly group: KeyedGroup;
  readonly seats: Seats | undefined;
  readonly refTo: (protocol: AnyProtocol, key: string) => ActorRef;
}

/** The groups of one system. */
export class KeyedAgents {
  private readonly ports: KeyedPorts;
  private readonly groups = new Map<string, Known>();
  private readonly stores: StateStores;

  constructor(ports: KeyedPorts) {
    this.ports = ports;
    this.stores = new StateStores(ports.kernel);
  }

  /** Those whose actors live here. */
  get supervisors(): readonly Supervisor[] {
    return [...this.groups.values()].map(({ group }) => group.supervisor);
  }

  /** Their part of the tree, once there is a group. */
  tree(status: TreeNode['status']): readonly TreeNode[] {
    if (this.groups.size === 0) return [];
    const children = [...this.groups].map(([name, { group }]) => treeOf(name, group.supervisor, status));
    const address = `/${KEYED_TOP}`;
    return [{ name: KEYED_TOP, address, kind: 'supervisor', status, generation: 0, children }];
  }

  /** Throws `ERR_OPTION_INVALID`, `ERR_NAME_TAKEN`, and `ERR_ACTOR_STOPPED` once a shutdown has begun. */
  make(agent: AnyAgentDefinition, options: unknown): Keyed<AnyProtocol> {
    const { protocol } = agent;
    const settings = keyedSettings(protocol.name, options);
    const { name, shards } = settings;
    const path = `/${KEYED_TOP}/${name}`;
    if (this.groups.has(name)) throw new TroupeError('ERR_NAME_TAKEN', { name, holder: path });
    if (this.groups.size >= KEYED_GROUPS_MAX)
      throw invalidOption('keyed', `at most ${KEYED_GROUPS_MAX} groups in one system`, name);
    if (this.ports.kernel.isEnding) throw new TroupeError('ERR_ACTOR_STOPPED', { address: path });
    const sharding = this.ports.shards === undefined ? undefined : shardingOf(this.ports.shards);
    const group = new KeyedGroup(settings, agent, {
      ...this.ports,
      supervisor: this.ports.supervisorFor(path),
      states: settings.states === undefined ? undefined : this.stores.use(settings.states),
    });
    const known = this.known(group, sharding);
    if (this.groups.size === 0) this.endWithSystem();
    this.groups.set(name, known);
    if (settings.hosts) this.announce();
    const forKey = (key: string): unknown => known.refTo(protocol, checkKey('forKey: key', key));
    return Object.freeze({ name, shards, forKey: forKey as Keyed<AnyProtocol>['forKey'] }); // refs have the verbs of their protocol
  }

  /** The ref of a path like `/keyed/customers/42`; undefined for any other. */
  refAt(protocol: AnyProtocol, path: string): ActorRef | undefined {
    const [, top, name, actor, ...below] = path.split('/');
    const known = top === KEYED_TOP && below.length === 0 ? this.groups.get(name ?? '') : undefined;
    const key = actor === undefined ? undefined : keyOfName(actor);
    return known === undefined || key === undefined ? undefined : known.refTo(protocol, key);
  }

  private endWithSystem(): void {
    const { onShutdown } = this.ports;
    // As long as turns may go on, and no longer than the shutdown itself.
    onShutdown('hand-off', () => this.leave(), Infinity);
    onShutdown('flush', () => this.close(), SHUTDOWN_TASK_MS);
  }

  /** Hands all shards to other nodes. */
  private async leave(): Promise<void> {
    await Promise.all([...this.groups.values()].map(({ seats }) => seats?.leave() ?? Promise.resolve()));
  }

  /** All actors have ended: no timer is left, and no store is open. */
  private async close(): Promise<void> {
    for (const { group } of this.groups.values()) group.end();
    await this.stores.close();
  }

  private known(group: KeyedGroup, sharding: ReturnType<typeof shardingOf> | undefined): Known {
    const { shards } = this.ports;
    const { hosts } = group.settings;
    if (shards === undefined || sharding === undefined) {
      if (!hosts) throw invalidOption('keyed.hosts', 'true in a system without a broker', hosts);
      const { kernel } = group;
      const tenancy: Tenancy = {
        epoch: Math.max(1, Math.floor(kernel.host.clock.wallNow())), // a later process has a greater one
        owner: nameOfLife(kernel.host),
        stale: (activation, error) => kernel.background(activation.kill(error)),
      };
      const refTo = (protocol: AnyProtocol, key: string): ActorRef =>
        new OwnKeyRef(protocol, group, key, tenancy);
      return { group, seats: undefined, refTo };
    }
    const refTo = (protocol: AnyProtocol, key: string): ActorRef =>
      new SharedKeyRef(shards.calls, protocol, group, key);
    return { group, seats: hosts ? new Seats(group, shards, sharding) : undefined, refTo };
  }

  /** Says to the others what this node takes part in. */
  private announce(): void {
    const { shards, kernel } = this.ports;
    if (shards === undefined) return;
    const keyed = Object.fromEntries(
      [...this.groups].flatMap(
        ([
          name,
          {
            group: { settings },
          },
        ]) => (settings.hosts ? [[name, settings.shards] as const] : []),
      ),
    );
    // Where the broker is away it is told with the next connection.
    kernel.background(shards.nodes.say({ keyed }).catch(() => undefined));
  }
}
