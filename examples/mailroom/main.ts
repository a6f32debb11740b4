/**
 * The mailroom: real mail through a supervised tree of agents, read by worker processes of which one is killed in mid-flood. `npm run demo` runs on the
 * sample, `npm run demo -- path` on one's own mail: a folder of mails, an mbox or a single mail.
 *
 * Exit codes: 0 if all sums agree, 1 if one is off, 2 if there was nothing to run on.
 */

import { parseArgs } from 'node:util';
import { createSystem, isTroupeError } from 'troupe';
import { serveLoopback } from 'troupe/loopback';
import { brokerAt } from './broker.ts';
import { displayFor } from './display.ts';
import { LanguageModelMisconfigured, languageModelFrom } from './llm.ts';
import { paintFor } from './paint.ts';
import { ownDelivery, sampleDelivery } from './post.ts';
import { reportText } from './report.ts';
import { runMailroom } from './run.ts';
import { SampleDamaged } from './sample.ts';
import { SourceError } from './source.ts';
import { MailroomGaveUp } from './stages.ts';
import { sumsOf } from './sums.ts';
import { PARSERS } from './tree.ts';
import { type Away, type Meeting, Workers } from './workers.ts';

const USAGE = `Usage: npm run demo [-- [options] [path]]

  path            a folder of mails, an mbox file or a single mail; without it, the sample of real mails that comes along
  --broker URL    the broker between the processes: redis://, amqp:// or kafka://; without it, one that this process serves
  --workers N     other processes that read the mails, 0 to 8; 2 unless said. With 2 or more, one is killed in mid-flood

  TROUPE_BROKER=URL does the same as --broker.
  LLM_BASE_URL, LLM_MODEL and LLM_API_KEY let a language model judge the mails, by any OpenAI-compatible endpoint.
  NO_COLOR=1 leaves out colours.
`;
/** Processes beside this one, unless said, and at the most. */
const WORKERS = 2;
const WORKERS_MAX = 8;

class UsageError extends Error {
  override readonly name = 'UsageError';
}

async function main(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(USAGE);
    return 0;
  }
  const { path, url, workers } = readArguments(args, process.env);
  const { stdout, env } = process;
  const paint = paintFor(stdout, env);
  const languageModel = languageModelFrom(env);
  const isTrained = languageModel === undefined;
  const delivery = path === undefined ? sampleDelivery() : await ownDelivery(path, { isTrained });

  const processes = workers === 0 ? '' : `, ${workers} worker processes`;
  const title = `${subject(path, delivery.sampleMails)}, ${PARSERS} parsers${processes}`;
  stdout.write(`${paint('bold', 'Troupe mailroom')}: ${title}\n`);
  const display = displayFor(stdout, env, paint);
  const record = await withWorkers(workers, url, (away) =>
    runMailroom({ delivery, display, languageModel, away }),
  );
  const sums = sumsOf(record);
  stdout.write(`\n${reportText(record, sums, paint)}`);
  return sums.every((sum) => sum.isRight) ? 0 : 1;
}

/** What the command line says. Throws `UsageError`. */
function readArguments(
  args: readonly string[],
  { TROUPE_BROKER }: NodeJS.ProcessEnv,
): { readonly path: string | undefined; readonly url: string | undefined; readonly workers: number } {
  let parsed: ReturnType<typeof parsedArguments>;
  try {
    parsed = parsedArguments(args);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  const { values, positionals } = parsed;
  const [path, ...rest] = positionals;
  if (rest.length > 0) throw new UsageError(`One path at most; ${positionals.length} were given.`);
  if (path === '') throw new UsageError('The path is empty.');
  const workers = Number(values.workers ?? WORKERS);
  if (!Number.isInteger(workers) || workers < 0 || workers > WORKERS_MAX)
    throw new UsageError(`--workers takes a number from 0 to ${WORKERS_MAX}, and not ${values.workers}.`);
  const url = values.broker ?? TROUPE_BROKER;
  if (url === '') throw new UsageError('The URL of the broker is empty.');
  if (workers === 0 && values.broker !== undefined)
    throw new UsageError('Without worker processes there is nobody to meet at a broker.');
  return { path, url, workers };
}

function parsedArguments(args: readonly string[]) {
  const options = { broker: { type: 'string' }, workers: { type: 'string' } } as const;
  return parseArgs({ args: [...args], options, allowPositionals: true });
}

/** Runs with worker processes beside this one, at a broker or at one that this process serves. Nothing of them is left. */
async function withWorkers<T>(
  count: number,
  url: string | undefined,
  run: (away: Away | undefined) => Promise<T>,
): Promise<T> {
  if (count === 0) return run(undefined);
  const server = url === undefined ? await serveLoopback() : undefined;
  const names = Array.from({ length: count }, (_, index) => `worker-${index + 1}`);
  // Of this run alone: another one at the same broker is another mailroom.
  const meeting = { url: url ?? server?.url ?? '', prefix: `mailroom-${process.pid}` };
  try {
    if (url !== undefined) await knock(meeting);
    const workers = await Workers.start(names, meeting);
    try {
      return await run({ names, workers, meeting });
    } finally {
      await workers.stop();
    }
  } finally {
    await server?.close();
  }
}

/** Finds out whether there is a broker, before any process is started. */
async function knock({ url, prefix }: Meeting): Promise<void> {
  const guest = await createSystem({ name: 'mailroom', broker: brokerAt(url, prefix), log: false });
  await guest.shutdown();
}

function subject(path: string | undefined, sampleMails: number): string {
  if (path === undefined) return `${sampleMails.toLocaleString('en')} real mails of the SpamAssassin corpus`;
  return sampleMails === 0
    ? `the mails in ${path}`
    : `the mails in ${path}, after ${sampleMails} of the sample to learn from`;
}

/** Errors that say what the user can do; anything else is a fault of the demo and shows where it comes from. */
function explain(error: unknown): { readonly text: string; readonly exitCode: number } {
  if (error instanceof UsageError) return { text: `${error.message}\n\n${USAGE.trimEnd()}`, exitCode: 2 };
  const isForUser =
    error instanceof SourceError ||
    error instanceof SampleDamaged ||
    error instanceof LanguageModelMisconfigured ||
    isTroupeError(error, 'ERR_BROKER_UNAVAILABLE') ||
    isTroupeError(error, 'ERR_BROKER_DENIED') ||
    isTroupeError(error, 'ERR_OPTION_INVALID');
  if (isForUser) return { text: error.message, exitCode: 2 };
  if (error instanceof MailroomGaveUp) return { text: error.message, exitCode: 1 };
  return { text: error instanceof Error ? (error.stack ?? error.message) : String(error), exitCode: 1 };
}

// Until the sums are known they are off: a run that ends without having come to its end has failed.
process.exitCode = 1;
// Whoever read the output has gone (`| head`): nobody is left to tell how it ends.
process.stdout.once('error', () => process.exit(1));
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const { text, exitCode } = explain(error);
  process.stderr.write(`mailroom: ${text}\n`);
  process.exitCode = exitCode;
}
