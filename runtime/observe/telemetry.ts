/**
 * Spans and metrics of one system, by the API of OpenTelemetry alone. As long as no SDK is registered in the process a
 * message costs a look at a flag, and nothing is made; one that is registered later is seen at the next call from outside,
 * at the latest at the next slice of the run queue. Nothing here decides anything, throws, or keeps anybody waiting.
 *
 * One trace: the span of a call is a child of the caller's, the span of a turn a child of the call that sent its message, and
 * what the turn does comes below it, in whatever actor. docs/decisions/0008-trace-parents.md says why, and where links are.
 */

import {
  type Context,
  context,
  createNoopMeter,
  type Link,
  type MeterProvider,
  metrics,
  ProxyTracerProvider,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  type Tracer,
  type TracerProvider,
  trace,
} from '@opentelemetry/api';
import type { Envelope, Extras, Trace } from '../../src/protocol/envelope.ts';
import type { DeadLetterReason } from '../../src/protocol/events.ts';
import { AGENT_TYPES_MAX } from '../../src/protocol/limits.ts';
import { AgentTally, type RestartReason } from './agent-tally.ts';
import { type Acting, type Call, publishAttributes, sendAttributes, turnAttributes } from './attributes.ts';
import { MessageTrace } from './message-trace.ts';
import { type Census, Meters } from './meters.ts';
import { RestartRecord } from './restart-record.ts';
import { endSpan, markFailed, type SpanStart, startSpan } from './spans.ts';
import { contextIn, withBaggageIn } from './trace-headers.ts';
import { TurnRecord } from './turn-record.ts';

const NAME = 'troupe';
/** Those beyond the number of types that are told apart. */
const OTHERS = '(others)';

/** What the API gives out while no SDK is registered. */
// oxlint-disable-next-line typescript/no-deprecated -- only it tells the absence of an SDK; the API stays below 1.10.
const NO_TRACES: TracerProvider = new ProxyTracerProvider().getDelegate();

/** A tracer provider behind which an SDK may appear. */
interface Provider {
  getDelegate(): TracerProvider;
}

/** A turn in which something is sent. */
export interface Cause {
  readonly envelope: Envelope;
  readonly record: TurnRecord | undefined;
}

/** What is published, as far as it is recorded. */
export interface Published {
  readonly topic: string;
  readonly definition: { readonly template: string } | undefined;
  readonly extras: Extras;
  readonly publisher: { readonly from: Cause | undefined };
  /** It is a question to all subscribers. */
  readonly inquiry: object | undefined;
  readonly content: { readonly label: { readonly correlationId: string | undefined } | undefined };
}

type Headers = Readonly<Record<string, string>> | undefined;

/** What observes one system. */
export class Telemetry {
  /** Supervisors that gave up. */
  escalations = 0;
  private readonly now: () => number;
  private readonly switched: (isOn: boolean) => void;
  private readonly tallies = new Map<string, AgentTally>();
  private provider: Provider = { getDelegate: () => NO_TRACES };
  private delegate: TracerProvider = NO_TRACES;
  private tracer: Tracer | undefined = undefined;
  private meterProvider: MeterProvider | undefined = undefined;
  private meters: Meters | undefined = undefined;
  private census: Census | undefined = undefined;
  private readonly counted = {
    all: () => this.tallies.values(),
    escalations: () => this.escalations,
  };

  /** `switched` hears whether anybody records anything. */
  constructor(now: () => number, switched: (isOn: boolean) => void) {
    this.now = now;
    this.switched = switched;
  }

  /** Whether spans are recorded. */
  get isTracing(): boolean {
    return this.tracer !== undefined;
  }

  /** A call from outside: an SDK may have come since the last one. */
  look(): void {
    if (this.provider.getDelegate() !== this.delegate) this.refresh();
  }

  /** As `look`, and sees a meter provider, and an SDK that came through another copy of the API package. */
  refresh(): void {
    this.provider = providerOf(trace.getTracerProvider());
    const delegate = this.provider.getDelegate();
    if (delegate !== this.delegate) {
      this.delegate = delegate;
      this.tracer = delegate === NO_TRACES ? undefined : delegate.getTracer(NAME);
    }
    const meterProvider = metrics.getMeterProvider();
    if (meterProvider !== this.meterProvider) this.measureBy(meterProvider);
    this.switched(this.tracer !== undefined || this.meters !== undefined);
  }

