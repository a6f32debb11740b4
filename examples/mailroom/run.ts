/**
 * One run of the mailroom, from the first mail to a record of what everybody counted.
 *
 * The stages are settled one after the other, from the intake down: when one has answered, all it had is with the next. A stage that
 * does not answer is written down as a failure and the run goes on, so that the record shows what is missing.
 */
import { createSystem, isTroupeError, type Ref, type RefsOf, type System } from 'troupe';
import { KINDS, type Kind, type Post, type TrainingReport } from './agents/protocols.ts';
import { countDeadMail, firstReplayable } from './dead-mail.ts';
import type { Display } from './display.ts';
import type { LanguageModel } from './llm.ts';
import type { Delivery } from './post.ts';
import type { MailboxAccount, Replay, RunRecord } from './record.ts';
import { SourceError } from './source.ts';
import { mailroomTree } from './tree.ts';

/** What a run needs. */
export interface RunOptions {
  readonly delivery: Delivery;
  readonly display: Display;
  readonly languageModel: LanguageModel | undefined;
}

/** Fifteen seconds without room or answer, where a mail takes a millisecond, mean that something is broken. */
const PATIENCE_MS = 15_000;
/** Four full mailboxes in front of a model that may take a minute for each mail. */
const LANGUAGE_MODEL_PATIENCE_MS = 3 * 60 * 60 * 1_000;
/** The sample is read in seconds; one's own mail may take its time. */
const SAMPLE_READ_MS = 60_000;
const OWN_READ_MS = 7 * 24 * 60 * 60 * 1_000;

/** The root supervisor gave up, so that there are no books to compare. */
export class MailroomGaveUp extends Error {
  override readonly name = 'MailroomGaveUp';
}

/**
 * Runs the mailroom. Rejects with `SourceError` when the post cannot be read and with `MailroomGaveUp` when a supervisor gave up;
 * it leaves nothing running then.
 */
export async function runMailroom({ delivery, display, languageModel }: RunOptions): Promise<RunRecord> {
  const startedAtMs = performance.now();
  const patienceMs = languageModel === undefined ? PATIENCE_MS : LANGUAGE_MODEL_PATIENCE_MS;
  const { mailsExpected } = delivery;
  const root = mailroomTree({ display, languageModel, mailsExpected, patienceMs });
  const system = await createSystem({ name: 'mailroom', root, log: false, deadLettersMax: 1_000 });
  const kinds: readonly Kind[] = delivery.isOwn ? ['own'] : KINDS;
  const counting = countDeadMail(system.deadLetters, kinds);
  const stages = new Stages(system);
  try {
    const counts = await runStages({
      system,
      stages,
      delivery,
      patienceMs,
      isPatient: languageModel !== undefined,
    });
    const replay = await replayOne({ system, stages, kinds, patienceMs });
    const accounts = accountsOf(system);
    await system.shutdown();
    return {
      delivery,
      languageModel: languageModel?.name,
      ...counts,
      replay,
      accounts,
      deadMail: await counting,
      failures: stages.failures,
      tookMs: performance.now() - startedAtMs,
    };
  } finally {
    await system.shutdown();
  }
}

type Mailroom = System<RefsOf<ReturnType<typeof mailroomTree>>>;

/** What the agents counted themselves. */
type StageCounts = Pick<RunRecord, 'training' | 'intake' | 'security' | 'governor' | 'digest' | 'reporter'>;

/** Asks stages, and writes down those that do not answer. */
class Stages {
  readonly failures: string[] = [];
  #surrender: string | undefined;

  constructor(system: Mailroom) {
    system.events.subscribe((event) => {
      if (event.type === 'supervisor-gave-up') this.#surrender ??= `${event.limit}: ${describe(event.error)}`;
    });
  }

