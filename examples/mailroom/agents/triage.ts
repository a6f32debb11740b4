/**
 * Triage: tells spam from ham, by a trained filter or by a language model, and files the mail. The filter comes with its
 * arguments, so a restart forgets nothing.
 */
import { agent, type Ref } from 'troupe';
import { addressHost } from '../address.ts';
import { classify, type Model } from '../bayes.ts';
import type { LanguageModel } from '../llm.ts';
import type { ParsedMail } from '../parse.ts';
import { Digest, type FiledMail, PLACES, type ReadableMail, Triage, type Verdict } from './protocols.ts';

/** Options of triage: who judges, and how long it waits for room before it takes the mailroom for broken. */
export interface TriageArgs {
  readonly judge: Model | LanguageModel;
  readonly patienceMs: number;
}

interface TriageState extends TriageArgs {
  readonly digest: Ref<typeof Digest>;
}

/** A model may think for a minute; then its turn is aborted, and with it the call. */
const TURN_TIMEOUT_MS = 60_000;

/** Judges. */
export const triage = agent(Triage, {
  state: (args: TriageArgs, ctx): TriageState => ({
    ...args,
    digest: ctx.system.ref(Digest, PLACES.digest),
  }),
  turnTimeoutMs: TURN_TIMEOUT_MS,
  // A call that failed may succeed a moment later, and a second one is worth its price; a third one is not.
  onFailure: { retry: { attemptsMax: 2, backoff: { minMs: 50, maxMs: 1_000 } } },
  on: {
    async classify(ctx, readable) {
      const { priority, attempt } = ctx.message;
      const { judge, digest, patienceMs } = ctx.state;
      const verdict = await verdictOf(judge, readable.mail, ctx.signal);
      await ctx.send(digest, 'file', filed(readable, verdict, attempt), { priority, timeoutMs: patienceMs });
    },
    judge: ({ state, signal }, mail) => verdictOf(state.judge, mail, signal),
    settle: () => undefined,
  },
});

async function verdictOf(
  judge: Model | LanguageModel,
  mail: ParsedMail,
  signal: AbortSignal,
): Promise<Verdict> {
  return 'weights' in judge ? classify(judge, mail) : await judge.judge(mail, signal);
}

/** A mail as the digest files it. */
export function filed(
  { name, kind, mail }: ReadableMail,
  verdict: Verdict | undefined,
  attempts: number,
): FiledMail {
  return { name, kind, subject: mail.subject, senderHost: addressHost(mail.from.address), verdict, attempts };
}
