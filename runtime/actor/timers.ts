/**
 * The timers of one actor: keyed, replaced by key, over with the generation that started them. A tick is an internal
 * message in the control lane. A timer has one tick at most on its way, and no clock timer runs meanwhile: what falls
 * due until that tick's turn has ended is only counted, and told as `missed` when a turn begins.
 *
 * Invariant: at the beginning of a tick's turn at a fixed rate, ticks and missed ones so far are together as many as
 * fell due. After `cancel`, a replacement or the end of the generation nothing of the old timer is left in any queue.
 */

import type { InternalMessages } from '../../src/protocol/context.ts';
import { Envelope, type MessageEntry, type Sender } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import { NAME_CHARACTERS_MAX, TIMERS_MAX } from '../../src/protocol/limits.ts';
import { durationOption, invalidOption, objectOption } from '../../src/protocol/options.ts';
import { NORMAL_RANK } from '../../src/protocol/priority.ts';
import type { TimerInspection } from '../../src/protocol/system.ts';
import type { Timeout } from '../host/timeouts.ts';
import type { TurnRecord } from '../observe/turn-record.ts';
import type { Behaviour } from './behaviour.ts';
import type { Kernel } from './kernel.ts';
import type { Mailbox } from './mailbox.ts';

/** The actor whose timers they are. */
export interface Timed extends Sender {
  readonly kernel: Kernel;
  readonly mailbox: Mailbox | undefined;
  /** Whether it accepts messages: one that is stopping starts no timer. */
  readonly isOpen: boolean;
  readonly turn: { readonly envelope: Envelope } | undefined;
  /** Queues an item of the control lane. */
  control(item: Envelope): void;
  /** Takes a message back. */
  cancel(envelope: Envelope, reason: unknown): void;
}

/** What a timer is to do. */
interface TimerPlan {
  /** The turn that started it, where spans were recorded. */
  readonly origin: TurnRecord['spanContext'];
  readonly entry: MessageEntry;
  readonly payload: unknown;
  readonly delayMs: number;
  readonly repeat: 'never' | 'after-turn' | 'on-grid';
}

interface Timer {
  readonly key: string;
  readonly plan: TimerPlan;
  readonly startedAt: number;
  /** Times on the grid that were ticks or were told as missed. */
  told: number;
  timeout: Timeout | undefined;
  /** The tick that is queued, put aside, or has its turn. */
  tick: Envelope | undefined;
}

/** All timers of one actor, in its present generation. To the actor it is a lease. */
export class Timers {
  readonly endsWithGeneration = true;
  private readonly owner: Timed;
  private readonly timers = new Map<string, Timer>();

  constructor(owner: Timed) {
    this.owner = owner;
  }

  /** Timers that have not run out. */
  get size(): number {
    return this.timers.size;
  }

  /** Those that have not run out, oldest first, as copies. */
  inspect(): readonly TimerInspection[] {
    const now = this.owner.kernel.now();
    return [...this.timers.values()].map(({ key, plan, timeout }) => ({
      key,
      message: plan.entry.name,
      kind: plan.repeat === 'never' ? 'once' : 'every',
      dueInMs: timeout === undefined ? 0 : Math.max(0, timeout.dueAt - now),
    }));
  }

  /** Starts a timer in the place of the one that has this key. Throws `ERR_TIMERS_FULL`. */
  start(key: string, plan: TimerPlan): void {
    if (!this.timers.has(key) && this.timers.size >= TIMERS_MAX)
      throw new TroupeError('ERR_TIMERS_FULL', { address: this.owner.address, timersMax: TIMERS_MAX });
    this.cancel(key);
    if (!this.owner.isOpen) return;
    const startedAt = this.owner.kernel.now();
    const timer: Timer = { key, plan, startedAt, told: 0, timeout: undefined, tick: undefined };
    this.timers.set(key, timer);
    this.arm(timer, plan.delayMs, startedAt);
  }

  /** After it returns, no tick of that key is handled, not even one that is queued already. */
  cancel(key: string): void {
    const timer = this.timers.get(key);
    if (timer === undefined) return;
    this.timers.delete(key);
    const { owner } = this;
    const { timeout, tick } = timer;
    if (timeout !== undefined) owner.kernel.timeouts.cancel(timeout);
    if (tick === undefined || owner.turn?.envelope === tick) return;
    owner.mailbox?.controlIfAny?.drop((item) => item === tick);
    if (tick.seq > 0) owner.cancel(tick, undefined); // put aside once, it is a message like any other
  }

  /** The generation, or the actor, ends. */
  end(): void {
    for (const key of this.timers.keys()) this.cancel(key);
  }

  /** A turn has ended: if it was a tick's, its timer goes on. One put aside is still on its way. */
  turnEnded(turn: { readonly envelope: Envelope; readonly isStashed: boolean }): void {
    const { envelope, isStashed } = turn;
    const timer = this.timerOf(envelope);
    if (!isStashed) this.settled(envelope);
    else if (timer === undefined && envelope.entry instanceof TickEntry)
      this.owner.cancel(envelope, undefined);
  }

