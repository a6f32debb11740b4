/**
 * The core benchmark: Troupe beside a bare run queue, row by row, in the same run. Run it with `npm run bench:core`;
 * `-- --json` prints only JSON on standard output, `-- --only tell,ask` selects rows, `-- --runs 9` sets the number of
 * runs (5 unless said). README.md beside this file says what the rows and the limit are.
 *
 * This process only directs: what is measured runs as plain JavaScript, each measurement in a process of its own. The
 * exit code is 1 when a measurement failed, a lost message included, 2 for options that it does not know, and else 0,
 * whether the targets are met or missed.
 */

import { parseArgs } from 'node:util';
import { measureRow, type RowResult } from './measurement.ts';
import { Programs } from './programs.ts';
import { json, table } from './report.ts';
import { ROWS, type Row } from './rows.ts';

const RUNS = 5;

interface CoreOptions {
  readonly rows: readonly Row[];
  readonly runs: number;
  readonly isJson: boolean;
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

async function benchmark({ rows, runs, isJson }: CoreOptions): Promise<void> {
  const programs = await Programs.build();
  const results: RowResult[] = [];
  try {
    for (const row of rows)
      results.push(await measureRow(programs, row, runs, (line) => console.error(line)));
  } finally {
    await programs.remove();
  }
  if (isJson) {
    console.log(json(results));
    return;
  }
  const messages = results.reduce((sum, result) => sum + result.messages, 0);
  console.log(`\n${table(results)}\n`);
  console.log(
    `Medians of ${runs} alternating runs, Node ${process.versions.node}; ` +
      `${messages.toLocaleString('en')} messages sent and counted, none lost.`,
  );
}

/** The options, or what is wrong with them. */
function readOptions(given: readonly string[]): CoreOptions | string {
  try {
    const { values } = parseArgs({
      args: [...given],
      options: { json: { type: 'boolean' }, only: { type: 'string' }, runs: { type: 'string' } },
    });
    const runs = Number(values.runs ?? RUNS);
    if (!Number.isSafeInteger(runs) || runs < 1)
      return `--runs takes a whole number from 1, not ${values.runs}.`;
    const names = values.only?.split(',') ?? ROWS.map((row) => row.name);
    const known: readonly string[] = ROWS.map((row) => row.name);
    const unknown = names.filter((name) => !known.includes(name));
    if (unknown.length > 0) return `--only takes ${known.join(', ')}, not ${unknown.join(', ')}.`;
    return { rows: ROWS.filter((row) => names.includes(row.name)), runs, isJson: values.json ?? false };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
