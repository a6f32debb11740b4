/**
 * The cell of one actor: takes messages from its mailbox and runs one turn at a time. A turn lasts until its handler's
 * promise settles. Every message that was accepted gets exactly one outcome here: handled, failed, cancelled or a dead
 * letter. The cell decides nothing about restarts: it tells its slot (its place under a supervisor) and obeys.
 * Starting, restarting and stopping are in lifecycle.ts.
 */

import { formatAddress } from '../../src/protocol/address.ts';
import type { Terminated } from '../../src/protocol/context.ts';
import type { Driver } from '../../src/protocol/driven.ts';
import { type Envelope, type MessageEntry, partsCustomerOf } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { EndReason } from '../../src/protocol/events.ts';
import { CONTINUES_MAX } from '../../src/protocol/limits.ts';
import type { Admission } from '../../src/protocol/ref.ts';
import { rejectionIn } from '../../src/protocol/rejected.ts';
import type { Runnable } from '../host/scheduler.ts';
import type { Actor } from './actor.ts';
import type { Behaviour } from './behaviour.ts';
import { isTakenCare, TurnContext } from './context.ts';
import { Driving } from './driving.ts';
import { IdleTimeout } from './idle-timeout.ts';
import type { Kernel } from './kernel.ts';
import { historyWith } from './letter.ts';
import { LocalRef } from './local-ref.ts';
import { Mailbox, type MailboxOwner, type Waiter } from './mailbox.ts';
import { answer, bury, isCounted, settleCancelled, settleFailed } from './outcomes.ts';
import { promiseIn } from './promise-in.ts';
import { Rare } from './rare.ts';
import { noteRefusal } from './refusal.ts';
import type { Lease, RetriedAttempt, Slot } from './slot.ts';
import { TickEntry, Timers } from './timers.ts';
import type { Turn } from './turn.ts';
import { Watches, type Watching } from './watch.ts';

/** What an actor is doing. A suspended one is `running` with suspensions. */
export type CellStatus = 'starting' | 'running' | 'restarting' | 'draining' | 'stopping' | 'stopped';

/** One running actor. */
export class Cell implements Actor, MailboxOwner, Runnable, Watching {
  readonly behaviour: Behaviour;
  readonly slot: Slot;
  readonly uid: number;
  readonly ref: LocalRef;
  state: unknown = undefined;
  status: CellStatus = 'starting';
  /** Restarts of this incarnation. */
  generation = 0;
  /** Restarts since the last completed turn. */
  restartsWithoutProgress = 0;
  /** Ends with every generation and at the end: contexts of an older one are stale. */
  epoch = 0;
  turn: TurnContext | undefined = undefined;
  isQueued = false;
  suspensions = 0;
  mailbox: Mailbox | undefined = undefined;
  private rareMade: Rare | undefined = undefined;

  constructor(behaviour: Behaviour, slot: Slot) {
    this.behaviour = behaviour;
    this.slot = slot;
    this.uid = behaviour.kernel.nextUid();
    this.ref = new LocalRef(this);
  }

  get kernel(): Kernel {
    return this.behaviour.kernel;
  }

  get path(): string {
    return this.slot.path;
  }

  get address(): string {
    return formatAddress(this.slot.path, this.uid);
  }

  /** Its mailbox, made when the first message comes. */
  private get opened(): Mailbox {
    this.mailbox ??= new Mailbox(this.behaviour.agent.options.mailbox, this);
    return this.mailbox;
  }

  get rare(): Rare {
    this.rareMade ??= new Rare();
    return this.rareMade;
  }

  /** As `rare`, without making it. */
  get rareIfAny(): Rare | undefined {
    return this.rareMade;
  }

  get watches(): Watches {
    this.rare.watches ??= new Watches(this);
    return this.rare.watches;
  }

  get timers(): Timers {
    this.rare.timers ??= this.leased(new Timers(this));
    return this.rare.timers;
  }

  get idle(): IdleTimeout {
    this.rare.idle ??= this.leased(new IdleTimeout(this));
    return this.rare.idle;
  }

  get onIdle(): ((context: unknown) => unknown) | undefined {
    return this.behaviour.agent.options.onIdle;
  }

