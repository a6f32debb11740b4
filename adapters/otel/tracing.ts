/**
 * Registers the SDK of OpenTelemetry for this process: spans with W3C propagation and a context that follows `await`, and
 * metrics. Troupe's systems see it at their next call. It knows no system: a system that is shut down flushes what is
 * registered by itself.
 */

import {
  context,
  createNoopMeter,
  metrics,
  ProxyTracerProvider,
  propagation,
  type Tracer,
  type TracerProvider,
  trace,
} from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import type { MetricReader } from '@opentelemetry/sdk-metrics';
import type { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { isTroupeError, TroupeError } from '../../src/protocol/errors.ts';
import { NAME_CHARACTERS_MAX } from '../../src/protocol/limits.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import { metricReader, metricsSdk, resourcesSdk, spanExporter, traceSdk } from './drivers.ts';
import { type InitializeOptions, readSettings, type Settings } from './options.ts';

const NAME = 'troupe';

/** What the API gives out while no SDK is registered. */
// oxlint-disable-next-line typescript/no-deprecated -- only it tells the absence of an SDK; the API stays below 1.10.
const NO_TRACES: TracerProvider = new ProxyTracerProvider().getDelegate();

/** What `initializeTracing` has registered. */
export interface Tracing {
  /** Exports what was recorded so far. Rejects when an exporter failed. */
  forceFlush(): Promise<void>;
  /**
   * Exports what was recorded and takes the SDK out of the process again. Any number of calls is one. Rejects when an
   * exporter failed; the SDK is out all the same.
   */
  shutdown(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Something of the SDK that was registered. */
interface Provider {
  forceFlush(): Promise<void>;
  shutdown(): Promise<void>;
}

/**
 * Sets up tracing and metrics for this process, under the name of a service. Where they go is said by the options or by the
 * standard environment variables, `OTEL_EXPORTER_OTLP_ENDPOINT` and its kin. With `OTEL_SDK_DISABLED=true` nothing is
 * registered. Rejects with `ERR_DRIVER_MISSING` for a package of the SDK that is not installed, `ERR_NAME_TAKEN` when an
 * SDK is registered already for what is asked, `ERR_OPTION_INVALID`; nothing is registered then.
 */
export async function initializeTracing(serviceName: string, options?: InitializeOptions): Promise<Tracing> {
  checkName('initializeTracing: serviceName', serviceName);
  const settings = readSettings(options, process.env);
  if (settings.isDisabled) return tracingOf([], () => undefined);
  needFree(settings.traces !== 'none', settings.metrics !== undefined && settings.metrics !== 'none');
  const resource = await resourceOf(serviceName, settings);
  const provider = await tracerProvider(resource, settings);
  const meterProvider = await meterProviderOf(resource, settings);
  const providers = [provider, meterProvider].filter((each) => each !== undefined);
  try {
    needFree(provider !== undefined, meterProvider !== undefined); // another call may have been faster
  } catch (error) {
    await Promise.allSettled(providers.map((each) => each.shutdown()));
    throw error;
  }
  provider?.register();
  if (meterProvider !== undefined) metrics.setGlobalMeterProvider(meterProvider);
  return tracingOf(providers, () => {
    if (provider !== undefined) {
      trace.disable();
      context.disable();
      propagation.disable();
    }
    if (meterProvider !== undefined) metrics.disable();
  });
}

/** A tracer for spans of one's own; they nest with Troupe's. Without an SDK it makes none, and costs nothing. */
export function getTracer(name: string): Tracer {
  checkName('getTracer: name', name);
  return trace.getTracer(name);
}

function checkName(option: string, name: unknown): void {
  if (typeof name !== 'string' || name === '' || name.length > NAME_CHARACTERS_MAX)
    throw invalidOption(option, `a string of 1 to ${NAME_CHARACTERS_MAX} characters`, name);
}

async function resourceOf(serviceName: string, settings: Settings): Promise<Resource> {
  const { defaultResource, detectResources, envDetector, resourceFromAttributes } = await resourcesSdk();
  return defaultResource()
    .merge(detectResources({ detectors: [envDetector] }))
    .merge(resourceFromAttributes({ ...settings.resource, 'service.name': serviceName }));
}

async function tracerProvider(
  resource: Resource,
  { traces }: Settings,
): Promise<NodeTracerProvider | undefined> {
  if (traces === 'none') return undefined;
  const { BatchSpanProcessor, NodeTracerProvider } = await traceSdk();
  const exporter = typeof traces === 'string' ? await spanExporter(traces, process.env) : traces;
  return new NodeTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(exporter)] });
}

async function meterProviderOf(
  resource: Resource,
  settings: Settings,
): Promise<(Provider & MeterProvider) | undefined> {
  // Where nobody has asked for metrics they are no reason to refuse spans.
  if (settings.metrics === undefined && areMetricsTaken()) return undefined;
  const reader = await readerOf(settings);
  if (reader === undefined) return undefined;
  const { MeterProvider } = await metricsSdk();
  return new MeterProvider({ resource, readers: [reader] });
}

async function readerOf({ metrics: wanted }: Settings): Promise<MetricReader | undefined> {
  if (wanted === 'none') return undefined;
  if (wanted !== undefined) return typeof wanted === 'string' ? metricReader(wanted, process.env) : wanted;
  try {
    return await metricReader('otlp', process.env);
  } catch (error) {
    if (isTroupeError(error, 'ERR_DRIVER_MISSING')) return undefined; // nobody has asked for it
    throw error;
  }
}

type MeterProvider = Parameters<typeof metrics.setGlobalMeterProvider>[0];

/** Throws `ERR_NAME_TAKEN` where an SDK is registered for what is to be: the API keeps the first one. */
function needFree(forTraces: boolean, forMetrics: boolean): void {
  const holder = 'an SDK that was registered before';
  if (forTraces && areTracesTaken())
    throw new TroupeError('ERR_NAME_TAKEN', { name: 'the tracer provider of this process', holder });
  if (forMetrics && areMetricsTaken())
    throw new TroupeError('ERR_NAME_TAKEN', { name: 'the meter provider of this process', holder });
}

function areTracesTaken(): boolean {
  const registered = trace.getTracerProvider();
  // oxlint-disable-next-line typescript/no-deprecated -- only it tells that nobody has; the API stays below 1.10.
  return !(registered instanceof ProxyTracerProvider) || registered.getDelegate() !== NO_TRACES;
}

function areMetricsTaken(): boolean {
  return metrics.getMeterProvider().getMeter(NAME) !== createNoopMeter();
}

function tracingOf(providers: readonly Provider[], unregister: () => void): Tracing {
  let ending: Promise<void> | undefined;
  const shutdown = (): Promise<void> => {
    ending ??= ended(providers).finally(unregister);
    return ending;
  };
  return {
    forceFlush: async () => {
      await Promise.all(providers.map((each) => each.forceFlush()));
    },
    shutdown,
    [Symbol.asyncDispose]: shutdown,
  };
}

/** Resolves when all of them have ended; rejects then, with the first failure. */
async function ended(providers: readonly Provider[]): Promise<void> {
  const endings = await Promise.allSettled(providers.map((each) => each.shutdown()));
  for (const ending of endings) if (ending.status === 'rejected') throw ending.reason;
}
