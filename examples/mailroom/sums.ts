/** Whether the books agree: each sum compares counts that were made independently, in different places. Pure. */
import { KINDS, type Kind, type KindCounts } from './agents/protocols.ts';
import type { RunRecord } from './record.ts';

/** One sum, or one thing a run on the sample must show. */
export interface Sum {
  readonly name: string;
  readonly isRight: boolean;
  /** Such as `1,200 = 1,147 + 53`. */
  readonly text: string;
}

/** How the filter did on labelled mails that it had not learnt from. */
export interface Quality {
  readonly spam: number;
  readonly ham: number;
  readonly spamFound: number;
  readonly hamLost: number;
  readonly recall: number;
  readonly falsePositiveRate: number;
  readonly accuracy: number;
  /** Accuracy of calling every mail what most of them are. */
  readonly baselineAccuracy: number;
}

/** At least this share of the spam is to be found. */
export const RECALL_MIN = 0.9;
/** At most this share of the ham may be taken for spam. */
export const FALSE_POSITIVE_RATE_MAX = 0.02;

/** Every check of a run; it passed if all are right. */
export function sumsOf(record: RunRecord): Sum[] {
  const { delivery, languageModel } = record;
  const isMeasured = !delivery.isOwn && languageModel === undefined;
  return [
    ...record.failures.map((text) => ({ name: 'every stage answers', isRight: false, text })),
    ...mailSums(record),
    ...stageSums(record),
    ...awaySums(record),
    ...(delivery.isOwn ? [] : [...evidence(record)]),
    ...(isMeasured ? qualityChecks(record) : []),
  ];
}

/** Mails handled: learnt or judged, and filed. */
export function handledMails({ digest }: RunRecord, kind: Kind): number | undefined {
  return digest === undefined ? undefined : digest.learnt[kind] + digest.judged[kind];
}

/** All kinds together. */
export function total(counts: KindCounts | undefined): number | undefined {
  return counts === undefined ? undefined : KINDS.reduce((sum, kind) => sum + counts[kind], 0);
}

/** How the filter did; nothing if no labelled mail was judged. */
export function qualityOf({ digest }: RunRecord): Quality | undefined {
  if (digest === undefined) return undefined;
  const { judged, calledSpam } = digest;
  const { spam, ham } = judged;
  if (spam === 0 || ham === 0) return undefined;
  const spamFound = calledSpam.spam;
  const hamLost = calledSpam.ham;
  return {
    spam,
    ham,
    spamFound,
    hamLost,
    recall: spamFound / spam,
    falsePositiveRate: hamLost / ham,
    accuracy: (spamFound + ham - hamLost) / (spam + ham),
    baselineAccuracy: Math.max(spam, ham) / (spam + ham),
  };
}

function mailSums(record: RunRecord): Sum[] {
  const { delivery, intake, digest, deadMail } = record;
  const sampleIn = intake && intake.mails.spam + intake.mails.ham;
  const handled = digest && (total(digest.learnt) ?? 0) + (total(digest.judged) ?? 0);
  const kinds = KINDS.filter((kind) => intake === undefined || intake.mails[kind] > 0);
  return [
    sum('mails of the sample = mails in with a label', [delivery.sampleMails], [sampleIn]),
    ...kinds.map((kind) =>
      sum(
        `mails in (${kind}) = handled + dead letters`,
        [intake?.mails[kind]],
        [handledMails(record, kind), deadMail.mails[kind]],
      ),
    ),
    sum('mails in = handled + dead letters', [total(intake?.mails)], [handled, total(deadMail.mails)]),
  ];
}

