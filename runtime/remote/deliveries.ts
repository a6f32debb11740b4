/**
 * What other nodes send to actors of this one. Where a message leads is found out when it arrives. It is done with, for the broker, when a mailbox
 * has it; one that finds its mailbox full is held until there is room or its time is over, because who is busy is not to blame. What reaches
 * nobody becomes a dead letter here, and whoever waits for an answer is refused.
 */

import { type NodePlace, parseNodePlace } from '../../src/protocol/address.ts';
import {
  type AskChain,
  type Customer,
  Envelope,
  Extras,
  type MessageEntry,
} from '../../src/protocol/envelope.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import type { DeadLetterReason } from '../../src/protocol/events.ts';
import type { WireMessage, WirePayload, WireTarget } from '../../src/protocol/frame.ts';
import { MISMATCHES_TOLD_MAX, STREAM_WINDOW_MAX } from '../../src/protocol/limits.ts';
import type { NodeIdentity } from '../../src/protocol/membership.ts';
import type { MessageKind } from '../../src/protocol/protocol.ts';
import type { Actor } from '../actor/actor.ts';
import type { Behaviour } from '../actor/behaviour.ts';
import type { Kernel } from '../actor/kernel.ts';
import { cycleTo } from '../actor/local-ref.ts';
import { Waiter, type WaitingSender } from '../actor/mailbox.ts';
import { entryWithoutHandler } from '../actor/outcomes.ts';
import { noRoom } from '../actor/pending.ts';
import { Timeout } from '../host/timeouts.ts';
import type { Arrival, GivenUp, Taken } from './inbound.ts';
import type { Mail } from './mail.ts';
import { partsIn } from './parts-text.ts';
import { type Refused, refusalOf } from './refusal.ts';
import { RemoteCustomer } from './remote-customer.ts';
import { StreamCustomer } from './stream-customer.ts';
import { clockTimeOf } from './wall-time.ts';

/** Places that are remembered, as they were written; with one more, all are read anew. */
const PLACES_MAX = 1_000;

/** Whoever a message is for, if he is here. */
export type Find = (place: string) => Actor | undefined;

/** A message to an actor, as it arrived. */
interface Incoming extends Arrival {
  readonly target: WireTarget;
  readonly payload: unknown;
  readonly deadline: number;
}

/** Where an incoming message gets to. */
interface Way {
  readonly actor: Actor;
  readonly entry: MessageEntry;
  readonly content: unknown;
}

/** The messages that come to one node. */
export class Deliveries {
  private readonly kernel: Kernel;
  private readonly mail: Mail;
  private readonly find: Find;
  /** Those on other nodes who wait, by node and id. */
  private readonly customers = new Map<string, RemoteCustomer>();
  private readonly mismatches = new Set<string>();
  /** Places that were read: many messages go to the same ones. */
  private readonly places = new Map<string, NodePlace>();

  constructor(kernel: Kernel, mail: Mail, find: Find) {
    this.kernel = kernel;
    this.mail = mail;
    this.find = find;
  }

  take(arrival: Arrival): Taken {
    const { target, payload: sent, expiresAtMs } = arrival.message;
    if (target === undefined) return givenUp('validation', new Error('it names no actor'));
    let payload: unknown;
    try {
      payload = this.mail.valueOf(sent);
    } catch (error) {
      this.answer(arrival, 'refusal', undefined, error);
      return givenUp('serialization', error);
    }
    const deadline = clockTimeOf(this.kernel, expiresAtMs);
    const { message, node, incarnation, stream, sequence, lane, topic, deliveries } = arrival;
    const incoming: Incoming = {
      message,
      node,
      incarnation,
      stream,
      sequence,
      lane,
      topic,
      deliveries,
      target,
      payload,
      deadline,
    };
    const { nodes } = this.mail;
    if (nodes.isLost(nodeOf(arrival))) return this.bury(incoming, target.address, 'quarantined');
    const place = this.placeOf(target.address);
    if (place === undefined || place.node !== nodes.self.name)
      return givenUp('validation', new Error('it is for another node'));
    if ((place.incarnation ?? nodes.self.incarnation) !== nodes.self.incarnation)
      return this.bury(incoming, place.local, 'stale-incarnation');
    return this.deliver(incoming, place.local);
  }

  private placeOf(text: string): NodePlace | undefined {
    const known = this.places.get(text);
    if (known !== undefined) return known;
    const place = parseNodePlace(text);
    if (place === undefined) return undefined;
    if (this.places.size >= PLACES_MAX) this.places.clear();
    this.places.set(text, place);
    return place;
  }

