/**
 * One question on its way through four agents, as OpenTelemetry sees it: a thought, a message, a tool call that fails, and
 * what comes of the error. The spans go to an exporter that draws them; with a collector running,
 * `initializeTracing('trace-waterfall')` alone would send them there.
 */

import { setTimeout as wait } from 'node:timers/promises';
import { type Span, SpanStatusCode } from '@opentelemetry/api';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace-node';
import { agent, ask, createSystem, protocol, supervisor, tell, type } from 'troupe';
import { getTracer, initializeTracing } from 'troupe/otel';

// --- four agents ------------------------------------------------------------------------------------------------------

const Planner = protocol('planner', { answer: ask(type<string>(), type<string>()) });
const Researcher = protocol('researcher', { research: ask(type<string>(), type<string>()) });
const Browser = protocol('browser', { open: ask(type<string>(), type<string>()) });
const Scribe = protocol('scribe', { note: tell(type<string>()) });

const tracer = getTracer('trace-waterfall');

/** Runs work in a span of its own, below the turn that it is done in. */
function inSpan<T>(name: string, work: () => Promise<T>): Promise<T> {
  return tracer.startActiveSpan(name, async (span: Span) => {
    try {
      return await work();
    } catch (error) {
      span.setStatus({
        code: SpanStatusCode.ERROR,
        message: error instanceof Error ? error.message : 'failed',
      });
      throw error;
    } finally {
      span.end();
    }
  });
}

const browser = agent(Browser, {
  on: {
    open: (_ctx, page) =>
      inSpan('tool call: fetch', async () => {
        await wait(25);
        if (page.startsWith('old')) throw new Error('404');
        return 'rain, 11 degrees';
      }),
  },
});

const scribe = agent(Scribe, { on: { note: () => wait(8) } });

const researcher = agent(Researcher, {
  on: {
    research: async (ctx, place) => {
      const browserRef = ctx.system.ref(Browser, 'browser');
      const scribeRef = ctx.system.ref(Scribe, 'scribe');
      try {
        return await ctx.ask(browserRef, 'open', `old.example/${place}`);
      } catch {
        ctx.tell(scribeRef, 'note', `old.example knows nothing of ${place}`);
        return await ctx.ask(browserRef, 'open', `new.example/${place}`); // a fresh browser
      }
    },
  },
});

const planner = agent(Planner, {
  on: {
    answer: async (ctx, question) => {
      const place = await inSpan('thought: which place?', async () => {
        await wait(15);
        return question.split(' ').at(-1) ?? '';
      });
      const found = await ctx.ask(ctx.system.ref(Researcher, 'researcher'), 'research', place);
      return inSpan('thought: put it into words', async () => {
        await wait(10);
        return `In ${place}: ${found}.`;
      });
    },
  },
});

// --- the waterfall ----------------------------------------------------------------------------------------------------

const COLUMNS = 32;

/** Keeps the spans until they are drawn. */
class Waterfall implements SpanExporter {
  private readonly spans: ReadableSpan[] = [];

  export(spans: ReadableSpan[], done: Parameters<SpanExporter['export']>[1]): void {
    this.spans.push(...spans);
    done({ code: 0 });
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }

  draw(): string {
    const from = Math.min(...this.spans.map(startOf));
    const ms = Math.max(...this.spans.map((span) => startOf(span) + lengthOf(span))) - from;
    const rows = this.below(undefined, 0).map(({ span, depth }) => {
      const start = Math.floor(((startOf(span) - from) / ms) * (COLUMNS - 1));
      const length = Math.max(1, Math.round((lengthOf(span) / ms) * COLUMNS));
      const bar = ' '.repeat(start) + (isFailed(span) ? '▒' : '█').repeat(Math.min(length, COLUMNS - start));
      return `${('  '.repeat(depth) + titleOf(span)).padEnd(48)} ${bar.padEnd(COLUMNS)} ${lengthOf(span).toFixed(0).padStart(4)} ms${errorOf(span)}`;
    });
    const traces = new Set(this.spans.map((span) => span.spanContext().traceId));
    return [`${this.spans.length} spans, ${traces.size} trace`, ...rows].join('\n');
  }

  private below(parent: string | undefined, depth: number): { span: ReadableSpan; depth: number }[] {
    return this.spans
      .filter((span) => span.parentSpanContext?.spanId === parent)
      .sort((a, b) => startOf(a) - startOf(b))
      .flatMap((span) => [{ span, depth }, ...this.below(span.spanContext().spanId, depth + 1)]);
  }
}

function titleOf({ name, attributes }: ReadableSpan): string {
  const of = (attribute: string): string => String(attributes[attribute]);
  const message = of('troupe.message');
  if ('troupe.call' in attributes) return `message: ${message} -> ${of('messaging.destination.name')}`;
  if ('troupe.attempt' in attributes) return `${of('troupe.agent')}: ${message}`;
  if ('troupe.dead_letter.reason' in attributes) return `error: dead letter ${message}`;
  return name;
}

function isFailed({ status }: ReadableSpan): boolean {
  return status.code === SpanStatusCode.ERROR;
}

/** A code of Troupe's says more in a column than its words. */
function errorOf({ attributes, status }: ReadableSpan): string {
  const code = String(attributes['error.type']);
  if (status.code !== SpanStatusCode.ERROR) return '';
  return `  ${code.startsWith('ERR_') ? code : status.message}`;
}

function startOf({ startTime: [seconds, nanoseconds] }: ReadableSpan): number {
  return seconds * 1_000 + nanoseconds / 1_000_000;
}

function lengthOf({ duration: [seconds, nanoseconds] }: ReadableSpan): number {
  return seconds * 1_000 + nanoseconds / 1_000_000;
}

// --- the question -----------------------------------------------------------------------------------------------------

const waterfall = new Waterfall();
const tracing = await initializeTracing('trace-waterfall', { traces: waterfall, metrics: 'none' });
const system = await createSystem({
  name: 'waterfall',
  log: false,
  root: supervisor({
    children: {
      browser: browser.child({ restart: 'permanent', backoff: { minMs: 5, jitter: 0 } }),
      scribe: scribe.child(),
      researcher: researcher.child(),
      planner: planner.child(),
    },
  }),
});

const answer = await inSpan('question', () =>
  system.refs.planner.ask('answer', 'How is the weather in Oslo'),
);
await system.shutdown({ drainMs: 1_000 }); // exports the spans as well
console.log(`${waterfall.draw()}\n\n${answer}`);
await tracing.shutdown();
