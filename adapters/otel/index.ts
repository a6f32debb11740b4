/** `troupe/otel`: the OpenTelemetry SDK, set up in one call. */

export type { ExporterName, InitializeOptions } from './options.ts';
export { getTracer, initializeTracing, type Tracing } from './tracing.ts';
