/**
 * Bytes, written and read in order: lengths as variable-length whole numbers (7 bits a byte, least first), texts as UTF-8 behind
 * their length, numbers as IEEE 754 doubles. The reader trusts nothing: every length is compared with what is left.
 */

import { TroupeError } from './errors.ts';

const TEXT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Bits of a whole number that JavaScript counts exactly, in groups of seven. */
const LENGTH_BYTES_MAX = 8;

/** Bytes that are kept to write in: some of the largest packed frames. What is larger is let go again. */
const SCRATCH_BYTES = 262_144;

let scratch = Buffer.allocUnsafeSlow(4_096);

/**
 * Writes into memory that all writers share, so that small texts cost no memory of their own: what one writes is taken before the next one
 * begins.
 */
export class WireWriter {
  private buffer = scratch;
  private size = 0;

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
    this.size = this.buffer.writeDoubleBE(value, this.size);
  }

  text(value: string): void {
    const bytes = Buffer.byteLength(value);
    this.length(bytes);
    this.reserve(bytes);
    this.buffer.write(value, this.size);
    this.size += bytes;
  }

  bytes(value: Uint8Array): void {
    this.length(value.length);
    this.reserve(value.length);
    this.buffer.set(value, this.size);
    this.size += value.length;
  }

  /** A copy of what was written. The writer is used up. */
  take(): Uint8Array {
    const bytes = Buffer.allocUnsafe(this.size);
    this.buffer.copy(bytes, 0, 0, this.size);
    if (this.buffer.length <= SCRATCH_BYTES) scratch = this.buffer;
    return bytes;
  }

  private reserve(bytes: number): void {
    const needed = this.size + bytes;
    if (needed <= this.buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.buffer.length * 2));
    this.buffer.copy(grown, 0, 0, this.size);
    this.buffer = grown;
  }
}

/** Reads what a writer wrote. Every method throws `ERR_FRAME_INVALID` for what no writer writes. */
export class WireReader {
  private readonly source: Uint8Array;
  private readonly view: DataView;
  private at = 0;
  /** Where the part ends that is being read. */
  private limit: number;

  constructor({ buffer, byteOffset, byteLength }: Uint8Array) {
    // Parts of a plain array are made at half the cost of those of a Buffer.
    this.source = new Uint8Array(buffer, byteOffset, byteLength);
    this.view = new DataView(buffer, byteOffset, byteLength);
    this.limit = byteLength;
  }

  byte(): number {
    const value = this.at < this.limit ? this.source[this.at++] : undefined;
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
    const value = this.view.getFloat64(this.take(8));
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
    const begin = this.take(size);
    return this.source.subarray(begin, begin + size);
  }

  /** What `read` makes of a byte string; it may read no more and no less than that. */
  part<T>(read: (reader: WireReader) => T): T {
    const size = this.length();
    const end = this.take(size) + size;
    const { limit } = this;
    this.at = end - size;
    this.limit = end;
    const value = read(this);
    this.end();
    this.limit = limit;
    return value;
  }

  /** Nothing may be left. */
  end(): void {
    if (this.at !== this.limit) throw invalid('something stands behind its end');
  }

  /** Where the next `size` bytes begin, which are there. */
  private take(size: number): number {
    const begin = this.at;
    if (size > this.limit - begin) throw cut();
    this.at = begin + size;
    return begin;
  }
}

function cut(): TroupeError {
  return invalid('it ends too early');
}

function invalid(problem: string, cause?: unknown): TroupeError {
  return new TroupeError('ERR_FRAME_INVALID', { problem }, cause === undefined ? {} : { cause });
}
