/**
 * `tell` and sequential `ask` under OpenTelemetry's SDK: `traced tell memory`. The messages are those of tell.ts and ask.ts.
 *
 * - `off`: no SDK is registered.
 * - `memory`: every span goes to the SDK's exporter in memory; two for each message, that of the call and that of the turn.
 * - `sampled`: as `memory`, but a sampler records one trace in a hundred.
 * - `alone`: no messages at all; only the SDK, making the same spans. What is above it is Troupe's own part.
 */

import { context, ROOT_CONTEXT, type Span, SpanKind, trace } from '@opentelemetry/api';
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type Sampler,
  type SpanProcessor,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-node';
import { agent, ask, createSystem, protocol, tell, type } from 'troupe';
import { measureRate, type Program, Tally } from '../driver.ts';

const WINDOW = 1_000;
const WINDOWS_MIN = 40;
const SAMPLED_SHARE = 0.01;

/** The attributes that Troupe gives them. */
const MESSAGE = {
  'messaging.system': 'troupe',
  'messaging.destination.name': 'receiver',
  'messaging.message.id': 'm1',
  'troupe.message': 'take',
  'troupe.priority': 'normal',
};
const SEND = {
  ...MESSAGE,
  'messaging.operation.name': 'send',
  'messaging.operation.type': 'send',
  'troupe.call': 'tell',
};
const TURN = {
  ...MESSAGE,
  'messaging.operation.name': 'process',
  'messaging.operation.type': 'process',
  'troupe.agent': 'receiver',
  'troupe.address': '/user/$1#1',
  'troupe.generation': 0,
  'troupe.attempt': 1,
  'troupe.queue.wait_ms': 0.1,
};

const [verb = 'tell', mode = 'off'] = process.argv.slice(2);
const tally = new Tally();
const exporter = new InMemorySpanExporter();
/** Without a queue that drops, and without a promise for each span. */
const processor: SpanProcessor = {
  onStart: () => {},
  onEnd: (span) => {
    if (span.spanContext().traceFlags === 1) exporter.export([span], () => {});
  },
  forceFlush: () => Promise.resolve(),
  shutdown: () => Promise.resolve(),
};
if (mode !== 'off') register(mode === 'sampled' ? new TraceIdRatioBasedSampler(SAMPLED_SHARE) : undefined);
let spans = 0;
const between = (): Promise<void> => {
  spans += exporter.getFinishedSpans().length;
  exporter.reset();
  return Promise.resolve();
};

const window = mode === 'alone' ? alone : verb === 'ask' ? await asking() : await telling();
process.once('exit', checkSpans);
await measureRate({ tally, operations: WINDOW, window, between, windowsMin: WINDOWS_MIN });

function register(sampler: Sampler | undefined): void {
  const provider = new NodeTracerProvider({
    spanProcessors: [processor],
    ...(sampler === undefined ? {} : { sampler }),
  });
  provider.register();
}

async function telling(): Promise<Program['window']> {
  const Receiver = protocol('receiver', { take: tell(type<{ value: number }>()) });
  const receiver = agent(Receiver, {
    on: {
      take: () => {
        tally.handle();
      },
    },
  });
  const system = await createSystem({ name: 'bench' });
  const ref = await system.spawn(receiver);
  return () => {
    const handled = tally.open(WINDOW);
    for (let value = 0; value < WINDOW; value++) ref.tell('take', { value });
    return handled;
  };
}

async function asking(): Promise<Program['window']> {
  const Echo = protocol('echo', { repeat: ask(type<{ value: number }>(), type<number>()) });
  const echo = agent(Echo, {
    on: {
      repeat: (_ctx, question) => {
        tally.handle();
        return question.value;
      },
    },
  });
  const system = await createSystem({ name: 'bench' });
  const ref = await system.spawn(echo);
  return async () => {
    const handled = tally.open(WINDOW);
    for (let value = 0; value < WINDOW; value++) await ref.ask('repeat', { value });
    await handled;
  };
}

function alone(): Promise<void> {
  const handled = tally.open(WINDOW);
  const tracer = trace.getTracer('alone');
  for (let value = 0; value < WINDOW; value++) {
    const send = tracer.startSpan(
      'send receiver',
      { kind: SpanKind.PRODUCER, attributes: SEND },
      ROOT_CONTEXT,
    );
    const sent = trace.setSpan(ROOT_CONTEXT, send);
    send.setAttribute('troupe.admission', 'accepted');
    send.end();
    const turn = tracer.startSpan('process receiver', { kind: SpanKind.CONSUMER, attributes: TURN }, sent);
    context.with(trace.setSpan(sent, turn), handle, undefined, turn);
  }
  return handled;
}

function handle(turn: Span): void {
  tally.handle();
  turn.setAttribute('troupe.turn.outcome', 'handled');
  turn.end();
}

/** A run without its spans would measure something else. */
function checkSpans(): void {
  spans += exporter.getFinishedSpans().length;
  const perMessage = spans / tally.handled;
  const expected = mode === 'off' ? 0 : mode === 'sampled' ? 2 * SAMPLED_SHARE : 2;
  if (Math.abs(perMessage - expected) <= expected / 2) return;
  console.error(`${perMessage} spans for each message, expected ${expected}.`);
  process.exitCode = 1;
}