  /** Lets an object drive it until this generation ends. */
  drive(driver: Driver<unknown>): Driving {
    const { rare } = this;
    const driving = this.leased(
      new Driving(this, driver, () => {
        rare.leases?.delete(driving);
        rare.driving = undefined;
      }),
    );
    rare.driving = driving;
    return driving;
  }

  private leased<L extends Lease>(lease: L): L {
    const { rare } = this;
    rare.leases ??= new Set();
    rare.leases.add(lease);
    return lease;
  }

  /** Whether it is over for good. */
  get hasEnded(): boolean {
    return this.status === 'stopped';
  }

  /** Whether it accepts messages. */
  get isOpen(): boolean {
    return !this.isEnding && this.rareMade?.isDraining !== true;
  }

  /** Whether its end has begun, or is over. */
  get isEnding(): boolean {
    return this.status === 'stopping' || this.status === 'stopped';
  }

  /** Whether it takes turns. */
  get isGoing(): boolean {
    return this.status === 'running' || this.status === 'draining';
  }

  whenSettled(then: () => void): void {
    const { rare } = this;
    rare.settled ??= [];
    rare.settled.push(then);
    // Later: who has just failed leaves this life only now. Its end, which may come first, is told behind this.
    const look = (): void => {
      if (this.isGoing || this.hasEnded) this.settled();
    };
    this.kernel.background(Promise.resolve().then(look));
  }

  /** It takes turns, or has ended. */
  settled(): void {
    const waiting = this.rareMade?.settled;
    if (waiting === undefined) return;
    this.rare.settled = undefined;
    for (const then of waiting) then();
  }

  /** Whether a turn could start now. */
  get isReady(): boolean {
    const { mailbox } = this;
    return this.isIdle && mailbox !== undefined && (mailbox.queued > 0 || mailbox.controls > 0);
  }

  /** Whether a turn could start now, if there were a message. */
  protected get isIdle(): boolean {
    return this.isGoing && this.turn === undefined && this.suspensions === 0;
  }

  // --- messages come in -------------------------------------------------------------------------------------------

  tell(envelope: Envelope, from: Turn | undefined): Admission {
    const verdict = this.offer(envelope, from);
    if (verdict === 'full') this.noteRefusal(envelope, verdict);
    return verdict;
  }

  /** Offers a message to the mailbox. One for a stopped actor is a dead letter. */
  offer(envelope: Envelope, from: Turn | undefined): 'accepted' | 'full' | 'stopped' {
    // Stryker disable next-line ConditionalExpression,StringLiteral: the first look spares the second; that one is tested.
    if (this.status !== 'running' && !this.isOpen) return this.refuse(envelope);
    const mailbox = this.opened;
    // Stryker disable next-line ConditionalExpression: who does not age reads no time; that who does is told is tested.
    const nowMs = this.behaviour.isAging ? this.callMs : 0;
    const verdict = mailbox.offer(envelope, nowMs, from !== undefined && from === this.turn);
    if (!this.isQueued && this.isIdle) this.enqueue();
    return verdict;
  }

  protected refuse(envelope: Envelope): 'stopped' {
    this.kernel.deadLetters.add(envelope, this.address, 'stopped');
    this.behaviour.tally.deaths.count('stopped');
    this.noteRefusal(envelope, 'stopped');
    return 'stopped';
  }

  /** Whole milliseconds since the system started. */
  protected get callMs(): number {
    // Stryker disable next-line ArithmeticOperator: any beginning will do; a late one keeps the numbers small.
    return Math.floor(this.kernel.now() - this.kernel.startedAt);
  }

  /** Whether a sender who was told 'full' waits: not under another policy, and never for itself. */
  mayWait(from: Turn | undefined): boolean {
    return this.behaviour.agent.options.mailbox.overflow === 'backpressure' && !this.isOwnTurn(from);
  }

  get isWaitingRoomFull(): boolean {
    return this.opened.waiting >= this.behaviour.agent.options.mailbox.waitersMax;
  }

  wait(waiter: Waiter, isHeld = false): boolean {
    return this.opened.wait(waiter, isHeld);
  }