function stageSums(record: RunRecord): Sum[] {
  const { intake, training, digest, security, governor, reporter, deadMail, accounts } = record;
  const handled = digest && (total(digest.learnt) ?? 0) + (total(digest.judged) ?? 0);
  const accepted = accounts.reduce((all, account) => all + account.accepted, 0);
  const accounted = accounts.reduce((all, account) => all + account.accounted, 0);
  const off = accounts.filter((account) => account.accepted !== account.accounted);
  const where = off.length === 0 ? '' : ` (${off.map((account) => account.address).join(', ')})`;
  return [
    sum('mails in = taken by parsers', [total(intake?.mails)], [reporter?.taken]),
    sum(
      'handled + dead after parsing = examined + not examined',
      [handled, deadMail.readable],
      [total(security?.mails), deadMail.unexamined],
    ),
    ...(training === undefined
      ? []
      : [sum('mails learnt from = filed as learnt', [training.mails], [total(digest?.learnt)])]),
    sum('crashes = restarts + given up', [reporter?.crashes], [reporter?.restarts, reporter?.givenUp]),
    sum('pools deserted = pools begun anew', [reporter?.deserted], [reporter?.begunAnew]),
    sum(
      'crashes = attempts at dead letters + at retried mails',
      [reporter?.crashes],
      [deadMail.crashed, digest?.retries],
    ),
    sum('alerts published = heard by governor', [security?.alerts], [governor?.alerts]),
    sum('alerts published = heard by reporter', [security?.alerts], [reporter?.alerts]),
    sum('waits of the intake = full queues', [intake?.waits], [reporter?.refusals]),
    sum(`messages accepted = accounted for${where}`, [accepted], [accounted]),
  ];
}

/** What other processes did, and that the end of one of them cost nothing. */
function awaySums({ away, delivery, reporter, deadMail }: RunRecord): Sum[] {
  if (away === undefined) return [];
  const { handed, again, here, killed } = away;
  const unreadable = deadMail.byRule.find(({ rule }) => rule === 'unreadable')?.count ?? 0;
  const isMeasured = !delivery.isOwn;
  return [
    ...(isMeasured
      ? [
          sum(
            'taken by parsers + read again = handed over + read here',
            [reporter?.taken, again],
            [handed, here, unreadable],
          ),
        ]
      : []),
    ...(killed === undefined
      ? []
      : [sum('in hand at kill -9 = read again by others', [killed.inHand], [again])]),
    ...(isMeasured ? [atLeastOne('a process was killed with mail in hand', killed?.inHand)] : []),
  ];
}

/** What a run on the sample must have shown. */
function evidence({ intake, reporter, deadMail }: RunRecord): Sum[] {
  return [
    atLeastOne('the intake waited', intake?.waits),
    atLeastOne('a parser crashed', reporter?.crashes),
    atLeastOne('a parser was restarted', reporter?.restarts),
    atLeastOne('a mail became a dead letter', total(deadMail.mails)),
  ];
}

function qualityChecks(record: RunRecord): Sum[] {
  const quality = qualityOf(record);
  if (quality === undefined) return [{ name: 'spam is found', isRight: false, text: 'no mail was judged' }];
  const { recall, falsePositiveRate } = quality;
  return [
    {
      name: 'spam is found',
      isRight: recall >= RECALL_MIN,
      text: `${share(recall)} >= ${share(RECALL_MIN)}`,
    },
    {
      name: 'ham is kept',
      isRight: falsePositiveRate <= FALSE_POSITIVE_RATE_MAX,
      text: `${share(falsePositiveRate)} lost <= ${share(FALSE_POSITIVE_RATE_MAX)}`,
    },
  ];
}

type Count = number | undefined;

/** Both sides add up to the same; a count that nobody reported makes it wrong. */
function sum(name: string, left: readonly Count[], right: readonly Count[]): Sum {
  const leftTotal = addUp(left);
  const isRight = leftTotal !== undefined && leftTotal === addUp(right);
  return { name, isRight, text: `${side(left)} ${isRight ? '=' : 'is not'} ${side(right)}` };
}

function atLeastOne(name: string, count: Count): Sum {
  return { name, isRight: count !== undefined && count > 0, text: `${side([count])} times` };
}

function addUp(counts: readonly Count[]): Count {
  let all = 0;
  for (const count of counts) {
    if (count === undefined) return undefined;
    all += count;
  }
  return all;
}

function side(counts: readonly Count[]): string {
  return counts.map((count) => count?.toLocaleString('en') ?? 'unknown').join(' + ');
}

function share(part: number): string {
  return `${(100 * part).toFixed(1)} %`;
}
