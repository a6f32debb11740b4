/**
 * The system: wires kernel, supervision and routing together and shows them to users. The tree has three tops: `/root`,
 * the user's supervisor; `/user`, what `system.spawn` starts; `/system`, the actors behind function subscriptions.
 */

import {
  formatNodePlace,
  isLocalPlace,
  type NodePlace,
  namesNode,
  parseAddress,
  parseNodePlace,
} from '../src/protocol/address.ts';
import type { AnyAgentDefinition } from '../src/protocol/agent.ts';
import { checkNodeName } from '../src/protocol/broker-options.ts';
import type { RefsOf, RestartType } from '../src/protocol/child-spec.ts';
import {
  type AnySupervisor,
  type ChildSpec,
  childSpec,
  type Spawnable,
  supervisor,
} from '../src/protocol/child-spec.ts';
import type { Host } from '../src/protocol/clock.ts';
import type { DeadLetters } from '../src/protocol/dead-letters.ts';
import type { Sender } from '../src/protocol/envelope.ts';
import { TroupeError } from '../src/protocol/errors.ts';
import type { Keyed } from '../src/protocol/keyed.ts';
import {
  ASKS_IN_FLIGHT_MAX,
  DEAD_LETTERS_MAX,
  INTENSITY_MAX,
  INTENSITY_WITHIN_MS,
  REPLAYS_MAX,
  RESTARTS_WITHOUT_PROGRESS_MAX,
  TREE_DEPTH_MAX,
} from '../src/protocol/limits.ts';
import type { NodeView } from '../src/protocol/nodes.ts';
import {
  choiceOption,
  functionOption,
  integerOption,
  invalidOption,
  isName,
  nameOption,
  objectOption,
} from '../src/protocol/options.ts';
import { isPoolSpec, poolSizeOption } from '../src/protocol/pool.ts';
import type { AnyProtocol } from '../src/protocol/protocol.ts';
import type { Subscription } from '../src/protocol/subscription.ts';
import type {
  Inspection,
  LogRecord,
  RuntimeEvents,
  System,
  SystemOptions,
  TreeNode,
} from '../src/protocol/system.ts';
import type { Behaviour } from './actor/behaviour.ts';
import { Cell } from './actor/cell.ts';
import { inspectCell } from './actor/inspection.ts';
import { Kernel, type Upward } from './actor/kernel.ts';
import { type ActorRef, actorRef, localRef, NamedRef } from './actor/local-ref.ts';
import { resendTo } from './actor/replay.ts';
import type { Slot } from './actor/slot.ts';
import type { Turn } from './actor/turn.ts';
import { nameOfLife } from './host/life.ts';
import { systemHost } from './host/system-clock.ts';
import { KeyedAgents } from './keyed/keyed.ts';
import { OwnKeyRef, SharedKeyRef } from './keyed/keyed-refs.ts';
import { logRecordOf, writeToConsole } from './observe/console-log.ts';
import type { Census } from './observe/meters.ts';
import { behaviourFor, cellFor } from './pool/cells.ts';
import { GroupCell } from './pool/group.ts';
import { inspectPool } from './pool/inspection.ts';
import { type Hire, PoolCell } from './pool/pool.ts';
import { WorkerCell } from './pool/worker.ts';
import { type Agents, agentsOption } from './remote/agents.ts';
import type { NameKind } from './remote/names.ts';
import { RemoteNode } from './remote/node.ts';
import { clusterBrokerOption, codecsAt, nodeOption } from './remote/options.ts';
import { spawnOnOptions } from './remote/placements.ts';
import { startHere } from './remote/start-here.ts';
import { Registry } from './routing/registry.ts';
import { Shutdown, type ShutdownSettings } from './shutdown.ts';
import { ActorChild } from './supervision/actor-child.ts';
import { growSupervisor } from './supervision/branch.ts';
import { Control } from './supervision/control.ts';
import { refsOf } from './supervision/refs.ts';
import { Supervisor } from './supervision/supervisor.ts';
import { type SupervisorSettings, type Surroundings, UNRELATED } from './supervision/supervisor-settings.ts';
import { cellsBelow, findCell, findSupervisor, treeOf } from './supervision/tree.ts';
import { Topics } from './topics.ts';

