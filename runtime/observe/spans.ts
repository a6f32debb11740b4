/**
 * How spans begin and end. An SDK is somebody else's code, with processors and samplers of its users: what it throws goes to
 * OpenTelemetry's own diagnostics and never into a turn.
 */

import {
  type Attributes,
  type Context,
  diag,
  type Link,
  type Span,
  type SpanKind,
  SpanStatusCode,
  type Tracer,
} from '@opentelemetry/api';
import { isTroupeError } from '../../src/protocol/errors.ts';

/** What a span is when it begins. */
export interface SpanStart {
  readonly name: string;
  readonly kind: SpanKind;
  readonly attributes: Attributes;
  readonly links?: Link[];
}

/** Begins a span; undefined when the SDK fails to. */
export function startSpan(
  tracer: Tracer,
  { name, ...options }: SpanStart,
  parent: Context,
): Span | undefined {
  try {
    return tracer.startSpan(name, options, parent);
  } catch (error) {
    complain(error);
    return undefined;
  }
}

/** Says something of a span that goes on. */
export function noteIn(span: Span, say: (span: Span) => void): void {
  try {
    say(span);
  } catch (error) {
    complain(error);
  }
}

/** Says the last of a span and ends it. */
export function endSpan(span: Span, say: (span: Span) => void): void {
  try {
    say(span);
    span.end();
  } catch (error) {
    complain(error);
  }
}

/** Sets status and `error.type`, by the conventions for errors. */
export function markFailed(span: Span, error: unknown): void {
  span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) });
  span.setAttribute('error.type', errorType(error));
}

/** As `markFailed`, and with the stack: for the span in which it was thrown. */
export function markThrown(span: Span, error: unknown): void {
  span.recordException(error instanceof Error && !quotesContents(error) ? error : messageOf(error));
  markFailed(span, error);
}

/** The code of one of ours, else the name of its class: few values, as an attribute of a metric needs. */
export function errorType(error: unknown): string {
  if (isTroupeError(error)) return error.code;
  return error instanceof Error ? error.name : typeof error;
}

/** Tells OpenTelemetry's own diagnostics that an SDK failed. */
export function complain(error: unknown): void {
  diag.error('troupe: the OpenTelemetry SDK failed', error);
}

/** Whether its text is that of a schema, which may quote what it was given: contents of a message. */
function quotesContents(error: unknown): boolean {
  return isTroupeError(error, 'ERR_MESSAGE_INVALID') || isTroupeError(error, 'ERR_REPLY_INVALID');
}

function messageOf(error: unknown): string {
  if (quotesContents(error)) return errorType(error);
  if (error instanceof Error) return error.message;
  return typeof error === 'string' ? error : `threw a value of type ${typeof error}`;
}
