/**
 * Content-Transfer-Encoding (RFC 2045 section 6): from the bytes of a body to the bytes that were meant.
 *
 * Both decoders are one pass over the body. Where a rule is broken they report it and keep what can be read.
 */
import { excerpt, type Report } from './mail-rules.ts';

const TAB = 9;
const LF = 10;
const CR = 13;
const SPACE = 32;
const EQUALS = 61;

/** Undoes a body's transfer encoding; undefined when the encoding is unknown and the body therefore opaque. */
export function decodeTransfer(encoding: string, body: Buffer, report: Report): Buffer | undefined {
  switch (encoding) {
    case 'base64':
      return decodeBase64(body, report);
    case 'quoted-printable':
      return decodeQuotedPrintable(body, report);
    case '7bit':
    case '8bit':
    case 'binary':
      return body;
    default:
      return undefined;
  }
}

/**
 * Decodes quoted-printable (RFC 2045 section 6.7): `=` and two hexadecimal digits are a byte, `=` at a line's end joins it with
 * the next, spaces before a line's end are not part of the text. Lower-case digits are read too.
 */
export function decodeQuotedPrintable(body: Buffer, report: Report): Buffer {
  const output = Buffer.allocUnsafe(body.length);
  let length = 0;
  // Where the text ends if nothing but spaces follows on this line.
  let textEnd = 0;
  let malformedAt = -1;
  let index = 0;
  while (index < body.length) {
    const byte = body[index] ?? 0;
    index += 1;
    if (byte === EQUALS) {
      const high = hexDigit(body[index]);
      const low = hexDigit(body[index + 1]);
      const nextLine = softBreakEnd(body, index);
      if (high >= 0 && low >= 0) {
        output[length++] = high * 16 + low;
        index += 2;
        textEnd = length;
      } else if (nextLine >= 0) {
        index = nextLine;
        textEnd = length;
      } else {
        if (malformedAt < 0) malformedAt = index;
        output[length++] = byte;
        textEnd = length;
      }
    } else if (byte === SPACE || byte === TAB) {
      output[length++] = byte;
    } else {
      const isLineEnd = byte === LF || (byte === CR && body[index] === LF);
      if (isLineEnd) length = textEnd;
      output[length++] = byte;
      textEnd = length;
    }
  }
  if (malformedAt >= 0) {
    const found = excerpt(body.toString('latin1', malformedAt, malformedAt + 2));
    report('quoted-printable-malformed', `"=" before ${found} at offset ${malformedAt}`);
  }
  return output.subarray(0, textEnd);
}

/** The start of the next line when `=` stands at a line's end (spaces after it are padding), else -1. */
function softBreakEnd(body: Buffer, start: number): number {
  let index = start;
  while (body[index] === SPACE || body[index] === TAB) index += 1;
  if (index >= body.length) return index;
  if (body[index] === CR) index += 1;
  return body[index] === LF ? index + 1 : -1;
}

function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

const BASE64_VALUES = base64Values();

/**
 * Decodes base64 (RFC 2045 section 6.8). Characters outside the alphabet are skipped, as the section asks; padding ends the
 * data. A last group of fewer than four characters breaks `base64-truncated`; its whole bytes are kept.
 */
export function decodeBase64(body: Buffer, report: Report): Buffer {
  const output = Buffer.allocUnsafe(Math.ceil(body.length / 4) * 3);
  let length = 0;
  let group = 0;
  let digits = 0;
  let index = 0;
  for (; index < body.length; index += 1) {
    const byte = body[index] ?? 0;
    if (byte === EQUALS) break;
    const value = BASE64_VALUES[byte] ?? -1;
    if (value < 0) continue;
    group = ((group << 6) | value) & 0xffffff;
    digits += 1;
    if (digits === 4) {
      output[length++] = group >> 16;
      output[length++] = (group >> 8) & 255;
      output[length++] = group & 255;
      digits = 0;
    }
  }
  if (digits >= 2) output[length++] = (group >> (digits === 2 ? 4 : 10)) & 255;
  if (digits === 3) output[length++] = (group >> 2) & 255;
  const padding = digits === 0 ? 0 : countPadding(body, index, 4 - digits);
  if (digits === 1 || (digits > 1 && digits + padding < 4)) {
    report('base64-truncated', `the last group has ${digits + padding} of 4 characters`);
  }
  return output.subarray(0, length);
}

/** How many `=` follow, at most `max`; characters outside the alphabet are skipped. */
function countPadding(body: Buffer, start: number, max: number): number {
  let count = 0;
  for (let index = start; index < body.length && count < max; index += 1) {
    if (body[index] === EQUALS) count += 1;
  }
  return count;
}

function base64Values(): Int8Array {
  const values = new Int8Array(256).fill(-1);
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  for (let value = 0; value < alphabet.length; value += 1) values[alphabet.charCodeAt(value)] = value;
  return values;
}
