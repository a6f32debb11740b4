/**
 * The place of one message in a trace: the call that sent it, whose span it may still have to end, and the last thing that
 * came of it. It is made only while spans are recorded, and never changed: the copies of what was published share one.
 */

import { type Context, type Link, propagation, ROOT_CONTEXT, type Span, trace } from '@opentelemetry/api';
import type { Trace } from '../../src/protocol/envelope.ts';
import { endSpan, markFailed, noteIn } from './spans.ts';
import { headersWith } from './trace-headers.ts';

type Headers = Readonly<Record<string, string>>;

/** The span of a call, until it has ended. */
class CallSpan {
  private span: Span | undefined;

  constructor(span: Span) {
    this.span = span;
  }

  note(say: (span: Span) => void): void {
    if (this.span !== undefined) noteIn(this.span, say);
  }

  end(say: (span: Span) => void): void {
    const { span } = this;
    this.span = undefined;
    if (span !== undefined) endSpan(span, say);
  }
}

/** Where one message stands. */
type Place = Pick<MessageTrace, 'context' | 'last' | 'template' | 'links'>;

const NO_LINKS: readonly Link[] = [];

/** One message's place in a trace. */
export class MessageTrace implements Trace {
  /** What a turn of the message is part of: the call that sent it. */
  readonly context: Context;
  /** What else comes of the message is part of this: its last turn, or before the first the call. */
  readonly last: Context;
  /** Of the typed topic it was published to: what spans are named by, since topics may be many. */
  readonly template: string | undefined;
  /** Of another trace, that of the turn which started the timer. */
  readonly links: readonly Link[];
  private readonly call: CallSpan | undefined;

  private constructor(call: CallSpan | undefined, { context, last, template, links }: Place) {
    this.call = call;
    this.context = context;
    this.last = last;
    this.template = template;
    this.links = links;
  }

  /** A message that is sent by a call with a span. */
  static ofCall(span: Span, above: Context, template: string | undefined): MessageTrace {
    const context = trace.setSpan(above, span);
    return new MessageTrace(new CallSpan(span), { context, last: context, template, links: NO_LINKS });
  }

  /** A message that no call of its own has sent. */
  static below(context: Context, template?: string): MessageTrace {
    return new MessageTrace(undefined, { context, last: context, template, links: NO_LINKS });
  }

  /** A message that begins a trace of its own. */
  static linked(links: readonly Link[]): MessageTrace {
    const context = ROOT_CONTEXT;
    return new MessageTrace(undefined, { context, last: context, template: undefined, links });
  }

  get traceId(): string {
    return trace.getSpanContext(this.context)?.traceId ?? '';
  }

  /** The same message, in a turn. */
  inTurn(turn: Context): MessageTrace {
    const { context, template, links } = this;
    return new MessageTrace(this.call, { context, last: turn, template, links });
  }

  kept(): MessageTrace {
    const span = trace.getSpanContext(this.last);
    const baggage = propagation.getBaggage(this.last);
    const named = span === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, span);
    const context = baggage === undefined ? named : propagation.setBaggage(named, baggage);
    return MessageTrace.below(context, this.template);
  }

  headersWith(own: Headers | undefined): Headers {
    return headersWith(this.context, own);
  }

  began(): void {
    this.call?.note((span) => span.addEvent('troupe.stream.first_part'));
  }

  took(parts: number): void {
    this.call?.note((span) => span.setAttribute('troupe.stream.parts', parts));
  }

  sent(verdict: string): void {
    this.call?.end((span) => span.setAttribute('troupe.admission', verdict));
  }

  failed(error: unknown): void {
    this.call?.end((span) => markFailed(span, error));
  }
}
