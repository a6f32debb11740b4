/**
 * The MIME tree of a mail: each part's type, transfer encoding, text and children (RFC 2045, RFC 2046).
 *
 * Depth and number of parts are bounded, and a level only scans its own slice of the bytes, so the work is at most
 * `depthMax` passes over the mail.
 */
import { decodeCharset } from './charset.ts';
import { findHeader, type Header, splitEntity } from './headers.ts';
import { type Link, readHtml } from './html-text.ts';
import { MAIL_LIMITS } from './mail-limits.ts';
import type { Report } from './mail-rules.ts';
import { splitMultipart } from './multipart.ts';
import { parseStructuredField, type StructuredField } from './structured-field.ts';
import { decodeTransfer } from './transfer.ts';

/** One part of a mail; the mail itself is the outermost. */
export interface Part {
  readonly headers: readonly Header[];
  /** Media type in lower case, such as `text/plain`. */
  readonly mediaType: string;
  /** The declared charset, if any. */
  readonly charset: string | undefined;
  readonly fileName: string | undefined;
  /** Size after transfer decoding; of a container, its body's. */
  readonly sizeBytes: number;
  /** The text of a text part (HTML without its tags), else empty. */
  readonly text: string;
  /** The links of an HTML part. */
  readonly links: readonly Link[];
  /** The parts of a multipart, or the one enclosed message. */
  readonly parts: readonly Part[];
}

/** What the whole tree shares. */
interface Tree {
  readonly report: Report;
  /** Parts still allowed. */
  partsLeft: number;
}

/** A part whose headers have been read. */
interface OpenPart {
  readonly headers: readonly Header[];
  readonly body: Buffer;
  readonly type: StructuredField;
  readonly encoding: string;
  readonly depth: number;
}

const mediaTypePattern = /^[!#$%&'*+\-.0-9^_`a-z{|}~]+\/[!#$%&'*+\-.0-9^_`a-z{|}~]+$/;

/** Parses a mail's bytes into its tree of parts. */
export function parsePartTree(bytes: Buffer, report: Report): Part {
  return parsePart(bytes, 'text/plain', 0, { report, partsLeft: MAIL_LIMITS.partsMax - 1 });
}

function parsePart(bytes: Buffer, defaultType: string, depth: number, tree: Tree): Part {
  const { headers, body } = splitEntity(bytes, tree.report);
  const part: OpenPart = {
    headers,
    body,
    type: contentType(headers, defaultType),
    encoding: transferEncoding(headers),
    depth,
  };
  const isComposite = part.type.value.startsWith('multipart/') || part.type.value === 'message/rfc822';
  if (!isComposite) return leaf(part, tree.report);
  if (depth >= MAIL_LIMITS.depthMax) {
    tree.report('limit-exceeded', `parts nested deeper than ${MAIL_LIMITS.depthMax}`);
    return leaf(part, tree.report);
  }
  return close(part, { sizeBytes: body.length, parts: children(part, tree) });
}

function children(part: OpenPart, tree: Tree): Part[] {
  const childDepth = part.depth + 1;
  if (part.type.value === 'message/rfc822') {
    if (tree.partsLeft <= 0) {
      tree.report('limit-exceeded', `more than ${MAIL_LIMITS.partsMax} parts`);
      return [];
    }
    tree.partsLeft -= 1;
    return [parsePart(part.body, 'text/plain', childDepth, tree)];
  }
  const defaultType = part.type.value === 'multipart/digest' ? 'message/rfc822' : 'text/plain';
  const slices = splitMultipart(
    part.body,
    { boundary: part.type.parameters.get('boundary'), partsMax: tree.partsLeft },
    tree.report,
  );
  tree.partsLeft -= slices.length;
  return slices.map((slice) => parsePart(slice, defaultType, childDepth, tree));
}

function leaf(part: OpenPart, report: Report): Part {
  const { body, type, encoding } = part;
  const bytes = decodeTransfer(encoding, body, report);
  if (bytes === undefined) return close(part, { sizeBytes: body.length });
  if (!type.value.startsWith('text/')) return close(part, { sizeBytes: bytes.length });
  const text = decodeCharset(type.parameters.get('charset'), bytes, report);
  if (type.value !== 'text/html') return close(part, { sizeBytes: bytes.length, text });
  return close(part, { sizeBytes: bytes.length, ...readHtml(text) });
}

function close(
  part: OpenPart,
  content: { sizeBytes: number; text?: string; links?: readonly Link[]; parts?: readonly Part[] },
): Part {
  return {
    headers: part.headers,
    mediaType: part.type.value,
    charset: part.type.parameters.get('charset'),
    fileName: fileName(part),
    sizeBytes: content.sizeBytes,
    text: content.text ?? '',
    links: content.links ?? [],
    parts: content.parts ?? [],
  };
}

function fileName(part: OpenPart): string | undefined {
  const disposition = findHeader(part.headers, 'content-disposition');
  const named = disposition && parseStructuredField(disposition.raw).parameters.get('filename');
  return named ?? part.type.parameters.get('name');
}

/** A Content-Type that cannot be read counts as absent (RFC 2045 section 5.2 suggests that default). */
function contentType(headers: readonly Header[], defaultType: string): StructuredField {
  const header = findHeader(headers, 'content-type');
  const field = header && parseStructuredField(header.raw);
  if (field !== undefined && mediaTypePattern.test(field.value)) return field;
  return { value: defaultType, parameters: new Map() };
}

function transferEncoding(headers: readonly Header[]): string {
  const header = findHeader(headers, 'content-transfer-encoding');
  if (header === undefined) return '7bit';
  return parseStructuredField(header.raw).value;
}
