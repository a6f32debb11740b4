/** Splitting a multipart body at its boundary (RFC 2046 section 5.1.1), in one pass over the lines that hold a delimiter. */
import { excerpt, type Report } from './mail-rules.ts';

const LF = 10;
const CR = 13;
const DASH = 45;

/** What a multipart body is split by. */
export interface SplitOptions {
  readonly boundary: string | undefined;
  /** At most so many parts are cut; the rest stays unread and `limit-exceeded` is reported. */
  readonly partsMax: number;
}

/**
 * The bytes of each part, without the line end before its delimiter. Text before the first delimiter and after the
 * close-delimiter is not part of any. With a rule broken, what can be told apart is returned: perhaps nothing.
 */
export function splitMultipart(body: Buffer, options: SplitOptions, report: Report): Buffer[] {
  const { boundary, partsMax } = options;
  if (boundary === undefined || boundary === '') {
    report('boundary-missing', 'the multipart has no boundary parameter');
    return [];
  }

  const delimiter = Buffer.from(`--${boundary}`, 'latin1');
  const parts: Buffer[] = [];
  let partStart = -1;
  let position = 0;
  for (;;) {
    const found = body.indexOf(delimiter, position);
    if (found < 0) break;
    const lineFeed = body.indexOf(LF, found + delimiter.length);
    const next = lineFeed < 0 ? body.length : lineFeed + 1;
    const kind = delimiterKind(body, found, found + delimiter.length, lineFeed < 0 ? body.length : lineFeed);
    position = next;
    if (kind === 'none') continue;
    if (partStart >= 0) parts.push(body.subarray(partStart, Math.max(partStart, lineStart(body, found))));
    if (kind === 'close') return partStart < 0 ? neverOpened(boundary, report) : parts;
    if (parts.length >= partsMax) {
      report('limit-exceeded', `more than ${partsMax} parts`);
      return parts;
    }
    partStart = next;
  }
  if (partStart < 0) return neverOpened(boundary, report);
  report('boundary-unterminated', `no close-delimiter --${excerpt(boundary).slice(1, -1)}--`);
  parts.push(body.subarray(partStart));
  return parts;
}

function neverOpened(boundary: string, report: Report): Buffer[] {
  report('boundary-never-opened', `no delimiter line for boundary ${excerpt(boundary)}`);
  return [];
}

/** A delimiter stands at a line's start and only spaces follow it, after the two dashes of the last one. */
function delimiterKind(
  body: Buffer,
  start: number,
  end: number,
  lineFeed: number,
): 'none' | 'open' | 'close' {
  if (start > 0 && body[start - 1] !== LF) return 'none';
  const isClose = body[end] === DASH && body[end + 1] === DASH;
  if (isClose) return 'close';
  for (let index = end; index < lineFeed; index += 1) {
    const byte = body[index];
    if (byte !== 32 && byte !== 9 && byte !== CR) return 'none';
  }
  return 'open';
}

/** Where the line end before a delimiter begins: it belongs to the delimiter. */
function lineStart(body: Buffer, found: number): number {
  if (found === 0) return 0;
  return found > 1 && body[found - 2] === CR ? found - 2 : found - 1;
}
