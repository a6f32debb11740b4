/**
 * One node of a system that has several: joins the broker, and the parts that send, ask, deliver and know who is there. This file only wires and ends them.
 */

import { formatNodePlace, type NodePlace } from '../../src/protocol/address.ts';
import type { Broker, BrokerState, NodeIdentity, PerLane } from '../../src/protocol/broker.ts';
import type { Spawnable } from '../../src/protocol/child-spec.ts';
import type { Codecs } from '../../src/protocol/codec.ts';
import { type AskChain, Envelope, Extras } from '../../src/protocol/envelope.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import { LANE_WINDOWS, MISMATCHES_TOLD_MAX } from '../../src/protocol/limits.ts';
import type { Membership } from '../../src/protocol/membership.ts';
import type { NodeView } from '../../src/protocol/nodes.ts';
import { decodePayload } from '../../src/protocol/payload.ts';
import type { AnyProtocol } from '../../src/protocol/protocol.ts';
import type { Kernel } from '../actor/kernel.ts';
import { entryWithoutHandler } from '../actor/outcomes.ts';
import type { Router } from '../routing/router.ts';
import { InboxArrivals } from './arrivals.ts';
import { Asks } from './asks.ts';
import { Deliveries, type Find } from './deliveries.ts';
import { FarOutposts } from './far-outposts.ts';
import { type Arrival, Inbound, type Taken } from './inbound.ts';
import { Jobs } from './jobs.ts';
import { Labour } from './labour.ts';
import { LateFrames } from './late-frames.ts';
import { Mail, nodeDown } from './mail.ts';
import { type NameKind, Names } from './names.ts';
import { Nodes } from './nodes.ts';
import { Outbox } from './outbox.ts';
import { type PlacementPorts, Placements, type SpawnOnCall } from './placements.ts';
import { errorOf } from './refusal.ts';
import { type RemoteCalls, RemoteRef } from './remote-ref.ts';
import { RemoteWatchers } from './remote-watchers.ts';
import { RemoteWatches } from './remote-watches.ts';
import { TopicMail } from './topic-mail.ts';

const WINDOWS: PerLane = LANE_WINDOWS;
const LATE_REPLY = entryWithoutHandler('(reply)', 'tell');
/** Milliseconds between looks at what still waits in the inbox of a node that leaves. */
const LEAVING_LOOK_MS = 20;

/** A broker that tells who lives. */
export type ClusterBroker = Broker & { readonly members: Membership };

/** What a node needs of its system. */
export interface NodePorts {
  readonly kernel: Kernel;
  readonly broker: ClusterBroker;
  readonly identity: NodeIdentity;
  readonly codecs: Codecs;
  readonly find: Find;
  /** How this node holds a name. */
  readonly kindOf: (name: string) => NameKind | undefined;
  /** What others may start here, and how. */
  readonly placement: PlacementPorts;
}

/** What whoever reads and fills shards needs of the node. */
export interface ShardPorts {
  readonly kernel: Kernel;
  readonly broker: ClusterBroker;
  readonly nodes: Nodes;
  readonly mail: Mail;
  readonly calls: RemoteCalls;
  /** The turns that wait for an ask. */
  readonly chainIn: (arrival: Arrival) => AskChain | undefined;
}

/** This process among the others. */
export class RemoteNode {
  private readonly kernel: Kernel;
  private readonly broker: ClusterBroker;
  private readonly identity: NodeIdentity;
  private readonly nodes: Nodes;
  private readonly outbox: Outbox;
  private readonly mail: Mail;
  private readonly asks: Asks;
  private readonly watches: RemoteWatches;
  private readonly watchers: RemoteWatchers;
  private readonly calls: RemoteCalls;
  private readonly deliveries: Deliveries;
  private readonly placements: Placements;
  private readonly jobs: Jobs;
  private readonly labour: Labour;
  /** The other nodes, as this one can start workers there. */
  readonly outposts: FarOutposts;
  private readonly names: Names;
  private readonly inbound: Inbound;
  private readonly arrivals: InboxArrivals;
  private topics: TopicMail | undefined = undefined;
  private readonly mismatches = new Set<string>();
  /** What has come between two lives, in order. */
  private readonly early: (() => void)[] = [];
  private readonly unheard: () => void;
  private isBrokerUp = true;

