/**
 * The context of one turn, the only thing a handler holds of the engine. It belongs to its turn: after the turn its
 * sends still go out, but it can no longer reply, stash or continue. When its generation ends, or the turn is disowned,
 * every call throws `ERR_GENERATION_STALE` and what it tried to send becomes a dead letter `stale-incarnation`.
 */

import {
  type InternalMessages,
  type Log,
  type MessageInfo,
  REPLIED,
  type Replied,
} from '../../src/protocol/context.ts';
import { DRIVE, type Driver, type HeldReply, type Reins } from '../../src/protocol/driven.ts';
import { type AskChain, Envelope } from '../../src/protocol/envelope.ts';
import { TroupeError } from '../../src/protocol/errors.ts';
import type { LogLevel } from '../../src/protocol/events.ts';
import { durationOption } from '../../src/protocol/options.ts';
import { NORMAL_RANK } from '../../src/protocol/priority.ts';
import type {
  Admission,
  AskOptions,
  SendOptions,
  StreamOptions,
  TellOptions,
} from '../../src/protocol/ref.ts';
import type { Timeout } from '../host/timeouts.ts';
import type { TurnRecord } from '../observe/turn-record.ts';
import type { Actor } from './actor.ts';
import { actorRef } from './local-ref.ts';
import { answer, checkedAnswer, entryWithoutHandler, failedError } from './outcomes.ts';
import type { PartReader } from './part-reader.ts';
import type { MakingTurn } from './production.ts';
import { TickEntry, TimerCalls } from './timers.ts';
import type { Withdrawable } from './turn.ts';

/** What a handler returns when its reply is taken care of. */
// Stryker disable next-line ObjectLiteral: the mark is for the types; it is known by its identity.
const TAKEN_CARE: Replied = Object.freeze({ [REPLIED]: true as const });

/** An epoch that no actor is ever in. */
const DISOWNED = -1;

/** What a turn needs that is not over at once, or whose message is not simply handled. */
class Unusual {
  startedAt = 0;
  timeout: Timeout | undefined = undefined;
  isStashed = false;
  isReplied = false;
  abortion: { readonly reason: unknown } | undefined = undefined;
  controller: AbortController | undefined = undefined;
  pending: Set<Withdrawable> | undefined = undefined;
  record: TurnRecord | undefined = undefined;
  /** Clock time since which its own time stands still; undefined while it runs. */
  heldSince: number | undefined = undefined;
  /** Milliseconds for which it stood still before. */
  heldMs = 0;
}

/** A turn, or the run of a hook. One is made for every message, so what few of them need is in `Unusual`. */
export class TurnContext implements MakingTurn {
  readonly cell: Actor;
  readonly envelope: Envelope;
  private epoch: number;
  private unusual: Unusual | undefined = undefined;

  constructor(cell: Actor, envelope: Envelope) {
    this.cell = cell;
    this.envelope = envelope;
    this.epoch = cell.epoch;
  }

  // --- for the engine ---------------------------------------------------------------------------------------------

  /** Started and not ended. */
  get isRunning(): boolean {
    return this.cell.turn === this;
  }

  get passesOn(): boolean {
    const { customer, extras } = this.envelope;
    // Stryker disable next-line ConditionalExpression: to say yes for no reason costs time, and no more; the rest is tested.
    if (customer !== undefined) return true;
    // Stryker disable next-line ConditionalExpression: as above.
    return extras !== undefined && (extras.deadline !== Infinity || extras.headers !== undefined);
  }

  get record(): TurnRecord | undefined {
    return this.unusual?.record;
  }

  set record(record: TurnRecord) {
    this.makeUnusual().record = record;
  }

  /** The headers of its message, with the trace of this turn while traces are recorded. */
  get headers(): Readonly<Record<string, string>> | undefined {
    const own = this.envelope.extras?.headers;
    return this.unusual?.record === undefined ? own : this.unusual.record.headers(own);
  }

  /** Nothing was asked of it that outlives its handler. */
  // Stryker disable next-line BlockStatement: the end of a plain turn is the same by the long way, which is slower.
  get isPlain(): boolean {
    // Stryker disable next-line ConditionalExpression: as above; the rest is tested.
    return this.unusual === undefined;
  }