/**
 * Starts a system. Resolves when the whole tree has started; rejects with `ERR_START_FAILED` when a child did not, and
 * then nothing is left running. Rejects with `ERR_OPTION_INVALID` for an option that is unknown or out of range.
 */
export function createSystem<Root extends AnySupervisor = never>(
  options: SystemOptions<Root>,
): Promise<System<[Root] extends [never] ? Record<never, never> : RefsOf<Root>>> {
  return startSystem(options, systemHost);
}

/** As `createSystem`, in surroundings of the caller's choosing. */
export async function startSystem<Root extends AnySupervisor = never>(
  options: SystemOptions<Root>,
  host: Host,
): Promise<System<[Root] extends [never] ? Record<never, never> : RefsOf<Root>>> {
  const system = new LocalSystem(options, host);
  await system.start();
  // The refs were made from `Root`, name by name; the verbs take what the public types say, with types erased.
  return system as unknown as System<[Root] extends [never] ? Record<never, never> : RefsOf<Root>>;
}

const NO_LIMIT = { max: Number.POSITIVE_INFINITY, withinMs: INTENSITY_WITHIN_MS };
const OWN_LIMIT = { max: INTENSITY_MAX, withinMs: INTENSITY_WITHIN_MS };

/** The running system as the engine sees it; behind a bus it is used as such. */
export class LocalSystem implements Surroundings, Upward {
  readonly name: string;
  readonly kernel: Kernel;
  readonly refs: unknown;
  readonly events: RuntimeEvents;
  private readonly registry = new Registry();
  readonly topics: Topics;
  private readonly behaviours = new WeakMap<object, Behaviour>();
  private readonly plainSpecs = new WeakMap<object, ChildSpec>();
  private readonly root: Supervisor;
  private readonly user: Supervisor;
  private readonly subscribers: Supervisor;
  private keysMade = 0;
  private workersMade = 0;
  private readonly ending: Shutdown;
  /** This process among others, if it has a broker. */
  private readonly node: RemoteNode | undefined;
  private readonly keyedAgents: KeyedAgents;

  constructor(options: unknown, host: Host, ending: Pick<ShutdownSettings, 'hasOnlyDrain'> = {}) {
    const given = objectOption('system options', options ?? null, [
      'name',
      'root',
      'deadLettersMax',
      'replaysMax',
      'asksInFlightMax',
      'log',
      'signals',
      'shutdown',
      'node',
      'broker',
      'codec',
      'codecs',
      'agents',
    ]);
    this.name = nameOption('name', given['name']);
    this.kernel = new Kernel(host, {
      deadLettersMax: integerOption('deadLettersMax', given['deadLettersMax'], 1, DEAD_LETTERS_MAX),
      replaysMax: integerOption('replaysMax', given['replaysMax'], 0, REPLAYS_MAX),
      asksInFlightMax: integerOption('asksInFlightMax', given['asksInFlightMax'], 1, ASKS_IN_FLIGHT_MAX),
      isDevelopment: process.env['NODE_ENV'] !== 'production',
    });
    this.kernel.wire(this);
    const agents = agentsOption(given['agents'], isStartable);
    this.node = this.nodeFrom(given, agents);
    if (agents.names.length > 0 && this.node === undefined)
      throw invalidOption('agents', 'absent in a system without a broker', given['agents']);
    const { node } = this;
    if (node !== undefined) this.registry.changed = (name) => node.stir(name);
    this.keyedAgents = new KeyedAgents({
      kernel: this.kernel,
      shards: this.node?.shardPorts,
      supervisorFor: (path) => new Supervisor(this, topSettings(path)),
      behaviourOf: (agent) => this.behaviourOf(agent),
      onShutdown: (phase, task, timeoutMs) => this.onShutdown(phase, 'keyed', task, { timeoutMs }),
    });
    this.topics = new Topics(this.kernel, (spec, args) =>
      this.place(this.subscribers, ++this.keysMade, spec, args),
    );
    if (node !== undefined) this.topics.open(node.openTopics(this.topics.router));
    this.kernel.deadLetters.resend = resendTo(this.kernel, (place) => this.findAgain(place));
    this.events = {
      subscribe: (listener) => {
        functionOption('events: listener', listener ?? null);
        return this.kernel.events.listen(listener);
      },
    };
    this.listenForLog(given['log']);
    const { signals, shutdown } = given;
    this.ending = new Shutdown(this.kernel, { ...ending, signals, shutdown }, () => [
      ...this.keyedAgents.supervisors,
      this.user,
      this.root,
      this.subscribers,
    ]);
    const definition = rootOption(given['root']);
    this.root = growSupervisor(this, definition, '/root', (_reason, error) => this.rootEnded(error));
    this.refs = refsOf(this.kernel, this.root);
    this.user = new Supervisor(this, topSettings('/user'));
    this.subscribers = new Supervisor(this, subscriberSettings('/system'));
  }