  constructor({ kernel, broker, identity, codecs, find, kindOf, placement }: NodePorts) {
    this.kernel = kernel;
    this.broker = broker;
    this.identity = identity;
    this.outbox = new Outbox(kernel, broker, identity);
    const listener = {
      came: (node: NodeIdentity) => this.names.came(node),
      ended: (node: NodeIdentity) => this.ended(node),
      renewed: (self: NodeIdentity) => this.renewed(self),
    };
    this.nodes = new Nodes(identity, broker.members, kernel.events, listener, placement.agents.names);
    const { frameBytesMax } = broker.capabilities;
    this.mail = new Mail(kernel, this.nodes, this.outbox, { frameBytesMax, codecs });
    this.asks = new Asks(kernel, this.mail);
    this.deliveries = new Deliveries(kernel, this.mail, find);
    this.placements = new Placements(kernel, this.mail, this.asks, placement);
    this.names = new Names(kernel, this.mail, kindOf);
    this.arrivals = new InboxArrivals(({ node, stream }, frames) =>
      kernel.events.emit({ type: 'frames-missing', node, stream, frames }),
    );
    const frames = new LateFrames(kernel, this.arrivals, () => this.isBrokerUp);
    this.watches = new RemoteWatches({ kernel, mail: this.mail, frames });
    this.watchers = new RemoteWatchers(kernel, this.mail, find);
    this.jobs = new Jobs(kernel, this.mail);
    this.labour = new Labour(kernel, this.mail, this.deliveries, find);
    const { placements, watches, jobs } = this;
    this.outposts = new FarOutposts({ mail: this.mail, agents: placement.agents, placements, watches, jobs });
    this.calls = { kernel, mail: this.mail, asks: this.asks, watches: this.watches };
    this.inbound = new Inbound(kernel, frames, (arrival) => this.arrived(arrival));
    this.unheard = broker.onState(({ state, cause }) => this.changed(state, cause));
    kernel.nameOnNodes = (address) => this.mail.nameHere(address);
  }

  /** Joins. From now on messages can be sent; those of others wait at the broker. Rejects as `Broker.open` does. */
  async open(): Promise<void> {
    await this.broker.open(this.identity, this.kernel.host);
    this.nodes.begin();
    this.names.begin(this.nodes.list());
    await this.nodes.introduce();
  }

  /** Lets topics reach other nodes. To be called once, before it is open. */
  openTopics(router: Router): TopicMail {
    const { kernel, broker, nodes, mail, outbox, arrivals } = this;
    const interrupted = (): void => arrivals.interrupt();
    this.topics = new TopicMail({ kernel, router, broker, nodes, mail, outbox, interrupted });
    return this.topics;
  }

  /** Takes in what others send. */
  async read(): Promise<void> {
    const { receive } = this.inbound;
    this.inbound.begin(await this.broker.consume({ kind: 'inbox' }, { windows: WINDOWS, receive }));
  }

  list(): readonly NodeView[] {
    return this.nodes.list();
  }

  /** Whether a place is one of this node; undefined where that life of it is over. */
  isHere({ node, incarnation }: NodePlace): boolean | undefined {
    const { self } = this.nodes;
    if (node !== self.name) return false;
    return (incarnation ?? self.incarnation) === self.incarnation ? true : undefined;
  }

  /** What keyed agents need of the node. */
  get shardPorts(): ShardPorts {
    const { kernel, broker, nodes, mail, calls, deliveries } = this;
    return { kernel, broker, nodes, mail, calls, chainIn: (arrival) => deliveries.chainIn(arrival) };
  }

  ref(protocol: AnyProtocol, place: NodePlace): RemoteRef {
    return new RemoteRef(this.calls, protocol, place);
  }

  /** A name of this node may be held, or held no more. */
  stir(name: string): void {
    this.names.stir(name);
  }

