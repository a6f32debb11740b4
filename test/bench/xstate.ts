/**
 * A machine as an agent, with its mailbox and supervision, beside the same machine in xstate's own actor. Run it with
 * `npm run bench:xstate`. Three processes measure both by turns, five times each; it passes, with exit code 0, if the median of the agent is at
 * least 60 % of that of the actor, for each second of processor time.
 */

import { summarize } from './measurement.ts';
import { Programs } from './programs.ts';

const RUNS = 3;
const SHARE_MIN = 0.6;

/** What one process prints: events for each second of processor time. */
export interface MachineResult {
  readonly xstate: readonly number[];
  readonly troupe: readonly number[];
  /** Events sent to each, and those that each has handled. */
  readonly sent: number;
  readonly handled: { readonly xstate: number; readonly troupe: number };
}

try {
  process.exitCode = (await benchmark()) ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

async function benchmark(): Promise<boolean> {
  const programs = await Programs.build();
  const results: MachineResult[] = [];
  try {
    for (let run = 1; run <= RUNS; run++) {
      results.push(await measure(programs));
      console.error(`run ${run} of ${RUNS}`);
    }
  } finally {
    await programs.remove();
  }
  const xstate = summarize(results.flatMap((result) => result.xstate));
  const troupe = summarize(results.flatMap((result) => result.troupe));
  for (const [name, { median, min, max }] of [['xstate', xstate] as const, ['troupe', troupe] as const])
    console.log(
      `${name}  ${shown(median)} events for each second of processor time (${shown(min)} to ${shown(max)})`,
    );
  const share = troupe.median / xstate.median;
  const isMet = share >= SHARE_MIN;
  const verdict = isMet ? 'passed' : 'FAILED';
  console.log(
    `${verdict}  ${Math.round(share * 100)} % of xstate's own actor (at least ${SHARE_MIN * 100} %), Node ${process.versions.node}`,
  );
  return isMet;
}

async function measure(programs: Programs): Promise<MachineResult> {
  // The program is part of this benchmark and prints exactly this.
  const result = (await programs.run('troupe/machine')) as MachineResult;
  const { sent, handled } = result;
  if (handled.xstate !== sent || handled.troupe !== sent)
    throw new Error(`${sent} sent to each: xstate handled ${handled.xstate}, Troupe ${handled.troupe}`);
  return result;
}

function shown(value: number): string {
  return Math.round(value).toLocaleString('en');
}
