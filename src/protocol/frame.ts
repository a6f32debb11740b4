/**
 * What travels between nodes: a frame is one message of a broker and holds one or more wire messages of one sender, destination
 * and lane. The format is documented in docs/protocol.md, with vectors; this file is its only reader and writer.
 *
 * Invariant: whatever bytes it is given, `decodeFrame` gives a frame that `encodeFrame` could have made, or throws
 * `ERR_FRAME_INVALID`. It allocates nothing before the size it was told is known to be there.
 */

import { TroupeError } from './errors.ts';
import {
  CODEC_NAME_CHARACTERS_MAX,
  FRAME_MESSAGES_MAX,
  WIRE_CHAIN_MAX,
  WIRE_HEADERS_MAX,
  WIRE_TEXT_BYTES_MAX,
} from './limits.ts';
import type { Headers } from './ref.ts';
import { WireReader, WireWriter } from './wire-bytes.ts';

/** What a wire message is for, from number 0. */
const FIRST_TYPES = [
  'message',
  'request',
  'reply',
  'refusal',
  'cancel',
  'working',
  'tell',
  'ask',
  'send',
  'spawn',
  'keep',
  'names',
  'watch',
  'unwatch',
  'terminated',
  'part',
  'demand',
] as const;

/** What followed later, from number 40. */
const LATER_TYPES = ['stop', 'job', 'done'] as const;
const LATER_TYPES_BEGIN = 40;

/** All of them. */
export const WIRE_TYPES = [...FIRST_TYPES, ...LATER_TYPES] as const;

const TYPE_NUMBERS: ReadonlyMap<WireType, number> = new Map(
  WIRE_TYPES.map((type, index) => [
    type,
    index < FIRST_TYPES.length ? index : LATER_TYPES_BEGIN + index - FIRST_TYPES.length,
  ]),
);
const TYPES_BY_NUMBER: ReadonlyMap<number, WireType> = new Map(
  [...TYPE_NUMBERS].map(([type, number]) => [number, type]),
);

/**
 * - `message`: what was published to a topic;
 * - `request`: the same, and its sender waits for a reply in its inbox;
 * - `reply`, `refusal`: the answer to the request whose id it has: a value, or a text that says why there is none;
 * - `working`: the sender's subscribers still work on the request of this id;
 * - `cancel`: the answer to that, once nobody waits for the request any more;
 * - `tell`: a message to an actor; `ask`: the same, and its sender waits for a reply in its inbox; `send`: the same, and the
 *   reply, which has no payload, says that the mailbox has accepted it;
 * - `spawn`: an agent is to be started, and its sender waits for the address; `keep`: the sender of the `spawn` of this id has the address;
 * - `names`: which names the sender holds, or the wish to hear that of the other node;
 * - `watch`: an actor of the sender's node wants to hear of the end of one of the reader's; `unwatch`: it does not any more;
 *   `terminated`: the end of the one that the `watch` of this id is about, with its reason;
 * - `part`: a part of the stream that the `ask` of this id has asked for; `demand`: how many of them its sender takes in all;
 * - `stop`: the same as `watch`, and that actor is to be stopped; of a watch that is there already, its actor;
 * - `job`: a message to a worker of the sender's pool, told or asked; `done`: the turn of the job of this id is over, with its outcome.
 */
export type WireType = (typeof WIRE_TYPES)[number];

/** How a payload was made bytes. `none`: it is `undefined`. `bytes`: it is a `Uint8Array`. `named`: by a codec that the nodes were given. */
export const WIRE_CODECS = ['none', 'json', 'bytes', 'named'] as const;
export type WireCodec = (typeof WIRE_CODECS)[number];

/** A payload as it travels. A name of a codec is one that `isCodecName` accepts. */
export type WirePayload =
  | {
      readonly codec: Exclude<WireCodec, 'named'>;
      readonly name?: undefined;
      readonly bytes: Uint8Array;
    }
  | { readonly codec: 'named'; readonly name: string; readonly bytes: Uint8Array };

/** One message inside a frame. */
export interface WireMessage {
  readonly type: WireType;
  readonly id: string;
  /** Milliseconds since 1970 on its sender's clock. */
  readonly sentAtMs: number;
  /** Milliseconds since 1970 after which it is not worth a turn any more. */
  readonly expiresAtMs: number | undefined;
  readonly sender: string | undefined;
  /** Of an `ask`, `part`, `demand`, `reply` and `refusal` of a stream: a number of parts. Of a bus: its users'. */
  readonly correlationId: string | undefined;
  readonly headers: Headers | undefined;
  /** Of `tell`, `ask`, `send`, `spawn` and `job`, and of no other. */
  readonly target?: WireTarget | undefined;
  /** Of an `ask` or a `job`: the turns that wait for it, innermost first. */
  readonly chain?: readonly WireWaiting[] | undefined;
  readonly payload: WirePayload;
}

