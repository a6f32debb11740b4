/**
 * What goes out to actors of other nodes, and the words about it: messages, replies, refusals and cancels, each as one message of the wire in
 * the lane of its priority. Every message is meant for one life of its node: none is handled by the next one.
 */

import { formatNodePlace, namesNode } from '../../src/protocol/address.ts';
import type { Lane } from '../../src/protocol/broker.ts';
import type { AskChain, Envelope } from '../../src/protocol/envelope.ts';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import type { DeadLetterReason } from '../../src/protocol/events.ts';
import {
  encodeMessage,
  type WirePayload,
  type WireTarget,
  type WireType,
  type WireWaiting,
} from '../../src/protocol/frame.ts';
import { WIRE_CHAIN_MAX } from '../../src/protocol/limits.ts';
import type { NodeIdentity } from '../../src/protocol/membership.ts';
import { encodePayload } from '../../src/protocol/payload.ts';
import type { Admission } from '../../src/protocol/ref.ts';
import type { Kernel } from '../actor/kernel.ts';
import { nameOfLife } from '../host/life.ts';
import type { Nodes } from './nodes.ts';
import type { Outbox } from './outbox.ts';
import type { Parcel, ParcelPatience } from './parcel.ts';
import { wallNow, wallTimeOf } from './wall-time.ts';

/** Bytes of a frame's head and of a message's id, sender, target and headers, at the most. */
const LABEL_BYTES_MAX = 49_152;
const NO_PAYLOAD: WirePayload = { codec: 'none', bytes: new Uint8Array(0) };

/** Which message of which actor. */
export interface Addressee {
  /** The life of the node that is meant. */
  readonly node: NodeIdentity;
  /** The actor in that life, as every node names it. */
  readonly there: string;
  /** The same, as this node names it. */
  readonly address: string;
  readonly protocol: string;
}

/** A word about an ask of another node, or of this one. */
export interface Word {
  readonly type: 'reply' | 'refusal' | 'cancel';
  readonly id: string;
  readonly lane: Lane;
  /** Clock time until which it is of use. */
  readonly dueAt: number;
  readonly payload?: WirePayload;
}

/** The outgoing mail of one node. */
export class Mail {
  readonly nodes: Nodes;
  private readonly kernel: Kernel;
  private readonly outbox: Outbox;
  private readonly frameBytesMax: number;
  private readonly life: string;
  private messages = 0;

  constructor(kernel: Kernel, nodes: Nodes, outbox: Outbox, frameBytesMax: number) {
    this.kernel = kernel;
    this.nodes = nodes;
    this.outbox = outbox;
    this.frameBytesMax = frameBytesMax;
    this.life = nameOfLife(kernel.host);
  }

  /** An id that no other message has, on whatever node. */
  nextId(): string {
    return `${this.life}-${++this.messages}`;
  }

  /** How another node names an actor of this one. */
  nameHere(address: string): string {
    const { name: node, incarnation } = this.nodes.self;
    return formatNodePlace({ node, incarnation, local: address });
  }

  /** A value as it travels. Throws `ERR_PAYLOAD_UNSERIALIZABLE`, `ERR_PAYLOAD_TOO_LARGE`. */
  payloadOf(value: unknown): WirePayload {
    return encodePayload(value, this.frameBytesMax - LABEL_BYTES_MAX);
  }

  /** Takes a message into the outbox if its lane has room. One that does not reach the broker becomes a dead letter here. */
  tell(to: Addressee, envelope: Envelope): Admission {
    const { rank, entry, priority } = envelope;
    const { kernel } = this;
    if (this.outbox.isFull(rank)) {
      kernel.telemetry.tallyOf(to.protocol).refused.count('full');
      if (kernel.events.isObserved)
        kernel.events.emit({
          type: 'message-refused',
          address: to.address,
          message: entry.name,
          verdict: 'full',
          priority,
        });
      envelope.extras?.trace?.sent('full');
      return 'full';
    }
    const { taken } = this.send('tell', to, envelope, { timeoutMs: Infinity });
    taken.catch((error: unknown) => this.bury(envelope, to.address, error));
    envelope.extras?.trace?.sent('accepted');
    return 'accepted';
  }