  /** Whoever waits for this does not any more. */
  cancel({ message, node, incarnation }: Arrival): void {
    const reason = new TroupeError('ERR_MESSAGE_DROPPED', {
      address: `//${node}`,
      message: message.id,
      reason: 'cancelled',
    });
    this.customers.get(keyOf(node, incarnation, message.id))?.cancel(reason);
  }

  /** Whoever reads a stream takes more of it. False: it does not say how much. */
  demand({ message, node, incarnation }: Arrival): boolean {
    const parts = partsIn(message.correlationId);
    const customer = this.customers.get(keyOf(node, incarnation, message.id));
    if (parts !== undefined && customer instanceof StreamCustomer) customer.demands(parts);
    return parts !== undefined;
  }

  /** A life of a node has ended: nobody there waits any more. */
  ended({ name, incarnation }: NodeIdentity): void {
    const reason = new TroupeError('ERR_NODE_DOWN', { node: name });
    const prefix = keyOf(name, incarnation, '');
    for (const [key, customer] of this.customers) if (key.startsWith(prefix)) customer.cancel(reason);
  }

  /** The others have given this life up: whoever reads a stream here has been told that it is over, and takes no more of it. */
  renewed({ name }: NodeIdentity): void {
    const reason = new TroupeError('ERR_NODE_DOWN', { node: name });
    for (const customer of this.customers.values())
      if (customer instanceof StreamCustomer) customer.cancel(reason);
  }

  private deliver(incoming: Incoming, local: string): Taken {
    const actor = this.find(local);
    if (actor === undefined) {
      const { address } = incoming.target;
      if (this.kernel.isEnding)
        return this.refuse(incoming, local, 'stopped', new TroupeError('ERR_ACTOR_STOPPED', { address }));
      const reason = local.includes('#') ? 'stale-incarnation' : 'actor-unknown';
      return this.refuse(incoming, local, reason, new TroupeError('ERR_ACTOR_UNKNOWN', { address }));
    }
    const way = this.wayTo(actor, incoming, kindOf(incoming.message));
    if (!('actor' in way)) return this.refuse(incoming, actor.address, 'validation', way.error);
    const chain = this.chainIn(incoming);
    const cycle = chain === undefined ? undefined : cycleTo(actor, chain);
    if (cycle !== undefined) {
      this.answer(incoming, 'refusal', undefined, new TroupeError('ERR_ASK_CYCLE', { path: cycle }));
      return undefined;
    }
    const customer = this.customerOf(incoming, actor, chain);
    const envelope = this.envelope(incoming, way, customer);
    if (customer !== undefined) customer.envelope = envelope;
    const verdict = actor.offer(envelope, undefined);
    if (verdict === 'accepted') {
      if (incoming.message.type === 'send') customer?.resolve(undefined);
      return undefined;
    }
    if (verdict === 'stopped') {
      customer?.reject(new TroupeError('ERR_ACTOR_STOPPED', { address: incoming.target.address }));
      return undefined;
    }
    if (actor.mayWait(undefined)) return this.hold(incoming, actor, envelope, customer);
    const error = noRoom(actor, envelope, undefined);
    this.kernel.deadLetters.add(envelope, actor.address, 'overflow-dropped', error);
    customer?.reject(error);
    return undefined;
  }

  /** The message waits for room; its frame stays with the broker meanwhile. */
  private hold(
    incoming: Incoming,
    actor: Actor,
    envelope: Envelope,
    customer: RemoteCustomer | undefined,
  ): Taken {
    return new Promise((resolve) => {
      const held = new Held(this.kernel, actor, envelope, {
        admitted: () => {
          if (incoming.message.type === 'send') customer?.resolve(undefined);
          resolve(undefined);
        },
        lost: (reason, error) => {
          this.kernel.deadLetters.add(envelope, actor.address, reason, error);
          customer?.reject(error);
          resolve(undefined);
        },
        taken: () => resolve(undefined),
      });
      if (customer !== undefined) customer.leave = () => held.leave();
      held.begin(customer === undefined ? incoming.deadline : Infinity);
    });
  }

  /** The entry of a message and what its handler gets; why there is none. */
  wayTo(
    actor: Actor,
    incoming: Pick<Incoming, 'node' | 'target' | 'payload'>,
    kind: MessageKind,
  ): Way | { readonly error: unknown } {
    const { behaviour, address } = actor;
    const { target } = incoming;
    const found = behaviour.agent.protocol.name;
    try {
      if (found !== target.protocol) throw this.mismatch(incoming, address, `protocol '${found}'`);
      const entry = entryIn(behaviour, kind, target.message);
      return { actor, entry, content: behaviour.arriving(entry, incoming.payload) };
    } catch (error) {
      if (!isTroupeError(error, 'ERR_MESSAGE_UNKNOWN')) return { error };
      const known = error.details.known.map((name) => `'${name}'`).join(', ');
      return { error: this.mismatch(incoming, address, known === '' ? 'no such message' : known) };
    }
  }

