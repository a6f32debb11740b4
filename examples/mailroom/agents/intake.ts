/** The intake: reads the post as fast as it can and gives it to the parsers. Only their full queue slows it down. */
import { agent, type Ref } from 'troupe';
import { urgencyOf } from '../urgency.ts';
import { Intake, type IntakeReport, noMails, Parser, PLACES } from './protocols.ts';

type Counts = { -readonly [Name in keyof IntakeReport]: IntakeReport[Name] };

/** Options of the intake. */
export interface IntakeArgs {
  /** How long it waits for room before it takes the mailroom for broken. */
  readonly patienceMs: number;
}

interface IntakeState {
  readonly patienceMs: number;
  readonly parsers: Ref<typeof Parser>;
  readonly counts: Counts;
}

/** Reads mails; takes no other message meanwhile. */
export const intake = agent(Intake, {
  state: (args: IntakeArgs, ctx): IntakeState => ({
    patienceMs: args.patienceMs,
    parsers: ctx.system.ref(Parser, PLACES.parsers),
    counts: noCounts(),
  }),
  // It reads until the post ends, however long that takes; each of its waits is bounded.
  turnTimeoutMs: Number.POSITIVE_INFINITY,
  on: {
    async read(ctx, post) {
      const { parsers, counts, patienceMs } = ctx.state;
      for await (const mail of post.mails()) {
        counts.mails[mail.kind] += 1;
        const priority = mail.item.type === 'mail' ? urgencyOf(mail.item.bytes) : 'normal';
        const sentAtMs = performance.now();
        const queued = { ...mail, sentAtMs };
        if (ctx.tell(parsers, 'parse', queued, { priority }) === 'accepted') continue;
        await ctx.send(parsers, 'parse', queued, { priority, timeoutMs: patienceMs });
        const waitedMs = performance.now() - sentAtMs;
        counts.waits += 1;
        counts.waitedMs += waitedMs;
        counts.longestWaitMs = Math.max(counts.longestWaitMs, waitedMs);
      }
    },
    report: (ctx) => ({ ...ctx.state.counts, mails: { ...ctx.state.counts.mails } }),
  },
});

function noCounts(): Counts {
  return { mails: noMails(), waits: 0, waitedMs: 0, longestWaitMs: 0 };
}