  /** For `ctx.system`. */
  get system(): unknown {
    return this;
  }

  get deadLetters(): DeadLetters {
    return this.kernel.deadLetters;
  }

  async start(): Promise<void> {
    const { node, kernel } = this;
    kernel.telemetry.open(this.census());
    try {
      await node?.open();
      await this.root.startAll();
    } catch (error) {
      kernel.telemetry.close();
      await node?.close();
      throw error;
    }
    this.ending.listen();
    if (node !== undefined) await this.join(node);
  }

  /** The actors are there: what others send is taken in, until they have ended. */
  private async join(node: RemoteNode): Promise<void> {
    this.onShutdown('announce', 'node', () => node.leave());
    this.onShutdown('stop-intake', 'node', () => node.stopIntake());
    const finish = async (signal: AbortSignal): Promise<void> => {
      await node.finish(signal);
      await node.flushed();
    };
    this.onShutdown('flush', 'node', finish);
    this.onShutdown('close', 'node', () => node.close());
    try {
      await this.topics.ready();
      await node.read();
    } catch (error) {
      await this.shutdown({ drainMs: 0 });
      throw error;
    }
  }

  private nodeFrom(
    { node: name, broker, codec, codecs: others }: NodeOptions,
    agents: Agents,
  ): RemoteNode | undefined {
    const checked = clusterBrokerOption(broker);
    const node = nodeOption(name, broker, 'system');
    const codecs = codecsAt(codec, others, broker, 'system');
    if (checked === undefined) return undefined;
    const { kernel } = this;
    const incarnation = nameOfLife(kernel.host);
    const identity = { name: node ?? `${this.name.slice(0, 32)}-${incarnation}`, incarnation };
    return new RemoteNode({
      kernel,
      broker: checked,
      identity,
      codecs,
      find: (place) => this.find(place),
      kindOf: (given) => this.kindOf(given),
      placement: {
        agents,
        // What `spawn` resolves with is a ref of this system.
        spawn: (agent, options) => this.spawn(agent, options) as Promise<ActorRef>,
        stop: (ref) => this.stop(ref),
      },
    });
  }

  keyed(agent: unknown, options?: unknown): Keyed<AnyProtocol> {
    if (!isAgent(agent)) throw invalidOption('keyed: agent', 'an agent made by agent(...)', agent);
    return this.keyedAgents.make(agent as AnyAgentDefinition, options); // what `agent` makes has all its options
  }

  /** The nodes that live; none without a broker. */
  get nodes(): readonly NodeView[] {
    return this.node?.list() ?? [];
  }

