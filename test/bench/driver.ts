/**
 * The driver of one measurement, the same for the limit and for Troupe: warm up, then run windows of work until they
 * have taken long enough, then see whether every message was handled, exactly once. The result goes to standard output
 * as one line of JSON. It runs in the measured process, so it does as little as it can.
 *
 * Invariant: a window is over when as many messages were handled as were sent. A lost one leaves its window open for
 * ever, and the watch then ends the process with the counts; one handled twice shows in the final count.
 */

import { setImmediate as macrotask } from 'node:timers/promises';

const WARM_UP_MS = 500;
const MEASURE_MS = 1_000;
/** Longest life of a measuring process; far above what the slowest row takes. */
const WATCH_MS = 60_000;
/** Rounds of the event loop in which a message that was handled twice may still come. */
const LINGER_ROUNDS = 10;

/** What a measuring process prints. */
export interface Measurement {
  /** In the unit of its row: operations a second, or bytes. */
  readonly value: number;
  /** As `value`, for each second of processor time, on however many threads: what is left of a rate on a busy machine. */
  readonly perCpuSecond?: number | undefined;
  readonly sent: number;
  readonly handled: number;
}

type Rates = Pick<Measurement, 'value' | 'perCpuSecond'>;

/** Counts the messages of a program, and closes the open window when its last one was handled. */
export class Tally {
  sent = 0;
  handled = 0;
  private close: () => void = () => {};

  /** Opens a window of so many messages; resolves when the last of them was handled. */
  open(messages: number): Promise<void> {
    this.sent += messages;
    return new Promise<void>((resolve) => {
      this.close = resolve;
    });
  }

  /** Counts one handled message; answers whether the window has more to come. */
  handle(): boolean {
    this.handled++;
    if (this.handled !== this.sent) return true;
    this.close();
    return false;
  }
}

/** One row's program. */
export interface Program {
  readonly tally: Tally;
  /** Operations in one window: what the row counts, which need not be messages. */
  readonly operations: number;
  /** Does the operations of one window and resolves when all of them are done. */
  readonly window: () => Promise<void>;
  /** Windows to warm up by, and to measure, at least: for what is slow, and would be measured before it is compiled. */
  readonly windowsMin?: number;
  /** Clears up after a window; not measured. */
  readonly between?: () => Promise<void>;
}

/** Measures a program and prints its operations a second. */
export async function measureRate(program: Program): Promise<void> {
  const watch = watchOver(program.tally);
  await run(program, WARM_UP_MS);
  await finish(program.tally, await run(program, MEASURE_MS), watch);
}

/**
 * Prints the bytes of heap that each of `count` things holds, `hold` being what makes and keeps them. The process needs
 * `--expose-gc`.
 */
export async function measureBytes(
  tally: Tally,
  count: number,
  hold: () => Promise<readonly unknown[]>,
): Promise<void> {
  const watch = watchOver(tally);
  const before = await heapUsedBytes();
  const held = await hold();
  const after = await heapUsedBytes();
  if (held.length !== count) throw new Error(`Expected ${count} things to be held, found ${held.length}.`);
  await finish(tally, { value: (after - before) / count }, watch);
}

/** Runs windows until they have taken `forMs` together, and are as many as wanted; answers the operations a second. */
async function run(program: Program, forMs: number): Promise<Rates> {
  let operations = 0;
  let elapsedMs = 0;
  const cpuBefore = process.cpuUsage();
  const { windowsMin = 0 } = program;
  for (let windows = 0; elapsedMs < forMs || windows < windowsMin; windows++) {
    const startMs = performance.now();
    await program.window();
    elapsedMs += performance.now() - startMs;
    operations += program.operations;
    await program.between?.();
  }
  const { user, system } = process.cpuUsage(cpuBefore); // what is between windows is little
  return { value: (operations / elapsedMs) * 1_000, perCpuSecond: (operations / (user + system)) * 1e6 };
}

/** Bytes in use once nothing more can be collected. */
async function heapUsedBytes(): Promise<number> {
  const { gc } = globalThis;
  if (gc === undefined) throw new Error('Measuring memory needs node --expose-gc.');
  for (let round = 0; round < 5; round++) {
    await macrotask();
    gc();
  }
  return process.memoryUsage().heapUsed;
}

/** Ends the process with the counts if the measurement does not end by itself. */
function watchOver(tally: Tally): NodeJS.Timeout {
  return setTimeout(() => fail(`Not done after ${WATCH_MS} ms`, tally), WATCH_MS);
}

async function finish(tally: Tally, rates: Rates, watch: NodeJS.Timeout): Promise<void> {
  for (let round = 0; round < LINGER_ROUNDS; round++) await macrotask();
  clearTimeout(watch);
  const { sent, handled } = tally;
  if (handled !== sent) fail('Messages were lost or handled twice', tally);
  const measurement: Measurement = { ...rates, sent, handled };
  // Troupe's timers must not keep the process alive, so it ends as soon as the line is out.
  process.stdout.write(`${JSON.stringify(measurement)}\n`, () => process.exit(0));
}

function fail(what: string, tally: Tally): never {
  console.error(`${what}: ${tally.sent} messages sent, ${tally.handled} handled.`);
  process.exit(1);
}
