/**
 * What travels between nodes: a frame is one message of a broker and holds one or more wire messages of one sender, destination
 * and lane. The format is documented in docs/protocol.md, with vectors; this file is its only reader and writer.
 *
 * Invariant: whatever bytes it is given, `decodeFrame` gives a frame that `encodeFrame` could have made, or throws
 * `ERR_FRAME_INVALID`. It allocates nothing before the size it was told is known to be there.
 */

import { TroupeError } from './errors.ts';
import { FRAME_MESSAGES_MAX, WIRE_HEADERS_MAX, WIRE_TEXT_BYTES_MAX } from './limits.ts';
import type { Headers } from './ref.ts';
import { WireReader, WireWriter } from './wire-bytes.ts';

/** What a wire message is for. */
export const WIRE_TYPES = [
  'message',
  'request',
  'reply',
  'refusal',
  'cancel',
  'working',
  'tell',
  'ask',
  'send',
  'watch',
  'unwatch',
  'terminated',
] as const;

/**
 * - `message`: what was published to a topic;
 * - `request`: the same, and its sender waits for a reply in its inbox;
 * - `reply`, `refusal`: the answer to the request whose id it has: a value, or a text that says why there is none;
 * - `working`: the sender's subscribers still work on the request of this id;
 * - `cancel`: the answer to that, once nobody waits for the request any more;
 * - `tell`: a message to an actor; `ask`: the same, and its sender waits for a reply in its inbox; `send`: the same, and the
 *   reply, which has no payload, says that the mailbox has accepted it;
 * - `watch`: an actor of the sender's node wants to hear of the end of one of the reader's; `unwatch`: it does not any more;
 *   `terminated`: the end of the one that the `watch` of this id is about, with its reason.
 */
export type WireType = (typeof WIRE_TYPES)[number];

/** How a payload was made bytes. `none`: it is `undefined`. `bytes`: it is a `Uint8Array`. */
export const WIRE_CODECS = ['none', 'json', 'bytes'] as const;
export type WireCodec = (typeof WIRE_CODECS)[number];

/** A payload as it travels. */
export interface WirePayload {
  readonly codec: WireCodec;
  readonly bytes: Uint8Array;
}

/** One message inside a frame. */
export interface WireMessage {
  readonly type: WireType;
  readonly id: string;
  /** Milliseconds since 1970 on its sender's clock. */
  readonly sentAtMs: number;
  /** Milliseconds since 1970 after which it is not worth a turn any more. */
  readonly expiresAtMs: number | undefined;
  readonly sender: string | undefined;
  readonly correlationId: string | undefined;
  readonly headers: Headers | undefined;
  /** Of `tell`, `ask` and `send`, and of no other. */
  readonly target?: WireTarget | undefined;
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
const HAS_ALL = 31;

/** The bytes of a message: what `encodeFrame` takes, made once however often its frame is. */
export function encodeMessage(message: WireMessage): Uint8Array {
  const { type, id, sentAtMs, expiresAtMs, sender, correlationId, headers, target, payload } = message;
  const parts =
    (expiresAtMs === undefined ? 0 : HAS_EXPIRY) |
    (sender === undefined ? 0 : HAS_SENDER) |
    (correlationId === undefined ? 0 : HAS_CORRELATION) |
    (headers === undefined ? 0 : HAS_HEADERS) |
    (target === undefined ? 0 : HAS_TARGET);
  const writer = new WireWriter();
  writer.byte(WIRE_TYPES.indexOf(type));
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
  writer.byte(WIRE_CODECS.indexOf(payload.codec));
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
  const type = WIRE_TYPES[reader.byte()];
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
  const codec = WIRE_CODECS[reader.byte()];
  if (codec === undefined) throw invalidFrame('it has a payload in an unknown form');
  const bytes = reader.bytes();
  if (codec === 'none' && bytes.length > 0)
    throw invalidFrame('it has a payload where it says there is none');
  return {
    type,
    id,
    sentAtMs,
    expiresAtMs,
    sender,
    correlationId,
    headers,
    target,
    payload: { codec, bytes },
  };
}

/** Only what is sent to an actor says to which. */
function isToActor(type: WireType): boolean {
  return type === 'tell' || type === 'ask' || type === 'send';
}

function readTarget(reader: WireReader): WireTarget {
  const address = reader.text(WIRE_TEXT_BYTES_MAX);
  const protocol = reader.text(WIRE_TEXT_BYTES_MAX);
  const message = reader.text(WIRE_TEXT_BYTES_MAX);
  if (address === '' || protocol === '' || message === '')
    throw invalidFrame('it has a message to an actor whose address, protocol or name is missing');
  return { address, protocol, message };
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
