/**
 * What the agents of the mailroom say to each other. A mail goes intake -> parsers -> triage -> digest (one to learn from goes to
 * the teacher in place of triage), each step by `send`, so that a full mailbox anywhere slows the intake down and nothing is
 * dropped. Payloads carry bytes and parsed mails, and stay in one process: their schemas only type. What a reader in another process is
 * asked travels, and says so.
 *
 * Every agent has an ask that is sent with priority `background`, such as `settle` or `report`. The order is strict, so its
 * answer means that everything queued before it has had its turn: the run ends stage by stage without a timer.
 */
import { ask, type Priority, protocol, stream, tell, topic, type } from 'troupe';
import type { Label, Model } from '../bayes.ts';
import type { MailRule } from '../mail-rules.ts';
import type { ParsedMail } from '../parse.ts';
import type { QuarantineReport } from '../quarantine.ts';
import type { SecurityRule } from '../security.ts';
import type { SourceItem } from '../source.ts';

/** Where the agents live in the tree, below its root (tree.ts). They find each other by these names, whoever lives there. */
export const PLACES = {
  reporter: 'books/reporter',
  digest: 'books/digest',
  governor: 'books/governor',
  security: 'books/security',
  teacher: 'judging/teacher',
  triage: 'judging/triage',
  parsers: 'parsing/parsers',
} as const;

/** What a mail is for: the filter learns from it, or judges it. */
export type Purpose = 'learn' | 'classify';

/** How mails are counted: by their label, or as one's own, whose label nobody knows. */
export type Kind = Label | 'own';

/** Every kind, in the order of the report. */
export const KINDS: readonly Kind[] = ['spam', 'ham', 'own'];

/** Mails of each kind. */
export type KindCounts = Record<Kind, number>;

/** No mails. */
export function noMails(): KindCounts {
  return { spam: 0, ham: 0, own: 0 };
}

/** What every message about a mail carries; by it a dead letter can be told. */
interface MailPayload {
  /** Its file. */
  readonly name: string;
  readonly kind: Kind;
}

/** A mail as the intake finds it. */
export interface IncomingMail extends MailPayload {
  readonly purpose: Purpose;
  readonly item: SourceItem;
}

/** An incoming mail on its way to a parser. */
export interface QueuedMail extends IncomingMail {
  /** When the intake sent it. */
  readonly sentAtMs: number;
}

/** A mail that the strict parser let through. */
export interface ReadableMail extends MailPayload {
  readonly mail: ParsedMail;
}

/** What a filter says of a mail; the score tells how sure it is. */
export interface Verdict {
  readonly label: Label;
  readonly score: number;
}

/** A mail at the end of its way: learnt, or judged. */
export interface FiledMail extends MailPayload {
  readonly subject: string;
  readonly senderHost: string;
  /** Absent if it was learnt from. */
  readonly verdict: Verdict | undefined;
  /** Attempts that were made at judging or learning from it. */
  readonly attempts: number;
}

/** A security alert as it is published. */
export interface AlertNotice {
  readonly rule: string;
  readonly mail: string;
  readonly detail: string;
  readonly publishedAtMs: number;
}

/** Security alerts, by rule. */
export const Alert = topic('mail.alert.{rule}', type<Omit<AlertNotice, 'rule'>>());

/** Where mails come from. The intake reads it once, mail by mail. */
export interface Post {
  mails(): AsyncIterable<IncomingMail> | Iterable<IncomingMail>;
}

/** What the intake counted. */
export interface IntakeReport {
  readonly mails: KindCounts;
  /** How often the parsers' queue was full, so that the intake waited. */
  readonly waits: number;
  readonly waitedMs: number;
  readonly longestWaitMs: number;
}

/** Reads the post. */
export const Intake = protocol('intake', {
  /** Answered when every mail of the post has found its place. */
  read: ask(type<Post>(), type<void>()),
  report: ask(type<void>(), type<IntakeReport>()),
});

