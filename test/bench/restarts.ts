/**
 * Restarts: how fast is a supervisor with 1,000 children, and does memory stay flat? Run it with `npm run bench:restarts`;
 * `-- --restarts 200000` makes it shorter. It passes, with exit code 0, if
 *
 * - a million restarts, each with a fresh `state()` and one message handled after it, run at 100,000 a second at least;
 * - the heap, after a collection, is no more than 5 MB larger after them than after the first tenth.
 */

import { parseArgs } from 'node:util';
import { Programs } from './programs.ts';

const RESTARTS = 1_000_000;
const RESTARTS_MIN = 100_000;
const PER_SECOND_MIN = 100_000;
const MEGABYTE = 1_000_000;
const GROWTH_MAX_BYTES = 5 * MEGABYTE;

/** What the program prints. */
export interface RestartsResult {
  readonly children: number;
  readonly restarts: number;
  /** Calls of `state`, the first ones not counted. */
  readonly states: number;
  /** Messages handled by a fresh state. */
  readonly handled: number;
  readonly elapsedMs: number;
  /** Heap after a collection, after each tenth. */
  readonly heapBytes: readonly number[];
}

const restarts = readRestarts();
if (restarts === undefined) {
  console.error(`--restarts takes a whole number from ${RESTARTS_MIN}; there are no other options.`);
  process.exitCode = 2;
} else {
  try {
    process.exitCode = (await measure(restarts)) ? 0 : 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}

async function measure(count: number): Promise<boolean> {
  const programs = await Programs.build();
  try {
    const output = await programs.run('troupe/restarts', {
      parameters: [String(count)],
      flags: ['--expose-gc'],
    });
    return judge(output as RestartsResult); // the program is part of this benchmark and prints exactly this
  } finally {
    await programs.remove();
  }
}

function judge({ children, restarts: done, states, handled, elapsedMs, heapBytes }: RestartsResult): boolean {
  const perSecond = (done / elapsedMs) * 1_000;
  const grownBytes = (heapBytes.at(-1) ?? Infinity) - (heapBytes[0] ?? 0);
  const verdicts = [
    {
      claim: `${number(done)} restarts of ${number(children)} children: ${number(states)} states, ${number(handled)} messages after them`,
      holds: states === done && handled === done,
    },
    {
      claim: `${number(perSecond)} restarts a second (at least ${number(PER_SECOND_MIN)})`,
      holds: perSecond >= PER_SECOND_MIN,
    },
    {
      claim: `heap grew by ${(grownBytes / MEGABYTE).toFixed(1)} MB after the first tenth (at most ${GROWTH_MAX_BYTES / MEGABYTE} MB)`,
      holds: grownBytes <= GROWTH_MAX_BYTES,
    },
  ];
  for (const { claim, holds } of verdicts) console.log(`${holds ? 'passed' : 'FAILED'}  ${claim}`);
  return verdicts.every(({ holds }) => holds);
}

function readRestarts(): number | undefined {
  try {
    const { values } = parseArgs({ options: { restarts: { type: 'string' } } });
    const given = Number(values.restarts ?? RESTARTS);
    return Number.isSafeInteger(given) && given >= RESTARTS_MIN ? given : undefined;
  } catch {
    return undefined;
  }
}

function number(value: number): string {
  return Math.round(value).toLocaleString('en');
}