  leave(waiter: Waiter): boolean {
    const isGone = this.opened.leave(waiter);
    if (isGone) this.rareMade?.watches?.left(waiter.envelope);
    return isGone;
  }

  /** Takes a message back: out of the queue, or by aborting its turn. */
  cancel(envelope: Envelope, reason: unknown): void {
    if (this.opened.cancel(envelope)) {
      settleCancelled(this, envelope);
      this.leftQueue(envelope);
      this.ready();
      this.kernel.stirred?.();
    } else if (this.turn?.envelope === envelope) {
      this.turn.abort(reason);
    }
  }

  /** Drops a queued message because a newer one takes its place. */
  drop(envelope: Envelope): void {
    if (!this.opened.cancel(envelope)) return;
    this.leftQueue(envelope);
    bury(this, envelope, 'overflow-dropped');
    this.ready();
  }

  /** Takes back every queued message of one entry: its subscription has ended. */
  cancelQueued(entry: MessageEntry): void {
    // Stryker disable next-line ArrayDeclaration: what is no message is passed over.
    const found: Envelope[] = [];
    this.mailbox?.forEachQueued((envelope) => {
      if (envelope.entry === entry) found.push(envelope);
    });
    for (const envelope of found) this.cancel(envelope, undefined);
  }

  /** Puts the present message aside. Throws `ERR_STASH_FULL`. */
  stash(envelope: Envelope): void {
    if (this.opened.putAside(envelope, this.callMs)) return;
    const { stashMax, capacity } = this.behaviour.agent.options.mailbox;
    throw new TroupeError('ERR_STASH_FULL', {
      address: this.address,
      stashMax: Math.min(stashMax, capacity),
    });
  }

  unstash(): void {
    this.opened.unstash();
    this.ready();
  }

  /** Queues a message to itself before everything else. Throws `ERR_MAILBOX_FULL` beyond 64 of them. */
  continueWith(envelope: Envelope): void {
    if (!this.opened.control.pushContinue(envelope)) {
      throw new TroupeError('ERR_MAILBOX_FULL', {
        address: `${this.address} (continue)`,
        capacity: CONTINUES_MAX,
      });
    }
  }

  /** Queues an item of the control lane. */
  control(envelope: Envelope): void {
    this.opened.control.push(envelope);
    this.ready();
  }

  // --- turns ------------------------------------------------------------------------------------------------------

  /** Puts the actor in the run queue if it has work. */
  ready(): void {
    if (!this.isQueued && this.isReady) this.enqueue();
    else if (this.status === 'draining') this.endIfDrained();
  }

  /** A draining actor that has nothing left to do ends. */
  protected endIfDrained(): void {
    const { mailbox } = this;
    if (this.turn !== undefined || this.isQueued) return;
    if (mailbox === undefined || (mailbox.queued === 0 && mailbox.controls === 0)) this.slot.drained(this);
  }

  private enqueue(): void {
    this.isQueued = true;
    this.behaviour.kernel.scheduler.add(this);
  }

  run(turnsMax: number): number {
    let turns = 0;
    while (turns < turnsMax && this.isIdle) {
      const envelope = this.take();
      if (envelope === undefined) break;
      turns++;
      this.begin(new TurnContext(this, envelope));
    }
    // Stryker disable next-line ConditionalExpression: for a worker whose pool holds it back, which tests of limits know.
    this.isQueued = turns === turnsMax && this.isReady;
    if (this.status === 'draining') this.endIfDrained();
    return turns;
  }

  /** The next message that is still worth a turn. */
  protected take(): Envelope | undefined {
    const { mailbox } = this;
    // Stryker disable next-line ConditionalExpression: for the compiler; who is in the run queue has a mailbox.
    if (mailbox === undefined) return undefined;
    for (;;) {
      const control = mailbox.controlIfAny?.shift();
      if (control !== undefined) return control;
      const envelope = mailbox.next();
      if (envelope === undefined || this.isWorthTurn(envelope)) return envelope;
      if (!this.isIdle) return undefined; // whoever heard of that end has ended this life
    }
  }

