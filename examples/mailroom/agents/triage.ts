/** Triage: tells spam from ham, by a filter trained on the sample or by a language model, and files the mail. */
import { agent, type Ref } from 'troupe';
import { addressHost } from '../address.ts';
import { classify, type LabelledMail, type Model, train } from '../bayes.ts';
import type { LanguageModel } from '../llm.ts';
import type { ParsedMail } from '../parse.ts';
import { Digest, type FiledMail, type ReadableMail, Triage, type Verdict } from './protocols.ts';

/** Options of triage. */
export interface TriageArgs {
  /** Judges in place of the filter. */
  readonly languageModel: LanguageModel | undefined;
  /** How long it waits for room before it takes the mailroom for broken. */
  readonly patienceMs: number;
}

interface NamedMail extends LabelledMail {
  readonly name: string;
}

interface TriageState extends TriageArgs {
  readonly digest: Ref<typeof Digest>;
  /** Gathered until `train`; never more than half of the sample. */
  gathered: NamedMail[];
  model: Model | undefined;
}

/** A model may think for a minute; then its turn is aborted, and with it the call. */
const TURN_TIMEOUT_MS = 60_000;

/** Learns, then judges. */
export const triage = agent(Triage, {
  state: (args: TriageArgs, ctx): TriageState => ({
    ...args,
    digest: ctx.system.ref(Digest, 'digest'),
    gathered: [],
    model: undefined,
  }),
  mailbox: { capacity: 64 },
  turnTimeoutMs: TURN_TIMEOUT_MS,
  on: {
    async learn(ctx, readable) {
      const { gathered, languageModel, digest, patienceMs } = ctx.state;
      if (languageModel === undefined && readable.kind !== 'own')
        gathered.push({ name: readable.name, label: readable.kind, mail: readable.mail });
      await ctx.send(digest, 'file', filed(readable, undefined), { timeoutMs: patienceMs });
    },
    train(ctx) {
      const startedAtMs = performance.now();
      const { gathered, languageModel } = ctx.state;
      if (languageModel === undefined) ctx.state.model = train(gathered.sort(byName));
      ctx.state.gathered = [];
      const features = ctx.state.model?.weights.size ?? 0;
      return { mails: gathered.length, features, tookMs: performance.now() - startedAtMs };
    },
    async classify(ctx, readable) {
      const { priority } = ctx.message;
      const verdict = await judge(ctx.state, readable.mail, ctx.signal);
      const { digest, patienceMs } = ctx.state;
      await ctx.send(digest, 'file', filed(readable, verdict), { priority, timeoutMs: patienceMs });
    },
    judge: (ctx, mail) => judge(ctx.state, mail, ctx.signal),
    settle: () => undefined,
  },
});

/** Restarts let mails arrive in another order each time; what is learnt from them is to be the same. */
function byName(left: NamedMail, right: NamedMail): number {
  return left.name < right.name ? -1 : 1;
}

async function judge(state: TriageState, mail: ParsedMail, signal: AbortSignal): Promise<Verdict> {
  if (state.languageModel !== undefined) return await state.languageModel.judge(mail, signal);
  if (state.model === undefined) throw new Error('The filter has not been trained.');
  return classify(state.model, mail);
}

function filed({ name, kind, mail }: ReadableMail, verdict: Verdict | undefined): FiledMail {
  return { name, kind, subject: mail.subject, senderHost: addressHost(mail.from.address), verdict };
}
