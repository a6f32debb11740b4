/** What a run leaves: the counts of everybody who counted. */
import type {
  DigestReport,
  IntakeReport,
  LenientReading,
  ReporterReport,
  SecurityReport,
  TrainingReport,
} from './agents/protocols.ts';
import type { DeadMailReport } from './dead-mail.ts';
import type { Delivery } from './post.ts';
import type { QuarantineReport } from './quarantine.ts';
import type { ReadersReport } from './readers.ts';

/** A dead letter that was tried again. */
export interface Replay {
  readonly name: string;
  /** Why the strict parser refused it. */
  readonly rule: string;
  readonly reading: LenientReading;
}

/** One actor's account of the messages it accepted, and what became of them. */
export interface MailboxAccount {
  readonly address: string;
  readonly accepted: number;
  readonly accounted: number;
}

/** What was counted of the other processes. */
export interface AwayReport extends ReadersReport {
  readonly processes: number;
  /** Who was killed, and what he had in hand; absent where too few mails came. */
  readonly killed: { readonly name: string; readonly inHand: number } | undefined;
}

/** What everybody counted. What is absent did not answer. */
export interface RunRecord {
  readonly delivery: Delivery;
  readonly languageModel: string | undefined;
  readonly training: TrainingReport | undefined;
  readonly intake: IntakeReport | undefined;
  readonly security: SecurityReport | undefined;
  readonly governor: QuarantineReport | undefined;
  readonly digest: DigestReport | undefined;
  /** The digest in words, line by line. */
  readonly summary: readonly string[];
  readonly reporter: ReporterReport | undefined;
  readonly deadMail: DeadMailReport;
  readonly accounts: readonly MailboxAccount[];
  readonly replay: Replay | undefined;
  /** What other processes did; absent where there were none. */
  readonly away: AwayReport | undefined;
  /** Stages that did not answer, and why. */
  readonly failures: readonly string[];
  readonly tookMs: number;
}
