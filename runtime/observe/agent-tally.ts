/**
 * What is counted of one type of agent, over all its actors: what has no ledger of its own elsewhere, and the ledgers of
 * actors that have ended. Numbers only, counted whether somebody collects them or not; a collector reads them.
 */

import type { DeadLetterReason } from '../../src/protocol/events.ts';

/** Messages that ever got into a mailbox, and how many of them ended in which way. */
export interface MessageLedger {
  readonly accepted: number;
  readonly handled: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly deadLettered: number;
}

/** Why an actor began a new generation; `killed` by `system.kill`, `sibling` because another child failed. */
export type RestartReason = 'failed' | 'left' | 'sibling' | 'killed';

/** How an ask ended that got no reply. */
export type AskOutcome = 'failed' | 'timed-out' | 'refused' | 'cancelled';

/** Why a call did not get in. */
export type Refusal = 'full' | 'stopped' | 'actor-unknown';

/** The counters of one type of agent. */
export class AgentTally {
  /** Name of the agent's protocol. */
  readonly agent: string;
  /** The ledgers of actors that have ended, added up. */
  readonly past = { accepted: 0, handled: 0, failed: 0, cancelled: 0, deadLettered: 0 };
  readonly refused = new Counts<Refusal>();
  readonly restarts = new Counts<RestartReason>();
  readonly deaths = new Counts<DeadLetterReason>();
  /** Asks that got their reply, and how the others ended. */
  replied = 0;
  readonly unreplied = new Counts<AskOutcome>();

  constructor(agent: string) {
    this.agent = agent;
  }

  /** An actor has ended: its ledger stays here. */
  keep(ledger: MessageLedger): void {
    const { past } = this;
    past.accepted += ledger.accepted;
    past.handled += ledger.handled;
    past.failed += ledger.failed;
    past.cancelled += ledger.cancelled;
    past.deadLettered += ledger.deadLettered;
  }
}

/** How often each of a few words was said. */
export class Counts<Word extends string> {
  private readonly byWord = new Map<Word, number>();

  count(word: Word): void {
    this.byWord.set(word, (this.byWord.get(word) ?? 0) + 1);
  }

  of(word: Word): number {
    return this.byWord.get(word) ?? 0;
  }

  entries(): Iterable<readonly [word: Word, count: number]> {
    return this.byWord;
  }
}