  // --- actors -----------------------------------------------------------------------------------------------------

  /** From users: `spawn(agent, options)`. From `ctx.spawn`: with the parent first. */
  spawn(agent: unknown, options?: unknown): Promise<unknown> {
    return this.spawnUnder(this.user, agent, options);
  }

  async spawnOn(node: unknown, agent: unknown, options?: unknown): Promise<unknown> {
    const name = checkNodeName(node);
    if (!isStartable(agent))
      throw invalidOption('spawnOn: agent', 'an agent made by agent(...), or a pool of one', agent);
    const call = spawnOnOptions(options);
    if (this.node === undefined)
      throw invalidOption('spawnOn: node', 'absent in a system without a broker', name);
    if (this.kernel.isIntakeClosed) throw new TroupeError('ERR_ACTOR_STOPPED', { address: '/' });
    if (this.node.isHere({ node: name, incarnation: undefined, local: '/user' }) !== true)
      return this.node.spawnOn(name, agent, call);
    call.signal?.throwIfAborted();
    const policy = call.name === undefined ? {} : { name: call.name };
    const starting = this.spawn(agent, isPoolSpec(agent) ? policy : { ...policy, args: call.args });
    const caller = { timeoutMs: call.timeoutMs, signal: call.signal, from: undefined };
    const stop = (ref: ActorRef): Promise<void> => this.stop(ref);
    // What `spawn` resolves with is a ref of this system.
    return startHere(this.kernel, agent.protocol.name, caller, starting as Promise<ActorRef>, stop);
  }

  spawnChild(sender: Sender, agent: unknown, options: unknown): Promise<unknown> {
    const parent = cellOf(sender);
    if (!parent.isOpen)
      return Promise.reject(new TroupeError('ERR_ACTOR_STOPPED', { address: parent.address }));
    const { rare } = parent;
    if (!(rare.children instanceof Supervisor)) {
      if (parent.path.split('/').length > TREE_DEPTH_MAX + 1) {
        const details = { address: parent.path, depthMax: TREE_DEPTH_MAX };
        return Promise.reject(new TroupeError('ERR_TREE_TOO_DEEP', details));
      }
      rare.children = new Supervisor(this, {
        ...UNRELATED,
        path: parent.path,
        intensity: OWN_LIMIT,
        restartsWithoutProgressMax: RESTARTS_WITHOUT_PROGRESS_MAX,
        onLimit: 'escalate',
        stopOrder: 'reverse',
        ended: (_reason, error) => parent.collapse(error),
      });
    }
    return this.spawnUnder(rare.children as Supervisor, agent, options); // made above, or found to be one
  }

  ref(protocol: AnyProtocol, nameOrAddress: string, options?: unknown): ActorRef {
    checkProtocol('ref: protocol', protocol);
    const { node: named } = objectOption('ref options', options, ['node']);
    const place = nodePlaceOption(nameOrAddress, named);
    if (place === undefined) return this.refHere(protocol, nameOrAddress);
    const { node } = this;
    if (node === undefined)
      throw invalidOption('ref: node', 'absent in a system without a broker', place.node);
    const isHere = node.isHere(place);
    if (isHere === false) return node.ref(protocol, place);
    // A life of this node that is over has no actors.
    if (isHere === undefined)
      return new NamedRef(this.kernel, protocol, formatNodePlace(place), () => undefined);
    return this.refHere(protocol, place.local);
  }

  private refHere(protocol: AnyProtocol, nameOrAddress: string): ActorRef {
    const keyed = this.keyedAgents.refAt(protocol, nameOrAddress);
    if (keyed !== undefined) return keyed;
    const { kernel, node } = this;
    const far =
      node === undefined || !isName(nameOrAddress) ? undefined : node.holderOf(protocol, nameOrAddress);
    return new NamedRef(kernel, protocol, nameOrAddress, () => this.find(nameOrAddress), far);
  }