  /** The engine has disowned this turn: whatever it still does is not observable. */
  get isFenced(): boolean {
    return this.epoch === DISOWNED;
  }

  /** The message went back to the stash, so the end of this turn is not its outcome. */
  get isStashed(): boolean {
    return this.unusual?.isStashed === true;
  }

  /** The reply is taken care of: given, or promised by a token. */
  get isReplied(): boolean {
    return this.unusual?.isReplied === true;
  }

  /** Clock time at which the turn turned out to be asynchronous; 0 before. */
  get startedAt(): number {
    return this.unusual?.startedAt ?? 0;
  }

  /** Why the turn was aborted, once it was. */
  get aborted(): { readonly reason: unknown } | undefined {
    return this.unusual?.abortion;
  }

  /** The handler gave a promise: the turn goes on, at most until `timeout`. */
  follow(now: number, timeout: Timeout | undefined): void {
    const unusual = this.makeUnusual();
    unusual.startedAt = now;
    unusual.timeout = timeout;
  }

  /** The turn is over. */
  ended(): void {
    const { unusual } = this;
    if (unusual === undefined) return;
    const { timeout, record, isStashed } = unusual;
    if (timeout !== undefined) this.cell.kernel.timeouts.cancel(timeout);
    if (record !== undefined) record.ended(isStashed);
  }

  /** Whether it waits for whoever takes the parts that it makes. */
  get isHeld(): boolean {
    return this.unusual?.heldSince !== undefined;
  }

  pauseTime(): void {
    const unusual = this.makeUnusual();
    const { kernel } = this.cell;
    unusual.heldSince = kernel.now();
    if (unusual.timeout !== undefined) kernel.timeouts.cancel(unusual.timeout);
  }

  resumeTime(): void {
    const unusual = this.makeUnusual();
    const { kernel, behaviour } = this.cell;
    const { timeout, startedAt, heldSince } = unusual;
    const now = kernel.now();
    unusual.heldMs += now - (heldSince ?? now);
    unusual.heldSince = undefined;
    if (timeout === undefined || !this.isRunning) return;
    const leftMs = behaviour.agent.options.turnTimeoutMs - (now - startedAt - unusual.heldMs);
    const fire = (): void => timeout.timedOut();
    // Whole milliseconds share a timer.
    unusual.timeout = kernel.timeouts.startFunction(Math.max(1, Math.ceil(leftMs)), now, fire);
  }

  fenceOff(): void {
    this.epoch = DISOWNED;
  }

  /** Aborts the turn's signal and all calls it waits for. The turn itself goes on until its promise settles. */
  abort(reason: unknown): void {
    const unusual = this.makeUnusual();
    if (unusual.abortion !== undefined) return;
    unusual.abortion = { reason };
    const { pending } = unusual;
    unusual.pending = undefined;
    if (pending !== undefined) for (const call of pending) call.withdraw(reason);
    unusual.controller?.abort(reason);
  }

  addPending(call: Withdrawable): void {
    const unusual = this.makeUnusual();
    unusual.pending ??= new Set();
    unusual.pending.add(call);
  }

  removePending(call: Withdrawable): void {
    this.makeUnusual().pending?.delete(call);
  }

  askChain(): AskChain {
    return new TurnInChain(this);
  }

  private makeUnusual(): Unusual {
    this.unusual ??= new Unusual();
    return this.unusual;
  }

  // --- for handlers -----------------------------------------------------------------------------------------------

  get self(): unknown {
    return this.cell.ref;
  }

  get state(): unknown {
    this.fence('state');
    return this.cell.state;
  }

  set state(state: unknown) {
    this.fence('state');
    this.cell.state = state;
  }

  get signal(): AbortSignal {
    const unusual = this.makeUnusual();
    if (unusual.controller === undefined) {
      unusual.controller = new AbortController();
      if (unusual.abortion !== undefined) unusual.controller.abort(unusual.abortion.reason);
      else if (this.isStale) unusual.controller.abort(this.staleError('signal'));
    }
    return unusual.controller.signal;
  }

  get generation(): number {
    return this.cell.generation;
  }

  get message(): MessageInfo {
    return messageInfo(this);
  }

