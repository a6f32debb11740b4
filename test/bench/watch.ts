/**
 * Deaths all at once: 100,000 watched actors end together, and one watcher hears of each of them, once. Run it with
 * `npm run bench:watch`. It passes, with exit code 0, if the last notice comes within 2 s (the median of five
 * runs, each a process of its own). Beside a mailbox with 1,000 messages in it, where each death looks for last words
 * among them, it is allowed 4 s.
 */

import { summarize } from './measurement.ts';
import { Programs } from './programs.ts';

const RUNS = 5;
/** Messages in the watcher's mailbox, and the milliseconds that the last notice may take. */
const SCENES = [
  { queued: 0, elapsedMaxMs: 2_000 },
  { queued: 1_000, elapsedMaxMs: 4_000 },
];

/** What one run prints. */
export interface WatchResult {
  readonly subjects: number;
  readonly notices: number;
  /** Different actors among the notices. */
  readonly told: number;
  readonly elapsedMs: number;
}

try {
  process.exitCode = (await watchMany()) ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

async function watchMany(): Promise<boolean> {
  const programs = await Programs.build();
  let holds = true;
  try {
    for (const { queued, elapsedMaxMs } of SCENES) {
      const elapsedMs: number[] = [];
      for (let run = 0; run < RUNS; run++) elapsedMs.push(await measure(programs, queued));
      const { median, min, max } = summarize(elapsedMs);
      const isMet = median <= elapsedMaxMs;
      holds &&= isMet;
      console.log(
        `${isMet ? 'passed' : 'FAILED'}  ${(100_000).toLocaleString('en')} notices beside ${queued} queued messages: ` +
          `${Math.round(median)} ms (${Math.round(min)} to ${Math.round(max)}; allowed: ${elapsedMaxMs})`,
      );
    }
  } finally {
    await programs.remove();
  }
  return holds;
}

async function measure(programs: Programs, queued: number): Promise<number> {
  // The program is part of this benchmark and prints exactly this.
  const result = (await programs.run('troupe/watch', { parameters: [String(queued)] })) as WatchResult;
  const { subjects, notices, told, elapsedMs } = result;
  if (notices !== subjects || told !== subjects)
    throw new Error(`${subjects} ended: ${notices} notices of ${told} actors`);
  return elapsedMs;
}