/** Which message of which actor is meant: texts that are not empty, and that whoever reads them has to check. */
export interface WireTarget {
  /** An address, with the number of an incarnation or without; or a name. */
  readonly address: string;
  /** The name of the protocol by which the sender knows the actor. */
  readonly protocol: string;
  /** The name of a message of that protocol. */
  readonly message: string;
}

/** A turn that waits for an ask: its actor, as every node names it, and the id of its message. Texts that are not empty. */
export interface WireWaiting {
  readonly address: string;
  readonly id: string;
}

/** Messages of one sender that travel together. */
export interface Frame {
  /** Name and incarnation of the node that sent it. */
  readonly node: string;
  readonly incarnation: string;
  /**
   * The sender's number for what it sends to one destination in one lane, never used for another one in that life; the frames of
   * a stream are numbered from 1, without gaps.
   */
  readonly stream: number;
  readonly sequence: number;
  readonly messages: readonly WireMessage[];
}

const MAGIC = 0x5450; // 'TP'
const VERSION = 1;

/** What a message has beside its fixed part, by bit. A bit that is not known here means a newer writer. */
const HAS_EXPIRY = 1;
const HAS_SENDER = 2;
const HAS_CORRELATION = 4;
const HAS_HEADERS = 8;
const HAS_TARGET = 16;
const HAS_CHAIN = 32;
const HAS_ALL = 63;

/** The bytes of a message: what `encodeFrame` takes, made once however often its frame is. */
export function encodeMessage(message: WireMessage): Uint8Array {
  const { type, id, sentAtMs, expiresAtMs, sender, correlationId, headers, target, chain, payload } = message;
  const parts =
    (expiresAtMs === undefined ? 0 : HAS_EXPIRY) |
    (sender === undefined ? 0 : HAS_SENDER) |
    (correlationId === undefined ? 0 : HAS_CORRELATION) |
    (headers === undefined ? 0 : HAS_HEADERS) |
    (target === undefined ? 0 : HAS_TARGET) |
    (chain === undefined ? 0 : HAS_CHAIN);
  const writer = new WireWriter();
  writer.byte(TYPE_NUMBERS.get(type) ?? 0); // each type has one
  writer.byte(parts);
  writer.text(id);
  writer.number(sentAtMs);
  if (expiresAtMs !== undefined) writer.number(expiresAtMs);
  if (sender !== undefined) writer.text(sender);
  if (correlationId !== undefined) writer.text(correlationId);
  if (headers !== undefined) {
    const entries = Object.entries(headers);
    writer.length(entries.length);
    for (const [name, value] of entries) {
      writer.text(name);
      writer.text(value);
    }
  }
  if (target !== undefined) {
    writer.text(target.address);
    writer.text(target.protocol);
    writer.text(target.message);
  }
  if (chain !== undefined) {
    writer.length(chain.length);
    for (const { address, id: turn } of chain) {
      writer.text(address);
      writer.text(turn);
    }
  }
  writer.byte(WIRE_CODECS.indexOf(payload.codec));
  if (payload.codec === 'named') writer.text(payload.name);
  writer.bytes(payload.bytes);
  return writer.take();
}

/** A frame of messages that `encodeMessage` has made. */
export function encodeFrame(head: Omit<Frame, 'messages'>, messages: readonly Uint8Array[]): Uint8Array {
  const writer = new WireWriter();
  writer.byte(MAGIC >> 8);
  writer.byte(MAGIC & 0xff);
  writer.byte(VERSION);
  writer.text(head.node);
  writer.text(head.incarnation);
  writer.length(head.stream);
  writer.length(head.sequence);
  writer.length(messages.length);
  for (const message of messages) writer.bytes(message);
  return writer.take();
}

/** The frame in these bytes; payloads are views of them. Throws `ERR_FRAME_INVALID`. */
export function decodeFrame(bytes: Uint8Array): Frame {
  const reader = new WireReader(bytes);
  if (reader.byte() !== MAGIC >> 8 || reader.byte() !== (MAGIC & 0xff))
    throw invalidFrame('it does not begin as one');
  const version = reader.byte();
  if (version !== VERSION)
    throw invalidFrame(`it has version ${version}, and this node reads version ${VERSION}`);
  const node = reader.text(WIRE_TEXT_BYTES_MAX);
  const incarnation = reader.text(WIRE_TEXT_BYTES_MAX);
  const stream = reader.length();
  const sequence = reader.length();
  if (node === '' || incarnation === '' || stream === 0 || sequence === 0)
    throw invalidFrame('its sender, stream or sequence is missing');
  const count = reader.length();
  if (count === 0 || count > FRAME_MESSAGES_MAX)
    throw invalidFrame(`it says it has ${count} messages, and 1 to ${FRAME_MESSAGES_MAX} are possible`);
  const messages: WireMessage[] = [];
  for (let n = 0; n < count; n++) messages.push(reader.part(decodeMessage));
  reader.end();
  return { node, incarnation, stream, sequence, messages };
}