  get log(): Log {
    const write = (level: LogLevel) => (text: string, fields?: Readonly<Record<string, unknown>>) => {
      this.cell.kernel.events.emit({ type: 'logged', level, address: this.cell.address, text, fields });
    };
    return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  }

  get system(): unknown {
    return this.cell.kernel.upward.system;
  }

  tell(ref: unknown, name: string, payload?: unknown, options?: TellOptions): Admission {
    if (this.isStale) this.refuseStale('tell', ref, name, payload);
    return actorRef(ref, this.cell.kernel).tellFrom(this, name, payload, options);
  }

  send(ref: unknown, name: string, payload?: unknown, options?: SendOptions): Promise<void> {
    if (this.isStale) this.refuseStale('send', ref, name, payload);
    return actorRef(ref, this.cell.kernel).sendFrom(this, name, payload, options);
  }

  ask(ref: unknown, name: string, payload?: unknown, options?: AskOptions): Promise<unknown> {
    if (this.isStale) this.refuseStale('ask', ref, name, payload);
    return actorRef(ref, this.cell.kernel).askFrom(this, name, payload, options);
  }

  stream(ref: unknown, name: string, payload?: unknown, options?: StreamOptions): PartReader {
    const refuseIfStale = (): void => {
      if (this.isStale) this.refuseStale('stream', ref, name, payload);
    };
    refuseIfStale();
    return actorRef(ref, this.cell.kernel).streamFrom(this, name, payload, options, refuseIfStale);
  }

  publish(topic: unknown, ...rest: readonly unknown[]): Promise<void> {
    this.fence('publish');
    return this.cell.kernel.upward.publishFrom(this, topic, rest);
  }

  subscribe(filter: unknown, options: unknown): Promise<unknown> {
    this.fence('subscribe');
    return this.cell.kernel.upward.subscribeActor(this.cell, filter, options);
  }

  spawn(agent: unknown, options?: unknown): Promise<unknown> {
    this.fence('spawn');
    return this.cell.kernel.upward.spawnChild(this.cell, agent, options);
  }

  stop(ref: unknown): Promise<void> {
    this.fence('stop');
    const given = actorRef(ref, this.cell.kernel);
    if (!given.isHere || given.target() !== this.cell) return given.stopActor('shutdown');
    this.cell.leaveAfterTurn('shutdown');
    return Promise.resolve();
  }

  stopSelf(reason: 'normal' | 'shutdown' = 'normal'): void {
    this.fence('stopSelf');
    this.cell.leaveAfterTurn(reason);
  }

  watch(ref: unknown): void {
    this.fence('watch');
    const subject = actorRef(ref, this.cell.kernel);
    this.cell.watches.watch(subject.watchable(), subject);
  }

  unwatch(ref: unknown): void {
    this.fence('unwatch');
    const subject = actorRef(ref, this.cell.kernel);
    this.cell.watches.unwatch(subject.watchable(), subject);
  }

  link(ref: unknown): void {
    this.fence('link');
    const subject = actorRef(ref, this.cell.kernel);
    this.cell.watches.link(subject.watchable(), subject);
  }

  unlink(ref: unknown): void {
    this.fence('unlink');
    const subject = actorRef(ref, this.cell.kernel);
    this.cell.watches.unlink(subject.watchable(), subject);
  }

  get timers(): TimerCalls {
    return new TimerCalls(this.cell, this.record, (call) => this.fence(call));
  }

  setIdleTimeout(ms: number | undefined): void {
    this.fence('setIdleTimeout');
    this.cell.idle.set(ms === undefined ? undefined : durationOption('setIdleTimeout: ms', ms, 0));
  }

  [DRIVE](driver: Driver<unknown>): Reins<unknown> {
    this.fence('drive');
    return this.cell.drive(driver);
  }

  stash(): Replied {
    this.needRunning('stash');
    if (!this.isStashed) this.cell.stash(this.envelope);
    this.makeUnusual().isStashed = true;
    return TAKEN_CARE;
  }

  unstash(): void {
    this.fence('unstash');
    this.cell.unstash();
  }

