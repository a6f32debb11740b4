/** What nodes tell one another of who lives, as JSON. Whatever else arrives is no message. */

import { ABOUT_BYTES_MAX } from '../../src/protocol/membership.ts';
import { type Gone, lifeOf, type Told } from './roster.ts';

/**
 * `hello`: I have come, or have come back; tell me who you are. `here`: these live; what somebody says of itself counts more. `ask`: whom do you
 * know whom I do not? `gone`: this life has ended. `probe`: nothing; that it arrives is what counts.
 */
export type MemberMessage =
  | { readonly kind: 'hello'; readonly member: Told }
  | { readonly kind: 'here'; readonly from: string; readonly members: readonly Told[] }
  | { readonly kind: 'ask'; readonly from: string; readonly known: readonly string[] }
  | { readonly kind: 'gone'; readonly gone: Gone }
  | { readonly kind: 'probe' };

/** Members in one message; with what they say of themselves, it stays below a mebibyte. */
export const TOLD_MAX = 16;
/** Bytes of a message that is read: the names of as many nodes as are known. */
const MESSAGE_BYTES_MAX = 1_048_576;

const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/** A message as bytes. */
export function encoded(message: MemberMessage): Buffer {
  return Buffer.from(JSON.stringify(message));
}

/** What bytes say; undefined where it is nothing of the above. */
export function decoded(bytes: Buffer): MemberMessage | undefined {
  if (bytes.byteLength > MESSAGE_BYTES_MAX) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
  return isRecord(value) ? messageOf(value) : undefined;
}

function messageOf(value: Readonly<Record<string, unknown>>): MemberMessage | undefined {
  const { kind, from } = value;
  if (kind === 'probe') return { kind };
  if (kind === 'hello') {
    const member = toldOf(value['member']);
    return member === undefined ? undefined : { kind, member };
  }
  if (kind === 'gone') {
    const gone = goneOf(value['gone']);
    return gone === undefined ? undefined : { kind, gone };
  }
  if (!isName(from)) return undefined;
  if (kind === 'ask') {
    const known = value['known'];
    return Array.isArray(known) && known.every(isName) ? { kind, from, known } : undefined;
  }
  if (kind !== 'here' || !Array.isArray(value['members'])) return undefined;
  const members = value['members'].map(toldOf);
  return members.every((member) => member !== undefined) ? { kind, from, members } : undefined;
}

function toldOf(value: unknown): Told | undefined {
  if (!isRecord(value)) return undefined;
  const { name, incarnation, about, version } = value;
  if (!isName(name) || !isIncarnation(incarnation)) return undefined;
  if (typeof about !== 'string' || Buffer.byteLength(about) > ABOUT_BYTES_MAX) return undefined;
  return typeof version === 'number' && Number.isSafeInteger(version)
    ? { name, incarnation, about, version }
    : undefined;
}

function goneOf(value: unknown): Gone | undefined {
  if (!isRecord(value)) return undefined;
  const { name, incarnation, how } = value;
  if (!isName(name) || !isIncarnation(incarnation)) return undefined;
  return how === 'down' || how === 'left' ? { name, incarnation, how } : undefined;
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && NAME.test(value);
}

function isIncarnation(value: unknown): value is string {
  return typeof value === 'string' && lifeOf(value) !== undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