  /** Sends a message to an actor. Its parcel is taken when the broker has it. */
  send(
    type: 'tell' | 'send' | 'ask',
    to: Addressee,
    envelope: Envelope,
    patience: Omit<ParcelPatience, 'expiresAtMs'>,
    chain?: AskChain,
  ): Parcel<undefined> {
    const { id, extras, payload, sender, rank, deadline } = envelope;
    const expiresAtMs = wallTimeOf(this.kernel, deadline);
    const bytes = encodeMessage({
      type,
      id,
      sentAtMs: wallNow(this.kernel),
      expiresAtMs,
      sender: sender === undefined ? undefined : this.nameHere(sender.address),
      correlationId: undefined,
      headers: extras?.trace === undefined ? extras?.headers : extras.trace.headersWith(extras.headers),
      target: targetOf(to, envelope.entry.name),
      chain: chain === undefined ? undefined : this.chainOf(chain),
      payload: this.payloadOf(payload),
    });
    const destination = { kind: 'node', node: to.node.name } as const;
    const whole = expiresAtMs === undefined ? patience : { ...patience, expiresAtMs };
    return this.outbox.send(destination, rank, bytes, whole, undefined);
  }

  /** Says a word to a node. If it does not arrive, the time of what it is about ends that as well. */
  say(node: NodeIdentity, { type, id, lane, dueAt, payload = NO_PAYLOAD }: Word): void {
    if (this.nodes.find(node.name)?.incarnation !== node.incarnation && type === 'cancel') return;
    const { kernel } = this;
    // Whole seconds share a timer.
    const timeoutMs = Math.max(1, Math.ceil((dueAt - kernel.now()) / 1_000)) * 1_000;
    const bytes = encodeMessage(wordOf(type, id, wallNow(kernel), payload));
    const destination = { kind: 'node', node: node.name } as const;
    this.outbox.send(destination, lane, bytes, { timeoutMs }, undefined).taken.catch((error: unknown) => {
      if (type === 'cancel' || isTroupeError(error, 'ERR_NODE_DOWN')) return;
      const text = `a ${type} for node ${node.name} could not be sent`;
      kernel.events.emit({ type: 'logged', level: 'warn', address: '/', text, fields: { id, error } });
    });
  }

  /** The turns that wait, as other nodes name them; those that wait on other nodes have such names. */
  private chainOf(chain: AskChain): readonly WireWaiting[] {
    const turns: WireWaiting[] = [];
    for (let link: AskChain | undefined = chain; link !== undefined; link = link.outer) {
      if (!link.isWaiting() || turns.length === WIRE_CHAIN_MAX) break;
      const { address } = link.waiting;
      turns.push({ address: namesNode(address) ? address : this.nameHere(address), id: link.id });
    }
    return turns;
  }

  private bury(envelope: Envelope, address: string, error: unknown): void {
    this.kernel.deadLetters.add(envelope, address, reasonOf(error), error);
  }
}

function targetOf({ there: address, protocol }: Addressee, message: string): WireTarget {
  return { address, protocol, message };
}

function wordOf(type: WireType, id: string, sentAtMs: number, payload: WirePayload) {
  const none = undefined;
  return { type, id, sentAtMs, expiresAtMs: none, sender: none, correlationId: none, headers: none, payload };
}

/** Why a message that was accepted did not reach its node. */
function reasonOf(error: unknown): DeadLetterReason {
  if (!isTroupeError(error)) return 'stopped';
  switch (error.code) {
    case 'ERR_MESSAGE_DROPPED':
      return 'expired';
    case 'ERR_NODE_DOWN':
    case 'ERR_ACTOR_UNKNOWN':
      return 'actor-unknown';
    case 'ERR_FRAME_TOO_LARGE':
      return 'serialization';
    default:
      return 'stopped';
  }
}

/** The error of a node that cannot be sent to. */
export function nodeDown(node: string): TroupeError<'ERR_NODE_DOWN'> {
  return new TroupeError('ERR_NODE_DOWN', { node });
}
