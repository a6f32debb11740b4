/**
 * The checker: keeps a ledger for every actor of a test system and the turns that are open, and says what is against the
 * laws: a message lost (P1) or ended twice (P2), turns that overlap (P5), a sender's order lost (P50), a rejection unheard.
 */

import type { Envelope } from '../../src/protocol/envelope.ts';
import { Cell } from '../actor/cell.ts';
import type { TurnContext } from '../actor/context.ts';
import type { Kernel } from '../actor/kernel.ts';
import { isCounted } from '../actor/outcomes.ts';
import { Findings } from './findings.ts';
import { Ledger } from './ledger.ts';
import { WatchedMailbox } from './watched-mailbox.ts';

/** The books of one system. */
export class Books {
  readonly findings = new Findings();
  private readonly ledgers = new Map<Cell, Ledger>();
  private readonly byAddress = new Map<string, Ledger>();
  /** Turns and hooks that have not settled. */
  private readonly open = new Map<Cell, Set<TurnContext>>();

  /** Hears of dead letters, with the message itself. */
  attach(kernel: Kernel): void {
    const box = kernel.deadLetters;
    const add = box.add.bind(box);
    box.add = (...given) => {
      const [envelope, address, reason] = given;
      this.byAddress.get(address)?.died(envelope, reason);
      add(...given);
    };
  }

  /** An actor is about to start; its mailbox is none yet. One with a queue of another kind (a pool) has no books. */
  meet(cell: Cell): void {
    if (Object.getPrototypeOf(cell) !== Cell.prototype || cell.mailbox !== undefined) return;
    const ledger = new Ledger(cell.address, this.findings);
    this.ledgers.set(cell, ledger);
    this.byAddress.set(cell.address, ledger);
    cell.mailbox = new WatchedMailbox(cell.behaviour.agent.options.mailbox, cell, ledger);
  }

  /** A turn or hook begins; the answer ends it. */
  begins(cell: Cell, turn: TurnContext, what: string): () => void {
    const turns = this.open.get(cell) ?? new Set<TurnContext>();
    this.open.set(cell, turns);
    for (const other of turns) {
      if (!other.isFenced)
        this.findings.add('P5', `${cell.address}: ${what} began while ${other.envelope.entry.name} ran`);
    }
    turns.add(turn);
    return () => turns.delete(turn);
  }

  /** Compares every ledger with its actor, at this instant. */
  audit(): void {
    for (const [cell, ledger] of this.ledgers) {
      const { mailbox } = cell;
      if (mailbox === undefined) continue;
      const queued = new Set<Envelope>();
      mailbox.forEachQueued((envelope) => queued.add(envelope));
      const envelope = cell.turn?.envelope;
      const inFlight = envelope !== undefined && isCounted(envelope) ? envelope : undefined;
      ledger.audit(mailbox, queued, inFlight);
    }
  }
}