  /** Whether a message that leaves the queue is still in time; if not, it has its outcome now. */
  private isWorthTurn(envelope: Envelope): boolean {
    this.leftQueue(envelope);
    // Stryker disable next-line ConditionalExpression: it spares a look at the clock; the rest is tested.
    if (envelope.customer === undefined && envelope.extras === undefined) return true;
    const { deadline } = envelope;
    // Stryker disable next-line ConditionalExpression: as above.
    if (deadline === Infinity || this.kernel.now() <= deadline) return true;
    bury(this, envelope, 'expired');
    return false;
  }

  private begin(turn: TurnContext): void {
    this.turn = turn;
    const { behaviour } = this;
    const { kernel } = behaviour;
    const { envelope } = turn;
    const { customer } = envelope;
    kernel.current = behaviour;
    let value: unknown;
    try {
      value = kernel.isRecorded ? this.recorded(turn) : envelope.entry.handler(turn, envelope.payload);
    } catch (error) {
      kernel.current = undefined;
      this.threw(turn, error);
      return;
    }
    kernel.current = undefined;
    // What most turns come to: a message that was told, handled at once, and nothing more to see to.
    // Stryker disable next-line ConditionalExpression,BlockStatement: what follows does the same, slower; the rest is tested.
    if (value === undefined && customer === undefined && turn.isPlain && this.rareMade === undefined) {
      this.turn = undefined; // without rare parts nobody can have disowned it
      this.handled(envelope);
      return;
    }
    // Stryker disable next-line ConditionalExpression: promiseIn looks too; that it is asked is tested.
    const promise = typeof value === 'object' ? promiseIn(value) : undefined;
    if (promise === undefined) this.returned(turn, value);
    else this.follow(turn, promise);
  }

  /** Runs the handler of a turn that somebody records. */
  private recorded(turn: TurnContext): unknown {
    const { envelope } = turn;
    const record = this.kernel.telemetry.turn(this, envelope);
    turn.record = record;
    return record.run(envelope.entry, turn);
  }

  /** The handler gave a promise: the turn goes on until it settles or takes too long. */
  private follow(turn: TurnContext, promise: Promise<unknown>): void {
    const { kernel } = this;
    const { turnTimeoutMs } = this.behaviour.agent.options;
    const now = kernel.now();
    const fire = (): void => this.timedOut(turn, turnTimeoutMs);
    turn.follow(
      now,
      turnTimeoutMs === Infinity || turn.isFenced
        ? undefined
        : kernel.timeouts.startFunction(turnTimeoutMs, now, fire),
    );
    promise.then(
      (result: unknown) => {
        this.returned(turn, result);
        this.ready();
      },
      (error: unknown) => {
        this.threw(turn, error);
        this.ready();
      },
    );
  }

  /** What is wrong with what an ask handler gave. The token of another turn promises nothing to whoever asked this one. */
  private replyProblem(entry: MessageEntry, reply: unknown): TroupeError | undefined {
    if (!isTakenCare(reply)) return this.behaviour.replyProblem(entry, reply, this);
    return new TroupeError('ERR_REPLY_MISSING', { address: this.address, message: entry.name });
  }

  private returned(turn: TurnContext, value: unknown): void {
    const { envelope } = turn;
    if (turn.isFenced) {
      this.rare.zombies--;
      return;
    }
    // Who is told something answers nothing by returning, also where somebody waits for what he may say.
    const isAsked = envelope.customer !== undefined && envelope.entry.kind !== 'tell';
    const isAnswer = isAsked && !turn.isReplied && !turn.isStashed;
    const problem = isAnswer ? this.replyProblem(envelope.entry, value) : undefined;
    if (problem !== undefined) {
      this.threw(turn, problem);
      return;
    }
    if (!turn.isStashed) this.handled(envelope);
    this.end(turn);
    // The turn is over by now: whoever hears that a reply is too late may end this life.
    if (isAnswer) answer(this, envelope, value);
    this.leaveIfAsked();
  }