  /** How other nodes are told of a name of this one. */
  private kindOf(name: string): NameKind | undefined {
    if (this.registry.lookup(name) !== undefined) return 'registered';
    return findCell(this.root, [name])?.isOpen === true ? 'child' : undefined;
  }

  register(name: string, ref: unknown): void {
    nameOption('register: name', name);
    const given = actorRef(ref, this.kernel);
    const cell = this.cellBehind('register', given);
    if (cell === undefined) throw new TroupeError('ERR_ACTOR_UNKNOWN', { address: given.address });
    this.registry.register(name, cell);
  }

  lookup(protocol: AnyProtocol, name: string): unknown {
    checkProtocol('lookup: protocol', protocol);
    checkPlace('lookup: name', name);
    const cell = this.find(name);
    if (cell !== undefined) return cell.isOpen ? cell.ref : undefined;
    return isName(name) ? this.node?.holderOf(protocol, name)() : undefined;
  }

  async stop(ref: unknown, reason?: unknown): Promise<void> {
    const word = choiceOption('stop: reason', reason, ['normal', 'shutdown'], 'shutdown');
    await actorRef(ref, this.kernel).stopActor(word);
  }

  async drain(ref: unknown): Promise<void> {
    await localRef('drain', ref, this.kernel).target()?.drain();
  }

  async kill(ref: unknown): Promise<void> {
    await localRef('kill', ref, this.kernel).target()?.kill();
  }

  supervisor(pathOrName: string): Control {
    checkPlace('supervisor: name', pathOrName);
    const names = pathOrName
      .replace(/^\/root(\/|$)/, '')
      .split('/')
      .filter((name) => name !== '');
    const found = findSupervisor(this.root, names, () =>
      this.kernel.isIntakeClosed ? 'stopping' : 'running',
    );
    if (found === undefined) throw new TroupeError('ERR_ACTOR_UNKNOWN', { address: pathOrName });
    return new Control(found.supervisor, found.status);
  }

  async resize(ref: unknown, size: unknown): Promise<void> {
    const workers = poolSizeOption('resize: size', size);
    const cell = this.cellBehind('resize', ref);
    if (cell === undefined)
      throw new TroupeError('ERR_ACTOR_UNKNOWN', { address: actorRef(ref, this.kernel).address });
    if (!(cell instanceof PoolCell)) throw invalidOption('resize: ref', 'a ref to a pool', cell.address);
    await cell.resize(workers);
  }

  suspend(ref: unknown): void {
    const cell = this.cellBehind('suspend', ref);
    if (cell !== undefined) cell.suspensions++;
  }

  resume(ref: unknown): void {
    const cell = this.cellBehind('resume', ref);
    if (cell === undefined || cell.suspensions === 0) return;
    cell.suspensions--;
    cell.ready();
    this.kernel.stirred?.();
  }

  inspect(ref: unknown): Inspection | undefined {
    const isKeyed = ref instanceof SharedKeyRef || ref instanceof OwnKeyRef;
    const cell = isKeyed ? ref.actorHere : this.cellBehind('inspect', ref);
    if (cell instanceof PoolCell) return inspectPool(cell);
    return cell === undefined ? undefined : inspectCell(cell);
  }

  tree(): TreeNode {
    const status = this.kernel.isIntakeClosed ? 'stopping' : 'running';
    const tops = [this.root, this.user, this.subscribers].map((top) =>
      treeOf(top.settings.path.slice(1), top, status),
    );
    const children = [...tops, ...this.keyedAgents.tree(status)];
    return { name: this.name, address: '/', kind: 'supervisor', status, generation: 0, children };
  }

  // --- topics -----------------------------------------------------------------------------------------------------

  publish(topic: unknown, ...rest: readonly unknown[]): Promise<void> {
    return this.topics.publish(topic, rest);
  }

  publishFrom(from: Turn, topic: unknown, rest: readonly unknown[]): Promise<void> {
    return this.topics.publishFrom(from, topic, rest);
  }

