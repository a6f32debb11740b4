/**
 * The mailroom: real mail through a supervised tree of agents. `npm run demo` runs on the sample, `npm run demo -- path` on one's own
 * mail: a folder of mails, an mbox or a single mail.
 *
 * Exit codes: 0 if all sums agree, 1 if one is off, 2 if there was nothing to run on.
 */

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

const USAGE = `Usage: npm run demo [-- path]

  path   a folder of mails, an mbox file or a single mail; without it, the sample of real mails that comes along

  LLM_BASE_URL, LLM_MODEL and LLM_API_KEY let a language model judge the mails, by any OpenAI-compatible endpoint.
  NO_COLOR=1 leaves out colours.
`;

class UsageError extends Error {
  override readonly name = 'UsageError';
}

async function main(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(USAGE);
    return 0;
  }
  const path = readPath(args);
  const { stdout, env } = process;
  const paint = paintFor(stdout, env);
  const languageModel = languageModelFrom(env);
  const isTrained = languageModel === undefined;
  const delivery = path === undefined ? sampleDelivery() : await ownDelivery(path, { isTrained });

  stdout.write(
    `${paint('bold', 'Troupe mailroom')}: ${subject(path, delivery.sampleMails)}, ${PARSERS} parsers\n`,
  );
  const display = displayFor(stdout, env, paint);
  const record = await runMailroom({ delivery, display, languageModel });
  const sums = sumsOf(record);
  stdout.write(`\n${reportText(record, sums, paint)}`);
  return sums.every((sum) => sum.isRight) ? 0 : 1;
}

function readPath(args: readonly string[]): string | undefined {
  const [path, ...rest] = args;
  if (rest.length > 0) throw new UsageError(`One path at most; ${args.length} were given.`);
  if (path === '') throw new UsageError('The path is empty.');
  if (path?.startsWith('-') === true) throw new UsageError(`There is no option ${path}.`);
  return path;
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
    error instanceof LanguageModelMisconfigured;
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
