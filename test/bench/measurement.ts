/** Runs of one row and what they come to. Limit and Troupe take turns, so that both meet the same machine. */

import type { Measurement } from './driver.ts';
import type { Programs } from './programs.ts';
import type { Row, RowProgram } from './rows.ts';

/** The values of several runs. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** What a row came to. */
export interface RowResult {
  readonly row: Row;
  readonly troupe: Summary;
  readonly limit: Summary;
  /** Median of Troupe over median of the limit. */
  readonly ratio: number;
  /** Messages that were counted, all runs together. */
  readonly messages: number;
  /** Nothing for a row without a target. */
  readonly isMet: boolean | undefined;
}

/** Measures a row `runs` times on each side. `progress` is told of each value. */
export async function measureRow(
  programs: Programs,
  row: Row,
  runs: number,
  progress: (line: string) => void,
): Promise<RowResult> {
  const limit: number[] = [];
  const troupe: number[] = [];
  let messages = 0;
  for (let index = 1; index <= runs; index++) {
    for (const [side, values] of [['limit', limit] as const, ['troupe', troupe] as const]) {
      const measurement = await measure(programs, row[side]);
      values.push(measurement.value);
      messages += measurement.handled;
      progress(`${row.name}, run ${index} of ${runs}, ${side}: ${Math.round(measurement.value)}`);
    }
  }
  return conclude(row, summarize(troupe), summarize(limit), messages);
}

/** Median, smallest and largest of at least one value. */
export function summarize(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  const min = sorted[0];
  const max = sorted[sorted.length - 1];
  if (upper === undefined || lower === undefined || min === undefined || max === undefined) {
    throw new Error('There is no median of nothing.');
  }
  return { median: (lower + upper) / 2, min, max };
}

function conclude(row: Row, troupe: Summary, limit: Summary, messages: number): RowResult {
  const ratio = troupe.median / limit.median;
  return { row, troupe, limit, ratio, messages, isMet: isTargetMet(row, troupe, ratio) };
}

function isTargetMet({ target }: Row, troupe: Summary, ratio: number): boolean | undefined {
  switch (target.type) {
    case 'ratio-at-least':
      return ratio >= target.ratio;
    case 'bytes-at-most':
      return troupe.median <= target.bytes;
    case 'none':
      return undefined;
  }
}

async function measure(programs: Programs, { path, parameters }: RowProgram): Promise<Measurement> {
  const flags = path.endsWith('/bytes') ? ['--expose-gc'] : [];
  const output = await programs.run(path, { parameters, flags });
  if (!isMeasurement(output)) throw new Error(`${path} printed no measurement: ${JSON.stringify(output)}`);
  const { sent, handled } = output;
  if (sent !== handled) throw new Error(`${path} lost messages: ${sent} sent, ${handled} handled.`);
  return output;
}

function isMeasurement(output: unknown): output is Measurement {
  if (typeof output !== 'object' || output === null) return false;
  return ['value', 'sent', 'handled'].every((key) => Number.isFinite(Reflect.get(output, key)));
}
