/** The real SDK with a reader by hand, for the tests of one file: the API's registration is one for the process. */

import { type Attributes, metrics } from '@opentelemetry/api';
import { DataPointType, MeterProvider, type MetricData, MetricReader } from '@opentelemetry/sdk-metrics';
import { afterEach } from 'vitest';

/** One value, or the count and sum of a histogram. */
export interface Point {
  readonly attributes: Attributes;
  readonly value: number;
  /** Of a histogram: how many values; else undefined. */
  readonly count: number | undefined;
}

/** What one collection found. */
export interface Collected {
  /** The points of one metric. */
  readonly points: (name: string) => readonly Point[];
  /** The sum of those of its points that have these attributes. */
  readonly sum: (name: string, attributes?: Attributes) => number;
  readonly all: readonly MetricData[];
}

class HandReader extends MetricReader {
  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }

  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }
}

/** Takes the SDK out again, by itself after each test of a file that imports this one first. */
export function endMetrics(): void {
  metrics.disable();
}

afterEach(endMetrics);

/** Registers the SDK until the end of the test; the answer collects. */
export function recordMetrics(): () => Promise<Collected> {
  const reader = new HandReader();
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  return () => collectedBy(reader);
}

async function collectedBy(reader: MetricReader): Promise<Collected> {
  const { resourceMetrics, errors } = await reader.collect();
  if (errors.length > 0) throw new AggregateError(errors, 'a callback failed');
  const all = resourceMetrics.scopeMetrics.flatMap(({ metrics: ofScope }) => ofScope);
  const points = (name: string): readonly Point[] =>
    all.filter(({ descriptor }) => descriptor.name === name).flatMap(pointsOf);
  return {
    all,
    points,
    sum: (name, wanted = {}) =>
      points(name)
        .filter(({ attributes }) => Object.entries(wanted).every(([key, value]) => attributes[key] === value))
        .reduce((sum, { value }) => sum + value, 0),
  };
}

function pointsOf(metric: MetricData): readonly Point[] {
  switch (metric.dataPointType) {
    case DataPointType.HISTOGRAM:
      return metric.dataPoints.map(({ attributes, value }) => ({
        attributes,
        value: value.sum ?? 0,
        count: value.count,
      }));
    case DataPointType.SUM:
    case DataPointType.GAUGE:
      return metric.dataPoints.map(({ attributes, value }) => ({ attributes, value, count: undefined }));
    case DataPointType.EXPONENTIAL_HISTOGRAM:
      throw new Error('no metric of ours is one');
  }
}