function decodeMessage(reader: WireReader): WireMessage {
  const type = TYPES_BY_NUMBER.get(reader.byte());
  if (type === undefined) throw invalidFrame('it has a message of an unknown type');
  const parts = reader.byte();
  if ((parts & ~HAS_ALL) !== 0) throw invalidFrame('it has a message with parts that are unknown here');
  const id = reader.text(WIRE_TEXT_BYTES_MAX);
  if (id === '') throw invalidFrame('it has a message without an id');
  const sentAtMs = reader.number();
  const expiresAtMs = (parts & HAS_EXPIRY) === 0 ? undefined : reader.number();
  const sender = (parts & HAS_SENDER) === 0 ? undefined : reader.text(WIRE_TEXT_BYTES_MAX);
  const correlationId = (parts & HAS_CORRELATION) === 0 ? undefined : reader.text(WIRE_TEXT_BYTES_MAX);
  const headers = (parts & HAS_HEADERS) === 0 ? undefined : readHeaders(reader);
  const target = (parts & HAS_TARGET) === 0 ? undefined : readTarget(reader);
  if ((target !== undefined) !== isToActor(type))
    throw invalidFrame(
      target === undefined
        ? 'it has a message to an actor that does not say which'
        : 'it has a message that names an actor and is not to one',
    );
  const chain = (parts & HAS_CHAIN) === 0 ? undefined : readChain(reader);
  if (chain !== undefined && type !== 'ask' && type !== 'job')
    throw invalidFrame('it has a message with turns that wait for it, and is no ask');
  const payload = readPayload(reader);
  return { type, id, sentAtMs, expiresAtMs, sender, correlationId, headers, target, chain, payload };
}

function readPayload(reader: WireReader): WirePayload {
  const codec = WIRE_CODECS[reader.byte()];
  if (codec === undefined) throw invalidFrame('it has a payload in an unknown form');
  if (codec === 'named') {
    const name = reader.text(CODEC_NAME_CHARACTERS_MAX);
    if (!isCodecName(name)) throw invalidFrame('it has a payload of a codec without a proper name');
    return { codec, name, bytes: reader.bytes() };
  }
  const bytes = reader.bytes();
  if (codec === 'none' && bytes.length > 0)
    throw invalidFrame('it has a payload where it says there is none');
  return { codec, bytes };
}

const CODEC_NAME = new RegExp(`^[a-z0-9-]{1,${CODEC_NAME_CHARACTERS_MAX}}$`);

/** Whether a codec may have this name: `[a-z0-9-]{1,16}`, and none of the forms that have a number of their own. @internal */
export function isCodecName(name: string): boolean {
  return CODEC_NAME.test(name) && !(WIRE_CODECS as readonly string[]).includes(name);
}

/** Only what is sent to an actor says to which. */
function isToActor(type: WireType): boolean {
  return type === 'tell' || type === 'ask' || type === 'send' || type === 'spawn' || type === 'job';
}

function readTarget(reader: WireReader): WireTarget {
  const address = reader.text(WIRE_TEXT_BYTES_MAX);
  const protocol = reader.text(WIRE_TEXT_BYTES_MAX);
  const message = reader.text(WIRE_TEXT_BYTES_MAX);
  if (address === '' || protocol === '' || message === '')
    throw invalidFrame('it has a message to an actor whose address, protocol or name is missing');
  return { address, protocol, message };
}

function readChain(reader: WireReader): readonly WireWaiting[] {
  const count = reader.length();
  if (count === 0 || count > WIRE_CHAIN_MAX)
    throw invalidFrame(`it has an ask with a chain of ${count}, and 1 to ${WIRE_CHAIN_MAX} are possible`);
  const chain: WireWaiting[] = [];
  for (let n = 0; n < count; n++) {
    const address = reader.text(WIRE_TEXT_BYTES_MAX);
    const id = reader.text(WIRE_TEXT_BYTES_MAX);
    if (address === '' || id === '') throw invalidFrame('it has an ask with a gap in its chain');
    chain.push({ address, id });
  }
  return chain;
}

function readHeaders(reader: WireReader): Headers {
  const count = reader.length();
  if (count > WIRE_HEADERS_MAX)
    throw invalidFrame(`it has a message with ${count} headers, above ${WIRE_HEADERS_MAX}`);
  const entries: [string, string][] = [];
  for (let n = 0; n < count; n++)
    entries.push([reader.text(WIRE_TEXT_BYTES_MAX), reader.text(WIRE_TEXT_BYTES_MAX)]);
  // `fromEntries` defines: a header named `__proto__` is a header like any other.
  const headers = Object.fromEntries(entries);
  if (Object.keys(headers).length < count) throw invalidFrame('it has a message with a header twice');
  return Object.freeze(headers);
}

/** The error of bytes that are no frame. @internal */
export function invalidFrame(problem: string, cause?: unknown): TroupeError<'ERR_FRAME_INVALID'> {
  return new TroupeError('ERR_FRAME_INVALID', { problem }, cause === undefined ? {} : { cause });
}
