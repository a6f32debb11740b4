/**
 * What goes out to actors of other nodes, and the words about it: messages, replies, refusals and cancels, each as one message of the wire in
 * the lane of its priority. Every message is meant for one life of its node: none is handled by the next one.
 */

import { formatNodePlace, namesNode } from '../../src/protocol/address.ts';
import type { Destination, Lane } from '../../src/protocol/broker.ts';
import type { Codec, Codecs } from '../../src/protocol/codec.ts';
import type { AskChain, Envelope, Sender } from '../../src/protocol/envelope.ts';
import { type ErrorCode, isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import type { DeadLetterReason } from '../../src/protocol/events.ts';
import {
  encodeMessage,
  type WirePayload,
  type WireType,
  type WireWaiting,
} from '../../src/protocol/frame.ts';
import { TIMER_MS_MAX, WIRE_CHAIN_MAX } from '../../src/protocol/limits.ts';
import type { NodeIdentity } from '../../src/protocol/membership.ts';
import { decodePayload, encodePayload } from '../../src/protocol/payload.ts';
import type { Admission } from '../../src/protocol/ref.ts';
import type { Kernel } from '../actor/kernel.ts';
import { noteRefusal } from '../actor/refusal.ts';
import { nameOfLife } from '../host/life.ts';
import { jobLabel } from './job-words.ts';
import type { Nodes } from './nodes.ts';
import type { Outbox } from './outbox.ts';
import type { Parcel, ParcelPatience } from './parcel.ts';
import { partsText } from './parts-text.ts';
import { SentLanes } from './sent-lanes.ts';
import { wallNow, wallTimeOf } from './wall-time.ts';

/** Bytes of a frame's head and of a message's id, sender, target and headers, at the most. */
const LABEL_BYTES_MAX = 49_152;
const NO_PAYLOAD: WirePayload = { codec: 'none', bytes: new Uint8Array(0) };

/** Which actor, and by which way to it. */
export interface Addressee {
  readonly destination: Destination;
  /** The life of the node that is meant; undefined where whoever owns the destination is. */
  readonly node: NodeIdentity | undefined;
  /** The actor, as whoever reads the destination names it. */
  readonly target: string;
  /** The same, as this node names it. */
  readonly address: string;
  readonly protocol: string;
}

/** A word about an ask of another node, or of this one. */
export interface Word {
  readonly type: 'reply' | 'refusal' | 'cancel' | 'keep';
  readonly id: string;
  readonly lane: Lane;
  /** Clock time until which it is of use. */
  readonly dueAt: number;
  readonly payload?: WirePayload;
}

/** A word about the stream of this id, to be sent until the end of its time. */
export interface PartWord {
  readonly type: 'part' | 'demand' | 'reply' | 'refusal';
  readonly id: string;
  readonly lane: Lane;
  readonly dueAt: number;
  /** Of a part its number; of a demand the parts that are taken in all; of an end the parts before it. */
  readonly parts: number;
  readonly payload?: WirePayload;
}

/** What few messages say beside their envelope. */
export interface Marks {
  /** Another one than that of the message. */
  readonly id?: string;
  /** Of what asks for a stream: parts that its reader takes at first. */
  readonly window?: number | undefined;
}

/** A word about the watch, or the job, of this id. It may not be lost. */
export interface WatchWord {
  readonly type: 'watch' | 'unwatch' | 'terminated' | 'stop' | 'done';
  readonly id: string;
  readonly lane: Lane;
  readonly payload?: WirePayload;
}

/** How payloads become bytes, and how many. */
export interface MailSettings {
  readonly frameBytesMax: number;
  readonly codecs: Codecs;
}

/** The outgoing mail of one node. */
export class Mail {
  readonly nodes: Nodes;
  private readonly kernel: Kernel;
  private readonly outbox: Outbox;
  private readonly frameBytesMax: number;
  private readonly codecs: Codecs;
  private readonly idPrefix: string;
  private readonly sentLanes: SentLanes;
  private messages = 0;

  constructor(kernel: Kernel, nodes: Nodes, outbox: Outbox, { frameBytesMax, codecs }: MailSettings) {
    this.kernel = kernel;
    this.nodes = nodes;
    this.outbox = outbox;
    this.frameBytesMax = frameBytesMax;
    this.codecs = codecs;
    this.idPrefix = `${nameOfLife(kernel.host)}-`;
    this.sentLanes = new SentLanes(
      ({ name, incarnation }) => nodes.present(name)?.incarnation === incarnation,
    );
  }

  /** An id that no other message has, on whatever node. */
  nextId(): string {
    return `${this.idPrefix}${++this.messages}`;
  }

  /** How another node names an actor of this one. */
  nameHere(address: string): string {
    const { name: node, incarnation } = this.nodes.self;
    return formatNodePlace({ node, incarnation, local: address });
  }

  /** A value as it travels, as JSON unless a codec is named. Throws `ERR_PAYLOAD_UNSERIALIZABLE`, `ERR_PAYLOAD_TOO_LARGE`, `ERR_CODEC_FAILED`. */
  payloadOf(value: unknown, codec?: Codec): WirePayload {
    return encodePayload(value, this.frameBytesMax - LABEL_BYTES_MAX, codec);
  }

  /** As `payloadOf`, by the codec of this node. */
  payloadToSend(value: unknown): WirePayload {
    return this.payloadOf(value, this.codecs.writer);
  }

  /** The answer to a message, by the codec that its sender had used: that one reads it. */
  answerTo(payload: WirePayload, value: unknown): WirePayload {
    return this.payloadOf(
      value,
      payload.codec === 'named' ? this.codecs.readers.get(payload.name) : undefined,
    );
  }

  /** What has arrived. Throws `ERR_FRAME_INVALID`, `ERR_CODEC_UNKNOWN`, `ERR_CODEC_FAILED`. */
  valueOf(payload: WirePayload): unknown {
    return decodePayload(payload, this.codecs);
  }

  /** Takes a message into the outbox if its lane has room. One that does not reach the broker becomes a dead letter here. */
  tell(to: Addressee, envelope: Envelope): Admission {
    if (this.outbox.isFull(envelope.rank)) {
      this.noteNoRoom(to, envelope);
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
    type: 'tell' | 'send' | 'ask' | 'spawn' | 'job',
    to: Addressee,
    envelope: Envelope,
    patience: Omit<ParcelPatience, 'expiresAtMs'>,
    chain?: AskChain,
    { id = envelope.id, window }: Marks = {},
  ): Parcel<undefined> {
    const { extras, payload, sender, rank, deadline } = envelope;
    const expiresAtMs = wallTimeOf(this.kernel, deadline);
    const bytes = encodeMessage({
      type,
      id,
      sentAtMs: wallNow(this.kernel),
      expiresAtMs,
      sender: sender === undefined ? undefined : this.nameHere(sender.address),
      correlationId: type === 'job' ? jobLabel(envelope) : partsText(window),
      headers: extras?.trace === undefined ? extras?.headers : extras.trace.headersWith(extras.headers),
      target: { address: to.target, protocol: to.protocol, message: envelope.entry.name },
      chain: chain === undefined ? undefined : this.chainOf(chain),
      payload: this.payloadToSend(payload),
    });
    if (sender !== undefined && to.node !== undefined) this.sentLanes.note(sender, to.node, rank);
    const whole = expiresAtMs === undefined ? patience : { ...patience, expiresAtMs };
    if (type !== 'spawn' && this.outbox.isCrowded(rank)) this.noteNoRoom(to, envelope);
    return this.outbox.send(to.destination, rank, bytes, whole, undefined);
  }

  private noteNoRoom({ protocol, address }: Addressee, envelope: Envelope): void {
    noteRefusal(this.kernel, this.kernel.telemetry.tallyOf(protocol), address, envelope, 'full');
  }

  /** The lanes in which an actor of this node has sent to that life of another, as bits. */
  lanesOf(sender: Sender, node: NodeIdentity): number {
    return this.sentLanes.of(sender, node);
  }

  /** As if an actor of this node had sent something: word of its end goes behind what was said in that lane. */
  noteSent(sender: Sender, node: NodeIdentity, lane: Lane): void {
    this.sentLanes.note(sender, node, lane);
  }

  /** Says a word about a watch or a job, behind all that was sent before. Resolves when the broker has it; rejects where that node cannot be reached for good. */
  signal(node: NodeIdentity, { type, id, lane, payload = NO_PAYLOAD }: WatchWord): Promise<undefined> {
    const bytes = encodeMessage(wordOf(type, id, wallNow(this.kernel), payload));
    const destination = { kind: 'node', node: node.name } as const;
    return this.outbox.send(destination, lane, bytes, { timeoutMs: Infinity, isSignal: true }, undefined)
      .taken;
  }

  /** Says a word to a node. If it does not arrive, the time of what it is about ends that as well. */
  say(node: NodeIdentity, word: Word): void {
    if (this.nodes.find(node.name)?.incarnation !== node.incarnation && word.type === 'cancel') return;
    this.sayAt({ kind: 'node', node: node.name }, word);
  }

  /** As `say`, to whoever reads a destination. */
  sayAt(destination: Destination, { type, id, lane, dueAt, payload = NO_PAYLOAD }: Word): void {
    const { kernel } = this;
    const timeoutMs = timeoutUntil(kernel, dueAt);
    const bytes = encodeMessage(wordOf(type, id, wallNow(kernel), payload));
    this.outbox
      .send(destination, lane, bytes, { timeoutMs }, undefined)
      .taken.catch((error: unknown) => this.unsaid(destination, type, id, error));
  }

  /** A word could not be sent: that is told, where it says something that nobody finds out otherwise. */
  private unsaid(destination: Destination, type: WireType, id: string, error: unknown): void {
    if (type === 'cancel' || isTroupeError(error, 'ERR_NODE_DOWN')) return;
    const whom = destination.kind === 'node' ? `node ${destination.node}` : destination.kind;
    const text = `a ${type} for ${whom} could not be sent`;
    this.kernel.events.emit({ type: 'logged', level: 'warn', address: '/', text, fields: { id, error } });
  }

  /** Says how a stream goes on, or ends. It waits where its lane is full. Where that is not said, its reader finds out when its time is over. */
  sayOfStream(node: NodeIdentity, word: PartWord): void {
    const destination = { kind: 'node', node: node.name } as const;
    this.sayPart(node, word).catch((error: unknown) => this.unsaid(destination, word.type, word.id, error));
  }

  /** As `sayOfStream`. Resolves when the broker has it. */
  sayPart(
    node: NodeIdentity,
    { type, id, lane, dueAt, parts, payload = NO_PAYLOAD }: PartWord,
  ): Promise<undefined> {
    const { kernel } = this;
    const word = { ...wordOf(type, id, wallNow(kernel), payload), correlationId: partsText(parts) };
    const patience = { timeoutMs: timeoutUntil(kernel, dueAt), waitsForRoom: true };
    const destination = { kind: 'node', node: node.name } as const;
    return this.outbox.send(destination, lane, encodeMessage(word), patience, undefined).taken;
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

  /** Says something of the nodes themselves, before all other mail. Resolves when the broker has it. */
  post(node: NodeIdentity, type: 'names', value: unknown, timeoutMs: number): Promise<void> {
    const bytes = encodeMessage(wordOf(type, this.nextId(), wallNow(this.kernel), this.payloadOf(value)));
    const destination = { kind: 'node', node: node.name } as const;
    return this.outbox.send(destination, 0, bytes, { timeoutMs }, undefined).taken.then(() => undefined);
  }

  private bury(envelope: Envelope, address: string, error: unknown): void {
    this.kernel.deadLetters.add(envelope, address, reasonOf(error), error);
  }
}

/** Whole seconds share a timer. */
function timeoutUntil(kernel: Kernel, dueAt: number): number {
  return Math.min(Math.max(1, Math.ceil((dueAt - kernel.now()) / 1_000)) * 1_000, TIMER_MS_MAX);
}

function wordOf(type: WireType, id: string, sentAtMs: number, payload: WirePayload) {
  const none = undefined;
  return { type, id, sentAtMs, expiresAtMs: none, sender: none, correlationId: none, headers: none, payload };
}

/** Why a message that was accepted did not reach its node. */
function reasonOf(error: unknown): DeadLetterReason {
  const code = isTroupeError(error) ? error.code : undefined;
  return (code === undefined ? undefined : REASONS[code]) ?? 'stopped';
}

const REASONS: { readonly [C in ErrorCode]?: DeadLetterReason } = {
  ERR_MESSAGE_DROPPED: 'expired',
  ERR_NODE_DOWN: 'actor-unknown',
  ERR_ACTOR_UNKNOWN: 'actor-unknown',
  ERR_FRAME_TOO_LARGE: 'serialization',
};

/** The error of a node that cannot be sent to. */
export function nodeDown(node: string): TroupeError<'ERR_NODE_DOWN'> {
  return new TroupeError('ERR_NODE_DOWN', { node });
}
