/** The mailroom's supervision tree. What receives stands before what sends: started first, stopped last. */
import { supervisor } from 'troupe';
import { digest } from './agents/digest.ts';
import { governor } from './agents/governor.ts';
import { intake } from './agents/intake.ts';
import { parser } from './agents/parser.ts';
import { reporter } from './agents/reporter.ts';
import { security } from './agents/security.ts';
import { triage } from './agents/triage.ts';
import type { Display } from './display.ts';
import type { LanguageModel } from './llm.ts';

/** Options of the tree. */
export interface MailroomOptions {
  readonly display: Display;
  /** Judges in place of the trained filter. */
  readonly languageModel: LanguageModel | undefined;
  readonly mailsExpected: number | undefined;
  /** How long an agent waits for room at another before it takes the mailroom for broken. */
  readonly patienceMs: number;
}

/** Names of the parsers. */
export const PARSERS = ['parser-1', 'parser-2', 'parser-3', 'parser-4'] as const;

/** The crashes of a parser are bounded by the mails it gets, so its supervisor never gives up. */
const UNBOUNDED = {
  intensity: { max: Number.POSITIVE_INFINITY },
  restartsWithoutProgressMax: Number.POSITIVE_INFINITY,
};

/** The root supervisor. */
export function mailroomTree({ display, languageModel, mailsExpected, patienceMs }: MailroomOptions) {
  const oneParser = parser.child({
    args: { patienceMs },
    backoff: { minMs: 5, maxMs: 50 },
    shutdownMs: 1_000,
  });
  return supervisor({
    // A language model fails now and then; one that always does ends the run: `restartsWithoutProgressMax` stays at 3.
    intensity: { max: 20, withinMs: 60_000 },
    children: {
      reporter: reporter.child({ args: { display, mailsExpected, parsers: PARSERS } }),
      digest: digest.child(),
      governor: governor.child(),
      security: security.child({ args: { patienceMs } }),
      triage: triage.child({
        args: { languageModel, patienceMs },
        backoff: { minMs: 50, maxMs: 1_000 },
        shutdownMs: 1_000,
      }),
      parsers: supervisor({
        ...UNBOUNDED,
        children: {
          'parser-1': oneParser,
          'parser-2': oneParser,
          'parser-3': oneParser,
          'parser-4': oneParser,
        },
      }),
      intake: intake.child({ args: { parsers: PARSERS, patienceMs }, shutdownMs: 1_000 }),
    },
  });
}