  /** The stage's answer, if there is one. Throws what ends the run. */
  async answer<T>(stage: string, asked: Promise<T>): Promise<T | undefined> {
    try {
      return await asked;
    } catch (error) {
      if (this.#surrender !== undefined)
        throw new MailroomGaveUp(`The mailroom gave up. ${this.#surrender}`, { cause: error });
      const cause = innermost(error);
      if (cause instanceof SourceError) throw cause;
      this.failures.push(`${stage}: ${describe(error)}`);
      return undefined;
    }
  }
}

async function runStages(run: {
  readonly system: Mailroom;
  readonly stages: Stages;
  readonly delivery: Delivery;
  readonly patienceMs: number;
  /** Whether reading may take as long as it likes. */
  readonly isPatient: boolean;
}): Promise<StageCounts> {
  const { stages, delivery } = run;
  const { intake, parsers, triage, security, governor, digest, reporter } = run.system.refs;
  // Behind everything that is queued already.
  const last = { priority: 'background', timeoutMs: run.patienceMs } as const;
  const read = async (post: Post, timeoutMs: number): Promise<void> => {
    await stages.answer('intake', intake.ask('read', post, { timeoutMs }));
    const settling = Object.entries(parsers).map(([name, parser]) =>
      stages.answer(name, parser.ask('settle', undefined, last)),
    );
    await Promise.all(settling);
  };

  let training: TrainingReport | undefined;
  if (delivery.training !== undefined) {
    await read(delivery.training, SAMPLE_READ_MS);
    training = await stages.answer('triage', triage.ask('train', undefined, last));
  }
  await read(delivery.judged, delivery.isOwn || run.isPatient ? OWN_READ_MS : SAMPLE_READ_MS);
  await stages.answer('triage', triage.ask('settle', undefined, last));
  return {
    training,
    intake: await stages.answer('intake', intake.ask('report', undefined, last)),
    security: await stages.answer('security', security.ask('report', undefined, last)),
    governor: await stages.answer('governor', governor.ask('report', undefined, last)),
    digest: await stages.answer('digest', digest.ask('report', undefined, last)),
    reporter: await stages.answer('reporter', reporter.ask('report', undefined, last)),
  };
}

/** Tries a refused mail again, leniently. Then it is no dead letter any more; the books were closed before. */
async function replayOne(run: {
  readonly system: Mailroom;
  readonly stages: Stages;
  readonly kinds: readonly Kind[];
  readonly patienceMs: number;
}): Promise<Replay | undefined> {
  const { system, stages, kinds, patienceMs: timeoutMs } = run;
  const refused = firstReplayable(system.deadLetters, kinds);
  if (refused === undefined) return undefined;
  const parser = system.refs.parsers['parser-1'];
  const asked = parser.ask('parseLeniently', refused.bytes, { timeoutMs });
  const reading = await stages.answer('replay', asked);
  if (reading === undefined) return undefined;
  system.deadLetters.discard(refused.id);
  return { name: refused.name, rule: refused.rule, reading };
}

/** The runtime's own ledger, actor by actor. */
function accountsOf(system: Mailroom): MailboxAccount[] {
  const { parsers, ...others } = system.refs;
  const refs: readonly Ref[] = [...Object.values(parsers), ...Object.values(others)];
  return refs.map((ref) => {
    const inspection = system.inspect(ref);
    if (inspection === undefined) return { address: ref.address, accepted: 0, accounted: 0 };
    const { counts, mailbox, turn } = inspection;
    const ended = counts.handled + counts.failed + counts.cancelled + counts.deadLettered;
    const present = mailbox.queued + mailbox.stashed + (turn === undefined ? 0 : 1);
    return { address: ref.address, accepted: counts.accepted, accounted: ended + present };
  });
}

/** What was behind it all. */
function innermost(error: unknown): unknown {
  let inner = error;
  while (inner instanceof Error && isTroupeError(inner) && inner.cause !== undefined) inner = inner.cause;
  return inner;
}

function describe(error: unknown): string {
  const inner = innermost(error);
  return inner instanceof Error ? inner.message : String(inner);
}