  /** A tick is over: by its turn, or dropped by the mailbox that it was put aside in. */
  settled(envelope: Envelope): void {
    const timer = this.timerOf(envelope);
    if (timer === undefined) return;
    timer.tick = undefined;
    const now = this.owner.kernel.now();
    const { delayMs, repeat } = timer.plan;
    if (repeat === 'never') this.timers.delete(timer.key);
    else if (repeat === 'after-turn') this.arm(timer, delayMs, now);
    else this.arm(timer, Math.ceil(nextOnGrid(timer, now) - now), now);
  }

  private timerOf({ entry }: Envelope): Timer | undefined {
    if (!(entry instanceof TickEntry)) return undefined;
    return this.timers.get(entry.timer.key) === entry.timer ? entry.timer : undefined;
  }

  private arm(timer: Timer, delayMs: number, now: number): void {
    timer.timeout = this.owner.kernel.timeouts.startFunction(delayMs, now, () => this.fire(timer));
  }

  private fire(timer: Timer): void {
    timer.timeout = undefined;
    const { entry, payload, origin } = timer.plan;
    const tick = new TickEntry(entry, timer, () => this.owner.kernel.now());
    timer.tick = new Envelope(tick, payload, NORMAL_RANK, undefined, undefined, undefined);
    const { kernel } = this.owner;
    if (kernel.isRecorded) kernel.telemetry.ticking(timer.tick, origin);
    this.owner.control(timer.tick);
  }
}

/** The entry of one tick: the internal message's, and how many ticks were due before it and got no turn. */
export class TickEntry implements MessageEntry {
  readonly name: string;
  readonly kind = 'tell';
  readonly isInternal = true;
  readonly timer: Timer;
  readonly handler: (context: unknown, payload: unknown) => unknown;
  /** Counted when its turn begins; a second turn, of a tick that was put aside, adds to it. */
  missed = 0;
  private hasBegun = false;

  constructor(inner: MessageEntry, timer: Timer, now: () => number) {
    this.name = inner.name;
    this.timer = timer;
    this.handler = (context, payload) => {
      if (timer.plan.repeat === 'on-grid') this.begin(now());
      return inner.handler(context, payload);
    };
  }

  private begin(now: number): void {
    const { timer } = this;
    const before = this.hasBegun ? timer.told : timer.told + 1; // the first time it stands for one of them itself
    this.hasBegun = true;
    timer.told = Math.max(before, timesDue(timer, now));
    this.missed += timer.told - before;
  }
}

/** Times on the grid since the timer was started, `now` included. */
function timesDue(timer: Timer, now: number): number {
  return Math.floor((now - timer.startedAt) / timer.plan.delayMs);
}

/** The first time on the grid that is after `now` and was not told of. */
function nextOnGrid(timer: Timer, now: number): number {
  return timer.startedAt + (Math.max(timer.told, timesDue(timer, now)) + 1) * timer.plan.delayMs;
}

/** `ctx.timers` of one turn: checks what is given, and that the turn's generation has not ended. */
export class TimerCalls {
  private readonly actor: { readonly behaviour: Behaviour; readonly timers: Timers };
  private readonly fence: (call: string) => void;
  private readonly record: TurnRecord | undefined;

  constructor(
    actor: { readonly behaviour: Behaviour; readonly timers: Timers },
    record: TurnRecord | undefined,
    fence: (call: string) => void,
  ) {
    this.actor = actor;
    this.record = record;
    this.fence = fence;
  }

  once(key: unknown, delayMs: unknown, name: keyof InternalMessages, payload?: unknown): void {
    this.fence('timers.once');
    this.start(key, {
      entry: this.actor.behaviour.internalEntry(name),
      payload,
      delayMs: delayOption('timers.once: delayMs', delayMs, true),
      repeat: 'never',
    });
  }

  every(
    key: unknown,
    periodMs: unknown,
    name: keyof InternalMessages,
    payload?: unknown,
    options?: unknown,
  ): void {
    this.fence('timers.every');
    const { fixedRate } = objectOption('timers.every', options, ['fixedRate']);
    if (fixedRate !== undefined && typeof fixedRate !== 'boolean')
      throw invalidOption('timers.every: fixedRate', 'true or false', fixedRate);
    this.start(key, {
      entry: this.actor.behaviour.internalEntry(name),
      payload,
      delayMs: delayOption('timers.every: periodMs', periodMs, false),
      repeat: fixedRate === true ? 'on-grid' : 'after-turn',
    });
  }

  cancel(key: unknown): void {
    this.fence('timers.cancel');
    this.actor.timers.cancel(keyOption('timers.cancel: key', key));
  }

  private start(key: unknown, plan: Omit<TimerPlan, 'origin'>): void {
    this.actor.timers.start(keyOption('timers: key', key), { ...plan, origin: this.record?.spanContext });
  }
}

function keyOption(option: string, key: unknown): string {
  if (typeof key === 'string' && key !== '' && key.length <= NAME_CHARACTERS_MAX) return key;
  throw invalidOption(option, `a string of 1 to ${NAME_CHARACTERS_MAX} characters`, key);
}

/** As an option of milliseconds, but never absent. */
function delayOption(option: string, value: unknown, zero: boolean): number {
  return durationOption(option, value === undefined ? null : value, 0, { zero });
}
