/**
 * How long work stands still when its process is killed. Run it with `npm run bench:failover -- --broker redis,rabbitmq`; `--times short` takes
 * shorter heartbeats than the usual ones, `--runs 1` makes it quick. Each run is a front and two workers in processes of their own on a server that was
 * started for it (troupe/failover.ts): 20 asks wait at the first worker when `kill -9` ends it.
 *
 * It ends with exit code 1 if a run failed, an ask did not reject with `ERR_NODE_DOWN`, or its work was not done by the other worker; targets are
 * marked as met or missed.
 */

import { parseArgs } from 'node:util';
import { BROKER_DOWN_AFTER_MS } from '../../src/protocol/limits.ts';
import { summarize } from './measurement.ts';
import { Programs } from './programs.ts';
import { SERVERS, withServer } from './servers.ts';

/** What one run prints: milliseconds since the kill. */
export interface FailoverResult {
  /** `node-down` is told. */
  readonly heardMs: number;
  /** The first and the last of the asks reject. */
  readonly firstRejectedMs: number;
  readonly lastRejectedMs: number;
  /** The last of the same work is answered by the other worker. */
  readonly doneMs: number;
}

interface Times {
  readonly heartbeatMs?: number;
  readonly downAfterMs?: number;
}

/** Short ones: what a server on the same network can be asked for. Kafka's groups have a session of 6 s at least unless the server says otherwise. */
const SHORT: Readonly<Record<string, Times>> = {
  redis: { heartbeatMs: 300, downAfterMs: 1_500 },
  rabbitmq: { heartbeatMs: 1_000, downAfterMs: 3_000 },
  kafka: { heartbeatMs: 1_500, downAfterMs: 6_000 },
  loopback: { heartbeatMs: 500, downAfterMs: 1_500 },
};

/** Milliseconds until the work is done again, by the time after which a node counts as dead. RabbitMQ and loopback see the end of a connection. */
const TARGET_MS: Readonly<Record<string, (downAfterMs: number) => number>> = {
  redis: (downAfterMs) => downAfterMs + 1_000,
  rabbitmq: () => 2_000,
  kafka: (downAfterMs) => downAfterMs + 3_000,
  loopback: () => 2_000,
};

interface Options {
  readonly brokers: readonly string[];
  readonly times: readonly ('usual' | 'short')[];
  readonly runs: number;
}

const options = readOptions();
if (options === undefined) {
  console.error(
    '--broker takes redis, rabbitmq, kafka, loopback or several with commas; --times usual, short; --runs a whole number from 1.',
  );
  process.exitCode = 2;
} else {
  try {
    process.exitCode = (await measureAll(options)) ? 0 : 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}

async function measureAll({ brokers, times, runs }: Options): Promise<boolean> {
  const programs = await Programs.build();
  try {
    let isWhole = true;
    for (const broker of brokers)
      await withServer(broker, async (url) => {
        for (const which of times) {
          const isDone = await measure(programs, { broker, url, which, runs });
          isWhole = isDone && isWhole;
        }
      });
    return isWhole;
  } finally {
    await programs.remove();
  }
}

async function measure(
  programs: Programs,
  { broker, url, which, runs }: { broker: string; url: string; which: 'usual' | 'short'; runs: number },
): Promise<boolean> {
  const times = which === 'short' ? (SHORT[broker] ?? {}) : {};
  const downAfterMs = times.downAfterMs ?? BROKER_DOWN_AFTER_MS;
  const results: FailoverResult[] = [];
  const problems: string[] = [];
  for (let run = 0; run < runs; run++) {
    const key = `failover-${process.pid}-${which}-${run}`;
    try {
      const output = await programs.run('troupe/failover', { parameters: [url, key, JSON.stringify(times)] });
      results.push(output as FailoverResult); // the program is part of this benchmark
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
  }
  console.log(
    `\n${broker}, ${which} times (downAfterMs ${downAfterMs}), ${runs} runs: milliseconds after kill -9`,
  );
  for (const problem of problems) console.log(`FAILED: ${problem.split('\n').slice(0, 4).join(' ')}`);
  if (results.length === 0) return false;
  const line = (title: string, part: keyof FailoverResult, targetMs?: number): void => {
    const { median, max } = summarize(results.map((result) => result[part]));
    const verdict = targetMs === undefined ? '' : `  ${max < targetMs ? 'met' : 'missed'}: under ${targetMs}`;
    console.log(`${title.padEnd(34)}median ${whole(median)}  max ${whole(max)}${verdict}`);
  };
  line('node-down heard', 'heardMs');
  line('first ask rejects', 'firstRejectedMs');
  line('last ask rejects', 'lastRejectedMs');
  line('all done by the other worker', 'doneMs', TARGET_MS[broker]?.(downAfterMs));
  return problems.length === 0;
}

function whole(ms: number): string {
  return Math.round(ms).toLocaleString('en').padStart(7);
}

function readOptions(): Options | undefined {
  try {
    const { values } = parseArgs({
      options: {
        broker: { type: 'string', default: 'redis' },
        times: { type: 'string', default: 'usual,short' },
        runs: { type: 'string', default: '5' },
      },
    });
    const brokers = values.broker.split(',');
    const times = values.times.split(',');
    const known = times.filter((each) => each === 'usual' || each === 'short');
    const runs = Number(values.runs);
    if (brokers.some((name) => SERVERS[name] === undefined) || known.length !== times.length)
      return undefined;
    return Number.isSafeInteger(runs) && runs >= 1 ? { brokers, times: known, runs } : undefined;
  } catch {
    return undefined;
  }
}
