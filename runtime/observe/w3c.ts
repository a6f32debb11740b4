/**
 * The header fields of W3C Trace Context (https://www.w3.org/TR/trace-context-2/) and W3C Baggage
 * (https://www.w3.org/TR/baggage/), read and written without an SDK: the OpenTelemetry API brings no propagator of its own.
 * Whatever is not well formed is as if it were absent; nothing here throws.
 */

import {
  type Baggage,
  baggageEntryMetadataFromString,
  isValidSpanId,
  isValidTraceId,
  propagation,
  type SpanContext,
} from '@opentelemetry/api';

/** Version, trace id, parent id and flags; what a later version may add behind them. */
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/** The only one that can never be used. */
const VERSION_FORBIDDEN = 'ff';
/** Flags of Level 2: sampled, and a trace id that is random. */
const FLAGS_KNOWN = 0x03;
/** What the specification lets everybody rely on: so many members and bytes of baggage are carried, and no more are here. */
const BAGGAGE_MEMBERS_MAX = 64;
const BAGGAGE_BYTES_MAX = 8_192;
/** A token of RFC 7230, section 3.2.6. */
const BAGGAGE_KEY = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** The span that a `traceparent` names; undefined: the trace starts anew. */
export function parseTraceparent(
  text: string,
): Pick<SpanContext, 'traceId' | 'spanId' | 'traceFlags'> | undefined {
  const [, version, traceId = '', spanId = '', flags = '', more] = TRACEPARENT.exec(text) ?? [];
  if (version === undefined || version === VERSION_FORBIDDEN) return undefined;
  if (version === '00' && more !== undefined) return undefined;
  if (!isValidTraceId(traceId) || !isValidSpanId(spanId)) return undefined; // all zeros
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & FLAGS_KNOWN };
}

/** The `traceparent` of a span, in version 00. */
export function formatTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${(traceFlags & FLAGS_KNOWN).toString(16).padStart(2, '0')}`;
}

/** The members of a `baggage` field that are well formed; undefined when there is none, or the field is too long. */
export function parseBaggage(text: string): Baggage | undefined {
  if (text.length > BAGGAGE_BYTES_MAX) return undefined;
  const members: Parameters<typeof propagation.createBaggage>[0] = {};
  let count = 0;
  for (const part of text.split(',')) {
    const [pair = '', ...properties] = part.split(';');
    const split = pair.indexOf('=');
    const key = pair.slice(0, Math.max(0, split)).trim();
    const value = decoded(pair.slice(split + 1).trim());
    if (!BAGGAGE_KEY.test(key) || value === undefined) continue;
    if (++count > BAGGAGE_MEMBERS_MAX) break;
    const metadata = properties.map((property) => property.trim()).join(';');
    members[key] = {
      value,
      ...(metadata === '' ? {} : { metadata: baggageEntryMetadataFromString(metadata) }),
    };
  }
  return count === 0 ? undefined : propagation.createBaggage(members);
}

/** The `baggage` field for these members, as many of them as fit; undefined when none does. */
export function formatBaggage(baggage: Baggage): string | undefined {
  let text = '';
  let count = 0;
  for (const [key, { value, metadata }] of baggage.getAllEntries()) {
    if (!BAGGAGE_KEY.test(key)) continue;
    const properties = metadata === undefined ? '' : `;${metadata.toString()}`;
    const member = `${text === '' ? '' : ','}${key}=${encodeURIComponent(value)}${properties}`;
    if (text.length + member.length > BAGGAGE_BYTES_MAX) continue;
    if (++count > BAGGAGE_MEMBERS_MAX) break;
    text += member;
  }
  return text === '' ? undefined : text;
}

/** What a percent-encoded value says; undefined when it is none. */
function decoded(value: string): string | undefined {
  try {
    return decodeURIComponent(value);
  } catch {
    return undefined;
  }
}
