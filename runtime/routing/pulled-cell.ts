/**
 * The actor behind a consumer that pulls: it takes a message when the consumer asks for one, and that message keeps its slot
 * until the consumer has settled it. So at most `window` messages are unsettled, the one in the consumer's hand included,
 * and what is handed out is the most urgent one at the moment it was asked for.
 */

import type { MailboxSettings } from '../../src/protocol/agent-settings.ts';
import type { Envelope } from '../../src/protocol/envelope.ts';
import type { Behaviour } from '../actor/behaviour.ts';
import { Cell } from '../actor/cell.ts';
import { PriorityHeap } from '../actor/heap.ts';
import { Mailbox, type MailboxOwner, type Remains } from '../actor/mailbox.ts';
import type { Slot } from '../actor/slot.ts';

/** Whoever pulls. */
export interface Demand {
  /** It has asked, and has no answer yet. */
  readonly isWaiting: boolean;
  /** Nothing comes any more. */
  finish(): void;
}

/** A mailbox whose slots are freed when messages are settled. */
export class WindowMailbox extends Mailbox {
  private readonly line: PriorityHeap<Envelope>;
  /** Out of the queue, and in its slot still. */
  private inHand: Envelope | undefined = undefined;

  constructor(settings: MailboxSettings, owner: MailboxOwner) {
    const line = new PriorityHeap<Envelope>(settings.agingMs);
    super(settings, owner, line);
    this.line = line;
  }

  /** The message before it is settled by now: its turn is over, or it was too late for one. */
  override next(): Envelope | undefined {
    this.settled();
    this.inHand = this.line.pop();
    return this.inHand;
  }

  /** Frees the slot of the message in hand, if there is one. */
  settled(): void {
    const { inHand } = this;
    this.inHand = undefined;
    if (inHand !== undefined) this.release(inHand);
  }

  override clear(): Remains {
    this.inHand = undefined;
    return super.clear();
  }
}

/** The actor of one consumer. */
export class PulledCell extends Cell {
  readonly window: WindowMailbox;
  private readonly demand: Demand;

  constructor(behaviour: Behaviour, slot: Slot, demand: Demand) {
    super(behaviour, slot);
    this.demand = demand;
    this.window = new WindowMailbox(behaviour.agent.options.mailbox, this);
    this.mailbox = this.window;
    this.rare.leases = new Set([{ endsWithGeneration: false, end: () => demand.finish() }]);
  }

  protected override get isIdle(): boolean {
    return super.isIdle && this.demand.isWaiting;
  }
}
