/**
 * The flood: does memory stay flat when producers are faster than the agent? Run it with `npm run bench:flood`;
 * `-- --messages 1000000` makes it shorter. It passes, with exit code 0, if
 *
 * - 10 million awaited sends keep resident memory within 30 MB of what it was after 200,000 warm-up sends, and flat
 *   over the last half: its last quarter no higher than the one before by more than 5 MB (medians, which a collection
 *   more or less does not move);
 * - a million un-awaited sends are bounded: the mailbox and `waitersMax` of them are accepted and handled, the rest
 *   refused with `ERR_MAILBOX_WAITERS_FULL`, and all of them are accounted for.
 */

import { parseArgs } from 'node:util';
import { summarize } from './measurement.ts';
import { Programs } from './programs.ts';

const MESSAGES = 10_000_000;
const MESSAGES_MIN = 100_000;
const MEGABYTE = 1_000_000;
const ABOVE_BASELINE_MAX_BYTES = 30 * MEGABYTE;
const FLAT_MAX_BYTES = 5 * MEGABYTE;

/** What the awaited flood prints. */
export interface FloodResult {
  readonly sent: number;
  readonly handled: number;
  readonly elapsedMs: number;
  readonly baselineBytes: number;
  /** Resident memory, at even steps. */
  readonly samplesBytes: readonly number[];
}

/** What the un-awaited flood prints. */
export interface UnawaitedResult {
  readonly sends: number;
  readonly accepted: number;
  readonly refused: number;
  readonly handled: number;
  /** Sends that a mailbox and its waiters take while no turn runs. */
  readonly boundary: number;
  /** Growth of resident memory while the sends were made. */
  readonly grownBytes: number;
}

/** A claim and whether it held. */
interface Verdict {
  readonly claim: string;
  readonly holds: boolean;
}

const messages = readMessages();
if (messages === undefined) {
  console.error(`--messages takes a whole number from ${MESSAGES_MIN}; there are no other options.`);
  process.exitCode = 2;
} else {
  try {
    const verdicts = await flood(messages);
    for (const { claim, holds } of verdicts) console.log(`${holds ? 'passed' : 'FAILED'}  ${claim}`);
    process.exitCode = verdicts.every(({ holds }) => holds) ? 0 : 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}

async function flood(count: number): Promise<readonly Verdict[]> {
  const programs = await Programs.build();
  try {
    // Both programs are part of this benchmark and print exactly these.
    const awaited = (await programs.run('troupe/flood', { parameters: [String(count)] })) as FloodResult;
    const unawaited = (await programs.run('troupe/flood-unawaited')) as UnawaitedResult;
    return [...judgeAwaited(awaited), ...judgeUnawaited(unawaited)];
  } finally {
    await programs.remove();
  }
}

function judgeAwaited(result: FloodResult): readonly Verdict[] {
  const { sent, handled, elapsedMs, baselineBytes, samplesBytes } = result;
  const quarter = Math.floor(samplesBytes.length / 4);
  const third = summarize(samplesBytes.slice(-2 * quarter, -quarter)).median;
  const fourth = summarize(samplesBytes.slice(-quarter)).median;
  const { max } = summarize(samplesBytes);
  return [
    {
      claim:
        `${count(sent)} awaited sends (warm-up included) handled: ${count(handled)}; ` +
        `${samplesBytes.length} samples of memory in ${(elapsedMs / 1_000).toFixed(1)} s`,
      holds: sent === handled,
    },
    {
      claim:
        `resident memory at most ${megabytes(max)}, ${megabytes(max - baselineBytes)} above the baseline ` +
        `of ${megabytes(baselineBytes)} (allowed: ${megabytes(ABOVE_BASELINE_MAX_BYTES)})`,
      holds: max - baselineBytes <= ABOVE_BASELINE_MAX_BYTES,
    },
    {
      claim:
        `flat over the last half: median ${megabytes(third)}, then ${megabytes(fourth)} ` +
        `(allowed: ${megabytes(FLAT_MAX_BYTES)} more)`,
      holds: fourth - third <= FLAT_MAX_BYTES,
    },
  ];
}

function judgeUnawaited(result: UnawaitedResult): readonly Verdict[] {
  const { sends, accepted, refused, handled, boundary, grownBytes } = result;
  return [
    {
      claim:
        `${count(sends)} un-awaited sends: ${count(accepted)} accepted, ` +
        `${count(refused)} refused with ERR_MAILBOX_WAITERS_FULL`,
      holds: accepted + refused === sends,
    },
    {
      claim:
        `no more accepted than mailbox and waiters hold (${count(boundary)}); ` +
        `memory grew by ${megabytes(grownBytes)} while they were made`,
      // The one more is the message whose turn may have begun.
      holds: accepted >= boundary && accepted <= boundary + 1,
    },
    { claim: `${count(handled)} of the accepted handled`, holds: handled === accepted },
  ];
}

function readMessages(): number | undefined {
  try {
    const { values } = parseArgs({ options: { messages: { type: 'string' } } });
    const given = Number(values.messages ?? MESSAGES);
    return Number.isSafeInteger(given) && given >= MESSAGES_MIN ? given : undefined;
  } catch {
    return undefined;
  }
}

function count(value: number): string {
  return value.toLocaleString('en');
}

function megabytes(bytes: number): string {
  return `${(bytes / MEGABYTE).toFixed(1)} MB`;
}
