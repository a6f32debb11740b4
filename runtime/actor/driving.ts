/**
 * What drives an actor instead of its handlers alone: it posts turns of its own from anywhere, until the generation ends. What it
 * has posted waits in the control lane, before any message, and is bounded there by the capacity of the mailbox.
 *
 * Invariant: once `end` has returned, nothing of the driver is queued, and nothing it does is seen.
 */

import type { StartContext } from '../../src/protocol/context.ts';
import type { Driver, Reins } from '../../src/protocol/driven.ts';
import { Envelope, type MessageEntry } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { durationOption } from '../../src/protocol/options.ts';
import { NORMAL_RANK } from '../../src/protocol/priority.ts';
import type { TurnRecord } from '../observe/turn-record.ts';
import type { Behaviour } from './behaviour.ts';
import type { Kernel } from './kernel.ts';
import type { Mailbox } from './mailbox.ts';
import type { Lease } from './slot.ts';
import type { Timers } from './timers.ts';

/** The actor that is driven. */
export interface DrivenActor {
  readonly kernel: Kernel;
  readonly behaviour: Behaviour;
  readonly address: string;
  readonly mailbox: Mailbox | undefined;
  readonly isOpen: boolean;
  readonly turn: { readonly record: TurnRecord | undefined } | undefined;
  readonly timers: Timers;
  /** Queues an item of the control lane. */
  control(item: Envelope): void;
  /** Fails it, whatever it does. */
  collapse(error: unknown): void;
}

/** One driver in its generation. To the actor it is a lease. */
export class Driving<Work = unknown> implements Lease, Reins<Work> {
  readonly endsWithGeneration = true;
  private readonly actor: DrivenActor;
  private readonly driver: Driver<Work>;
  private readonly entry: MessageEntry;
  private readonly delayed: MessageEntry;
  private readonly letGo: () => void;
  private posted = 0;
  private isOver = false;

  /** `letGo` is called when it has ended. */
  constructor(actor: DrivenActor, driver: Driver<Work>, letGo: () => void) {
    this.actor = actor;
    this.driver = driver;
    this.letGo = letGo;
    // The engine's context, and what was posted here or put off.
    const receive = (ctx: unknown, work: unknown): unknown =>
      driver.receive(ctx as StartContext, work as Work);
    this.delayed = { name: driver.name, kind: 'tell', isInternal: true, handler: receive };
    const handler = (ctx: unknown, work: unknown): unknown => {
      this.posted--;
      return receive(ctx, work);
    };
    this.entry = { ...this.delayed, handler };
  }

  post(work: Work): void {
    const { actor } = this;
    if (this.isOver) return;
    const { capacity } = actor.behaviour.agent.options.mailbox;
    if (this.posted >= capacity) {
      actor.collapse(new TroupeError('ERR_MAILBOX_FULL', { address: actor.address, capacity }));
      return;
    }
    this.posted++;
    const item = new Envelope(this.entry, work, NORMAL_RANK, undefined, undefined, undefined);
    if (actor.kernel.isRecorded) actor.kernel.telemetry.ticking(item, this.origin);
    actor.control(item);
  }

  postLater(key: string, delayMs: number, work: Work): void {
    if (this.isOver) return;
    this.actor.timers.start(key, {
      origin: this.origin,
      entry: this.delayed,
      payload: work,
      delayMs: durationOption(`the delay of '${key}'`, delayMs, 0, { zero: true }),
      repeat: 'never',
    });
  }

  cancel(key: string): void {
    if (!this.isOver) this.actor.timers.cancel(key);
  }

  /** What inspection shows of it. */
  shown(): unknown {
    try {
      return this.driver.shown();
    } catch {
      return undefined; // whoever only looks on is not to be hurt by what is shown
    }
  }

  /** The generation, or the actor, ends; its timers end by themselves. */
  end(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.actor.mailbox?.controlIfAny?.drop((item) => item.entry === this.entry);
    this.letGo();
    this.driver.ended();
  }

  private get origin(): TurnRecord['spanContext'] {
    return this.actor.turn?.record?.spanContext;
  }
}
