/**
 * What a second node is worth for work that takes a processor. Run it with `npm run bench:scaling -- --broker redis`; `--turn-ms 50` makes a message
 * larger, `--runs 1 --turns 50` makes it quick. A message is a fixed amount of work that takes a processor `--turn-ms` milliseconds here; one worker
 * process does it, then two on the same broker, in alternation, asked by a front that does next to nothing. Efficiency is
 * rate(2) / (2 x rate(1)). The same work in bare processes, without broker and front, tells what the machine gives: a second process may get less than
 * a whole second processor.
 *
 * It ends with exit code 1 if a run failed. The target is marked as met or missed.
 */

import { parseArgs } from 'node:util';
import { roundsFor } from './burn.ts';
import { summarize } from './measurement.ts';
import { Programs } from './programs.ts';
import { SERVERS, withServer } from './servers.ts';

/** What one run prints. */
export interface ScalingResult {
  readonly messages: number;
  readonly perSecond: number;
  /** Milliseconds of a processor that a turn took, on average. */
  readonly turnMs: number;
  /** Share of a processor that the front used. */
  readonly frontShare: number;
}

interface Options {
  readonly brokers: readonly string[];
  readonly turnMs: number;
  readonly turns: number;
  readonly runs: number;
}

const EFFICIENCY_MIN = 0.85;
const WORKERS = [1, 2] as const;
const NOWHERE = 'none';

const options = readOptions();
if (options === undefined) {
  console.error(
    '--broker takes redis, rabbitmq, kafka, loopback or several with commas; --turn-ms a whole number from 20; --turns and --runs whole numbers from 1.',
  );
  process.exitCode = 2;
} else {
  try {
    await measureAll(options);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}

async function measureAll(asked: Options): Promise<void> {
  const programs = await Programs.build();
  try {
    const rounds = roundsFor(asked.turnMs);
    console.log(`${rounds.toLocaleString('en')} rounds a message, ${asked.turns} messages for each worker`);
    await measure(programs, { title: 'bare processes', url: NOWHERE, rounds, asked });
    for (const broker of asked.brokers)
      await withServer(broker, (url) => measure(programs, { title: broker, url, rounds, asked }));
  } finally {
    await programs.remove();
  }
}

async function measure(
  programs: Programs,
  { title, url, rounds, asked }: { title: string; url: string; rounds: number; asked: Options },
): Promise<void> {
  const rates = WORKERS.map((): number[] => []);
  const efficiencies: number[] = [];
  let turnMs = 0;
  let frontShare = 0;
  for (let run = 0; run < asked.runs; run++) {
    for (const [place, workers] of WORKERS.entries()) {
      const key = `scaling-${process.pid}-${run}-${workers}`;
      const parameters = [url, key, rounds, asked.turns, workers].map(String);
      const output = await programs.run('troupe/scaling', { parameters });
      const result = output as ScalingResult; // the program is part of this benchmark
      if (result.messages !== workers * asked.turns) throw new Error(`${title}: messages were lost`);
      rates[place]?.push(result.perSecond);
      turnMs = Math.max(turnMs, result.turnMs);
      frontShare = Math.max(frontShare, result.frontShare);
    }
    // The two of one run, which met the same machine.
    efficiencies.push((rates[1]?.at(-1) ?? 0) / (2 * (rates[0]?.at(-1) ?? Number.NaN)));
  }
  const efficiency = summarize(efficiencies);
  const [one, two] = rates.map((values) => summarize(values).median.toFixed(1));
  const span = `${percent(efficiency.median)} (${percent(efficiency.min)} to ${percent(efficiency.max)})`;
  const isMet = efficiency.median >= EFFICIENCY_MIN;
  const verdict = url === NOWHERE ? '' : `, ${isMet ? 'met' : 'missed'}: at least ${percent(EFFICIENCY_MIN)}`;
  const detail =
    url === NOWHERE
      ? ''
      : `; turns of ${turnMs.toFixed(1)} ms, the front at ${percent(frontShare)} of a processor`;
  console.log(`${title}: 1 worker ${one}/s, 2 workers ${two}/s, efficiency ${span}${verdict}${detail}`);
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

function readOptions(): Options | undefined {
  try {
    const { values } = parseArgs({
      options: {
        broker: { type: 'string', default: 'redis' },
        'turn-ms': { type: 'string', default: '20' },
        turns: { type: 'string', default: '250' },
        runs: { type: 'string', default: '5' },
      },
    });
    const brokers = values.broker.split(',');
    if (brokers.some((name) => SERVERS[name] === undefined)) return undefined;
    const [turnMs = 0, turns = 0, runs = 0] = [values['turn-ms'], values.turns, values.runs].map(Number);
    const isWhole = [turnMs, turns, runs].every((value) => Number.isSafeInteger(value) && value >= 1);
    return isWhole && turnMs >= 20 ? { brokers, turnMs, turns, runs } : undefined;
  } catch {
    return undefined;
  }
}
