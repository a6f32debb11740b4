/**
 * What `initializeTracing` is told: by its options, else by the standard environment variables
 * (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
 */

import type { MetricReader } from '@opentelemetry/sdk-metrics';
import type { SpanExporter } from '@opentelemetry/sdk-trace-node';
import { choiceOption, invalidOption, objectOption } from '../../src/protocol/options.ts';

/** Where spans or metrics go: to a collector by OTLP over HTTP, to standard output, nowhere. */
export type ExporterName = 'otlp' | 'console' | 'none';

/** Options of `initializeTracing`. */
export interface InitializeOptions {
  /** Where spans go; `OTEL_TRACES_EXPORTER` unless said, and `otlp` without it. An exporter of one's own gets them in batches. */
  readonly traces?: ExporterName | SpanExporter | undefined;
  /**
   * Where metrics go; `OTEL_METRICS_EXPORTER` unless said. Without either, `otlp` where `@opentelemetry/sdk-metrics` and
   * its exporter are installed, and nowhere else. A reader of one's own is used as it is.
   */
  readonly metrics?: ExporterName | MetricReader | undefined;
  /** Attributes of the resource, beside `service.name`: strings, such as `deployment.environment.name`. */
  readonly resource?: Readonly<Record<string, string>> | undefined;
}

/** Options and environment, read. */
export interface Settings {
  readonly isDisabled: boolean;
  readonly traces: ExporterName | SpanExporter;
  /** `undefined`: where the packages allow. */
  readonly metrics: ExporterName | MetricReader | undefined;
  readonly resource: Readonly<Record<string, string>>;
}

const EXPORTERS: readonly ExporterName[] = ['otlp', 'console', 'none'];

/** Reads options, then environment. Throws `ERR_OPTION_INVALID`. */
export function readSettings(
  options: unknown,
  environment: Readonly<Record<string, string | undefined>>,
): Settings {
  const { traces, metrics, resource } = objectOption('initializeTracing options', options, [
    'traces',
    'metrics',
    'resource',
  ]);
  return {
    isDisabled: environment['OTEL_SDK_DISABLED']?.toLowerCase() === 'true',
    traces:
      ownOr<SpanExporter>('traces', traces, 'export') ??
      fromEnvironment('OTEL_TRACES_EXPORTER', environment) ??
      'otlp',
    metrics:
      ownOr<MetricReader>('metrics', metrics, 'collect') ??
      fromEnvironment('OTEL_METRICS_EXPORTER', environment),
    resource: stringsOption('resource', resource),
  };
}

/** A word, or an object of the SDK's that has this method. */
function ownOr<Own extends object>(
  option: string,
  value: unknown,
  method: string,
): ExporterName | Own | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'object' && value !== null && typeof Reflect.get(value, method) === 'function')
    return value as Own; // it does what is asked of it
  return choiceOption(option, value, EXPORTERS, 'none');
}

function fromEnvironment(
  name: string,
  environment: Readonly<Record<string, string | undefined>>,
): ExporterName | undefined {
  const value = environment[name]?.trim();
  // The specification: an empty value is as none at all.
  return value === undefined || value === '' ? undefined : choiceOption(name, value, EXPORTERS, 'none');
}

function stringsOption(option: string, value: unknown): Readonly<Record<string, string>> {
  const strings: Record<string, string> = {};
  if (value === undefined) return strings;
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalidOption(option, 'an object of strings', value);
  for (const [name, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw invalidOption(`${option}.${name}`, 'a string', text);
    strings[name] = text;
  }
  return strings;
}