  /** The system is wired: from now on its actors can be counted. */
  open(census: Census): void {
    this.census = census;
    this.refresh();
  }

  /** Hands to the SDK's exporters what was recorded so far, where the SDK has a way to do so. */
  async flush(): Promise<void> {
    this.refresh();
    await Promise.all([flushed(this.delegate), flushed(this.meterProvider)]);
  }

  /** The system has ended: its ledgers are not read any more. */
  close(): void {
    this.census = undefined;
    this.meters?.close();
    this.meters = undefined;
    this.switched(this.tracer !== undefined);
  }

  /** The counters of the agents with a protocol of this name. */
  tallyOf(agent: string): AgentTally {
    const known = this.tallies.get(agent);
    if (known !== undefined) return known;
    const name = this.tallies.size < AGENT_TYPES_MAX ? agent : OTHERS;
    const tally = this.tallies.get(name) ?? new AgentTally(name);
    this.tallies.set(name, tally);
    return tally;
  }

  // --- messages ---------------------------------------------------------------------------------------------------

  /** A message is about to be sent by `call`; whoever calls says how that ended to the trace in its extras. */
  sending(call: Call, agent: string, envelope: Envelope, from: Cause | undefined): void {
    const extras = envelope.ensureExtras();
    extras.waitsSince = this.now();
    const { tracer } = this;
    if (tracer === undefined) return;
    const attributes = sendAttributes(call, agent, envelope);
    // A dead letter that is sent again has its place; whoever sends it is only named.
    const above = extras.trace instanceof MessageTrace ? extras.trace.last : parentOf(extras.headers, from);
    const links = extras.trace === undefined ? [] : linksTo(context.active());
    extras.trace = traceBelow(tracer, { name: `send ${agent}`, attributes, links }, above, undefined);
  }

  /** Something is about to be published: its copies share one place in a trace, and what is answered ends its call. */
  publishing({ topic, definition, extras, publisher, inquiry, content }: Published): Trace | undefined {
    extras.waitsSince = this.now();
    const { tracer } = this;
    if (tracer === undefined) return undefined;
    const template = definition?.template;
    const attributes = publishAttributes({
      call: inquiry === undefined ? 'publish' : 'request',
      topic,
      template,
      messageId: extras.id,
      correlationId: content.label?.correlationId,
    });
    const above = parentOf(extras.headers, publisher.from);
    const made = traceBelow(tracer, { name: `send ${template ?? topic}`, attributes }, above, template);
    extras.trace = made;
    return made;
  }

  /** An actor goes on with its turn in another one. */
  continuing(envelope: Envelope, from: Cause): void {
    const extras = envelope.ensureExtras();
    extras.waitsSince = this.now();
    if (this.tracer !== undefined) extras.trace = MessageTrace.below(parentIn(from));
  }

  /** A timer has run out: its tick begins a trace, which says by a link what turn had started the timer. */
  ticking(envelope: Envelope, origin: SpanContext | undefined): void {
    if (this.tracer !== undefined && origin !== undefined)
      envelope.ensureExtras().trace = MessageTrace.linked([{ context: origin }]);
  }

  /** A turn begins. */
  turn(actor: Acting, envelope: Envelope): TurnRecord {
    const { tracer, meters, now } = this;
    const { agent } = actor.behaviour.tally;
    const { extras } = envelope;
    const waitsSince = extras?.waitsSince ?? -1;
    const waitMs = waitsSince < 0 ? undefined : now() - waitsSince;
    if (waitMs !== undefined) meters?.began(agent, envelope.priority, waitMs);
    const recorded = { envelope, agent, now };
    if (tracer === undefined) return new TurnRecord(recorded, meters, undefined, undefined);
    const place = extras?.trace instanceof MessageTrace ? extras.trace : undefined;
    const destination = extras?.topic ?? agent;
    const template = place?.template;
    const attributes = turnAttributes(actor, envelope, { destination, template, waitMs });
    const kind = envelope.entry.isInternal ? SpanKind.INTERNAL : SpanKind.CONSUMER;
    const above = place?.context ?? contextIn(extras?.headers) ?? ROOT_CONTEXT;
    const links = place === undefined ? [] : [...place.links];
    const name = `process ${template ?? destination}`;
    const span = startSpan(tracer, { name, kind, attributes, links }, above);
    // Without a span it is in its message's trace all the same, and never in that of whoever woke the run queue.
    const inside = span === undefined ? above : trace.setSpan(above, span);
    return new TurnRecord(recorded, meters, span, inside);
  }

