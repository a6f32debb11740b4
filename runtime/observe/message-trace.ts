/**
 * The place of one message in a trace: the call that sent it, whose span it may still have to end, and the last thing that
 * came of it. It is made only while spans are recorded, and never changed: the copies of what was published share one.
 */

import { type Context, propagation, ROOT_CONTEXT, type Span, trace } from '@opentelemetry/api';
import type { Trace } from '../../src/protocol/envelope.ts';
import { endSpan, markFailed } from './spans.ts';

/** The span of a call, until it has ended. */
class CallSpan {
  private span: Span | undefined;

  constructor(span: Span) {
    this.span = span;
  }

  end(say: (span: Span) => void): void {
    const { span } = this;
    this.span = undefined;
    if (span !== undefined) endSpan(span, say);
  }
}

/** One message's place in a trace. */
export class MessageTrace implements Trace {
  /** What a turn of the message is part of: the call that sent it. */
  readonly context: Context;
  /** What else comes of the message is part of this: its last turn, or before the first the call. */
  readonly last: Context;
  private readonly call: CallSpan | undefined;

  private constructor(call: CallSpan | undefined, context: Context, last: Context) {
    this.call = call;
    this.context = context;
    this.last = last;
  }

  /** A message that is sent by a call with a span. */
  static ofCall(span: Span, above: Context): MessageTrace {
    const context = trace.setSpan(above, span);
    return new MessageTrace(new CallSpan(span), context, context);
  }

  /** A message that no call of its own has sent. */
  static below(context: Context): MessageTrace {
    return new MessageTrace(undefined, context, context);
  }

  get traceId(): string {
    return trace.getSpanContext(this.context)?.traceId ?? '';
  }

  /** The same message, in a turn. */
  inTurn(turn: Context): MessageTrace {
    return new MessageTrace(this.call, this.context, turn);
  }

  kept(): MessageTrace {
    const span = trace.getSpanContext(this.last);
    const baggage = propagation.getBaggage(this.last);
    const named = span === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, span);
    return MessageTrace.below(baggage === undefined ? named : propagation.setBaggage(named, baggage));
  }

  sent(verdict: string): void {
    this.call?.end((span) => span.setAttribute('troupe.admission', verdict));
  }

  failed(error: unknown): void {
    this.call?.end((span) => markFailed(span, error));
  }
}