  /** Leads to whichever other node holds a name when it is asked; it makes no ref twice in a row. */
  holderOf(protocol: AnyProtocol, name: string): () => RemoteRef | undefined {
    let last: RemoteRef | undefined;
    return () => {
      const node = this.names.find(name)?.name;
      if (node === undefined) return undefined;
      if (last?.place.node !== node) last = this.ref(protocol, { node, incarnation: undefined, local: name });
      return last;
    };
  }

  /** Starts an actor on another node. */
  async spawnOn(name: string, agent: Spawnable, call: SpawnOnCall): Promise<RemoteRef> {
    const { node, address: local } = await this.placements.start(name, agent, call);
    return this.ref(agent.protocol, { node: node.name, incarnation: node.incarnation, local });
  }

  // --- the end ----------------------------------------------------------------------------------------------------

  /** Tells the others that this node takes no new mail. */
  async leave(): Promise<void> {
    // Where the broker is away nobody can be told: the broker itself will.
    await this.nodes.leave().catch(() => undefined);
  }

  /** Takes no more of what groups of other nodes can have as well. */
  stopIntake(): void {
    this.topics?.stopGroups();
  }

  /** Gives what was sent to this node its outcome: its actors have ended, so that it is dead or refused. Then reads no more. */
  async finish(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && (await this.hasMail())) await this.pause();
    await this.topics?.settled();
    await this.inbound.stop(0);
  }

  /** Resolves when the broker has all that was sent. */
  flushed(): Promise<void> {
    return this.outbox.drained();
  }

  /** Ends what waits, and disconnects. */
  async close(): Promise<void> {
    const reason = new TroupeError('ERR_ACTOR_STOPPED', { address: '/' });
    this.asks.withdraw(reason);
    this.jobs.close();
    this.watches.close();
    this.watchers.clear();
    this.outbox.withdraw(reason);
    this.nodes.end();
    this.names.end();
    this.placements.end();
    this.unheard(); // that it is closed is no outage
    await this.broker.close();
  }

  private async hasMail(): Promise<boolean> {
    try {
      const backlog = await this.broker.backlog({ kind: 'inbox' });
      return backlog?.some((frames) => frames > 0) === true;
    } catch {
      return false; // the broker is away
    }
  }

  private pause(): Promise<void> {
    const { kernel } = this;
    return new Promise((resolve) => {
      kernel.timeouts.startFunction(LEAVING_LOOK_MS, kernel.now(), resolve);
    });
  }

  // --- in ---------------------------------------------------------------------------------------------------------

  /**
   * What comes between two lives may have been sent to the next one, of which others can hear first: it waits for it. An answer in the name
   * of the life that is over would count for nothing, and what was begun in that life would end with it.
   */
  private arrived(arrival: Arrival): Taken {
    if (!this.nodes.isBetweenLives) return this.take(arrival);
    return new Promise((resolve) => {
      this.early.push(() => {
        try {
          resolve(this.take(arrival));
        } catch (error) {
          resolve({ reason: 'validation', error });
        }
      });
    });
  }

  private take(arrival: Arrival): Taken {
    const { message, topic } = arrival;
    if (topic !== undefined) return this.topics?.take(arrival, topic) ?? undefined;
    switch (message.type) {
      case 'tell':
      case 'ask':
      case 'send':
        return this.deliveries.take(arrival);
      case 'job':
        return this.labour.take(arrival);
      case 'done':
        return this.jobs.done(arrival);
      case 'spawn':
        return this.placements.take(arrival);
      case 'keep':
        this.placements.keep(arrival);
        return undefined;
      case 'names':
        return this.names.take(arrival);
      case 'cancel':
        if (!this.placements.cancel(arrival) && !this.labour.cancel(arrival)) this.deliveries.cancel(arrival);
        return undefined;
      case 'reply':
      case 'refusal':
        return this.takeAnswer(arrival);
      case 'part':
        return this.takePart(arrival);
      case 'demand':
        return this.deliveries.demand(arrival) ? undefined : misdirected('it says no number of parts');
      case 'watch':
        return this.watchers.watch(arrival, decodePayload(message.payload));
      case 'stop':
        return this.watchers.stop(arrival, decodePayload(message.payload));
      case 'unwatch':
        this.watchers.unwatch(arrival);
        return undefined;
      case 'terminated':
        return this.watches.take(arrival, decodePayload(message.payload));
      case 'message':
        return misdirected('it was sent to a node, not to a topic');
      case 'request':
      case 'working':
        return misdirected('it is of a bus');
    }
  }

  private takeAnswer(arrival: Arrival): Taken {
    const { message, node } = arrival;
    let value: unknown;
    try {
      value = this.mail.valueOf(message.payload);
    } catch (error) {
      return Promise.resolve({ reason: 'serialization', error });
    }
    if (this.asks.answered(arrival, value) || this.jobs.answered(arrival, value)) return undefined;
    // The end of a stream that nobody reads any more says nothing, unless it has a result.
    const isNothing = value === undefined && message.correlationId !== undefined;
    if (message.type === 'reply') {
      if (!isNothing) this.buryReply(arrival, value);
    } else this.noteMismatch(node, value);
    return undefined;
  }

  private takePart(arrival: Arrival): Taken {
    try {
      const isAsked = this.asks.came(arrival, () => this.mail.valueOf(arrival.message.payload));
      return isAsked ? undefined : misdirected('it is a part that nobody has asked for');
    } catch (error) {
      return Promise.resolve({ reason: 'serialization', error });
    }
  }

  /** A reply that nobody waits for any more. */
  private buryReply({ message, node, incarnation, lane }: Arrival, value: unknown): void {
    const extras = new Extras();
    extras.headers = message.headers;
    const sender = { address: formatNodePlace({ node, incarnation, local: '/' }) };
    const reply = new Envelope(LATE_REPLY, value, lane, sender, undefined, extras);
    this.kernel.deadLetters.add(reply, this.mail.nameHere('/'), 'late-reply');
  }

  /** A node says that it does not know a message that it was told: the only refusal that comes to somebody who does not wait. */
  private noteMismatch(node: string, refusal: unknown): void {
    const error = errorOf(refusal, { address: `//${node}`, message: '' });
    if (!isTroupeError(error, 'ERR_PROTOCOL_MISMATCH')) return;
    const { protocol, message, address } = error.details;
    const key = `${node} ${protocol} ${message}`;
    if (this.mismatches.has(key) || this.mismatches.size >= MISMATCHES_TOLD_MAX) return;
    this.mismatches.add(key);
    const text = `node ${node} runs another version of a protocol: ${error.message}`;
    this.kernel.events.emit({ type: 'logged', level: 'error', address, text, fields: undefined });
  }

  // --- changes ----------------------------------------------------------------------------------------------------

  private ended(node: NodeIdentity): void {
    this.outbox.giveUp({ kind: 'node', node: node.name }, nodeDown(node.name));
    this.asks.ended(node);
    this.jobs.ended(node);
    this.deliveries.ended(node);
    this.labour.ended(node);
    this.placements.ended(node);
    this.names.ended(node);
    this.watches.ended(node);
    this.watchers.ended(node);
  }

  /** The others have given this life up, with all that it had asked them. */
  private renewed(self: NodeIdentity): void {
    this.asks.withdraw(nodeDown(self.name));
    this.jobs.withdraw();
    this.placements.renewed();
    this.deliveries.renewed(self);
    this.outbox.renew(self);
    this.names.renewed();
    this.watchers.clear();
    this.watches.renewed();
    for (const take of this.early.splice(0)) take();
  }

  private changed(state: BrokerState, error: Error | undefined): void {
    this.kernel.events.emit({ type: 'broker-state-changed', broker: this.broker.kind, state, error });
    this.isBrokerUp = state === 'up';
    if (state === 'up') this.outbox.hurry();
  }
}

/** Nobody who keeps to the protocol sends this. */
function misdirected(problem: string): Taken {
  return Promise.resolve({ reason: 'validation', error: new Error(problem) });
}
