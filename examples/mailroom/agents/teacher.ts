/** The teacher: gathers the mails whose label is known, and makes a filter of them. Then it is not needed any more. */
import { agent, type Ref } from 'troupe';
import { type LabelledMail, train } from '../bayes.ts';
import { Digest, PLACES, Teacher } from './protocols.ts';
import { filed } from './triage.ts';

/** Options of the teacher. */
export interface TeacherArgs {
  /** How long it waits for room before it takes the mailroom for broken. */
  readonly patienceMs: number;
}

interface NamedMail extends LabelledMail {
  readonly name: string;
}

interface TeacherState {
  readonly patience: { readonly timeoutMs: number };
  readonly digest: Ref<typeof Digest>;
  /** Never more than half of the sample. */
  readonly gathered: NamedMail[];
}

/** Learns. */
export const teacher = agent(Teacher, {
  state: (args: TeacherArgs, ctx): TeacherState => ({
    patience: { timeoutMs: args.patienceMs },
    digest: ctx.system.ref(Digest, PLACES.digest),
    gathered: [],
  }),
  mailbox: { capacity: 64 },
  on: {
    async learn(ctx, readable) {
      const { gathered, digest, patience } = ctx.state;
      const { name, kind, mail } = readable;
      if (kind !== 'own') gathered.push({ name, label: kind, mail });
      await ctx.send(digest, 'file', filed(readable, undefined, ctx.message.attempt), patience);
    },
    train({ state: { gathered } }) {
      const startedAtMs = performance.now();
      const model = train(gathered.sort(byName));
      const tookMs = performance.now() - startedAtMs;
      return { model, report: { mails: gathered.length, features: model.weights.size, tookMs } };
    },
  },
});

/** Several parsers let mails arrive in another order each time; what is learnt from them is to be the same. */
function byName(left: NamedMail, right: NamedMail): number {
  return left.name < right.name ? -1 : 1;
}
