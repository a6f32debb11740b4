/**
 * Asks the stages of a run, one after the other, from the intake down: when one has settled, all it had is with the next. A stage
 * that does not answer is written down as a failure and the run goes on, so that the record shows what is missing.
 */
import { type AskOptions, isTroupeError, type Ref, type RefsOf, type System, type TreeNode } from 'troupe';
import type { Parser, Triage } from './agents/protocols.ts';
import type { MailboxAccount } from './record.ts';
import { SourceError } from './source.ts';
import type { mailroomTree } from './tree.ts';

/** The running mailroom. */
export type Mailroom = System<RefsOf<ReturnType<typeof mailroomTree>>>;

/** The root supervisor gave up, so that there are no books to compare. */
export class MailroomGaveUp extends Error {
  override readonly name = 'MailroomGaveUp';
}

/** Asks stages, and writes down those that do not answer. */
export class Stages {
  readonly failures: string[] = [];
  readonly accounts: MailboxAccount[] = [];
  readonly #system: Mailroom;
  #surrender: string | undefined;

  constructor(system: Mailroom) {
    this.#system = system;
    const supervisors = new Set(supervisorsOf(system.tree()));
    system.events.subscribe((event) => {
      // A pool gives up workers, which is its own affair; a supervisor of the tree that gives up ends the run.
      if (event.type === 'supervisor-gave-up' && supervisors.has(event.address))
        this.#surrender ??= `${event.limit}: ${describe(event.error)}`;
    });
  }

  /** The stage's answer, if there is one. Throws what ends the run. */
  async answer<T>(stage: string, asked: Promise<T>): Promise<T | undefined> {
    try {
      return await asked;
    } catch (error) {
      if (this.#surrender !== undefined)
        throw new MailroomGaveUp(`The mailroom gave up. ${this.#surrender}`, { cause: error });
      const cause = innermost(error);
      if (cause instanceof SourceError) throw cause;
      this.failures.push(`${stage}: ${describe(error)}`);
      return undefined;
    }
  }

  /**
   * Waits until a pool has nothing queued and nothing in hand. Its own answer says that everything queued before it has been
   * taken, and each worker's that it has finished what it took. One that ended meanwhile may have given a job back: once more then.
   */
  async settle(stage: string, pool: Ref<typeof Parser | typeof Triage>, options: AskOptions): Promise<void> {
    let isSettled = false;
    while (!isSettled) {
      const before = this.failures.length;
      await this.answer(stage, pool.ask('settle', undefined, options));
      if (this.failures.length > before) return;
      const workers = this.#system.inspect(pool)?.pool?.workers ?? [];
      const settling = workers.map(async ({ address }) => {
        const worker = this.#system.ref(pool.protocol, address);
        return this.answer(
          stage,
          worker.ask('settle', undefined, options).then(() => true, isAlive),
        );
      });
      isSettled = !(await Promise.all(settling)).includes(false);
    }
  }

  /** Writes down the runtime's own ledger of an actor; a pool's counts its workers' too. */
  account(ref: Ref): void {
    const inspection = this.#system.inspect(ref);
    const { address } = ref;
    if (inspection === undefined) {
      this.accounts.push({ address, accepted: 0, accounted: 0 });
      return;
    }
    const { counts, mailbox, turn, pool } = inspection;
    const ended = counts.handled + counts.failed + counts.cancelled + counts.deadLettered;
    const inHand = pool === undefined ? Number(turn !== undefined) : pool.inFlight;
    const accounted = ended + mailbox.queued + mailbox.stashed + inHand;
    this.accounts.push({ address, accepted: counts.accepted, accounted });
  }
}

/** What was asked of a worker has failed: false if the worker has ended. Anything else is thrown again. */
function isAlive(error: unknown): false {
  if (isTroupeError(error, 'ERR_ACTOR_STOPPED') || isTroupeError(error, 'ERR_ACTOR_UNKNOWN')) return false;
  throw error;
}

function* supervisorsOf(node: TreeNode): Generator<string> {
  if (node.kind === 'supervisor') yield node.address;
  for (const child of node.children) yield* supervisorsOf(child);
}

/** What was behind it all. */
function innermost(error: unknown): unknown {
  let inner = error;
  while (inner instanceof Error && isTroupeError(inner) && inner.cause !== undefined) inner = inner.cause;
  return inner;
}

function describe(error: unknown): string {
  const inner = innermost(error);
  return inner instanceof Error ? inner.message : String(inner);
}
