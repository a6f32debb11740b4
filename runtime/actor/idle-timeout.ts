/**
 * The receive timeout of one actor: `onIdle` runs once when for so long no message was handled, in flight or queued.
 * Ticks, notices of death and hooks are no messages; a continuation is, being part of one. One clock timer runs and is
 * not touched by messages: when it fires it looks how long ago the last one was, and waits for the rest. An actor that
 * never asked for it pays nothing.
 */

import { Envelope, type MessageEntry } from '../../src/protocol/envelope.ts';
import { invalidOption } from '../../src/protocol/options.ts';
import { NORMAL_RANK } from '../../src/protocol/priority.ts';
import type { Timeout } from '../host/timeouts.ts';
import type { Timed } from './timers.ts';

/** The actor that may be idle. */
export interface Idling extends Timed {
  /** The agent's hook. */
  readonly onIdle: ((context: unknown) => unknown) | undefined;
}

/** How long an actor may be idle, and since when it is. To the actor it is a lease. */
export class IdleTimeout {
  readonly endsWithGeneration = true;
  private readonly owner: Idling;
  private readonly entry: MessageEntry;
  private ms: number | undefined = undefined;
  private activeAt = 0;
  private timeout: Timeout | undefined = undefined;
  /** The item of the control lane, while it is queued. */
  private item: Envelope | undefined = undefined;
  /** It was set in the present turn: time counts from the end of that turn. */
  // Stryker disable next-line BooleanLiteral: nobody looks before something is set.
  private isFresh = false;

  constructor(owner: Idling) {
    this.owner = owner;
    const handler = (context: unknown): unknown => this.run(context);
    // No message can have this name: the dead letter of a failed `onIdle` is never taken for one.
    // Stryker disable next-line StringLiteral: all kinds but 'ask' are the same; the name is tested.
    const kind = 'tell';
    // Stryker disable next-line BooleanLiteral: it is asked when a message is replayed, which this never is.
    this.entry = { name: '(idle)', kind, isInternal: true, handler };
  }

  /** What was set, and how much of it is left. */
  inspect(): { readonly ms: number; readonly dueInMs: number } | undefined {
    const { ms, owner, activeAt } = this;
    if (ms === undefined) return undefined;
    const isActive = this.isFresh || (owner.turn !== undefined && isMessage(owner.turn.envelope));
    return { ms, dueInMs: isActive ? ms : Math.max(0, activeAt + ms - owner.kernel.now()) };
  }

  /** Starts anew with `ms`, or ends with `undefined`. Throws `ERR_OPTION_INVALID` for an agent without `onIdle`. */
  set(ms: number | undefined): void {
    this.end();
    if (ms === undefined) return;
    if (this.owner.onIdle === undefined)
      throw invalidOption('onIdle', 'given by an agent that calls ctx.setIdleTimeout', undefined);
    if (!this.owner.isOpen) return;
    this.ms = ms;
    if (this.owner.turn === undefined) this.restart();
    else this.isFresh = true;
  }

  /** The generation, or the actor, ends, or wants it no more: nothing of it is left in any queue. */
  end(): void {
    this.ms = undefined;
    if (this.timeout !== undefined) this.owner.kernel.timeouts.cancel(this.timeout);
    this.timeout = undefined;
    this.withdraw();
  }

  /** A message has left the queue, for a turn or not: until now the actor was not idle. */
  left(): void {
    if (!this.isFresh) this.restart();
  }

  /** A turn has ended. */
  turnEnded(envelope: Envelope): void {
    if (this.isFresh || isMessage(envelope)) this.restart();
  }

  private restart(): void {
    const { ms } = this;
    if (ms === undefined) return;
    this.activeAt = this.owner.kernel.now();
    this.isFresh = false;
    this.withdraw();
    if (this.timeout === undefined) this.arm(ms, ms);
  }

  private arm(delayMs: number, ms: number): void {
    const { kernel } = this.owner;
    this.timeout = kernel.timeouts.startFunction(delayMs, kernel.now(), () => {
      this.timeout = undefined;
      this.check(ms);
    });
  }

  /**
   * The time may be up. The item waits for the end of a turn that runs, and if that was a message's it is withdrawn then;
   * a message that is queued has its say in `run`.
   */
  private check(ms: number): void {
    const { owner } = this;
    const restMs = Math.ceil(this.activeAt + ms - owner.kernel.now());
    if (restMs > 0) {
      this.arm(restMs, ms);
      return;
    }
    this.item = new Envelope(this.entry, undefined, NORMAL_RANK, undefined, undefined, undefined);
    owner.control(this.item);
  }

  /** A message that came in before this turn could begin starts the time anew when it leaves the queue. */
  private run(context: unknown): unknown {
    this.item = undefined;
    const { mailbox, onIdle } = this.owner;
    // Stryker disable next-line ConditionalExpression,OptionalChaining: for the compiler; its item was in that mailbox.
    return mailbox !== undefined && mailbox.queued > 0 ? undefined : onIdle?.(context);
  }

  private withdraw(): void {
    const { item } = this;
    // Stryker disable next-line ConditionalExpression: the search would find nothing.
    if (item === undefined) return;
    this.item = undefined;
    // Stryker disable next-line OptionalChaining: for the compiler; the item is in that lane.
    this.owner.mailbox?.controlIfAny?.drop((each) => each === item);
  }
}

/** Whether a turn was a message's: one that came in by the mailbox's door, or a continuation, which has a sender. */
function isMessage(envelope: Envelope): boolean {
  return envelope.seq > 0 || envelope.sender !== undefined;
}