  continue(name: keyof InternalMessages, payload?: unknown): void {
    this.needRunning('continue');
    const entry = this.cell.behaviour.internalEntry(name);
    const envelope = new Envelope(entry, payload, NORMAL_RANK, this.cell, undefined, undefined);
    const { kernel } = this.cell;
    if (kernel.isRecorded) kernel.telemetry.continuing(envelope, this);
    this.cell.continueWith(envelope);
  }

  reply(value: unknown): Replied {
    this.needRunning('reply');
    checkedAnswer(this.cell, this.envelope, value);
    this.makeUnusual().isReplied = true;
    return TAKEN_CARE;
  }

  get replyTo(): ReplyToken {
    this.needRunning('replyTo');
    this.makeUnusual().isReplied = true;
    return new ReplyToken(this.cell, this.envelope);
  }

  private get isStale(): boolean {
    return this.epoch !== this.cell.epoch;
  }

  private fence(call: string): void {
    if (this.isStale) throw this.staleError(call);
  }

  private needRunning(call: string): void {
    this.fence(call);
    if (!this.isRunning) throw new TroupeError('ERR_TURN_ENDED', { address: this.cell.address, call });
  }

  private refuseStale(
    call: 'tell' | 'send' | 'ask' | 'stream',
    ref: unknown,
    name: string,
    payload: unknown,
  ): never {
    const { address, protocol } = actorRef(ref, this.cell.kernel);
    const entry = entryWithoutHandler(String(name), call === 'send' ? 'tell' : call);
    const envelope = new Envelope(entry, payload, NORMAL_RANK, this.cell, undefined, undefined);
    const { kernel } = this.cell;
    const error = this.staleError(call);
    if (kernel.isRecorded) kernel.telemetry.sending(call, protocol.name, envelope, this);
    kernel.deadLetters.add(envelope, address, 'stale-incarnation');
    // Stryker disable next-line OptionalChaining: for the compiler; the letter has read its id, which stands in them.
    envelope.extras?.trace?.failed(error);
    throw error;
  }

  private staleError(call: string): TroupeError {
    return new TroupeError('ERR_GENERATION_STALE', { address: this.cell.address, call });
  }
}

/** A turn that waits for an ask. */
class TurnInChain implements AskChain {
  readonly waiting: Actor;
  readonly outer: AskChain | undefined;
  private readonly turn: TurnContext;

  constructor(turn: TurnContext) {
    this.turn = turn;
    this.waiting = turn.cell;
    this.outer = turn.envelope.customer?.chain;
  }

  get id(): string {
    return this.turn.envelope.id;
  }

  isWaiting(): boolean {
    return this.turn.isRunning;
  }
}

/** The right to answer one ask, once. It outlives its turn, and its actor. */
export class ReplyToken implements HeldReply {
  readonly [REPLIED] = true as const;
  readonly #cell: Actor;
  readonly #envelope: Envelope;

  constructor(cell: Actor, envelope: Envelope) {
    this.#cell = cell;
    this.#envelope = envelope;
  }

  /** Whether a value is one. Runs no code of that value, whatever a handler gave. */
  static is(value: unknown): boolean {
    return typeof value === 'object' && value !== null && #envelope in value;
  }

  get isOpen(): boolean {
    const { customer } = this.#envelope;
    return customer !== undefined && this.#cell.kernel.now() <= customer.deadline;
  }

  reply(value: unknown): void {
    checkedAnswer(this.#cell, this.#envelope, value);
  }

  reject(error: unknown): void {
    if (this.#envelope.customer?.reject(failedError(this.#cell, this.#envelope, error)) === true) return;
    answer(this.#cell, this.#envelope, error);
  }
}

/** Whether a handler's value says that the reply is taken care of. */
export function isTakenCare(value: unknown): boolean {
  return value === TAKEN_CARE || ReplyToken.is(value);
}

function messageInfo({ cell, envelope, headers }: TurnContext): MessageInfo {
  const { kernel } = cell;
  const { deadline } = envelope;
  return {
    id: envelope.id,
    name: envelope.entry.name,
    sender: envelope.sender?.address,
    priority: envelope.priority,
    attempt: envelope.attempt,
    missed: envelope.entry instanceof TickEntry ? envelope.entry.missed : 0,
    deadline: deadline === Infinity ? undefined : kernel.host.clock.wallNow() + (deadline - kernel.now()),
    headers: headers ?? {},
  };
}
