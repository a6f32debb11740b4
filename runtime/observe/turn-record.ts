/**
 * What is recorded of one turn: its span, how long its message had waited, how long it took. Queue wait and run time are
 * apart: the span is the run alone, and the wait stands in it as an attribute.
 */

import { type Context, context, type Span, type SpanContext } from '@opentelemetry/api';
import type { Envelope, MessageEntry } from '../../src/protocol/envelope.ts';
import { MessageTrace } from './message-trace.ts';
import type { Meters } from './meters.ts';
import { endSpan, markFailed, markThrown } from './spans.ts';
import { headersWith } from './trace-headers.ts';

type Headers = Readonly<Record<string, string>>;

/** How a turn ended, which need not be how its message does: a failed one may be tried again. */
type TurnOutcome = 'handled' | 'stashed' | 'failed' | 'rejected' | 'cancelled' | 'disowned';

/** Whose turn it is, and of which message. */
interface Recorded {
  readonly envelope: Envelope;
  /** Name of the agent's protocol. */
  readonly agent: string;
  readonly now: () => number;
}

/** The record of one turn. It outlives the turn: what is sent in its name later belongs to its trace as well. */
export class TurnRecord {
  /** What the turn does belongs here; undefined while no spans are recorded. */
  readonly context: Context | undefined;
  private readonly span: Span | undefined;
  private readonly agent: string;
  private readonly meters: Meters | undefined;
  private readonly envelope: Envelope;
  private readonly now: () => number;
  private readonly startedAt: number;
  private outcome: TurnOutcome = 'handled';
  private error: unknown = undefined;

  constructor(
    { envelope, agent, now }: Recorded,
    meters: Meters | undefined,
    span: Span | undefined,
    inside: Context | undefined,
  ) {
    this.envelope = envelope;
    this.agent = agent;
    this.now = now;
    this.meters = meters;
    this.span = span;
    this.context = inside;
    this.startedAt = now();
    if (inside === undefined) return;
    const extras = envelope.ensureExtras();
    const { trace } = extras;
    extras.trace = trace instanceof MessageTrace ? trace.inTurn(inside) : MessageTrace.below(inside);
  }

  /** Of its span, while spans are recorded. */
  get spanContext(): SpanContext | undefined {
    return this.span?.spanContext();
  }

  /** Runs a handler so that the spans it makes are children of its turn's. */
  run(entry: MessageEntry, turn: unknown): unknown {
    const { payload } = this.envelope;
    if (this.context === undefined) return entry.handler(turn, payload);
    return context.with(this.context, entry.handler, entry, turn, payload);
  }

  /** The headers that a handler sees: the message's own, and the trace of this turn. */
  headers(own: Headers | undefined): Headers {
    return this.context === undefined ? (own ?? {}) : headersWith(this.context, own);
  }

  /** The turn has thrown. */
  failed(error: unknown): void {
    this.outcome = 'failed';
    this.error = error;
  }

  /** It has thrown after it was aborted: it did what it was told. */
  cancelled(): void {
    this.outcome = 'cancelled';
  }

  /** Its handler found the message at fault. */
  rejected(reason: unknown): void {
    this.outcome = 'rejected';
    this.error = reason;
  }

  /** The engine has given up on it. */
  disowned(reason: unknown): void {
    this.outcome = 'disowned';
    this.error = reason;
  }

  ended(isStashed: boolean): void {
    const outcome = isStashed && this.outcome === 'handled' ? 'stashed' : this.outcome;
    const endedAt = this.now();
    // Should the message have another turn, its wait for that one begins now.
    this.envelope.ensureExtras().waitsSince = endedAt;
    this.meters?.ended(this.agent, outcome, endedAt - this.startedAt);
    if (this.span === undefined) return;
    endSpan(this.span, (span) => {
      span.setAttribute('troupe.turn.outcome', outcome);
      if (outcome === 'failed' || outcome === 'disowned') markThrown(span, this.error);
      else if (outcome === 'rejected') markFailed(span, this.error);
    });
  }
}