  /** A message was handled: that is progress, wherever restarts are counted. */
  protected handled(envelope: Envelope): void {
    // Stryker disable next-line ConditionalExpression: for the compiler; what is counted has been in a mailbox.
    if (this.mailbox !== undefined && isCounted(envelope)) this.mailbox.handled++;
    this.restartsWithoutProgress = 0;
    envelope.extras?.witness?.ended(envelope, 'handled');
  }

  private threw(turn: TurnContext, error: unknown): void {
    if (turn.isFenced) {
      this.rare.zombies--;
      return;
    }
    if (turn.aborted !== undefined) {
      turn.record?.cancelled();
      this.end(turn);
      this.settleAborted(turn);
      return;
    }
    const rejection = rejectionIn(error);
    if (rejection === undefined) turn.record?.failed(error);
    else turn.record?.rejected(rejection.reason);
    this.end(turn);
    if (rejection === undefined) this.fail(turn, error);
    else this.reject(turn.envelope, rejection.reason);
  }

  /** The handler says that the message is at fault: that is its end, and no failure. The queue moves on. */
  private reject(envelope: Envelope, error: unknown): void {
    this.opened.cancel(envelope); // it may have been put aside in the same turn
    this.restartsWithoutProgress = 0;
    bury(this, envelope, 'rejected', error);
    this.leaveIfAsked();
  }

  /** A turn that was cancelled and then rejected did what it was told: that is no failure. */
  private settleAborted(turn: TurnContext): void {
    if (!turn.isStashed) settleCancelled(this, turn.envelope);
    this.leaveIfAsked();
  }

  private timedOut(turn: TurnContext, timeoutMs: number): void {
    // Stryker disable next-line ConditionalExpression: its timeout ends with a turn; this is a guard.
    if (!turn.isRunning) return;
    const error = new TroupeError('ERR_TURN_TIMEOUT', {
      address: this.address,
      message: turn.envelope.entry.name,
      timeoutMs,
    });
    const { epoch } = this;
    this.disown(turn, error);
    this.fail(turn, error, epoch);
    this.ready();
  }

  /** Gives up on a turn that still runs: it is a zombie from now on, and nothing it does is seen. */
  disown(turn: TurnContext, reason: unknown): void {
    turn.record?.disowned(reason);
    this.rare.lastRecord = turn.record;
    this.end(turn);
    turn.fenceOff();
    this.rare.zombies++;
    this.kernel.events.emit({
      type: 'turn-disowned',
      address: this.address,
      message: turn.envelope.entry.name,
      topic: turn.envelope.extras?.topic,
    });
    turn.abort(reason);
  }

  end(turn: TurnContext): void {
    this.turn = undefined;
    turn.ended();
    this.kernel.stirred?.();
    const rare = this.rareMade;
    if (rare === undefined) return;
    rare.turnEnded?.();
    rare.timers?.turnEnded(turn);
    rare.idle?.turnEnded(turn.envelope);
  }

  /**
   * The turn failed: the message gets its outcome, and the supervisor is told; not where `decide`, or whoever hears of it,
   * has ended the life meanwhile whose turn it was, which began at `epoch`: the next one has not failed.
   */
  private fail(turn: TurnContext, error: unknown, epoch = this.epoch): void {
    const { envelope } = turn;
    const directive = this.behaviour.decide(error, this.address);
    this.rare.lastError = error;
    this.rare.lastRecord = turn.record;
    this.kernel.events.emit({
      type: 'actor-failed',
      address: this.address,
      generation: this.generation,
      error,
      message: envelope.entry.name,
      topic: envelope.extras?.topic,
    });
    // Parts that were seen cannot be taken back.
    const isRepeatable = !turn.isStashed && (partsCustomerOf(envelope)?.parts ?? 0) === 0;
    const mayRetry = directive === 'restart' && this.isGoing && this.epoch === epoch && isRepeatable;
    const retried = mayRetry ? this.retry(envelope, error) : undefined;
    if (retried === undefined && !turn.isStashed) this.endFailed(envelope, error);
    if (!this.isGoing || this.epoch !== epoch) return;
    if (directive === 'resume') {
      this.rare.lastRecord = undefined; // no restart comes of this one
      this.leaveIfAsked();
    } else this.slot.failed(this, { directive, error, retried });
  }

