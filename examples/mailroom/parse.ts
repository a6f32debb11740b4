/**
 * The mail parsers of the demo: RFC 5322 and MIME from raw bytes.
 *
 * `parse` is strict: it throws `MailRejected` on what an RFC forbids. `parseLenient` is the same code with the broken rules
 * written down as warnings; it returns on any bytes. Pure functions; they know nothing of actors, files or labels.
 */
import { type Address, parseAddress } from './address.ts';
import { findHeader, type Header } from './headers.ts';
import type { Link } from './html-text.ts';
import { MAIL_LIMITS } from './mail-limits.ts';
import { MAIL_RULES, MailRejected, type MailWarning, type Report } from './mail-rules.ts';
import { type Part, parsePartTree } from './part.ts';

/** A parsed mail. */
export interface ParsedMail {
  readonly headers: readonly Header[];
  readonly subject: string;
  /** The first mailbox of the From field. */
  readonly from: Address;
  readonly root: Part;
  /** The text of all text parts. */
  readonly text: string;
  readonly links: readonly Link[];
  /** Parts that carry a file name. */
  readonly attachments: readonly Part[];
  /** Broken rules; always empty from the strict parser. */
  readonly warnings: readonly MailWarning[];
}

/** Parses a mail strictly; throws `MailRejected` when it breaks a rule of an RFC or passes a limit. */
export function parse(bytes: Uint8Array): ParsedMail {
  const report: Report = (rule, detail) => {
    throw new MailRejected(rule, detail);
  };
  return { ...parseMail(bytes, report), warnings: [] };
}

/** Parses any bytes and never throws; what `parse` would refuse is in `warnings`, the first hundred of them. */
export function parseLenient(bytes: Uint8Array): ParsedMail {
  const warnings: MailWarning[] = [];
  const report: Report = (rule, detail) => {
    if (warnings.length < MAIL_LIMITS.warningsMax) warnings.push({ rule, rfc: MAIL_RULES[rule], detail });
  };
  return { ...parseMail(bytes, report), warnings };
}

function parseMail(input: Uint8Array, report: Report): Omit<ParsedMail, 'warnings'> {
  const size = input.byteLength;
  if (size > MAIL_LIMITS.mailSizeBytes)
    report('limit-exceeded', `${size} bytes; the limit is ${MAIL_LIMITS.mailSizeBytes}`);
  const bytes = Buffer.from(input.buffer, input.byteOffset, Math.min(size, MAIL_LIMITS.mailSizeBytes));
  const root = parsePartTree(bytes, report);
  requireFields(root.headers, report);

  const parts = flatten(root);
  return {
    headers: root.headers,
    subject: findHeader(root.headers, 'subject')?.value ?? '',
    from: parseAddress(findHeader(root.headers, 'from')?.value ?? ''),
    root,
    text: parts.map((part) => part.text).join('\n'),
    links: parts.flatMap((part) => part.links).slice(0, MAIL_LIMITS.linksMax),
    attachments: parts.filter((part) => part.fileName !== undefined),
  };
}

/** A message has a From and a Date, whatever else it lacks: without them it is some other file. */
function requireFields(headers: readonly Header[], report: Report): void {
  for (const name of ['from', 'date']) {
    if (findHeader(headers, name) === undefined) report('header-missing', `no ${name} field`);
  }
}

/** A part and all below it, in the order of the mail; depth is bounded by `depthMax`. */
function flatten(part: Part): Part[] {
  return [part, ...part.parts.flatMap(flatten)];
}