/** What reading a refused mail leniently brought. */
export interface LenientReading {
  readonly rules: readonly MailRule[];
  readonly subject: string;
  readonly verdict: Verdict;
}

/** Parses one mail, strictly or leniently. */
export const Parser = protocol('parser', {
  parse: tell(type<QueuedMail>()),
  parseLeniently: ask(type<Uint8Array>(), type<LenientReading>()),
  settle: ask(type<void>(), type<void>()),
});

/** Where a node keeps its readers, below its root (worker.ts). */
export const READERS_PLACE = 'readers';

/** Reads a mail's bytes strictly, on another node. The nodes of the demo trust one another: they are processes of one program. */
export const Reader = protocol('reader', {
  read: ask(type<Uint8Array>({ trust: true }), type<ParsedMail>({ trust: true })),
});

/** What the filter has learnt. */
export interface TrainingReport {
  readonly mails: number;
  /** Features the filter weighs. */
  readonly features: number;
  readonly tookMs: number;
}

/** Makes a filter of mails whose label is known. */
export const Teacher = protocol('teacher', {
  learn: tell(type<ReadableMail>()),
  /** Learns from what was gathered. */
  train: ask(type<void>(), type<{ readonly model: Model; readonly report: TrainingReport }>()),
});

/** Tells spam from ham. */
export const Triage = protocol('triage', {
  classify: tell(type<ReadableMail>()),
  judge: ask(type<ParsedMail>(), type<Verdict>()),
  settle: ask(type<void>(), type<void>()),
});

/** What security looked at and found. */
export interface SecurityReport {
  readonly mails: KindCounts;
  readonly alerts: number;
  readonly byRule: Readonly<Partial<Record<SecurityRule, number>>>;
}

/** Looks for what is dangerous in a mail. */
export const Security = protocol('security', {
  examine: tell(type<ReadableMail>()),
  report: ask(type<void>(), type<SecurityReport>()),
});

/** Decides when suspicious mail is held back. */
export const Governor = protocol('governor', {
  alert: tell(type<AlertNotice>()),
  clean: tell(type<{ readonly name: string }>()),
  report: ask(type<void>(), type<QuarantineReport>()),
});

/** What was handled, and what of it is worth telling. */
export interface DigestReport {
  readonly learnt: KindCounts;
  readonly judged: KindCounts;
  /** What was called spam, by what it is. */
  readonly calledSpam: KindCounts;
  /** Attempts that failed before the one that succeeded. */
  readonly retries: number;
}

/** Files what was handled. */
export const Digest = protocol('digest', {
  file: tell(type<FiledMail>()),
  /** The summary line by line, and what it is made of. */
  summarize: stream(type<void>(), type<string>(), type<DigestReport>()),
});

/** Milliseconds within which half, and 99 of 100, had their turn. */
export interface LatencyReport {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** What was measured while the mailroom ran. */
export interface ReporterReport {
  /** Mails whose turn at a parser began. */
  readonly taken: number;
  readonly alerts: number;
  readonly crashes: number;
  /** Restarts of what had crashed. */
  readonly restarts: number;
  /** Workers that crashed too often and were given up. */
  readonly givenUp: number;
  /** How often a pool had lost its last worker, and how often one began anew after that. */
  readonly deserted: number;
  readonly begunAnew: number;
  /** Mails that found the parsers' queue full. */
  readonly refusals: number;
  readonly latency: Readonly<Partial<Record<Priority, LatencyReport>>>;
  readonly memoryBytes: { readonly first: number; readonly max: number; readonly last: number };
}

/** Measures, and listens to the runtime. */
export const Reporter = protocol('reporter', {
  /** A parser took a mail, so long after it was sent. */
  taken: tell(type<{ readonly priority: Priority; readonly waitedMs: number }>()),
  alert: tell(type<AlertNotice>()),
  report: ask(type<void>(), type<ReporterReport>()),
  /** Nothing is left to do: it ends, and with it the mailroom. */
  close: ask(type<void>(), type<void>()),
});
