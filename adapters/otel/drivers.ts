/**
 * The packages of the SDK, loaded when they are needed: they are optional peers of this package. A protocol of OTLP is a
 * package of its own.
 */

import type { MetricReader } from '@opentelemetry/sdk-metrics';
import type { SpanExporter } from '@opentelemetry/sdk-trace-node';
import { TroupeError } from '../../src/protocol/errors.ts';
import { choiceOption } from '../../src/protocol/options.ts';
import type { ExporterName } from './options.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Ends of the names of the exporters' packages, by the protocols of `OTEL_EXPORTER_OTLP_PROTOCOL`. */
const PROTOCOLS = { 'http/json': 'http', 'http/protobuf': 'proto', grpc: 'grpc' } as const;
type Protocol = keyof typeof PROTOCOLS;

/** What `import` gives. Rejects with `ERR_DRIVER_MISSING` naming the package to install. */
export async function driver<Module>(name: string, load: () => Promise<Module>): Promise<Module> {
  try {
    return await load();
  } catch (cause) {
    if (isMissing(cause, name)) throw new TroupeError('ERR_DRIVER_MISSING', { package: name }, { cause });
    throw cause;
  }
}

/** The exporter of spans by that name; undefined for none. */
export async function spanExporter(
  name: Exclude<ExporterName, 'none'>,
  environment: Environment,
): Promise<SpanExporter> {
  if (name === 'console') {
    const { ConsoleSpanExporter } = await traceSdk();
    return new ConsoleSpanExporter();
  }
  const { OTLPTraceExporter } = await otlp('trace', 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', environment);
  return new OTLPTraceExporter() as SpanExporter; // what packages of that name export under this one
}

/** A reader that exports metrics now and then, `OTEL_METRIC_EXPORT_INTERVAL` milliseconds apart. */
export async function metricReader(
  name: Exclude<ExporterName, 'none'>,
  environment: Environment,
): Promise<MetricReader> {
  const { ConsoleMetricExporter, PeriodicExportingMetricReader } = await metricsSdk();
  if (name === 'console') return new PeriodicExportingMetricReader({ exporter: new ConsoleMetricExporter() });
  const { OTLPMetricExporter } = await otlp('metrics', 'OTEL_EXPORTER_OTLP_METRICS_PROTOCOL', environment);
  const exporter = new OTLPMetricExporter() as ConstructorParameters<
    typeof PeriodicExportingMetricReader
  >[0]['exporter']; // as above
  return new PeriodicExportingMetricReader({ exporter });
}

/** The SDK for spans. */
export function traceSdk(): Promise<typeof import('@opentelemetry/sdk-trace-node')> {
  return driver('@opentelemetry/sdk-trace-node', () => import('@opentelemetry/sdk-trace-node'));
}

/** The SDK for metrics. */
export function metricsSdk(): Promise<typeof import('@opentelemetry/sdk-metrics')> {
  return driver('@opentelemetry/sdk-metrics', () => import('@opentelemetry/sdk-metrics'));
}

/** What tells one service from another. */
export function resourcesSdk(): Promise<typeof import('@opentelemetry/resources')> {
  return driver('@opentelemetry/resources', () => import('@opentelemetry/resources'));
}

type Exporters = Readonly<Record<'OTLPTraceExporter' | 'OTLPMetricExporter', new () => unknown>>;

function otlp(signal: 'trace' | 'metrics', variable: string, environment: Environment): Promise<Exporters> {
  const known = Object.keys(PROTOCOLS) as Protocol[]; // its type says so
  const said = environment[variable] ?? environment['OTEL_EXPORTER_OTLP_PROTOCOL'];
  const protocol = choiceOption('OTEL_EXPORTER_OTLP_PROTOCOL', said, known, 'http/json');
  const name = `@opentelemetry/exporter-${signal}-otlp-${PROTOCOLS[protocol]}`;
  return driver(name, () => import(name) as Promise<Exporters>); // each exports the one of its signal
}

/** Whether that package is not installed, and not one that it needs itself. */
function isMissing(error: unknown, name: string): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    error.code === 'ERR_MODULE_NOT_FOUND' &&
    error.message.includes(`'${name}'`)
  );
}