  subscribe(filter: unknown, handler: unknown, options?: unknown): Promise<Subscription> {
    return this.topics.subscribe(filter, handler, options);
  }

  messages(filter: unknown, options?: unknown): AsyncIterable<unknown> {
    return this.topics.messages(filter, options);
  }

  subscribeActor(sender: Sender, filter: unknown, options: unknown): Promise<Subscription> {
    return this.topics.subscribeFrom(cellOf(sender), filter, options);
  }

  // --- shutdown ---------------------------------------------------------------------------------------------------

  shutdown(options?: unknown): Promise<void> {
    return this.ending.start(options);
  }

  onShutdown(phase: unknown, name: unknown, task: unknown, options?: unknown): () => void {
    return this.ending.add(phase, name, task, options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  private rootEnded(error: TroupeError | undefined): void {
    const level = error === undefined ? 'info' : 'error';
    const text =
      error === undefined
        ? 'the significant children of the root have ended; the system shuts down'
        : 'the root supervisor gave up; the system shuts down';
    this.kernel.events.emit({ type: 'logged', level, address: '/root', text, fields: { error } });
    this.kernel.background(this.shutdown());
  }

  // --- what supervision and actors need -----------------------------------------------------------------------------

  cellFor(agent: ChildSpec['agent'], slot: Slot): Cell {
    const hire: Hire = (pool, worker, args, restart) => this.hire(pool, worker, args, restart);
    return cellFor(agent, this.behaviourOf(agent), slot, hire, this.node?.outposts);
  }

  private behaviourOf(agent: ChildSpec['agent']): Behaviour {
    let behaviour = this.behaviours.get(agent);
    if (behaviour === undefined) {
      behaviour = behaviourFor(this.kernel, agent);
      this.behaviours.set(agent, behaviour);
    }
    return behaviour;
  }

  /** Starts one more worker of a pool: each fails alone. */
  private hire(
    pool: PoolCell,
    agent: Spawnable,
    args: unknown,
    restart: RestartType | undefined,
  ): Promise<unknown> {
    const { rare, settings } = pool;
    if (!(rare.children instanceof Supervisor)) {
      const settingsFor = pool instanceof GroupCell ? subscriberSettings : topSettings;
      rare.children = new Supervisor(this, settingsFor(pool.path));
    }
    const name = `worker-${++this.workersMade}`;
    // Made above, or found to be one.
    return this.spawnUnder(rare.children as Supervisor, agent, {
      ...settings.policy,
      ...(restart !== undefined && { restart }),
      name,
      args,
    });
  }

  opened(cell: Cell): void {
    this.stirChild(cell);
    this.topics.opened(cell);
  }

  closed(cell: Cell): void {
    this.registry.release(cell);
    this.stirChild(cell);
    if (cell instanceof WorkerCell) cell.pool.ended(cell);
    this.kernel.stirred?.();
  }

  /** A child of the root has begun, or has ended: its name is one that other nodes know. */
  private stirChild({ path }: Cell): void {
    if (this.node === undefined || !path.startsWith(CHILD_OF_ROOT)) return;
    const name = path.slice(CHILD_OF_ROOT.length);
    if (isName(name)) this.node.stir(name);
  }

  private cellBehind(call: string, ref: unknown): Cell | undefined {
    const target = localRef(call, ref, this.kernel).target();
    return target === undefined ? undefined : cellOf(target);
  }

  private spawnUnder(supervisor: Supervisor, agent: unknown, options: unknown): Promise<unknown> {
    const pool = isPoolSpec(agent) ? agent : undefined;
    if (!isPoolSpec(agent) && !isAgent(agent))
      throw invalidOption('spawn: agent', 'an agent made by agent(...), or a pool of one', agent);
    if (this.kernel.isIntakeClosed || !supervisor.isOpen) {
      return Promise.reject(new TroupeError('ERR_ACTOR_STOPPED', { address: supervisor.settings.path }));
    }
    let name: string | undefined;
    let spec = pool ?? this.plainSpec(agent);
    let args: unknown;
    if (options !== undefined) {
      const known = pool === undefined ? SPAWN_OPTIONS : POOL_SPAWN_OPTIONS;
      const { name: givenName, ...rest } = objectOption('spawn options', options, known);
      if (givenName !== undefined) name = nameOption('spawn: name', givenName);
      args = rest['args'];
      if (
        rest['restart'] !== undefined ||
        rest['shutdownMs'] !== undefined ||
        rest['backoff'] !== undefined
      ) {
        spec = childSpec('spawn', agent, rest);
      }
    }
    if (name !== undefined && supervisor.children.has(name)) {
      return Promise.reject(
        new TroupeError('ERR_NAME_TAKEN', { name, holder: `${supervisor.settings.path}/${name}` }),
      );
    }
    const child = this.place(supervisor, name ?? ++this.keysMade, spec, args);
    try {
      const starting = child.start();
      const ref = child.cell?.ref;
      const isFed = (child.cell?.behaviour.agent.options.subscribe.length ?? 0) > 0;
      if (this.node !== undefined && isFed) return Promise.resolve(starting).then(() => this.fed(child, ref));
      return starting === undefined ? Promise.resolve(ref) : starting.then(() => ref);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** What its agent subscribes to is effective on every node; where it cannot be, nothing was spawned. */
  private async fed<R>(child: ActorChild, ref: R): Promise<R> {
    try {
      if (child.cell !== undefined) await this.topics.fed(child.cell);
    } catch (error) {
      await child.stop('shutdown');
      throw error;
    }
    return ref;
  }

  private place(supervisor: Supervisor, key: string | number, spec: ChildSpec, args: unknown): ActorChild {
    const child = new ActorChild(supervisor, key, spec, args);
    supervisor.children.set(key, child);
    return child;
  }

  /** The spec of an agent spawned without a policy of its own. */
  private plainSpec(agent: ChildSpec['agent']): ChildSpec {
    let spec = this.plainSpecs.get(agent);
    if (spec === undefined) {
      spec = childSpec('spawn', agent, undefined);
      this.plainSpecs.set(agent, spec);
    }
    return spec;
  }

  /** The actor that a name or an address means now: a registered name first, then `/root`, then `/user`. */
  private find(nameOrAddress: string): Cell | undefined {
    const registered = this.registry.lookup(nameOrAddress);
    if (registered !== undefined) return registered;
    if (!nameOrAddress.startsWith('/')) {
      const names = nameOrAddress.split('/');
      return findCell(this.root, names) ?? findCell(this.user, names);
    }
    const address = parseAddress(nameOrAddress);
    const path = `${address?.path ?? ''}/`;
    const supervisor = this.tops.find((each) => path.startsWith(`${each.settings.path}/`));
    const names = path.slice((supervisor?.settings.path.length ?? 0) + 1, -1).split('/');
    const cell = supervisor === undefined ? undefined : findCell(supervisor, names);
    return address?.uid === undefined || cell?.uid === address.uid ? cell : undefined;
  }

  /** Who gets a dead letter's message again: for a job that a worker had, the pool, unless each worker has its own copy. */
  private findAgain(place: string): Cell | undefined {
    const cut = place.lastIndexOf('/');
    const above = cut > 0 ? this.find(place.slice(0, cut)) : undefined;
    return above instanceof PoolCell && above.sharesJobs ? above : this.find(place);
  }

  private get tops(): readonly Supervisor[] {
    return [this.root, this.user, this.subscribers, ...this.keyedAgents.supervisors];
  }

  /** What metrics are read from. */
  private census(): Census {
    const { name, kernel } = this;
    const tops = (): readonly Supervisor[] => this.tops;
    return {
      system: name,
      actors: function* () {
        for (const top of tops()) yield* cellsBelow(top);
      },
      asksInFlight: () => kernel.asksInFlight,
      deaths: () => kernel.deadLetters.stats().byReason,
    };
  }

  private listenForLog(option: unknown): void {
    if (option === false) return;
    if (option !== undefined && typeof option !== 'function')
      throw invalidOption('log', 'a function, or false', option);
    const write = option === undefined ? writeToConsole : (option as (record: LogRecord) => void); // called with what its type says
    this.kernel.events.listenForLog((event) => {
      const record = logRecordOf(event);
      if (record !== undefined) write(record);
    });
  }
}

/** The options of a system that joins a broker. */
type NodeOptions = Readonly<Partial<Record<'node' | 'broker' | 'codec' | 'codecs', unknown>>>;

const CHILD_OF_ROOT = '/root/';
/** A pool has said everything else itself. */
const POOL_SPAWN_OPTIONS = ['name'];
const SPAWN_OPTIONS = ['name', 'args', 'restart', 'shutdownMs', 'backoff'];

function topSettings(path: string): SupervisorSettings {
  return {
    ...UNRELATED,
    path,
    intensity: OWN_LIMIT,
    restartsWithoutProgressMax: RESTARTS_WITHOUT_PROGRESS_MAX,
    onLimit: 'stop-child',
    stopOrder: 'together',
    ended: () => undefined,
  };
}

/** Subscribers have no state that may be broken, and each restart is one of the bounded attempts at a message. */
function subscriberSettings(path: string): SupervisorSettings {
  return { ...topSettings(path), intensity: NO_LIMIT, restartsWithoutProgressMax: Number.POSITIVE_INFINITY };
}

function rootOption(root: unknown): AnySupervisor {
  if (root === undefined) return supervisor({ intensity: NO_LIMIT, children: {} });
  if (isDefinition(root, 'supervisor')) return root as AnySupervisor; // made by `supervisor`
  throw invalidOption('root', 'supervisor({ ... })', root);
}

/** Every actor of a local system is a cell. */
function cellOf(sender: Sender): Cell {
  if (sender instanceof Cell) return sender;
  throw new Error(`${sender.address} is not an actor of this system`);
}

function isAgent(value: unknown): value is ChildSpec['agent'] {
  return isDefinition(value, 'agent');
}

function isStartable(value: unknown): value is Spawnable {
  return isPoolSpec(value) || isAgent(value);
}

/** Builders freeze what they make; an object that only looks like it is not. */
function isDefinition(value: unknown, kind: 'agent' | 'supervisor'): value is object {
  if (typeof value !== 'object' || value === null || !('kind' in value)) return false;
  return value.kind === kind && Object.isFrozen(value);
}

function checkProtocol(option: string, value: unknown): void {
  const messages =
    typeof value === 'object' && value !== null && 'messages' in value ? value.messages : undefined;
  if (typeof messages !== 'object' || messages === null) throw invalidOption(option, 'protocol(...)', value);
}

/** The node and the place there that a ref is to have; undefined where no node is named. */
function nodePlaceOption(value: unknown, node: unknown): NodePlace | undefined {
  if (typeof value === 'string' && namesNode(value)) {
    const place = parseNodePlace(value);
    if (place === undefined) throw invalidOption('ref: name', 'an address like //b/user/judge', value);
    if (node !== undefined && node !== place.node)
      throw invalidOption('ref: node', `absent, or the node of the address (${place.node})`, node);
    return place;
  }
  checkPlace('ref: name', value);
  if (node === undefined) return undefined;
  return { node: checkNodeName(node), incarnation: undefined, local: String(value) };
}

/** A name, names joined by `/`, or an address. */
function checkPlace(option: string, value: unknown): void {
  if (typeof value === 'string' && isLocalPlace(value)) return;
  throw invalidOption(option, 'a name, or an address like /user/judge', value);
}
