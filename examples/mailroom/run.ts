/**
 * One run of the mailroom, from the first mail to a record of what everybody counted. It starts those whose turn has come: a teacher
 * while there is something to learn from, then the judges.
 */
import { createSystem, type Ref } from 'troupe';
import { KINDS, type Kind, PLACES, type Post, type TrainingReport, Triage } from './agents/protocols.ts';
import { teacher } from './agents/teacher.ts';
import { Attack } from './attack.ts';
import type { Model } from './bayes.ts';
import { brokerAt } from './broker.ts';
import { countDeadMail, firstReplayable } from './dead-mail.ts';
import type { Display } from './display.ts';
import type { LanguageModel } from './llm.ts';
import type { Delivery } from './post.ts';
import type { Replay, RunRecord } from './record.ts';
import { type Mailroom, Stages } from './stages.ts';
import { judges, mailroomTree } from './tree.ts';
import type { Away } from './workers.ts';

/** What a run needs. */
export interface RunOptions {
  readonly delivery: Delivery;
  readonly display: Display;
  /** Judges in place of the filter. */
  readonly languageModel: LanguageModel | undefined;
  /** Other processes that read the mails; none where it is undefined. */
  readonly away: Away | undefined;
}

/** Fifteen seconds without room or answer, where a mail takes a millisecond, mean that something is broken. */
const PATIENCE_MS = 15_000;
/** Full mailboxes in front of a model that may take a minute for each mail, twice. */
const LANGUAGE_MODEL_PATIENCE_MS = 3 * 60 * 60 * 1_000;
/** Nobody has anything left to do when the mailroom closes. */
const CLOSING_MS = 5_000;
/** The sample is read in seconds; one's own mail may take its time. */
const SAMPLE_READ_MS = 60_000;
const OWN_READ_MS = 7 * 24 * 60 * 60 * 1_000;

/**
 * Runs the mailroom. Rejects with `SourceError` when the post cannot be read and with `MailroomGaveUp` when a supervisor gave up;
 * it leaves nothing running then.
 */
export async function runMailroom({
  delivery,
  display,
  languageModel,
  away,
}: RunOptions): Promise<RunRecord> {
  const startedAtMs = performance.now();
  const patienceMs = languageModel === undefined ? PATIENCE_MS : LANGUAGE_MODEL_PATIENCE_MS;
  const attack = away === undefined ? undefined : new Attack(away);
  const { mailsExpected } = delivery;
  const root = mailroomTree({ display, mailsExpected, patienceMs, readers: attack?.readers });
  const joining =
    away === undefined ? {} : { node: 'front', broker: brokerAt(away.meeting.url, away.meeting.prefix) };
  const system = await createSystem({
    name: 'mailroom',
    root,
    log: false,
    deadLettersMax: 1_000,
    ...joining,
  });
  const kinds: readonly Kind[] = delivery.isOwn ? ['own'] : KINDS;
  const counting = countDeadMail(system.deadLetters, kinds);
  const stages = new Stages(system);
  const run: Run = { system, stages, delivery, languageModel, patienceMs };
  try {
    const counts = await runStages(run);
    const replay = await replayOne(run, kinds);
    accountAll(run);
    await close(run, counting);
    await system.shutdown();
    return {
      delivery,
      languageModel: languageModel?.name,
      ...counts,
      replay,
      accounts: stages.accounts,
      deadMail: await counting,
      away: await attack?.report(),
      failures: stages.failures,
      tookMs: performance.now() - startedAtMs,
    };
  } finally {
    await system.shutdown();
  }
}

/** A run under way. */
interface Run {
  readonly system: Mailroom;
  readonly stages: Stages;
  readonly delivery: Delivery;
  readonly languageModel: LanguageModel | undefined;
  readonly patienceMs: number;
}

/** What the agents counted themselves. */
type StageCounts = Pick<
  RunRecord,
  'training' | 'intake' | 'security' | 'governor' | 'digest' | 'summary' | 'reporter'
>;