  /** Puts a failed message back if it has attempts left. */
  private retry(envelope: Envelope, error: unknown): RetriedAttempt | undefined {
    const { onFailure } = this.behaviour.agent.options;
    // A tick that was put aside is counted, but its timers end with this generation.
    if (onFailure === 'fail' || !isCounted(envelope) || envelope.entry instanceof TickEntry) return undefined;
    const extras = envelope.ensureExtras();
    if (extras.attempt >= onFailure.retry.attemptsMax) return undefined;
    const { generation } = this;
    extras.history = historyWith({ envelope, error, generation, atMs: this.kernel.host.clock.wallNow() });
    this.opened.putBack(envelope);
    return { attempt: extras.attempt++, backoff: onFailure.retry.backoff };
  }

  /** The end of a message whose turn failed. One that has used up its attempts is progress: the queue moves on. */
  private endFailed(envelope: Envelope, error: unknown): void {
    const { onFailure } = this.behaviour.agent.options;
    if (onFailure !== 'fail' && isCounted(envelope) && envelope.attempt >= onFailure.retry.attemptsMax) {
      this.restartsWithoutProgress = 0;
      bury(this, envelope, 'attempts-exhausted', error);
      return;
    }
    settleFailed(this, envelope, error);
  }

  // --- outcomes ---------------------------------------------------------------------------------------------------

  isOver(envelope: Envelope): boolean {
    const { deadline } = envelope;
    // Stryker disable next-line ConditionalExpression: it spares a look at the clock; the rest is tested.
    return deadline !== Infinity && this.kernel.now() > deadline;
  }

  dropped(envelope: Envelope): void {
    this.leftQueue(envelope);
    this.rareMade?.timers?.settled(envelope);
    bury(this, envelope, this.isOver(envelope) ? 'expired' : 'overflow-dropped');
  }

  /** Ends of its own will once the present turn has ended. */
  leaveAfterTurn(reason: 'normal' | 'shutdown'): void {
    this.rare.leaving = reason;
    if (this.turn === undefined) this.leaveIfAsked();
  }

  /** A child failed in a way that this actor has to bear: its own turn, if one runs, ends, and its supervisor decides. */
  collapse(error: unknown): void {
    const { turn, epoch } = this;
    if (turn !== undefined) this.disown(turn, error);
    if (turn !== undefined && !turn.isStashed && isCounted(turn.envelope))
      this.endFailed(turn.envelope, error);
    if (this.epoch !== epoch) return;
    this.rare.lastError = error;
    if (this.isGoing) this.slot.failed(this, { directive: 'restart', error, retried: undefined });
  }

  /** One that has begun to end never reaches its successor in the slot. */
  stop(reason: EndReason): Promise<void> {
    return this.rareMade?.stopping ?? this.slot.stop(reason);
  }

  kill(): Promise<void> {
    return this.slot.kill(this);
  }

  drain(): Promise<void> {
    return this.slot.drain(this);
  }

  terminated(context: unknown, notice: Terminated): unknown {
    const { onTerminated } = this.behaviour.agent.options;
    if (onTerminated !== undefined) return onTerminated(context, notice);
    const fields = { ref: notice.ref.address, reason: notice.reason };
    this.kernel.events.emit({
      type: 'logged',
      level: 'debug',
      address: this.address,
      text: 'a watched actor ended',
      fields,
    });
    return undefined;
  }

  leaveIfAsked(): void {
    const reason = this.rareMade?.leaving;
    if (reason === undefined || !this.isGoing) return;
    this.rare.leaving = undefined;
    this.slot.left(this, reason);
  }

  /** A message has left the queue: for its turn, or for good. */
  private leftQueue(envelope: Envelope): void {
    const rare = this.rareMade;
    if (rare === undefined) return;
    rare.watches?.left(envelope);
    rare.idle?.left();
  }

  noteRefusal(envelope: Envelope, verdict: 'full' | 'stopped'): void {
    noteRefusal(this.kernel, this.behaviour.tally, this.address, envelope, verdict);
  }

  protected isOwnTurn(from: Turn | undefined): boolean {
    return from !== undefined && from === this.turn;
  }
}
