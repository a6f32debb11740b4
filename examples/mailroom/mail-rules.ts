/**
 * The rules by which the strict parser refuses a mail, each with the RFC that forbids what was found.
 *
 * Enforced is what keeps a reader from knowing what the mail says: its parts cannot be told apart, its bytes cannot be decoded,
 * it is no message at all. A rule looks at bytes only, never at a name or a label.
 *
 * Broken by real mail too, and deliberately not enforced, because the mail stays readable:
 * - bytes above 127 in header fields (RFC 5322 section 2.2): usual in old mail, and RFC 6532 has allowed UTF-8 since;
 * - 8-bit text that names its charset but no transfer encoding, hence 7bit (RFC 2045 section 2.7): the charset decodes it;
 * - a multipart with a transfer encoding (RFC 2045 section 6.4): parts are found as if it had none, which is all it may mean;
 * - a boundary with characters outside the set (RFC 2046 section 5.1.1): its delimiters are found all the same;
 * - a Cc or Reply-To given twice (RFC 5322 section 3.6): the first counts;
 * - a Content-Type without a subtype: RFC 2045 section 5.2 suggests to take it as absent;
 * - an unknown transfer encoding: RFC 2045 section 6.4 says to treat the part as opaque, which is what happens;
 * - lines over 998 characters (RFC 5322 section 2.1.1) and lines that end in LF alone: a matter of transport, not of content;
 * - badly formed encoded words: RFC 2047 section 6.3 says to show them as they stand.
 *
 * Parsers do not throw by themselves: they hand a broken rule to a `Report` and go on with a fallback. The strict report throws,
 * the lenient one writes it down: both modes are one code.
 */

/** Rule name to the section that forbids it. */
export const MAIL_RULES = {
  // A field is a name of printable ASCII without space, then a colon; a line that is neither field nor fold is no header.
  'header-malformed': 'RFC 5322 section 2.2',
  // "The only required header fields are the origination date field and the originator address field(s)."
  'header-missing': 'RFC 5322 section 3.6',
  // "The only mandatory global parameter for the multipart media type is the boundary parameter."
  'boundary-missing': 'RFC 2046 section 5.1.1',
  // A multipart body holds at least one part, opened by a delimiter line.
  'boundary-never-opened': 'RFC 2046 section 5.1.1',
  // The last part is followed by the close-delimiter, `--boundary--`.
  'boundary-unterminated': 'RFC 2046 section 5.1.1',
  // "=" is followed by two hexadecimal digits or ends the line.
  'quoted-printable-malformed': 'RFC 2045 section 6.7',
  // "A full encoding quantum is always completed at the end of a body."
  'base64-truncated': 'RFC 2045 section 6.8',
  // Text that names no charset, or us-ascii, has no byte above 127.
  'eight-bit-in-ascii': 'RFC 2046 section 4.1.2',
  // A charset is a registered name; one that names no encoding cannot be read.
  'charset-unknown': 'RFC 2046 section 4.1.2',
  // The bytes are not text in the charset they are said to be in.
  'charset-undecodable': 'RFC 2046 section 4.1.2',
  // A receiver's own limits (mail-limits.ts), which the section lets it refuse by.
  'limit-exceeded': 'RFC 5321 section 4.5.3.1.9',
} as const;

/** Name of a parser rule. */
export type MailRule = keyof typeof MAIL_RULES;

/** What a parser calls when a rule is broken; if it returns, the parser goes on with its fallback. */
export type Report = (rule: MailRule, detail: string) => void;

/** A broken rule, as the lenient parser writes it down. */
export interface MailWarning {
  readonly rule: MailRule;
  /** The section that forbids it, such as `RFC 2046 section 5.1.1`. */
  readonly rfc: string;
  readonly detail: string;
}

/** The strict parser's refusal: which rule, by which RFC, and what was found. */
export class MailRejected extends Error implements MailWarning {
  readonly rule: MailRule;
  readonly rfc: string;
  readonly detail: string;

  constructor(rule: MailRule, detail: string) {
    super(`${rule}: ${detail} (${MAIL_RULES[rule]})`);
    this.name = 'MailRejected';
    this.rule = rule;
    this.rfc = MAIL_RULES[rule];
    this.detail = detail;
  }
}

/** Text from a mail made fit for an error message: quoted printable ASCII, at most 60 characters of it. */
export function excerpt(text: string): string {
  const short = text.length > 60 ? `${text.slice(0, 57)}...` : text;
  return JSON.stringify(short.replace(/[^\x20-\x7e]/g, '?'));
}
