/**
 * Actors that are started on another node. The node that starts one answers with its address, and then waits to hear that the answer was heard
 * (`keep`): an actor whose asker gave up, died, or fell silent is stopped, so that nobody pays for what nobody knows of.
 */

import { formatNodePlace, parseAddress, parseNodePlace } from '../../src/protocol/address.ts';
import type { Spawnable } from '../../src/protocol/child-spec.ts';
import { Envelope } from '../../src/protocol/envelope.ts';
import { type ErrorDetails, isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import { ASK_TIMEOUT_MS, PLACEMENT_UNKEPT_MS, PLACEMENTS_MAX } from '../../src/protocol/limits.ts';
import type { NodeIdentity } from '../../src/protocol/membership.ts';
import { durationOption, nameOption, objectOption, signalOption } from '../../src/protocol/options.ts';
import { decodePayload } from '../../src/protocol/payload.ts';
import { NORMAL_RANK } from '../../src/protocol/priority.ts';
import type { Schema } from '../../src/protocol/schema.ts';
import { checkArriving } from '../actor/behaviour.ts';
import type { Kernel } from '../actor/kernel.ts';
import type { ActorRef } from '../actor/local-ref.ts';
import { entryWithoutHandler } from '../actor/outcomes.ts';
import type { Timeout } from '../host/timeouts.ts';
import type { Agents, RegisteredAgent } from './agents.ts';
import type { Asks } from './asks.ts';
import { keyOf, nodeOf } from './deliveries.ts';
import type { Arrival, Taken } from './inbound.ts';
import { type Mail, nodeDown } from './mail.ts';
import { refusalOf } from './refusal.ts';
import { clockTimeOf } from './wall-time.ts';
import { Wards } from './wards.ts';

/** Of the supervision of a worker. */
const POLICY = ['restart', 'shutdownMs', 'backoff'];
const SPAWN_ON_OPTIONS = ['args', 'name', 'timeoutMs', 'signal'];
/** Milliseconds for which an answer, or the word that it was heard, is worth sending. */
const ANSWER_MS = 60_000;
/** Where started actors live. */
const TOP = '/user';

/** An address of one incarnation, and nothing else: it comes from another node. */
const ADDRESS: Schema<string> = {
  '~standard': {
    version: 1,
    vendor: 'troupe-placement',
    validate: (value) =>
      typeof value === 'string' && parseAddress(value)?.uid !== undefined
        ? { value }
        : { issues: [{ message: 'it is not the address of one actor' }] },
  },
};

/** What the node does for it. */
export interface PlacementPorts {
  readonly agents: Agents;
  readonly spawn: (agent: Spawnable, options: Readonly<Record<string, unknown>>) => Promise<ActorRef>;
  readonly stop: (ref: ActorRef) => Promise<void>;
}

/** Options of `spawnOn`, checked. */
export interface SpawnOnCall {
  readonly name: string | undefined;
  readonly args: unknown;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Reads the options of `spawnOn`. Throws `ERR_OPTION_INVALID`. */
export function spawnOnOptions(options: unknown): SpawnOnCall {
  const { args, name, timeoutMs, signal } = objectOption('spawnOn options', options, SPAWN_ON_OPTIONS);
  return {
    args,
    name: name === undefined ? undefined : nameOption('spawnOn: name', name),
    timeoutMs: durationOption('spawnOn: timeoutMs', timeoutMs, ASK_TIMEOUT_MS),
    signal: signalOption('spawnOn: signal', signal),
  };
}

/** A start for another node, until that node has heard of it. */
interface Placement {
  /** It is not wanted any more. */
  isGivenUp: boolean;
  ref: ActorRef | undefined;
  timeout: Timeout | undefined;
}

/** What another node wants to be started. */
interface Wish {
  readonly registered: RegisteredAgent;
  readonly name: string | undefined;
  readonly args: unknown;
  /** The policy of a worker; undefined for any other actor. */
  readonly worker: Readonly<Record<string, unknown>> | undefined;
}

/** Starts on other nodes, and for them. */
export class Placements {
  private readonly kernel: Kernel;
  private readonly mail: Mail;
  private readonly asks: Asks;
  private readonly ports: PlacementPorts;
  /** By node, incarnation and id. */
  private readonly open = new Map<string, Placement>();
  private readonly wards: Wards;

  constructor(kernel: Kernel, mail: Mail, asks: Asks, ports: PlacementPorts) {
    this.kernel = kernel;
    this.mail = mail;
    this.asks = asks;
    this.ports = ports;
    this.wards = new Wards((ref) => kernel.background(ports.stop(ref)));
  }

  /**
   * Starts an actor on another node; resolves with its life and its address there. With a policy it is a worker of this node: it is supervised so
   * there, and ends with this life.
   */
  async start(
    name: string,
    agent: Spawnable,
    { args, name: named, timeoutMs, signal }: SpawnOnCall,
    policy?: Readonly<Record<string, unknown>>,
  ): Promise<{ readonly node: NodeIdentity; readonly address: string }> {
    const { kernel, mail } = this;
    signal?.throwIfAborted();
    const node = mail.nodes.find(name);
    if (node === undefined) throw nodeDown(name);
    const { asksInFlightMax } = kernel.settings;
    if (kernel.asksInFlight >= asksInFlightMax)
      throw new TroupeError('ERR_ASKS_IN_FLIGHT_FULL', { max: asksInFlightMax });
    const known = this.ports.agents.nameOf(agent);
    const entry = entryWithoutHandler(known, 'ask');
    const wish = { name: named, args, worker: policy === undefined ? undefined : policyWord(policy) };
    const envelope = new Envelope(entry, wish, NORMAL_RANK, undefined, undefined, undefined);
    const extras = envelope.ensureExtras();
    extras.id = mail.nextId();
    extras.deadline = kernel.now() + timeoutMs;
    const address = `//${name}${TOP}${named === undefined ? '' : `/${named}`}`;
    const target = formatNodePlace({ node: name, incarnation: node.incarnation, local: TOP });
    const destination = { kind: 'node', node: name } as const;
    const to = { destination, node, target, address, protocol: agent.protocol.name };
    const caller = { timeoutMs, signal, from: undefined };
    const answer = await this.asks.ask(to, envelope, ADDRESS, caller, 'spawn');
    const dueAt = kernel.now() + ANSWER_MS;
    mail.say(node, { type: 'keep', id: extras.id, lane: NORMAL_RANK, dueAt });
    return { node, address: String(answer) };
  }

  /** Another node wants an actor to be started. It is done with when that has begun: a node that dies has started nothing. */
  take(arrival: Arrival): Taken {
    const { mail } = this;
    const { message } = arrival;
    const place = message.target === undefined ? undefined : parseNodePlace(message.target.address);
    const { self } = mail.nodes;
    if (
      message.target === undefined ||
      place === undefined ||
      place.node !== self.name ||
      place.local !== TOP
    )
      return Promise.resolve({ reason: 'validation', error: new Error('it is for another place') });
    // Whoever asked a life of this node that is over has heard of its end; who is lost himself hears nothing.
    if (place.incarnation !== self.incarnation || mail.nodes.isLost(nodeOf(arrival))) return undefined;
    try {
      this.begin(arrival, this.wishIn(arrival, message.target.message, message.target.protocol));
    } catch (error) {
      this.refuse(arrival, error);
    }
    return undefined;
  }

  /** The asker gives up. False: it has asked for nothing of this id. */
  cancel({ message, node, incarnation }: Arrival): boolean {
    const key = keyOf(node, incarnation, message.id);
    const placement = this.open.get(key);
    if (placement === undefined) return false;
    this.giveUp(key, placement);
    return true;
  }

  /** The asker has the address. */
  keep({ message, node, incarnation }: Arrival): void {
    const key = keyOf(node, incarnation, message.id);
    const placement = this.open.get(key);
    if (placement !== undefined) this.close(key, placement);
  }

  /** A life of a node has ended: what it has not heard of is not wanted. */
  ended({ name, incarnation }: NodeIdentity): void {
    const prefix = keyOf(name, incarnation, '');
    for (const [key, placement] of this.open) if (key.startsWith(prefix)) this.giveUp(key, placement);
    this.wards.ended({ name, incarnation });
  }

  /** The others have given this life up, and the workers that they have here. */
  renewed(): void {
    this.wards.endAll();
  }

  /** The system ends, and with it all that was started. */
  end(): void {
    for (const [key, placement] of this.open) this.close(key, placement);
  }

  private wishIn({ message, node }: Arrival, name: string, protocol: string): Wish {
    const { agents } = this.ports;
    const { self } = this.mail.nodes;
    const registered = agents.find(name);
    if (registered === undefined) {
      const details = { agent: name, node: self.name, asker: node, known: agents.names };
      throw new TroupeError('ERR_AGENT_UNKNOWN', details);
    }
    const found = registered.agent.protocol.name;
    if (found !== protocol) {
      const address = this.mail.nameHere(TOP);
      const details = { address, message: `(start ${name})`, protocol, found: `protocol '${found}'` };
      throw new TroupeError('ERR_PROTOCOL_MISMATCH', details);
    }
    const wish = objectOption('spawnOn options', decodePayload(message.payload), ['name', 'args', 'worker']);
    const checked = checkArriving(registered.args, wish['args']);
    if (!checked.ok) {
      const issues =
        registered.args === undefined
          ? [`node ${self.name} has no schema for them: it takes none from other nodes`]
          : checked.issues;
      throw new TroupeError('ERR_MESSAGE_INVALID', {
        subject: `what agent '${name}' was given as args`,
        issues,
      });
    }
    const named = wish['name'] === undefined ? undefined : nameOption('spawnOn: name', wish['name']);
    const worker = wish['worker'] === undefined ? undefined : policyIn(wish['worker'], registered.agent);
    return { registered, name: named, args: checked.value, worker };
  }

  private begin(arrival: Arrival, { registered, name, args, worker }: Wish): void {
    const { kernel, ports } = this;
    if (this.open.size >= PLACEMENTS_MAX)
      throw new TroupeError('ERR_ASKS_IN_FLIGHT_FULL', { max: PLACEMENTS_MAX });
    if (clockTimeOf(kernel, arrival.message.expiresAtMs) <= kernel.now()) return; // nobody waits any more
    const { node, incarnation, message } = arrival;
    const key = keyOf(node, incarnation, message.id);
    const placement: Placement = { isGivenUp: false, ref: undefined, timeout: undefined };
    this.open.set(key, placement);
    const options = { ...(name !== undefined && { name }), ...(args !== undefined && { args }), ...worker };
    const started = ports.spawn(registered.agent, options).then(
      (ref) => {
        if (worker !== undefined) this.wards.add(nodeOf(arrival), ref);
        this.started(arrival, key, placement, ref);
      },
      (error: unknown) => {
        this.close(key, placement);
        if (!placement.isGivenUp) this.refuse(arrival, error);
      },
    );
    kernel.background(started);
  }

  private started(arrival: Arrival, key: string, placement: Placement, ref: ActorRef): void {
    placement.ref = ref;
    if (placement.isGivenUp) {
      this.giveUp(key, placement);
      return;
    }
    const { kernel } = this;
    placement.timeout = kernel.timeouts.startFunction(PLACEMENT_UNKEPT_MS, kernel.now(), () =>
      this.giveUp(key, placement),
    );
    this.say(arrival, 'reply', ref.address);
  }

  /** What is still starting is stopped once it has started, which takes its `startTimeoutMs` at the most. */
  private giveUp(key: string, placement: Placement): void {
    placement.isGivenUp = true;
    const { ref } = placement;
    if (ref === undefined) return;
    this.close(key, placement);
    this.kernel.background(this.ports.stop(ref));
  }

  private close(key: string, { timeout }: Placement): void {
    this.open.delete(key);
    if (timeout !== undefined) this.kernel.timeouts.cancel(timeout);
  }

  private refuse(arrival: Arrival, error: unknown): void {
    const { target } = arrival.message;
    const refused = { address: target?.address ?? '', message: target?.message ?? '' };
    // Whatever does not start on a node that ends is no fault of its own.
    const why = this.kernel.isEnding ? new TroupeError('ERR_ACTOR_STOPPED', { address: TOP }) : error;
    this.say(arrival, 'refusal', refusalOf(this.named(why), refused));
  }

  /** The asker knows the actors of this node by their whole names. */
  private named(error: unknown): unknown {
    if (isTroupeError(error, 'ERR_START_FAILED')) {
      const details: ErrorDetails['ERR_START_FAILED'] = {
        address: this.mail.nameHere(error.details.address),
      };
      return new TroupeError('ERR_START_FAILED', details, { cause: error.cause });
    }
    if (isTroupeError(error, 'ERR_NAME_TAKEN')) {
      const { name, holder } = error.details;
      return new TroupeError('ERR_NAME_TAKEN', { name, holder: this.mail.nameHere(holder) });
    }
    return error;
  }

  private say(arrival: Arrival, type: 'reply' | 'refusal', value: unknown): void {
    const { id } = arrival.message;
    const dueAt = this.kernel.now() + ANSWER_MS;
    const payload = this.mail.payloadOf(value);
    this.mail.say(nodeOf(arrival), { type, id, lane: arrival.lane, dueAt, payload });
  }
}

/** A policy as it travels: JSON knows no `Infinity`. */
function policyWord(policy: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { shutdownMs, ...others } = policy;
  const said = Object.entries(others).filter(([, value]) => value !== undefined);
  const limit = shutdownMs === Infinity ? null : shutdownMs;
  return { ...Object.fromEntries(said), ...(limit !== undefined && { shutdownMs: limit }) };
}

/** What of it counts for an agent: a pool has said all of that itself. `spawn` looks at the values. */
function policyIn(word: unknown, agent: Spawnable): Readonly<Record<string, unknown>> {
  const policy = objectOption('worker', word, POLICY);
  if (agent.kind !== 'agent') return {};
  return policy['shutdownMs'] === null ? { ...policy, shutdownMs: Infinity } : policy;
}
