/**
 * Bytes, written and read in order: lengths as variable-length whole numbers (7 bits a byte, least first), texts as UTF-8 behind
 * their length, numbers as IEEE 754 doubles. The reader trusts nothing: every length is compared with what is left.
 */

import { TroupeError } from './errors.ts';

const TEXT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const UTF8 = new TextEncoder();
/** Bits of a whole number that JavaScript counts exactly, in groups of seven. */
const LENGTH_BYTES_MAX = 8;

/** Writes into a buffer that grows. */
export class WireWriter {
  private buffer: Uint8Array;
  private view: DataView;
  private size = 0;

  /** `sizeHint`: bytes to begin with. */
  constructor(sizeHint: number) {
    this.buffer = new Uint8Array(sizeHint);
    this.view = new DataView(this.buffer.buffer);
  }

  byte(value: number): void {
    this.reserve(1);
    this.buffer[this.size++] = value;
  }

  /** A whole number from 0 to 2^53 - 1. */
  length(value: number): void {
    this.reserve(LENGTH_BYTES_MAX);
    let rest = value;
    while (rest >= 0x80) {
      this.buffer[this.size++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.buffer[this.size++] = rest;
  }

  number(value: number): void {
    this.reserve(8);
    this.view.setFloat64(this.size, value);
    this.size += 8;
  }

  text(value: string): void {
    // The length of the text comes before it, and is known exactly only for plain ASCII.
    const bytes = UTF8.encode(value);
    this.bytes(bytes);
  }

  bytes(value: Uint8Array): void {
    this.length(value.length);
    this.reserve(value.length);
    this.buffer.set(value, this.size);
    this.size += value.length;
  }

  /** What was written. The writer is used up. */
  take(): Uint8Array {
    return this.buffer.subarray(0, this.size);
  }

  private reserve(bytes: number): void {
    const needed = this.size + bytes;
    if (needed <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(needed, this.buffer.length * 2));
    grown.set(this.buffer);
    this.buffer = grown;
    this.view = new DataView(grown.buffer);
  }
}

/** Reads what a writer wrote. Every method throws `ERR_FRAME_INVALID` for what no writer writes. */
export class WireReader {
  private readonly source: Uint8Array;
  private readonly view: DataView;
  private at = 0;

  constructor(source: Uint8Array) {
    this.source = source;
    this.view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  }

  byte(): number {
    const value = this.source[this.at++];
    if (value === undefined) throw cut();
    return value;
  }

  length(): number {
    let value = 0;
    let scale = 1;
    for (let n = 0; n < LENGTH_BYTES_MAX; n++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        // One number has one form: the last group of a longer one is not empty.
        if (n > 0 && byte === 0) break;
        if (Number.isSafeInteger(value)) return value;
        break;
      }
      scale *= 0x80;
    }
    throw invalid('a length in it is no whole number');
  }

  /** A finite number. */
  number(): number {
    if (this.at + 8 > this.source.length) throw cut();
    const value = this.view.getFloat64(this.at);
    this.at += 8;
    if (!Number.isFinite(value)) throw invalid('a number in it is not finite');
    return value;
  }

  text(bytesMax: number): string {
    const bytes = this.bytes();
    if (bytes.length > bytesMax) throw invalid(`a text in it has ${bytes.length} bytes, above ${bytesMax}`);
    try {
      return TEXT.decode(bytes);
    } catch (cause) {
      throw invalid('a text in it is not UTF-8', cause);
    }
  }

  /** A view of the bytes, not a copy. */
  bytes(): Uint8Array {
    const size = this.length();
    if (size > this.source.length - this.at) throw cut();
    const bytes = this.source.subarray(this.at, this.at + size);
    this.at += size;
    return bytes;
  }

  /** Nothing may be left. */
  end(): void {
    if (this.at !== this.source.length) throw invalid('something stands behind its end');
  }
}

function cut(): TroupeError {
  return invalid('it ends too early');
}

function invalid(problem: string, cause?: unknown): TroupeError {
  return new TroupeError('ERR_FRAME_INVALID', { problem }, cause === undefined ? {} : { cause });
}
