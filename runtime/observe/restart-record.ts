/** The span of one restart: from the end of the failed generation, through the pause, to the start of the next. */

import { type Context, context, type Span, trace } from '@opentelemetry/api';
import { endSpan, markFailed } from './spans.ts';

/** A restart under way. */
export class RestartRecord {
  private readonly context: Context;
  private readonly span: Span;

  constructor(span: Span, parent: Context) {
    this.span = span;
    this.context = trace.setSpan(parent, span);
  }

  /** Runs a hook of the restart so that the spans it makes are its children. */
  run<T>(hook: () => T): T {
    return context.with(this.context, hook);
  }

  /** The next generation goes. */
  ended(generation: number): void {
    endSpan(this.span, (span) => span.setAttribute('troupe.generation', generation));
  }

  /** There is no next generation: the actor has ended. */
  gaveUp(error: unknown): void {
    endSpan(this.span, (span) => markFailed(span, error));
  }
}
