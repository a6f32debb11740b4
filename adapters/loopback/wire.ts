/**
 * Messages over a socket. A message is its length in four bytes, the version of this wire in one, and itself. What cannot be read, or is
 * longer than anything that is ever said, ends the connection.
 */

import type { Socket } from 'node:net';
import { TroupeError } from '../../src/protocol/errors.ts';
import { LOOPBACK_MESSAGE_BYTES_MAX } from '../../src/protocol/limits.ts';
import { WireReader, WireWriter } from '../../src/protocol/wire-bytes.ts';
import type { Field } from './fields.ts';

/** The version of this wire. Both ends speak the same one. */
export const WIRE_VERSION = 1;
const LENGTH_BYTES = 4;
/** Milliseconds for the other end to read the last that is said. */
const FAREWELL_MS = 1_000;

/** A message as bytes. */
export function encode<T>(field: Field<T>, message: T): Uint8Array {
  const writer = new WireWriter();
  for (let byte = 0; byte < LENGTH_BYTES; byte++) writer.byte(0);
  writer.byte(WIRE_VERSION);
  field.write(writer, message);
  const whole = writer.take();
  new DataView(whole.buffer, whole.byteOffset).setUint32(0, whole.length - LENGTH_BYTES);
  return whole;
}

/** The messages in a stream of bytes, however that is cut. Throws `ERR_FRAME_INVALID`, and is not used again then. */
export class Decoder<T> {
  private readonly field: Field<T>;
  /** The beginning of a message whose rest has not come. */
  private parts: Uint8Array[] = [];
  private size = 0;
  /** Bytes that the next message needs, as far as is known. */
  private wanted = LENGTH_BYTES;

  constructor(field: Field<T>) {
    this.field = field;
  }

  /** Gives each message that is complete now to `received`, which says whether it wants to go on. */
  take(chunk: Uint8Array, received: (message: T) => boolean): void {
    this.parts.push(chunk);
    this.size += chunk.length;
    if (this.size < this.wanted) return;
    const all = this.parts.length === 1 ? chunk : Buffer.concat(this.parts);
    let at = 0;
    for (let isWanted = true; isWanted; ) {
      const length = lengthAt(all, at);
      this.wanted = LENGTH_BYTES + (length ?? 0);
      if (length === undefined || all.length - at < this.wanted) break;
      const body = all.subarray(at + LENGTH_BYTES, at + this.wanted);
      at += this.wanted;
      isWanted = received(this.decode(body));
    }
    this.parts = at < all.length ? [all.subarray(at)] : [];
    this.size = all.length - at;
  }

  private decode(body: Uint8Array): T {
    const reader = new WireReader(body);
    const version = reader.byte();
    if (version !== WIRE_VERSION)
      throw invalid(`it is of version ${version} of the wire, and this is version ${WIRE_VERSION}`);
    const message = this.field.read(reader);
    reader.end();
    return message;
  }
}

function lengthAt(source: Uint8Array, at: number): number | undefined {
  if (source.length - at < LENGTH_BYTES) return undefined;
  const length = new DataView(source.buffer, source.byteOffset + at).getUint32(0);
  if (length > LOOPBACK_MESSAGE_BYTES_MAX)
    throw invalid(`it has ${length} bytes, above ${LOOPBACK_MESSAGE_BYTES_MAX}`);
  return length;
}

/** What one end hears of its connection. */
export interface WireEvents<In> {
  readonly received: (message: In) => void;
  /** Everything that was sent has left this process. */
  readonly drained?: () => void;
  /** Once, and the last that is heard. */
  readonly ended: (problem: string) => void;
}

/** One end of a connection. */
export class Wire<In, Out> {
  isOpen = true;
  private readonly socket: Socket;
  private readonly out: Field<Out>;
  private readonly events: WireEvents<In>;
  private readonly soon: (task: () => void) => void;
  private isCorked = false;

  constructor(
    socket: Socket,
    fields: { readonly in: Field<In>; readonly out: Field<Out> },
    soon: (task: () => void) => void,
    events: WireEvents<In>,
  ) {
    this.socket = socket;
    this.out = fields.out;
    this.events = events;
    this.soon = soon;
    const decoder = new Decoder(fields.in);
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.take(decoder, chunk));
    socket.on('drain', () => events.drained?.());
    socket.on('error', (error: NodeJS.ErrnoException) => this.end(error.code ?? error.message));
    socket.on('end', () => this.end('the other end has closed the connection'));
    socket.on('close', () => this.end('the connection was closed'));
  }

  /** Bytes that wait in this process. */
  get unsentBytes(): number {
    return this.socket.writableLength;
  }

  send(message: Out): void {
    if (!this.isOpen) return;
    if (!this.isCorked) {
      // What is said in one turn goes out together.
      this.isCorked = true;
      this.socket.cork();
      this.soon(() => {
        this.isCorked = false;
        this.socket.uncork();
      });
    }
    this.socket.write(encode(this.out, message));
  }

  /** Reads no more until `resume`: whoever sends has to wait. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Ends the connection, on the spot or once what was sent is out. */
  end(problem: string, how: 'now' | 'when-sent' = 'now'): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    if (how === 'now') this.socket.destroy();
    else {
      this.socket.end(() => this.socket.destroy());
      this.socket.setTimeout(FAREWELL_MS, () => this.socket.destroy());
    }
    this.events.ended(problem);
  }

  private take(decoder: Decoder<In>, chunk: Buffer): void {
    if (!this.isOpen) return;
    try {
      decoder.take(chunk, (message) => {
        this.events.received(message);
        return this.isOpen;
      });
    } catch (error) {
      // What the other end says is no reason for this one to fail.
      this.end(error instanceof Error ? error.message : String(error));
    }
  }
}

function invalid(problem: string): TroupeError {
  return new TroupeError('ERR_FRAME_INVALID', { problem });
}
