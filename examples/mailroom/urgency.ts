/**
 * How urgent a mail says it is, by a look at its raw header section: cheap enough for the intake, which must not parse.
 * X-Priority and Importance (RFC 2156 section 5.3.4) ask for haste, Precedence (RFC 2076 section 3.9) for patience.
 */

/** Priority a mail is queued with. */
export type Urgency = 'urgent' | 'normal' | 'background';

/** 64 KiB: a header section that is longer is not looked at to its end. */
const LOOK_BYTES_MAX = 64 * 1024;
const hasty = /^(?:x-priority:[ \t]*[12]\b|importance:[ \t]*high\b)/im;
const patient = /^precedence:[ \t]*(?:bulk|junk|list)\b/im;

/** The mail's urgency; haste wins where it claims both. */
export function urgencyOf(bytes: Uint8Array): Urgency {
  const look = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, LOOK_BYTES_MAX));
  const text = look.toString('latin1');
  const end = text.search(/\r?\n\r?\n/);
  const header = end < 0 ? text : text.slice(0, end);
  if (hasty.test(header)) return 'urgent';
  return patient.test(header) ? 'background' : 'normal';
}
