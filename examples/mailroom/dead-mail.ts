/**
 * What became of the mails that were not handled: counted from the system's dead letters as they come, independently of what the
 * agents count. Memory is bounded: counts, and the first few names of each rule.
 */
import type { DeadLetter, System } from 'troupe';
import { MailUnreadable } from './agents/parser.ts';
import { KINDS, type Kind, type KindCounts, noMails } from './agents/protocols.ts';
import { MAIL_RULES, MailRejected } from './mail-rules.ts';

/** Mails that died for the same reason. */
export interface DeadByRule {
  readonly rule: string;
  /** The section that forbids it; of what is no parser's rule, what happened to the first. */
  readonly why: string;
  readonly count: number;
  /** The first few. */
  readonly names: readonly string[];
}

/** What the dead letters say. */
export interface DeadMailReport {
  /** Mails that died on their way from the intake to the digest. */
  readonly mails: KindCounts;
  /** Those among them that a parser had read. */
  readonly readable: number;
  /** Mails that security could not examine; they may have been handled all the same. */
  readonly unexamined: number;
  /** Attempts at dead letters that ended in a crash. */
  readonly crashed: number;
  /** Of the kinds asked for; most frequent first. */
  readonly byRule: readonly DeadByRule[];
}

/** The messages that carry a mail along its way, the last one to a place where it counts as handled. */
const WAY: ReadonlySet<string> = new Set(['parse', 'learn', 'classify', 'file']);
const NAMES_MAX = 3;
/** Rules that are told apart; the parser has a dozen. */
const RULES_MAX = 50;

/** Why a message dies whose handler threw, the first time or the last. */
const CRASHED: ReadonlySet<string> = new Set(['handler-failed', 'attempts-exhausted']);
/** What only a replay asks: it comes after the books were closed. */
const REPLAY: ReadonlySet<string> = new Set(['parseLeniently', 'judge']);

/** Counts until the system has shut down, then tells; names the mails of these kinds. */
export async function countDeadMail(
  deadLetters: System['deadLetters'],
  named: readonly Kind[],
): Promise<DeadMailReport> {
  const mails = noMails();
  const counts = { readable: 0, unexamined: 0, crashed: 0 };
  const byRule = new Map<string, { why: string; count: number; names: string[] }>();
  for await (const letter of deadLetters) {
    if (CRASHED.has(letter.reason) && !REPLAY.has(letter.message)) counts.crashed += letter.attempts;
    if (letter.message === 'examine') counts.unexamined += 1;
    const mail = mailOf(letter.payload);
    if (mail === undefined || !WAY.has(letter.message)) continue;
    mails[mail.kind] += 1;
    if (letter.message !== 'parse') counts.readable += 1;
    if (!named.includes(mail.kind)) continue;
    const { rule, why } = ruleOf(letter);
    const entry = byRule.get(rule) ?? { why, count: 0, names: [] };
    entry.count += 1;
    if (entry.names.length < NAMES_MAX) entry.names.push(mail.name);
    if (byRule.size < RULES_MAX) byRule.set(rule, entry);
  }
  const sorted = [...byRule].map(([rule, entry]) => ({ rule, ...entry }));
  return { mails, ...counts, byRule: sorted.sort((left, right) => right.count - left.count) };
}

/** A dead letter that can be tried again: a mail whose bytes are known. */
export interface Replayable {
  readonly id: string;
  readonly name: string;
  readonly rule: string;
  readonly bytes: Uint8Array;
}

/** The oldest mail of these kinds that a parser refused, if it is kept. */
export function firstReplayable(
  deadLetters: System['deadLetters'],
  kinds: readonly Kind[],
): Replayable | undefined {
  for (const letter of deadLetters.list({ message: 'parse', reason: 'handler-failed' })) {
    const bytes = bytesOf(letter.payload);
    const mail = mailOf(letter.payload);
    if (bytes !== undefined && mail !== undefined && kinds.includes(mail.kind))
      return { id: letter.id, name: mail.name, rule: ruleOf(letter).rule, bytes };
  }
  return undefined;
}

function ruleOf(letter: DeadLetter): { readonly rule: string; readonly why: string } {
  const cause = letter.error;
  if (cause instanceof MailRejected) return { rule: cause.rule, why: MAIL_RULES[cause.rule] };
  if (cause instanceof MailUnreadable) return { rule: 'unreadable', why: cause.message };
  if (cause instanceof Error) return { rule: cause.name, why: cause.message };
  return { rule: letter.reason, why: '' };
}

/** A dead letter's payload is anybody's; those about mails have a name and a kind. */
function mailOf(payload: unknown): { readonly name: string; readonly kind: Kind } | undefined {
  if (typeof payload !== 'object' || payload === null || !('name' in payload) || !('kind' in payload))
    return undefined;
  const kind = KINDS.find((each) => each === payload.kind);
  return kind !== undefined && typeof payload.name === 'string' ? { name: payload.name, kind } : undefined;
}

function bytesOf(payload: unknown): Uint8Array | undefined {
  if (typeof payload !== 'object' || payload === null || !('item' in payload)) return undefined;
  const { item } = payload;
  if (typeof item !== 'object' || item === null || !('bytes' in item)) return undefined;
  return item.bytes instanceof Uint8Array ? item.bytes : undefined;
}
