/**
 * A durable store: how many publishes and appends a second are safe on the disk, how long opening takes, and how fast a replay
 * is. Run it with `npm run bench:store`; `-- --messages 20000 --runs 3` makes it shorter, `--folder` says on which file
 * system. It passes, with exit code 0, if the bus reaches 20,000 durable publishes a second (the median of the runs, each a
 * process of its own) and no message was lost. The disk's own speed, one small write and one sync at a time, stands beside it:
 * on a file system without a disk (tmpfs) a sync costs nothing, and the figures mean nothing.
 */

import { open, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { summarize } from './measurement.ts';
import { Programs } from './programs.ts';

/** What a program measures. */
export type StoreScene = 'append' | 'publish' | 'open' | 'replay';

/** What it prints. */
export interface StoreResult {
  readonly sent: number;
  /** Of those, the ones that the store holds; for `publish` as handled. */
  readonly stored: number;
  /** Those a handler got, where there is one. */
  readonly handled: number;
  readonly elapsedMs: number;
  /** Processor time of all threads, where calls are measured. */
  readonly processorMs?: number;
}

const PUBLISHES_PER_SECOND_MIN = 20_000;
const PROBES = 300;
/** Magic numbers of file systems (linux/magic.h). */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: 'ext2/3/4',
  16914836: 'tmpfs',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  2035054128: 'overlayfs',
};

const options = readOptions();
if (options === undefined) {
  console.error(
    '--messages takes thousands, --runs a whole number from 1, --folder a folder; there are no other options.',
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

interface Options {
  readonly messages: number;
  readonly runs: number;
  readonly folder: string;
}

async function measureAll({ messages, runs, folder }: Options): Promise<boolean> {
  const { type } = await statfs(folder);
  console.log(`file system: ${FILE_SYSTEMS[type] ?? `0x${type.toString(16)}`}`);
  console.log(`one write and one sync at a time: ${number(await syncsPerSecond(folder))} a second`);
  const programs = await Programs.build();
  try {
    let processorMs: number[] = [];
    const measure = async (scene: StoreScene): Promise<readonly number[]> => {
      const results: StoreResult[] = [];
      for (let run = 0; run < runs; run++) results.push(await measureOne(programs, scene, messages, folder));
      processorMs = results.map((result) => result.processorMs ?? 0);
      return results.map(({ elapsedMs }) => elapsedMs);
    };
    // On a machine with other work this says more than the rate.
    const cost = (): string => {
      const microseconds = processorMs.map((ms) => (ms / messages) * 1_000);
      return `${spread(microseconds)} µs of processor time each`;
    };
    const perSecond = (elapsedMs: readonly number[]): readonly number[] =>
      elapsedMs.map((ms) => (messages / ms) * 1_000);
    const publishes = perSecond(await measure('publish'));
    const publishCost = cost();
    const isMet = summarize(publishes).median >= PUBLISHES_PER_SECOND_MIN;
    const target = `at least ${number(PUBLISHES_PER_SECOND_MIN)}`;
    console.log(
      `${isMet ? 'passed' : 'FAILED'}  durable publishes: ${spread(publishes)} a second (${target})`,
    );
    console.log(`        ${publishCost}`);
    console.log(`        appends: ${spread(perSecond(await measure('append')))} a second`);
    console.log(`        ${cost()}`);
    console.log(`        opening with ${number(messages)} messages: ${spread(await measure('open'))} ms`);
    console.log(`        replay: ${spread(perSecond(await measure('replay')))} a second`);
    return isMet;
  } finally {
    await programs.remove();
  }
}

async function measureOne(
  programs: Programs,
  scene: StoreScene,
  messages: number,
  folder: string,
): Promise<StoreResult> {
  const output = await programs.run('troupe/store', { parameters: [scene, String(messages), folder] });
  const result = output as StoreResult; // the program is part of this benchmark
  const { sent, stored, handled } = result;
  if (stored !== sent || handled !== sent)
    throw new Error(`${scene} lost messages: ${sent} sent, ${stored} stored, ${handled} handled`);
  return result;
}

async function syncsPerSecond(folder: string): Promise<number> {
  const path = join(folder, `troupe-sync-${process.pid}`);
  const file = await open(path, 'wx');
  try {
    const bytes = Buffer.alloc(4_096, 1);
    const startMs = performance.now();
    for (let probe = 0; probe < PROBES; probe++) {
      await file.write(bytes, 0, bytes.length, 0);
      await file.datasync();
    }
    return (PROBES / (performance.now() - startMs)) * 1_000;
  } finally {
    await file.close();
    await rm(path);
  }
}

function readOptions(): Options | undefined {
  try {
    const { values } = parseArgs({
      options: { messages: { type: 'string' }, runs: { type: 'string' }, folder: { type: 'string' } },
    });
    const messages = Number(values.messages ?? 100_000);
    const runs = Number(values.runs ?? 5);
    const isFine = messages >= 1_000 && messages % 1_000 === 0 && Number.isSafeInteger(runs) && runs >= 1;
    return isFine ? { messages, runs, folder: values.folder ?? tmpdir() } : undefined;
  } catch {
    return undefined;
  }
}

function spread(values: readonly number[]): string {
  const { median, min, max } = summarize(values);
  return `${number(median)} (${number(min)} to ${number(max)})`;
}

function number(value: number): string {
  return value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString('en');
}
