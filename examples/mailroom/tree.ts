/**
 * The mailroom's supervision tree. What receives stands before what sends: started first, stopped last.
 *
 *   root                      ends when the reporter has closed, or when a branch gives up
 *   ├─ books     one-for-all  reporter (significant), digest, governor, security
 *   ├─ judging   dynamic      teacher, triage: started by the run, when it is known who is needed
 *   ├─ parsing   one-for-one  parsers: a pool, each worker with limits of its own
 *   └─ intake    temporary
 *
 * A failure is borne as far down as it can be. A parser that meets a poison mail is restarted, and the others of its pool go on.
 * One that crashes a fourth time within a minute is given up. When the last one has been, the pool fails, its queue is kept, and
 * its supervisor starts it anew. Books that lost a page, a model that never answers: those end up at the root, which ends the run.
 */
import { dynamicSupervisor, supervisor } from 'troupe';
import { digest } from './agents/digest.ts';
import { governor } from './agents/governor.ts';
import { intake } from './agents/intake.ts';
import { parser } from './agents/parser.ts';
import { reporter } from './agents/reporter.ts';
import { security } from './agents/security.ts';
import { type TriageArgs, triage } from './agents/triage.ts';
import type { Display } from './display.ts';
import type { Readers } from './readers.ts';

/** Options of the tree. */
export interface MailroomOptions {
  readonly display: Display;
  readonly mailsExpected: number | undefined;
  /** How long an agent waits for room at another before it takes the mailroom for broken. */
  readonly patienceMs: number;
  /** Who reads mails in other processes; without them the parsers read by themselves. */
  readonly readers?: Readers | undefined;
}

/** Parsers that share one queue. */
export const PARSERS = 4;
/** Mails that are judged at the same time; with a language model, calls. */
const JUDGES = 2;
/** Milliseconds that an agent may use to finish its turn: a mail takes one, and nobody waits for a model at the end. */
const SHUTDOWN_MS = 1_000;

/** The root supervisor. */
export function mailroomTree({ display, mailsExpected, patienceMs, readers }: MailroomOptions) {
  return supervisor({
    // Nothing above a branch can mend what the branch could not.
    intensity: { max: 0 },
    autoShutdown: 'any-significant',
    children: {
      // They count the same mails from different sides, and the table at the end compares them. One that begins a new page would
      // never agree with the others again, so all of them do; the table then says that pages are missing.
      books: supervisor({
        strategy: 'one-for-all',
        // The end of the reporter ends the books, and that the mailroom: there is nobody left to report to.
        autoShutdown: 'any-significant',
        significant: true,
        children: {
          // Transient, not permanent: it may end of its own will, when it has told everything.
          reporter: reporter.child({
            args: { display, mailsExpected },
            restart: 'transient',
            significant: true,
          }),
          digest: digest.child({ restart: 'permanent' }),
          governor: governor.child({ restart: 'permanent' }),
          security: security.child({ args: { patienceMs }, restart: 'permanent' }),
        },
      }),
      judging: dynamicSupervisor({
        childrenMax: 2,
        // A model that fails now and then costs a judge; one that fails every time would cost money for each mail to come.
        intensity: { max: 1, withinMs: 60_000 },
      }),
      parsing: supervisor({
        // A mail that no parser can read says nothing about the next one: crashes are bounded by the mails, and each is a dead
        // letter. However many there are, the pool comes back.
        intensity: { max: Number.POSITIVE_INFINITY },
        restartsWithoutProgressMax: Number.POSITIVE_INFINITY,
        children: {
          parsers: parser.pool({
            size: PARSERS,
            args: { patienceMs, readers },
            // Small, so that waiting shows early: an intake that is faster than the parsers is not to fill the memory.
            mailbox: { capacity: 32, overflow: 'backpressure' },
            // Short: poison mail is gone with its crash, so there is no outage to wait for.
            backoff: { minMs: 5, maxMs: 50 },
            shutdownMs: SHUTDOWN_MS,
          }),
        },
      }),
      // The post can be read once. An intake that was started again would have nothing to read and would not know what it counted.
      intake: intake.child({ args: { patienceMs }, restart: 'temporary', shutdownMs: SHUTDOWN_MS }),
    },
  });
}

/** Those who judge. What they judge by is made while the mailroom runs; as an argument it outlives every restart. */
export function judges(args: TriageArgs) {
  return triage.pool({
    size: JUDGES,
    args,
    mailbox: { capacity: 64 },
    backoff: { minMs: 50, maxMs: 1_000 },
    shutdownMs: SHUTDOWN_MS,
  });
}
