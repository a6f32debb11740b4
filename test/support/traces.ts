/** The real SDK with its exporter in memory, for the tests of one file: the API's registration is one for the process. */

import { context, propagation, type Span, trace } from '@opentelemetry/api';
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-node';
import { afterEach } from 'vitest';

/** Spans that have ended. */
export interface Traces {
  readonly provider: NodeTracerProvider;
  readonly spans: readonly ReadableSpan[];
  /** The spans with this name, in the order of their ends. */
  readonly named: (name: string) => readonly ReadableSpan[];
  /** All of them as lines of text, each below its parent, in the order of their starts. */
  readonly tree: (describe?: (span: ReadableSpan) => string) => readonly string[];
  /** Runs `work` inside a span of the user's own. */
  readonly inside: <T>(name: string, work: (span: Span) => T) => T;
}

/** Takes the SDK out again, by itself after each test of a file that imports this one first. */
export function endTraces(): void {
  trace.disable();
  context.disable();
  propagation.disable();
}

afterEach(endTraces);

/** Registers the SDK until the end of the test; without a context manager where it says so. */
export function recordTraces(options: { readonly contextManager?: null } = {}): Traces {
  const exporter = new InMemorySpanExporter();
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  provider.register(options);
  const order = (span: ReadableSpan): number => {
    const [seconds, nanos] = span.startTime;
    return seconds * 1e9 + nanos;
  };
  return {
    provider,
    get spans() {
      return exporter.getFinishedSpans();
    },
    named: (name) => exporter.getFinishedSpans().filter((span) => span.name === name),
    tree: (describe = (span) => span.name) => {
      const all = [...exporter.getFinishedSpans()].sort((a, b) => order(a) - order(b));
      const ids = new Set(all.map((span) => span.spanContext().spanId));
      const below = (parent: string | undefined, depth: number): string[] =>
        all
          .filter(({ parentSpanContext }) => {
            const id = parentSpanContext?.spanId;
            return parent === undefined ? id === undefined || !ids.has(id) : id === parent;
          })
          .flatMap((span) => [
            `${'  '.repeat(depth)}${describe(span)}`,
            ...below(span.spanContext().spanId, depth + 1),
          ]);
      return below(undefined, 0);
    },
    inside: (name, work) => {
      const tracer = trace.getTracer('test');
      return tracer.startActiveSpan(name, (span) => {
        const result = work(span);
        if (result instanceof Promise) result.finally(() => span.end()).catch(() => undefined);
        else span.end();
        return result;
      });
    },
  };
}
