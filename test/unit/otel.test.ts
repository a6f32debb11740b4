import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { context, metrics, propagation, trace } from '@opentelemetry/api';
import {
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { InMemorySpanExporter, NodeTracerProvider, type ReadableSpan } from '@opentelemetry/sdk-trace-node';
import { createSystem } from 'troupe';
import { getTracer, type InitializeOptions, initializeTracing } from 'troupe/otel';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { puppet } from '../support/puppet.ts';

afterEach(() => {
  trace.disable();
  context.disable();
  propagation.disable();
  metrics.disable();
});

/** An exporter that keeps what it got when it is shut down. */
class Kept extends InMemorySpanExporter {
  readonly kept: ReadableSpan[] = [];
  isShutDown = false;

  override export(...[spans, done]: Parameters<InMemorySpanExporter['export']>): void {
    this.kept.push(...spans);
    done({ code: 0 });
  }

  override shutdown(): Promise<void> {
    this.isShutDown = true;
    return Promise.resolve();
  }
}

const isTraced = (): boolean => {
  const span = getTracer('look').startSpan('look');
  span.end();
  return span.isRecording() || span.spanContext().traceFlags === 1;
};

describe('initializeTracing', () => {
  it('traces a system under the name of the service, until its shutdown, which exports everything', async () => {
    const traces = new Kept();
    const tracing = await initializeTracing('mail-agents', {
      traces,
      metrics: 'none',
      resource: { 'deployment.environment.name': 'test' },
    });
    const system = await createSystem({ name: 'otel' });
    const ref = await system.spawn(puppet());
    await getTracer('mine').startActiveSpan('mine', async (span) => {
      await ref.ask('answer', () => 1);
      span.end();
    });
    await system.shutdown();
    expect(traces.kept.map(({ name }) => name).toSorted()).toEqual(['mine', 'process puppet', 'send puppet']);
    expect(new Set(traces.kept.map((span) => span.spanContext().traceId)).size).toBe(1);
    expect(traces.kept[0]?.resource.attributes).toMatchObject({
      'service.name': 'mail-agents',
      'deployment.environment.name': 'test',
    });
    await Promise.all([tracing.shutdown(), tracing.shutdown(), tracing[Symbol.asyncDispose]()]);
    expect([traces.isShutDown, isTraced()]).toEqual([true, false]);
  });

  it('exports metrics by a reader of one’s own, the last ones when the system is shut down', async () => {
    const exporter = new InMemoryMetricExporter(1);
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
    const tracing = await initializeTracing('metered', { traces: 'none', metrics: reader });
    const system = await createSystem({ name: 'otel' });
    const ref = await system.spawn(puppet());
    await ref.send('act', () => undefined);
    await system.shutdown({ drainMs: 1_000 });
    const names = exporter
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
      .map(({ descriptor }) => descriptor.name);
    expect(names).toContain('troupe.messages.accepted');
    await tracing.shutdown();
  });

  it('begins anew after its shutdown', async () => {
    await (await initializeTracing('one', { traces: new Kept(), metrics: 'none' })).shutdown();
    const again = await initializeTracing('two', { traces: new Kept(), metrics: 'none' });
    expect(isTraced()).toBe(true);
    await again.shutdown();
  });

  it('flushes on demand', async () => {
    const traces = new Kept();
    const tracing = await initializeTracing('flushed', { traces, metrics: 'none' });
    getTracer('mine').startSpan('mine').end();
    expect(traces.kept).toEqual([]);
    await tracing.forceFlush();
    expect(traces.kept).toHaveLength(1);
    await tracing.shutdown();
  });

  it('takes the SDK out although an exporter fails at the end, and says so', async () => {
    const traces = new Kept();
    traces.shutdown = () => Promise.reject(new Error('no network'));
    const tracing = await initializeTracing('failing', { traces, metrics: 'none' });
    await expect(tracing.shutdown()).rejects.toThrow('no network');
    expect(isTraced()).toBe(false);
  });
});

describe('an SDK that is registered already', () => {
  it('is left alone: ERR_NAME_TAKEN, and nothing else is registered', async () => {
    const theirs = new NodeTracerProvider();
    trace.setGlobalTracerProvider(theirs);
    const reader = new PeriodicExportingMetricReader({ exporter: new InMemoryMetricExporter(1) });
    const traces = new Kept();
    await expect(initializeTracing('late', { traces, metrics: reader })).rejects.toMatchObject({
      code: 'ERR_NAME_TAKEN',
    });
    expect(traces.isShutDown).toBe(false); // it can be used elsewhere
    expect(metrics.setGlobalMeterProvider(new MeterProvider())).toBe(true); // it was free
    expect(context.setGlobalContextManager(noManager())).toBe(true);
  });

  it('for metrics is taken for an obstacle only where metrics are asked for, and is not taken out at the end', async () => {
    const theirs = new MeterProvider();
    metrics.setGlobalMeterProvider(theirs);
    await expect(initializeTracing('late', { traces: new Kept(), metrics: 'console' })).rejects.toMatchObject(
      { code: 'ERR_NAME_TAKEN' },
    );
    expect(isTraced()).toBe(false);
    const tracing = await initializeTracing('late', { traces: new Kept() });
    expect(isTraced()).toBe(true);
    await tracing.shutdown();
    expect(metrics.getMeterProvider()).toBe(theirs);
  });

  it('by another call at the same time is one of two: the other rejects', async () => {
    const both = await Promise.allSettled([
      initializeTracing('one', { traces: new Kept(), metrics: 'none' }),
      initializeTracing('two', { traces: new Kept(), metrics: 'none' }),
    ]);
    expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  });

  function noManager(): Parameters<typeof context.setGlobalContextManager>[0] {
    const manager = {
      active: () => context.active(),
      with: (_: unknown, work: () => unknown) => work(),
      bind: (_: unknown, target: unknown) => target,
      enable: () => manager,
      disable: () => manager,
    };
    return manager as never; // never asked anything
  }
});

describe('the environment', () => {
  it('disables everything by OTEL_SDK_DISABLED', async () => {
    vi.stubEnv('OTEL_SDK_DISABLED', 'TRUE');
    const tracing = await initializeTracing('off', { traces: new Kept() });
    expect(isTraced()).toBe(false);
    await tracing.forceFlush();
    await tracing.shutdown();
  });

  it('chooses exporters where options do not: here none at all', async () => {
    vi.stubEnv('OTEL_TRACES_EXPORTER', 'none');
    vi.stubEnv('OTEL_METRICS_EXPORTER', ' none ');
    const tracing = await initializeTracing('off');
    expect(isTraced()).toBe(false);
    await tracing.shutdown();
  });

  it('adds to the resource, and options are stronger', async () => {
    vi.stubEnv('OTEL_RESOURCE_ATTRIBUTES', 'team=agents,stage=one');
    vi.stubEnv('OTEL_TRACES_EXPORTER', 'console');
    const traces = new Kept();
    const options = { traces, metrics: 'none', resource: { stage: 'two' } } as const;
    const tracing = await initializeTracing('resourceful', options);
    getTracer('mine').startSpan('mine').end();
    await tracing.shutdown();
    expect(traces.kept[0]?.resource.attributes).toMatchObject({
      team: 'agents',
      stage: 'two',
      'service.name': 'resourceful',
    });
  });

  it('without a word means OTLP, spans and metrics, to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names', async () => {
    const got = new Map<string, string>();
    const collector = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8');
      request.on('data', (text: string) => {
        body += text;
      });
      request.on('end', () => {
        got.set(request.url ?? '', body);
        response.end('{}');
      });
    });
    await new Promise<void>((resolve) => {
      collector.listen(0, '127.0.0.1', resolve);
    });
    const { port } = collector.address() as AddressInfo; // it listens to a port
    vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', `http://127.0.0.1:${port}`);
    const tracing = await initializeTracing('collected');
    const system = await createSystem({ name: 'otel' });
    const ref = await system.spawn(puppet());
    await ref.ask('answer', () => 1);
    await tracing.shutdown();
    await system.shutdown();
    collector.closeAllConnections();
    collector.close();
    expect([...got.keys()].toSorted()).toEqual(['/v1/metrics', '/v1/traces']);
    expect(got.get('/v1/traces')).toContain('process puppet');
    expect(got.get('/v1/metrics')).toContain('troupe.messages.accepted');
  });

  it.each([
    ['OTEL_TRACES_EXPORTER', 'zipkin'],
    ['OTEL_METRICS_EXPORTER', 'prometheus'],
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'carrier-pigeon'],
  ])('with a word that is not known is refused: %s=%s', async (name, value) => {
    vi.stubEnv(name, value);
    await expect(initializeTracing('refused')).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
      details: { option: name },
    });
    expect(isTraced()).toBe(false);
  });

  it('that wants a package which is not installed is told which: ERR_DRIVER_MISSING', async () => {
    vi.stubEnv('OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc');
    await expect(initializeTracing('missing')).rejects.toMatchObject({
      code: 'ERR_DRIVER_MISSING',
      details: { package: '@opentelemetry/exporter-trace-otlp-grpc' },
    });
    await expect(initializeTracing('missing', { traces: 'none', metrics: 'otlp' })).rejects.toMatchObject({
      details: { package: '@opentelemetry/exporter-metrics-otlp-grpc' },
    });
    // Metrics that nobody has asked for are left out.
    const traces = new Kept();
    const tracing = await initializeTracing('spans only', { traces });
    await tracing.shutdown();
    expect(traces.isShutDown).toBe(true);
  });
});

describe('the options', () => {
  it.each<[string, unknown, unknown]>([
    ['initializeTracing: serviceName', '', undefined],
    ['initializeTracing: serviceName', 7, undefined],
    ['initializeTracing: serviceName', 'x'.repeat(129), undefined],
    ['initializeTracing options', 'a', 7],
    ['traces', 'a', { traces: 'jaeger' }],
    ['traces', 'a', { traces: {} }],
    ['metrics', 'a', { metrics: 'prometheus' }],
    ['resource', 'a', { resource: 'stage=one' }],
    ['resource.stage', 'a', { resource: { stage: 1 } }],
  ])('are checked: %s', async (option, name, options) => {
    await expect(
      initializeTracing(name as string, options as InitializeOptions | undefined),
    ).rejects.toMatchObject({ code: 'ERR_OPTION_INVALID', details: { option } });
  });

  it('of getTracer are checked; without an SDK its spans are none', () => {
    expect(() => getTracer('')).toThrow('getTracer: name');
    expect(isTraced()).toBe(false);
  });
});