  /** The nodes run different versions of a protocol: each says so. */
  private mismatch(
    { target, node }: Pick<Incoming, 'target' | 'node'>,
    address: string,
    found: string,
  ): TroupeError {
    const { protocol, message } = target;
    const error = new TroupeError('ERR_PROTOCOL_MISMATCH', { address, message, protocol, found });
    const key = `${node} ${protocol} ${message}`;
    if (!this.mismatches.has(key) && this.mismatches.size < MISMATCHES_TOLD_MAX) {
      this.mismatches.add(key);
      const text = `node ${node} runs another version of a protocol: ${error.message}`;
      this.kernel.events.emit({ type: 'logged', level: 'error', address, text, fields: undefined });
    }
    return error;
  }

  /** The turns that wait for an ask: those of this node are looked up, those of others are believed. */
  chainIn({ message }: Arrival): AskChain | undefined {
    let outer: AskChain | undefined;
    for (const { address, id } of (message.chain ?? []).toReversed()) {
      const place = parseNodePlace(address);
      const isHere = place?.node === this.mail.nodes.self.name;
      const actor = isHere ? this.find(place.local) : undefined;
      const isWaiting = (): boolean => !isHere || actor?.turn?.envelope.id === id;
      outer = { waiting: actor ?? { address }, id, isWaiting, outer };
    }
    return outer;
  }

  private customerOf(
    incoming: Incoming,
    actor: Actor,
    chain: AskChain | undefined,
  ): RemoteCustomer | undefined {
    const { message, node, incarnation, deadline } = incoming;
    const { type, id } = message;
    if (type === 'tell') return undefined;
    const key = keyOf(node, incarnation, id);
    const wait = { deadline: type === 'ask' ? deadline : Infinity, chain };
    const over = () => this.customers.delete(key);
    const customer =
      kindOf(message) === 'stream'
        ? this.readerOf(incoming, actor, wait, over)
        : new RemoteCustomer(this.kernel, actor, wait, {
            reply: (value) => this.answer(incoming, 'reply', type === 'ask' ? value : undefined),
            refuse: (error) => this.answer(incoming, 'refusal', undefined, error),
            over,
          });
    this.customers.set(key, customer);
    return customer;
  }

  private readerOf(
    incoming: Incoming,
    actor: Actor,
    wait: Pick<Customer, 'deadline' | 'chain'>,
    over: () => void,
  ): StreamCustomer {
    const { message, lane, deadline: dueAt } = incoming;
    const { id, payload: asked } = message;
    const node = nodeOf(incoming);
    const about = { id, lane, dueAt };
    const ended = (type: 'reply' | 'refusal', payload: WirePayload): void =>
      this.mail.sayOfStream(node, { ...about, type, parts: customer.parts, payload });
    const customer: StreamCustomer = new StreamCustomer(this.kernel, actor, wait, windowIn(message), {
      part: (parts, value) =>
        this.mail.sayPart(node, { ...about, type: 'part', parts, payload: this.mail.answerTo(asked, value) }),
      reply: (value) => ended('reply', this.mail.answerTo(asked, value)),
      refuse: (error) => ended('refusal', this.mail.payloadOf(refusalOf(error, refusedIn(message)))),
      over,
    });
    return customer;
  }

  private envelope(incoming: Incoming, way: Way, customer: RemoteCustomer | undefined): Envelope {
    const { message, lane } = incoming;
    const extras = extrasOf(incoming);
    if (this.kernel.isRecorded) extras.waitsSince = this.kernel.now();
    const waiting = message.type === 'ask' ? customer : undefined;
    return new Envelope(way.entry, way.content, lane, senderOf(incoming), waiting, extras);
  }

  /** It gets to nobody. */
  private refuse(incoming: Incoming, address: string, reason: DeadLetterReason, error: unknown): Taken {
    this.answer(incoming, 'refusal', undefined, error);
    return this.bury(incoming, address, reason, error);
  }

  private bury(incoming: Incoming, address: string, reason: DeadLetterReason, error?: unknown): undefined {
    const { target, message, payload, lane } = incoming;
    const entry = entryWithoutHandler(target.message, kindOf(message));
    const extras = extrasOf(incoming);
    const envelope = new Envelope(entry, payload, lane, senderOf(incoming), undefined, extras);
    this.kernel.deadLetters.add(envelope, address, reason, error);
  }

