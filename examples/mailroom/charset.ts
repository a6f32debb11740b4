/**
 * Charset decoding of text parts: strict where the RFC is, with a fallback that never fails.
 *
 * The decoders are the platform's (WHATWG labels), except us-ascii: WHATWG reads that label as windows-1252, which would let
 * through the 8-bit bytes that RFC 2046 section 4.1.2 forbids there.
 */
import { TextDecoder } from 'node:util';
import { excerpt, type Report } from './mail-rules.ts';

const ASCII_NAMES: ReadonlySet<string> = new Set([
  'us-ascii',
  'ascii',
  'ansi_x3.4-1968',
  'ansi_x3.4-1986',
  'iso_646.irv:1991',
  'iso646-us',
  'iso-ir-6',
  'us',
  'ibm367',
  'cp367',
  'csascii',
]);
const fallback = new TextDecoder('windows-1252');
const replacing = new Map<string, TextDecoder>();

/**
 * Decodes a text part. Without a charset it is us-ascii (RFC 2045 section 5.2). What breaks a rule is decoded as well as
 * can be: with replacement characters, or as windows-1252 when the charset names no encoding.
 */
export function decodeCharset(charset: string | undefined, bytes: Buffer, report: Report): string {
  const label = (charset ?? 'us-ascii').trim().toLowerCase();
  if (ASCII_NAMES.has(label)) return decodeAscii(charset, bytes, report);
  const decoder = strictDecoder(label);
  if (decoder === undefined) {
    report('charset-unknown', excerpt(label));
    return fallback.decode(bytes);
  }
  try {
    return decoder.decode(bytes);
  } catch {
    report('charset-undecodable', `${bytes.length} bytes are not ${excerpt(label)}`);
    return replacingDecoder(label).decode(bytes);
  }
}

function decodeAscii(charset: string | undefined, bytes: Buffer, report: Report): string {
  const offset = firstEightBit(bytes);
  if (offset < 0) return bytes.toString('latin1');
  const origin = charset === undefined ? 'by default' : 'as declared';
  report(
    'eight-bit-in-ascii',
    `byte ${hex(bytes[offset] ?? 0)} at offset ${offset} of a text in us-ascii ${origin}`,
  );
  return fallback.decode(bytes);
}

/** Offset of the first byte above 127, or -1. */
export function firstEightBit(bytes: Buffer): number {
  for (let index = 0; index < bytes.length; index += 1) {
    if ((bytes[index] ?? 0) > 127) return index;
  }
  return -1;
}

/** A byte as `0xe9`. */
function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`;
}

/** Not kept: a fatal decoder that threw may hold on to part of a character. */
function strictDecoder(label: string): TextDecoder | undefined {
  try {
    return new TextDecoder(label, { fatal: true });
  } catch {
    return undefined;
  }
}

function replacingDecoder(label: string): TextDecoder {
  const decoder = replacing.get(label) ?? new TextDecoder(label);
  // Bounded: only labels the platform knows get here, a few hundred.
  replacing.set(label, decoder);
  return decoder;
}