async function runStages(run: Run): Promise<StageCounts> {
  const { system, stages, delivery, languageModel } = run;
  const { intake, books } = system.refs;
  const last = lastOf(run);
  const lesson = delivery.training === undefined ? undefined : await learn(run, delivery.training);
  const judge = languageModel ?? lesson?.model;
  if (judge !== undefined) {
    const triage = await judging(run, judge);
    const isPatient = delivery.isOwn || languageModel !== undefined;
    await read(run, delivery.judged, isPatient ? OWN_READ_MS : SAMPLE_READ_MS);
    await stages.settle('triage', triage, last);
  }
  return {
    training: lesson?.report,
    intake: await stages.answer('intake', intake.ask('report', undefined, last)),
    security: await stages.answer('security', books.security.ask('report', undefined, last)),
    governor: await stages.answer('governor', books.governor.ask('report', undefined, last)),
    ...(await digested(run)),
    reporter: await stages.answer('reporter', books.reporter.ask('report', undefined, last)),
  };
}

/** The digest tells its summary line by line, and at the end what it has counted. */
async function digested(run: Run): Promise<Pick<RunRecord, 'digest' | 'summary'>> {
  const { system, stages } = run;
  const lines = system.refs.books.digest.stream('summarize', undefined, lastOf(run));
  const summary: string[] = [];
  const reading = async () => {
    for await (const line of lines) summary.push(line);
    return lines.result;
  };
  return { digest: await stages.answer('digest', reading()), summary };
}

/** What is asked behind everything that is queued already. */
function lastOf({ patienceMs }: Run) {
  return { priority: 'background', timeoutMs: patienceMs } as const;
}

/** Has the post read, to the last mail that a parser had in hand. */
async function read(run: Run, post: Post, timeoutMs: number): Promise<void> {
  const { system, stages } = run;
  await stages.answer('intake', system.refs.intake.ask('read', post, { timeoutMs }));
  await stages.settle('parsers', system.refs.parsing.parsers, lastOf(run));
}

/** A teacher comes for one lesson. What it has gathered goes with it; what it has learnt stays. */
async function learn(
  run: Run,
  post: Post,
): Promise<{ readonly model: Model; readonly report: TrainingReport } | undefined> {
  const { system, stages, patienceMs } = run;
  const judging = system.supervisor('judging');
  // Temporary: one that has lost what it gathered has nothing to teach, and there is no second lesson.
  const once = teacher.child({ args: { patienceMs }, restart: 'temporary' });
  const ref = await stages.answer('teacher', judging.startChild('teacher', once));
  if (ref === undefined) return undefined;
  await read(run, post, SAMPLE_READ_MS);
  const lesson = await stages.answer('teacher', ref.ask('train', undefined, lastOf(run)));
  stages.account(ref);
  await judging.terminateChild('teacher');
  return lesson;
}

/** Starts those who judge. */
async function judging(run: Run, judge: Model | LanguageModel): Promise<Ref<typeof Triage>> {
  const { system, stages, patienceMs } = run;
  const starting = system.supervisor('judging').startChild('triage', judges({ judge, patienceMs }));
  return (await stages.answer('triage', starting)) ?? system.ref(Triage, PLACES.triage);
}

/** Tries a refused mail again, leniently. Then it is no dead letter any more; the books were closed before. */
async function replayOne(
  { system, stages, patienceMs }: Run,
  kinds: readonly Kind[],
): Promise<Replay | undefined> {
  const refused = firstReplayable(system.deadLetters, kinds);
  if (refused === undefined) return undefined;
  const { parsers } = system.refs.parsing;
  const asked = parsers.ask('parseLeniently', refused.bytes, { timeoutMs: patienceMs });
  const reading = await stages.answer('replay', asked);
  if (reading === undefined) return undefined;
  system.deadLetters.discard(refused.id);
  return { name: refused.name, rule: refused.rule, reading };
}

/** The teacher's ledger was taken before it left. */
function accountAll({ system, stages }: Run): void {
  const { books, parsing, intake } = system.refs;
  const refs: readonly Ref[] = [
    parsing.parsers,
    system.ref(Triage, PLACES.triage),
    ...Object.values(books),
    intake,
  ];
  for (const ref of refs) stages.account(ref);
}

/** With the reporter, which is significant, the whole mailroom ends (tree.ts). That it does is one of the things to check. */
async function close({ system, stages, patienceMs }: Run, ended: Promise<unknown>): Promise<void> {
  const asked = system.refs.books.reporter.ask('close', undefined, { timeoutMs: patienceMs });
  const isClosed = await stages.answer(
    'reporter',
    asked.then(() => true),
  );
  if (isClosed !== true) return;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const tooLate = new Error(`it goes on ${CLOSING_MS} ms after its reporter has closed`);
    timer = setTimeout(() => reject(tooLate), CLOSING_MS);
  });
  await stages.answer('mailroom', Promise.race([ended, late]));
  clearTimeout(timer);
}
