/**
 * Traces as headers of messages: `traceparent`, `tracestate` and `baggage`, by their W3C names. Work from upstream comes in
 * by them; a handler reads them to pass its trace on over HTTP. Without an SDK they are carried from a message to those that
 * its turn sends, as they are.
 */

import { type Context, createTraceState, propagation, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import type { Envelope } from '../../src/protocol/envelope.ts';
import { formatBaggage, formatTraceparent, parseBaggage, parseTraceparent } from './w3c.ts';

type Headers = Readonly<Record<string, string>>;

/** The context that headers name; undefined when they name no trace. Baggage of its own comes with it. */
export function contextIn(headers: Headers | undefined): Context | undefined {
  const traceparent = headers?.['traceparent'];
  const parent = traceparent === undefined ? undefined : parseTraceparent(traceparent);
  if (headers === undefined || parent === undefined) return undefined;
  const { tracestate } = headers;
  const upstream = {
    ...parent,
    isRemote: true,
    ...(tracestate === undefined ? {} : { traceState: createTraceState(tracestate) }),
  };
  return withBaggageIn(headers, trace.setSpanContext(ROOT_CONTEXT, upstream));
}

/** The same context, with the baggage of these headers in the place of its own, if they have any. */
export function withBaggageIn(headers: Headers | undefined, context: Context): Context {
  const text = headers?.['baggage'];
  const baggage = text === undefined ? undefined : parseBaggage(text);
  return baggage === undefined ? context : propagation.setBaggage(context, baggage);
}

/** A message's own headers with the trace of this context in them. */
export function headersWith(context: Context, own: Headers | undefined): Headers {
  const span = trace.getSpanContext(context);
  if (span === undefined || !trace.isSpanContextValid(span)) return own ?? {};
  const { traceparent: _old, tracestate: _oldState, baggage: _oldBaggage, ...others } = own ?? {};
  const traceState = span.traceState?.serialize() ?? '';
  const members = propagation.getBaggage(context);
  const baggage = members === undefined ? undefined : formatBaggage(members);
  return {
    ...others,
    traceparent: formatTraceparent(span),
    ...(traceState === '' ? {} : { tracestate: traceState }),
    ...(baggage === undefined ? {} : { baggage }),
  };
}

/**
 * The headers of a message that is sent in the turn of another, while nobody records: its own, and the trace of that other
 * one. A `traceparent` of its own, well formed or not, starts a trace in which nothing of the other one is left.
 */
export function carriedHeaders(cause: Envelope, own: Headers | undefined): Headers | undefined {
  const upstream = cause.extras?.headers;
  if (upstream === undefined || own?.['traceparent'] !== undefined) return own;
  const { traceparent, tracestate, baggage } = upstream;
  if (traceparent === undefined && baggage === undefined) return own;
  const carried: Record<string, string> = {};
  if (traceparent !== undefined && parseTraceparent(traceparent) !== undefined) {
    carried['traceparent'] = traceparent;
    if (tracestate !== undefined) carried['tracestate'] = tracestate;
  }
  if (baggage !== undefined) carried['baggage'] = baggage;
  return Object.freeze({ ...carried, ...own });
}
