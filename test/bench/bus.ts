/**
 * The bus in memory, beside the figures of AMB (docs/from-amb.md). Run it with `npm run bench:bus`. It passes, with exit code
 * 0, if the medians of five runs, each a process of its own, hold: at least 20 times as many messages a second as AMB at its
 * best, a request answered within 20 µs (p50), and no processor time with 1,000 used topics and no traffic.
 */

import { summarize } from './measurement.ts';
import { Programs } from './programs.ts';

const RUNS = 5;
/** AMB at its best: messages a second from publish to handler. */
const AMB_PER_SECOND = 32_000;
const PER_SECOND_MIN = 20 * AMB_PER_SECOND;
const REQUEST_P50_MAX_US = 20;
/** The share of one processor that counts as none: the timers of the process itself, and what the measuring takes. */
const IDLE_SHARE_MAX = 0.005;

/** What the program of requests prints. */
export interface RequestResult {
  readonly requests: number;
  readonly answered: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

/** What the idle program prints. */
export interface IdleResult {
  readonly topics: number;
  readonly handled: number;
  /** Processor time as a share of the time that passed. */
  readonly share: number;
}

/** What the program of publishes prints. */
export interface PublishResult {
  readonly sent: number;
  readonly handled: number;
  readonly perSecond: number;
  readonly perProcessorSecond: number;
}

try {
  process.exitCode = (await measureBus()) ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

async function measureBus(): Promise<boolean> {
  const programs = await Programs.build();
  const perSecond: number[] = [];
  const perProcessorSecond: number[] = [];
  const p50Us: number[] = [];
  const p99Us: number[] = [];
  const idle: number[] = [];
  try {
    for (let run = 0; run < RUNS; run++) {
      // The programs are part of this benchmark and print exactly these.
      const published = (await programs.run('troupe/bus-publish')) as PublishResult;
      if (published.sent !== published.handled) throw new Error('Messages were lost or handled twice.');
      perSecond.push(published.perSecond);
      perProcessorSecond.push(published.perProcessorSecond);
      const requested = (await programs.run('troupe/bus-request')) as RequestResult;
      if (requested.answered !== requested.requests) throw new Error('Requests were answered wrongly.');
      p50Us.push(requested.p50Us);
      p99Us.push(requested.p99Us);
      const rested = (await programs.run('troupe/bus-idle')) as IdleResult;
      if (rested.handled !== 2 * rested.topics) throw new Error('Not every topic was used.');
      idle.push(rested.share);
    }
  } finally {
    await programs.remove();
  }
  const rows = [
    row(
      'publish to handler, messages/s',
      perSecond,
      (median) => median >= PER_SECOND_MIN,
      `>= ${PER_SECOND_MIN}`,
    ),
    row('the same in a second of processor time', perProcessorSecond, undefined, 'none'),
    row('request, p50 in µs', p50Us, (median) => median <= REQUEST_P50_MAX_US, `<= ${REQUEST_P50_MAX_US}`),
    row('request, p99 in µs', p99Us, undefined, 'none'),
    row(
      'idle, % of a processor',
      idle.map((share) => share * 100),
      (median) => median <= IDLE_SHARE_MAX * 100,
      '0',
    ),
  ];
  return rows.every((isMet) => isMet);
}

/** Prints one row; answers whether its target is met. */
function row(
  what: string,
  values: readonly number[],
  isMet: ((median: number) => boolean) | undefined,
  target: string,
): boolean {
  const { median, min, max } = summarize(values);
  const hasPassed = isMet === undefined || isMet(median);
  const shown = [median, min, max].map((value) => (value >= 1_000 ? Math.round(value) : value.toFixed(2)));
  console.log(
    `${hasPassed ? 'passed' : 'FAILED'}  ${what}: ${shown[0]} (${shown[1]} to ${shown[2]}; target: ${target})`,
  );
  return hasPassed;
}