  /** Answers whoever waits. Who only told something hears of a mismatch, so that both nodes say it, and of nothing else. */
  private answer(arrival: Arrival, type: 'reply' | 'refusal', value: unknown, error?: unknown): void {
    const { message, lane } = arrival;
    const { id, expiresAtMs } = message;
    if (message.type === 'tell' && !isTroupeError(error, 'ERR_PROTOCOL_MISMATCH')) return;
    const { payload: asked } = message;
    const payload =
      type === 'reply'
        ? this.mail.answerTo(asked, value)
        : this.mail.payloadOf(refusalOf(error, refusedIn(message)));
    const dueAt = Math.min(clockTimeOf(this.kernel, expiresAtMs), this.kernel.now() + ANSWER_MS);
    this.mail.say(nodeOf(arrival), { type, id, lane, dueAt, payload });
  }
}

/** What kind of message it is: an ask that says how many parts its sender takes is one for a stream. */
function kindOf({ type, correlationId }: WireMessage): MessageKind {
  if (type !== 'ask') return 'tell';
  return correlationId === undefined ? 'ask' : 'stream';
}

function entryIn(behaviour: Behaviour, kind: MessageKind, name: string): MessageEntry {
  switch (kind) {
    case 'tell':
      return behaviour.tellEntry(name);
    case 'ask':
      return behaviour.askEntry(name);
    case 'stream':
      return behaviour.streamEntry(name);
  }
}

/** The parts that whoever asks for a stream takes at first: at least one, and no more than this version asks for. */
function windowIn({ correlationId }: WireMessage): number {
  return Math.min(Math.max(1, partsIn(correlationId) ?? 1), STREAM_WINDOW_MAX);
}

/** What a refusal of this message is about. */
export function refusedIn({ target }: WireMessage): Refused {
  return { address: target?.address ?? '', message: target?.message ?? '' };
}

/** Milliseconds for which an answer is worth sending where the asker sets no end. */
const ANSWER_MS = 60_000;

/** What becomes of a message that is held. */
export interface HeldEnd {
  admitted(): void;
  lost(reason: DeadLetterReason, error: unknown): void;
  /** It is taken back: whoever took it back knows. */
  taken(): void;
}

/** A message of another node that waits for room. It is its own timeout. */
export class Held extends Timeout implements WaitingSender {
  private readonly kernel: Kernel;
  private readonly actor: Actor;
  private readonly waiter: Waiter;
  private readonly end: HeldEnd;

  constructor(kernel: Kernel, actor: Actor, envelope: Envelope, end: HeldEnd) {
    super();
    this.kernel = kernel;
    this.actor = actor;
    this.end = end;
    this.waiter = new Waiter(envelope, this);
  }

  begin(deadline: number): void {
    const { kernel } = this;
    const now = kernel.now();
    if (deadline !== Infinity) kernel.timeouts.start(this, Math.max(1, Math.ceil(deadline - now)), now);
    this.actor.wait(this.waiter, true);
  }

  admitted(): void {
    this.kernel.timeouts.cancel(this);
    this.end.admitted();
  }

  refused(error: unknown): void {
    this.kernel.timeouts.cancel(this);
    this.end.lost('stopped', error);
  }

  leave(): void {
    this.kernel.timeouts.cancel(this);
    if (this.actor.leave(this.waiter)) this.end.taken();
  }

  override timedOut(): void {
    if (this.actor.leave(this.waiter)) this.end.lost('expired', undefined);
  }
}

function extrasOf({ message, deliveries, deadline }: Incoming): Extras {
  const extras = new Extras();
  extras.id = message.id;
  extras.headers = message.headers;
  extras.attempt = Math.max(1, deliveries);
  extras.deadline = deadline;
  return extras;
}

/** Whoever says that he sent it, if he can have: an actor of the node that it came from. */
export function senderOf({ message, node, incarnation }: Arrival): { readonly address: string } | undefined {
  const { sender: address } = message;
  const place = address === undefined ? undefined : parseNodePlace(address);
  if (address === undefined || place === undefined) return undefined;
  return place.node === node && place.incarnation === incarnation ? { address } : undefined;
}

export function nodeOf({ node, incarnation }: Arrival): NodeIdentity {
  return { name: node, incarnation };
}

/** Names of nodes and incarnations have no space. */
export function keyOf(node: string, incarnation: string, id: string): string {
  return `${node} ${incarnation} ${id}`;
}

export function givenUp(reason: string, error: unknown): Promise<GivenUp> {
  return Promise.resolve({ reason, error });
}
