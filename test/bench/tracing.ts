/**
 * What tracing costs: `tell` and sequential `ask` without an SDK, with every span kept in memory, and with one trace in a
 * hundred recorded. Run it with `npm run bench:tracing`; `-- --runs 9` sets the number of runs (5 unless said), and
 * `-- --before path/to/another/checkout` runs the same programs with the runtime of that checkout, without an SDK, to see
 * what the code for tracing costs those who do not trace.
 *
 * Measured is processor time, which a busy machine stretches less than the clock's. All sides of a row take turns, each
 * measurement in a process of its own, and the ratios of medians are what counts. The exit
 * code is 1 when a measurement failed, a lost message or a missing span included, 2 for options it does not know, and else 0.
 */

import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Measurement } from './driver.ts';
import { type Summary, summarize } from './measurement.ts';
import { Programs } from './programs.ts';

const RUNS = 5;
const VERBS = ['tell', 'ask'] as const;
/** As troupe/traced.ts knows them. */
const MODES = ['off', 'sampled', 'memory', 'alone'] as const;

const TITLES = {
  before: 'other checkout, no SDK',
  off: 'no SDK',
  sampled: 'SDK, one trace in 100 recorded',
  memory: 'SDK, every span in memory',
  alone: 'the SDK alone, making those spans',
};
type Side = keyof typeof TITLES;

interface TracingOptions {
  readonly runs: number;
  readonly before: string | undefined;
}

const options = readOptions(process.argv.slice(2));
if (typeof options === 'string') {
  console.error(options);
  process.exitCode = 2;
} else {
  try {
    await benchmark(options);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}

async function benchmark({ runs, before }: TracingOptions): Promise<void> {
  const programs = await Programs.build();
  const others = before === undefined ? undefined : await Programs.build(resolve(before));
  await others?.take(programs);
  try {
    for (const verb of VERBS) {
      const values = new Map<Side, number[]>();
      for (let run = 1; run <= runs; run++) {
        if (others !== undefined) note(values, 'before', await rate(others, [verb, 'off']));
        for (const mode of MODES) note(values, mode, await rate(programs, [verb, mode]));
        console.error(`${verb}, run ${run} of ${runs}`);
      }
      print(verb, values);
    }
    console.log(
      `\nMedians of ${runs} alternating runs (smallest to largest), Node ${process.versions.node}.`,
    );
  } finally {
    await programs.remove();
    await others?.remove();
  }
}

async function rate(programs: Programs, parameters: readonly string[]): Promise<number> {
  const output = await programs.run('troupe/traced', { parameters });
  const { perCpuSecond = Number.NaN } = output as Measurement; // the driver prints one
  if (!Number.isFinite(perCpuSecond)) throw new Error(`${parameters.join(' ')} printed no measurement.`);
  return perCpuSecond;
}

function note(values: Map<Side, number[]>, side: Side, value: number): void {
  values.set(side, [...(values.get(side) ?? []), value]);
}

function print(verb: string, values: ReadonlyMap<Side, readonly number[]>): void {
  const base = summarize(values.get('off') ?? []);
  console.log(`\n${verb}, messages for each second of processor time`);
  for (const [side, rates] of values) {
    const summary = summarize(rates);
    const share = `${((summary.median / base.median) * 100).toFixed(1)} %`;
    console.log(`  ${TITLES[side].padEnd(34)} ${range(summary).padEnd(40)} ${share.padStart(8)}`);
  }
}

function range({ median, min, max }: Summary): string {
  return `${number(median)} (${number(min)} to ${number(max)})`;
}

function number(value: number): string {
  return Math.round(value).toLocaleString('en');
}

/** The options, or what is wrong with them. */
function readOptions(given: readonly string[]): TracingOptions | string {
  try {
    const { values } = parseArgs({
      args: [...given],
      options: { runs: { type: 'string' }, before: { type: 'string' } },
    });
    const runs = Number(values.runs ?? RUNS);
    if (!Number.isSafeInteger(runs) || runs < 1)
      return `--runs takes a whole number from 1, not ${values.runs}.`;
    return { runs, before: values.before };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
