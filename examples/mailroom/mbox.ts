/**
 * An mbox in pieces: its mails one after the other, without ever holding more than one.
 *
 * A line `From ` at the start of the file or after an empty line begins a mail. In a body such a line was written as `>From `:
 * mboxrd adds a `>` to lines of `>`s and `From `, mboxo to `From ` alone. One `>` is taken off again, which restores mboxrd
 * wholly, and of mboxo all but lines that were `>From ` before. Content-Length (mboxcl) is not trusted.
 */

/** One mail of an mbox. */
export interface MboxMail {
  /** Counted from 1. */
  readonly number: number;
  readonly sizeBytes: number;
  /** Undefined when the mail is over the limit. */
  readonly bytes: Uint8Array | undefined;
}

/** A line longer than this is passed on in pieces; only its first piece can be a separator. */
const LINE_PIECE_BYTES = 64 * 1024;
const LF = 10;
const separator = Buffer.from('From ');

/** Splits an mbox into mails. A mail of more than `mailSizeBytes` is counted, not kept. */
export async function* mailsOfMbox(
  chunks: AsyncIterable<Buffer>,
  mailSizeBytes: number,
): AsyncGenerator<MboxMail> {
  let mail: OpenMail | undefined;
  let number = 0;
  let isAfterBlank = true;
  let isLineStart = true;

  for await (const line of linePieces(chunks)) {
    if (isLineStart && isAfterBlank && startsWithSeparator(line, 0)) {
      if (mail !== undefined) yield mail.close();
      number += 1;
      mail = new OpenMail(number, mailSizeBytes);
    } else {
      mail?.add(isLineStart ? unquoted(line) : line);
    }
    const isLineEnd = line[line.length - 1] === LF;
    isAfterBlank = isLineStart && isLineEnd && line.length <= 2 && (line.length === 1 || line[0] === 13);
    isLineStart = isLineEnd;
  }
  if (mail !== undefined) yield mail.close();
}

/** The mail being read: its pieces, as long as they are within the limit. */
class OpenMail {
  readonly #number: number;
  readonly #limitBytes: number;
  #pieces: Buffer[] = [];
  #sizeBytes = 0;

  constructor(number: number, limitBytes: number) {
    this.#number = number;
    this.#limitBytes = limitBytes;
  }

  add(piece: Buffer): void {
    this.#sizeBytes += piece.length;
    if (this.#sizeBytes > this.#limitBytes) this.#pieces = [];
    else this.#pieces.push(piece);
  }

  close(): MboxMail {
    const isOversize = this.#sizeBytes > this.#limitBytes;
    return {
      number: this.#number,
      sizeBytes: this.#sizeBytes,
      bytes: isOversize ? undefined : Buffer.concat(this.#pieces),
    };
  }
}

/** The stream's lines with their ends; a line over 64 KiB in several pieces, of which only the last ends with a line feed. */
async function* linePieces(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const buffer: Buffer = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = buffer.indexOf(LF); end >= 0; end = buffer.indexOf(LF, start)) {
      yield buffer.subarray(start, end + 1);
      start = end + 1;
    }
    rest = buffer.subarray(start);
    if (rest.length >= LINE_PIECE_BYTES) {
      yield rest;
      rest = Buffer.alloc(0);
    }
  }
  if (rest.length > 0) yield rest;
}

function startsWithSeparator(line: Buffer, offset: number): boolean {
  return line.subarray(offset, offset + separator.length).equals(separator);
}

/** Takes one `>` off a line that was quoted so as not to look like a separator. */
function unquoted(line: Buffer): Buffer {
  let quotes = 0;
  while (line[quotes] === 62) quotes += 1;
  return quotes > 0 && startsWithSeparator(line, quotes) ? line.subarray(1) : line;
}
