/**
 * The header section of a mail or of a part: from bytes to named fields. Knows folding and field names, not what a field means.
 *
 * Lines end with CRLF or, as stored mail does, with LF alone. A first line `From ` is the mbox separator that mail stores
 * leave there; it is not part of the message. Bytes above 127 are read as UTF-8 where they are valid UTF-8, else as windows-1252.
 */
import { decodeEncodedWords } from './encoded-words.ts';
import { MAIL_LIMITS } from './mail-limits.ts';
import { excerpt, type Report } from './mail-rules.ts';

/** One header field, unfolded. */
export interface Header {
  /** Field name in lower case. */
  readonly name: string;
  /** The value with encoded words decoded, trimmed. */
  readonly value: string;
  /** The value byte for byte (one character a byte), for fields that are parsed further. */
  readonly raw: string;
}

/** A header section and the body after it. */
export interface Entity {
  readonly headers: readonly Header[];
  readonly body: Buffer;
}

const LF = 10;
const CR = 13;
const COLON = 58;
const utf8 = new TextDecoder('utf-8', { fatal: true });
const windows1252 = new TextDecoder('windows-1252');

/** Splits bytes into header fields and body, in one pass over the header section. */
export function splitEntity(bytes: Buffer, report: Report): Entity {
  const headers: Header[] = [];
  let field: { name: string; start: number; end: number } | undefined;
  let position = startsWith(bytes, 'From ') ? lineEnd(bytes, 0).next : 0;
  const limit = position + MAIL_LIMITS.headerSectionBytes;

  const closeField = (): void => {
    if (field !== undefined) headers.push(toHeader(field.name, bytes.subarray(field.start, field.end)));
    field = undefined;
  };

  while (position < bytes.length) {
    const { end, next } = lineEnd(bytes, position);
    if (end === position) {
      position = next;
      break;
    }
    if (end > limit || headers.length >= MAIL_LIMITS.headersMax) {
      report('limit-exceeded', `the header section passes ${limitText(end > limit)}`);
      break;
    }
    const first = bytes[position];
    const isFolded = first === 32 || first === 9;
    if (isFolded && field !== undefined) {
      field.end = end;
    } else {
      const colon = isFolded ? -1 : nameEnd(bytes, position, end);
      if (colon < 0) {
        report(
          'header-malformed',
          `no field name in line ${excerpt(bytes.toString('latin1', position, end))}`,
        );
        // Lenient: text where the first field should be means that there is no header section; later, skip the line.
        if (headers.length === 0 && field === undefined) break;
      } else {
        closeField();
        const name = bytes.toString('latin1', position, colon).trimEnd().toLowerCase();
        field = { name, start: colon + 1, end };
      }
    }
    position = next;
  }
  closeField();
  return { headers, body: bytes.subarray(position) };
}

/** The first field of that name (lower case). */
export function findHeader(headers: readonly Header[], name: string): Header | undefined {
  return headers.find((header) => header.name === name);
}

function limitText(isSize: boolean): string {
  return isSize ? `${MAIL_LIMITS.headerSectionBytes} bytes` : `${MAIL_LIMITS.headersMax} fields`;
}

function startsWith(bytes: Buffer, text: string): boolean {
  return bytes.toString('latin1', 0, text.length) === text;
}

/** Where the line's text ends and where the next line starts. */
function lineEnd(bytes: Buffer, start: number): { end: number; next: number } {
  const feed = bytes.indexOf(LF, start);
  if (feed < 0) return { end: bytes.length, next: bytes.length };
  return { end: feed > start && bytes[feed - 1] === CR ? feed - 1 : feed, next: feed + 1 };
}

/** The colon's position, or -1. Spaces before the colon are the obsolete syntax of RFC 5322 section 4.5, to be accepted. */
function nameEnd(bytes: Buffer, start: number, end: number): number {
  let index = start;
  while (index < end && isNameByte(bytes[index] ?? 0)) index += 1;
  if (index === start) return -1;
  while (index < end && (bytes[index] === 32 || bytes[index] === 9)) index += 1;
  return index < end && bytes[index] === COLON ? index : -1;
}

function isNameByte(byte: number): boolean {
  return byte > 32 && byte < 127 && byte !== COLON;
}

function toHeader(name: string, bytes: Buffer): Header {
  // Every line feed inside a field is a fold: the line after it starts with a space or tab.
  const raw = bytes.toString('latin1').replace(/\r?\n/g, '').trim();
  const value = decodeEncodedWords(/[\x80-\xff]/.test(raw) ? decodeEightBit(raw) : raw);
  return { name, value, raw };
}

function decodeEightBit(raw: string): string {
  const bytes = Buffer.from(raw, 'latin1');
  try {
    return utf8.decode(bytes);
  } catch {
    return windows1252.decode(bytes);
  }
}
