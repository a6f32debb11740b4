/**
 * Why an ask of another node has no reply, as it travels: a code of `errors.ts` and its details. Both come from a process that may be of
 * another make, so the reader takes only what has the shape and the bounds below; whatever else arrives is a failure of the actor, never
 * of the reader. Stacks do not travel, and of a cause only its text.
 */

import { errorText } from '../../src/protocol/error-text.ts';
import { type ErrorCode, type ErrorDetails, isTroupeError, TroupeError } from '../../src/protocol/errors.ts';

/** Characters of a text in a refusal, and texts of a list. */
const TEXT_CHARACTERS_MAX = 1_000;
const LIST_MAX = 64;

type Kind = 'text' | 'number' | 'texts';

/** What the details of a code consist of. The keys are those of its type, so a new detail fails to compile here. */
type Shape<C extends ErrorCode> = { readonly [Key in keyof ErrorDetails[C]]: KindOf<ErrorDetails[C][Key]> };
type KindOf<T> = T extends string ? 'text' : T extends number ? 'number' : 'texts';

/** The errors with which a node answers an ask, or the wish to start an agent. */
const SHAPES = {
  ERR_ACTOR_FAILED: { address: 'text', message: 'text' },
  ERR_ACTOR_STOPPED: { address: 'text' },
  ERR_ACTOR_UNKNOWN: { address: 'text' },
  ERR_AGENT_UNKNOWN: { agent: 'text', node: 'text', asker: 'text', known: 'texts' },
  ERR_ASK_CYCLE: { path: 'texts' },
  ERR_CODEC_FAILED: { codec: 'text', call: 'text', problem: 'text' },
  ERR_CODEC_UNKNOWN: { codec: 'text', known: 'texts' },
  ERR_ASKS_IN_FLIGHT_FULL: { max: 'number' },
  ERR_COST_EXCESSIVE: { address: 'text', message: 'text', cost: 'number', tokens: 'number' },
  ERR_MAILBOX_FULL: { address: 'text', capacity: 'number' },
  ERR_MAILBOX_WAITERS_FULL: { address: 'text', waitersMax: 'number' },
  ERR_MESSAGE_DROPPED: { address: 'text', message: 'text', reason: 'text' },
  ERR_MESSAGE_INVALID: { subject: 'text', issues: 'texts' },
  ERR_MESSAGE_REJECTED: { address: 'text', message: 'text' },
  ERR_MESSAGE_UNKNOWN: { protocol: 'text', message: 'text', known: 'texts' },
  ERR_NAME_TAKEN: { name: 'text', holder: 'text' },
  ERR_OPTION_INVALID: { option: 'text', expected: 'text', given: 'text' },
  ERR_PAYLOAD_TOO_LARGE: { sizeBytes: 'number', sizeBytesMax: 'number' },
  ERR_PAYLOAD_UNSERIALIZABLE: { path: 'text', given: 'text' },
  ERR_POOL_DESERTED: { address: 'text', size: 'number' },
  ERR_PROTOCOL_MISMATCH: { address: 'text', message: 'text', protocol: 'text', found: 'text' },
  ERR_REPLY_INVALID: { address: 'text', message: 'text', issues: 'texts' },
  ERR_ROUTING_MISMATCH: { protocol: 'text', message: 'text', routing: 'text' },
  ERR_START_FAILED: { address: 'text' },
} as const satisfies { readonly [C in ErrorCode]?: Shape<C> };

type RefusalCode = keyof typeof SHAPES;

/** Whom an ask was for: what is said of it where the refusal itself says nothing that can be taken. */
export interface Refused {
  readonly address: string;
  readonly message: string;
}

/** A refusal as a payload: plain data within the bounds. Any error that has no code of its own here is the actor's failure. */
export function refusalOf(error: unknown, { address, message }: Refused): Readonly<Record<string, unknown>> {
  const isAnswer = isTroupeError(error) && isRefusalCode(error.code);
  const code = isAnswer && isRefusalCode(error.code) ? error.code : 'ERR_ACTOR_FAILED';
  const given: Readonly<Record<string, unknown>> = isAnswer ? { ...error.details } : { address, message };
  const details = Object.fromEntries(Object.keys(shapeOf(code)).map((key) => [key, cut(given[key])]));
  const cause = isAnswer ? error.cause : error;
  return cause === undefined ? { code, details } : { code, details, cause: errorText(cause) };
}

/** The error with which the ask is rejected. Never throws, whatever has arrived. */
export function errorOf(refusal: unknown, { address, message }: Refused): TroupeError {
  const { code, details, cause } = recordIn(refusal);
  const options = isText(cause) ? { cause: new Error(cause) } : {};
  if (isRefusalCode(code)) {
    const taken = detailsOf(shapeOf(code), recordIn(details));
    // They have what the shape of this code says, and that is what its type says.
    if (taken !== undefined) return new TroupeError(code, taken as never, options);
  }
  return new TroupeError('ERR_ACTOR_FAILED', { address, message }, options);
}

/** What the shape names, if it is all there and fits; what else was sent is left out. */
function detailsOf(
  shape: Readonly<Record<string, Kind>>,
  given: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> | undefined {
  const taken: Record<string, unknown> = {};
  for (const [key, kind] of Object.entries(shape)) {
    const value = given[key];
    if (!fits(kind, value)) return undefined;
    taken[key] = value;
  }
  return taken;
}

function fits(kind: Kind, value: unknown): boolean {
  switch (kind) {
    case 'text':
      return isText(value);
    case 'number':
      return typeof value === 'number' && Number.isFinite(value);
    case 'texts':
      return Array.isArray(value) && value.length <= LIST_MAX && value.every(isText);
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= TEXT_CHARACTERS_MAX;
}

function cut(value: unknown): unknown {
  if (typeof value === 'string') return value.slice(0, TEXT_CHARACTERS_MAX);
  return Array.isArray(value) ? value.slice(0, LIST_MAX).map(cut) : value;
}

function isRefusalCode(code: unknown): code is RefusalCode {
  return typeof code === 'string' && Object.hasOwn(SHAPES, code);
}

function shapeOf(code: RefusalCode): Readonly<Record<string, Kind>> {
  return SHAPES[code];
}

/** The own keys of an object; none of anything else. */
function recordIn(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