  /** A message has become a dead letter: a mark in its trace, where it has one. */
  died(envelope: Envelope, reason: DeadLetterReason, error: unknown): void {
    const { tracer } = this;
    const { extras } = envelope;
    if (tracer === undefined || !(extras?.trace instanceof MessageTrace)) return;
    const attributes = {
      'messaging.system': NAME,
      'messaging.message.id': envelope.id,
      'troupe.message': envelope.entry.name,
      'troupe.dead_letter.reason': reason,
    };
    const name = `dead-letter ${envelope.entry.name}`;
    const span = startSpan(tracer, { name, kind: SpanKind.INTERNAL, attributes }, extras.trace.last);
    if (span !== undefined) endSpan(span, (ending) => markFailed(ending, error ?? reason));
  }

  // --- restarts ---------------------------------------------------------------------------------------------------

  /** A restart begins; `cause` is the turn that failed. A sibling that has done nothing is only counted. */
  restarting(
    actor: Acting & { readonly behaviour: { readonly tally: AgentTally } },
    reason: RestartReason,
    cause: TurnRecord | undefined,
  ): RestartRecord | undefined {
    const { tally } = actor.behaviour;
    tally.restarts.count(reason);
    const { tracer } = this;
    const parent = cause?.context;
    if (tracer === undefined || (reason === 'sibling' && parent === undefined)) return undefined;
    const { agent } = tally;
    const attributes = {
      'troupe.agent': agent,
      'troupe.address': actor.address,
      'troupe.restart.reason': reason,
    };
    const above = parent ?? ROOT_CONTEXT;
    const span = startSpan(tracer, { name: `restart ${agent}`, kind: SpanKind.INTERNAL, attributes }, above);
    return span === undefined ? undefined : new RestartRecord(span, above);
  }

  private measureBy(provider: MeterProvider): void {
    this.meterProvider = provider;
    this.meters?.close();
    this.meters = undefined;
    const { census } = this;
    const meter = provider.getMeter(NAME);
    if (census !== undefined && meter !== createNoopMeter())
      this.meters = new Meters(meter, census, this.counted);
  }
}

/**
 * Where a call belongs: to the trace that its headers name, or a new one where they name it badly; else, inside a turn, to
 * what is active if that is part of the turn, or to the turn; else to what is active.
 */
function parentOf(headers: Headers, from: Cause | undefined): Context {
  const named = contextIn(headers);
  if (named !== undefined) return named;
  // Not well formed: it is no trace, and means none of ours.
  if (headers?.['traceparent'] !== undefined) return withBaggageIn(headers, ROOT_CONTEXT);
  return withBaggageIn(headers, from === undefined ? context.active() : parentIn(from));
}

function parentIn({ record, envelope }: Cause): Context {
  const own = record?.context ?? contextIn(envelope.extras?.headers);
  const active = context.active();
  if (own === undefined) return active;
  const isOwn = trace.getSpanContext(active)?.traceId === trace.getSpanContext(own)?.traceId;
  return isOwn ? active : own;
}

function traceBelow(
  tracer: Tracer,
  start: Omit<SpanStart, 'kind'>,
  above: Context,
  template: string | undefined,
): MessageTrace {
  const span = startSpan(tracer, { ...start, kind: SpanKind.PRODUCER }, above);
  return span === undefined
    ? MessageTrace.below(above, template)
    : MessageTrace.ofCall(span, above, template);
}

function linksTo(active: Context): Link[] {
  const span = trace.getSpanContext(active);
  return span === undefined ? [] : [{ context: span }];
}

/** The provider as it is registered: one that may get its SDK yet, or an SDK. */
function providerOf(registered: TracerProvider): Provider {
  if ('getDelegate' in registered && typeof registered.getDelegate === 'function')
    return registered as TracerProvider & Provider; // of this copy of the package, or of another
  return { getDelegate: () => registered };
}

/** The API knows no flushing; the providers of the SDK do. */
async function flushed(provider: object | undefined): Promise<void> {
  if (provider !== undefined && 'forceFlush' in provider && typeof provider.forceFlush === 'function')
    await provider.forceFlush();
}
